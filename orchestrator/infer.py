"""`folkmoot infer`: predictions of a committed checkpoint, after its lineage in the log has been verified."""

import dataclasses
import warnings
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch

from client import agreement, checkpoint, testset, training
from exchange import places
from exchange import store as stores
from ledger import history, statements
from orchestrator import errors, folder, journal, settlement


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Model:
    """A checkpoint that the log commits to.

    Attributes:
        agreed: its run.
        lineage: CIDs from the initial weights to this one.
        checkpoint: the weights.
        store: the run's files.
    """

    agreed: agreement.Agreement
    lineage: tuple[str, ...]
    checkpoint: checkpoint.Checkpoint
    store: stores.Store

    def judge(self) -> training.Judged:
        """What it is worth on the task's public test set."""
        made, weights = self.agreed.task, self.checkpoint.weights
        return training.judge(made, self._flat(), weights, lambda: testset.load(made, self.store))

    def predict(self, inputs: np.ndarray) -> list[int]:
        """The class of each input.

        Args:
            inputs: numbers, `(examples, ...)` as the task has them.

        Raises:
            ConfigError: the model does not take inputs of this shape.
        """
        model = self._flat()
        model.load(self.checkpoint.weights)
        wanted = self.agreed.task.schema.shape
        if inputs.shape[1:] != wanted:
            raise errors.ConfigError(
                f"inputs have shape {inputs.shape}, expected (examples, {', '.join(map(str, wanted))})"
            )
        with torch.no_grad():
            found: list[int] = model.module(torch.from_numpy(inputs.astype(np.float32))).argmax(1).tolist()
        return found

    def _flat(self) -> training.FlatModel:
        return training.FlatModel(self.agreed.task.model(), torch.device("cpu"))


def load(where: folder.RunFolder, cid: str | None) -> Model:
    """The model of a checkpoint, its lineage verified: log, signatures, and each checkpoint's own word for its parent.

    Args:
        where: the run folder.
        cid: of the checkpoint; None for the latest.

    Raises:
        ConfigError: the log commits to no such checkpoint.
        LedgerError, CheckpointError, ExchangeError: the record is damaged; the message names what.
    """
    known = history.EMPTY
    committed: list[str] = []
    with journal.published(where.existing().ledger) as record:
        for entry in record.entries():
            known = history.apply(known, entry.seq, entry.envelope)
            statement = statements.parse(entry.envelope.payload)
            if isinstance(statement, statements.Genesis):
                agreed = agreement.Agreement.read(entry.envelope)
                committed.append(statement.checkpoint)
            elif isinstance(statement, statements.RoundCommit):
                committed.append(statement.checkpoint)
        if not committed:
            raise errors.FolderError(f"the log of {where.root} is empty: `folkmoot run` begins a run")
        journal.vouched(where.ledger, known)
    wanted = committed[-1] if cid is None else cid
    if wanted not in committed:
        raise errors.ConfigError(
            f"the log of {where.root} commits to no checkpoint {wanted}; the latest is {committed[-1]}"
        )
    lineage = committed[: committed.index(wanted) + 1]
    store = places.open(where.place)
    return Model(agreed=agreed, lineage=tuple(lineage), checkpoint=_verified(store, agreed, lineage), store=store)


def read_inputs(path: Path) -> np.ndarray:
    """The array in a .npy or .csv file; never a pickle.

    Raises:
        ConfigError: there is no such file, or it is not one of the two.
    """
    if path.suffix not in {".npy", ".csv"}:
        raise errors.ConfigError(f"{path}: expected a .npy or .csv file")
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("error")
            read = (
                np.load(path, allow_pickle=False) if path.suffix == ".npy" else np.loadtxt(path, delimiter=",", ndmin=2)
            )
    except (OSError, ValueError, EOFError, UserWarning) as error:
        raise errors.ConfigError(f"{path} cannot be read as numbers: {error or 'it is empty'}") from error
    if not isinstance(read, np.ndarray):
        read.close()
        raise errors.ConfigError(f"{path} cannot be read as numbers: it is an archive, expected one array")
    if read.dtype.kind not in "biuf" or not np.isfinite(read).all():
        raise errors.ConfigError(f"{path} cannot be read as numbers: expected one array of finite real numbers")
    return read


def _verified(store: stores.Store, agreed: agreement.Agreement, lineage: Sequence[str]) -> checkpoint.Checkpoint:
    parent = ""
    for number, cid in enumerate(lineage):
        file = store.get(cid, limit=settlement.file_limit(agreed))
        found = checkpoint.decode(file, cid, agreed.specs)
        if (found.parent, found.round) != (parent, number):
            message = f"checkpoint {cid} says it follows {found.parent or 'nothing'} as round {found.round}"
            raise errors.AuditError(f"{message}, the log says {parent or 'nothing'} as round {number}")
        parent = cid
    return found

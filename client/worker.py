"""One worker process that plays holders of one owner, such as all those of a simulation.

A pool keeps workers and hands each a member at a time. The model crosses as one read-only buffer a round; it is hashed against
the CID of the signed opening before anything trusts it, once a worker and round.
"""

import dataclasses
from collections.abc import Mapping
from pathlib import Path

import numpy as np
import torch

from aggregation import errors as aggregation_errors
from client import agreement, checkpoint, errors, holder, hostile, policy, spending, training
from exchange import places
from ledger import dsse, keys, statements


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Settings:
    """What a worker needs to play its holders.

    Attributes:
        genesis: the signed genesis, as bytes.
        holders: folder with one folder a member: `key`, `offer.json`, `momentum.safetensors`, `spending.jsonl`.
        store: where the run's files are.
        members: number of the shard by member name.
        hostile: behaviour by member name, for those that are not honest.
        threads: torch threads in this process; the bits of training depend on it.
        rotations: the coordinator's changes of key since the genesis, as signed bytes, in order.
    """

    genesis: bytes
    holders: Path
    store: places.Place
    members: Mapping[str, int]
    hostile: Mapping[str, str]
    threads: int
    rotations: tuple[bytes, ...] = ()


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Reply:
    """A member's answer.

    Attributes:
        member: who answers.
        offer: the signed offer as bytes, or None if the member declined or failed.
        decline: the signed decline as bytes, where it gives one.
        reason: why it did, as `code: sentence`.
        seconds: wall seconds by phase.
    """

    member: str
    offer: bytes | None
    decline: bytes | None = None
    reason: str = ""
    seconds: Mapping[str, float] = dataclasses.field(default_factory=dict)


class Worker:
    """Holders that share a process, a model buffer and a device."""

    def __init__(self, settings: Settings) -> None:
        torch.set_num_threads(settings.threads)
        self._settings = settings
        self._agreed = agreement.Agreement.read(dsse.Envelope.parse(settings.genesis))
        for rotation in settings.rotations:
            self._agreed = self._agreed.rotated(dsse.Envelope.parse(rotation))
        self._store = places.open(settings.store)
        device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
        self._model = training.FlatModel(self._agreed.task.model(), device)
        self._holders: dict[str, holder.Holder] = {}
        self._start: checkpoint.Checkpoint | None = None

    def contribute(self, member: str, opening: bytes, file: np.ndarray) -> Reply:
        """What `member` answers to the round that `opening` (a signed envelope) opens.

        Args:
            member: one of the settings' members.
            opening: the envelope's bytes.
            file: uint8, the parent checkpoint's file; hashed here before use.

        Raises:
            StoreError, OSError, LedgerError, CheckpointError, MomentumError: a fault of this machine (a full disk, a damaged
                outbox), which is no answer of the holder's: the run must stop, not go on without it.
        """
        envelope = dsse.Envelope.parse(opening)
        try:
            start = self._verified(self._agreed.opening(envelope).parent, file)
            contribution = self._holder(member).contribute(envelope, start)
        except errors.RefusalError as error:
            return self._declined(member, envelope, error.code, str(error))
        except (errors.TrainingError, aggregation_errors.LatticeError) as error:
            return self._declined(member, envelope, "training-failed", str(error))
        return Reply(member=member, offer=contribution.offer.to_bytes(), seconds=contribution.seconds)

    def _declined(self, member: str, opening: dsse.Envelope, code: str, sentence: str) -> Reply:
        opened = statements.parse(opening.payload)
        number = opened.round if isinstance(opened, statements.RoundOpen) else 1
        said = statements.RoundDecline(author=member, run=self._agreed.run, round=number, reason=code)
        key = keys.SigningKey.load(self._settings.holders / member / "key")
        decline = dsse.sign(statements.build(said), key).to_bytes()
        return Reply(member=member, offer=None, decline=decline, reason=f"{code}: {sentence}")

    def _verified(self, parent: str, file: np.ndarray) -> checkpoint.Checkpoint:
        if self._start is None or self._start.cid != parent:
            self._start = checkpoint.decode(file.data.cast("B"), parent, self._agreed.specs)
        return self._start

    def _holder(self, member: str) -> holder.Holder:
        if member not in self._holders:
            folder = self._settings.holders / member
            name = self._settings.hostile.get(member)
            kind = hostile.find(name) if name else holder.Holder
            self._holders[member] = kind(
                name=member,
                key=keys.SigningKey.load(folder / "key"),
                consent=policy.Policy.narrowest(self._agreed),
                spent=spending.Spending(folder / "spending.jsonl"),
                examples=self._agreed.task.shard(self._settings.members[member]),
                agreed=self._agreed,
                store=self._store,
                outbox_path=folder / "offer.json",
                momentum_path=folder / "momentum.safetensors",
                model=self._model,
            )
        return self._holders[member]

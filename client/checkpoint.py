"""A checkpoint: the model after a round, as a safetensors file that any tool can read.

    tensors    float32, by name, in the model's own order
    metadata   {"format":"folkmoot-checkpoint/v1","parent":"bafk...","round":"3"}      parent is empty for round 0
               and "outer":"bafk..." where the outer optimizer remembers something: the CID of that file

It names its parent and carries nothing of the run's keys, so the same plan and data give the same bytes, hence the same CID,
and the CID alone fixes the whole lineage, with all that was ever remembered (docs/protocol.md P13).
"""

import dataclasses
import re
from collections.abc import Sequence

import numpy as np
import torch

from client import errors
from exchange import cid, tensors, unixfs
from exchange import errors as exchange_errors

FORMAT = "folkmoot-checkpoint/v1"
ROUND = re.compile(r"0|[1-9][0-9]{0,15}")


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Checkpoint:
    """The model after a round.

    Attributes:
        cid: of its file.
        round: 0 for the initial weights.
        parent: CID of the checkpoint before, empty for the initial one.
        outer: CID of what the outer optimizer remembers after this round, empty for nothing.
        weights: float32 `(dim,)`, in the order of the run's tensor specs.
    """

    cid: str
    round: int
    parent: str
    outer: str
    weights: torch.Tensor = dataclasses.field(compare=False)  # the CID says it all


def encode(
    weights: torch.Tensor,
    specs: Sequence[tensors.TensorSpec],
    *,
    round_number: int,
    parent: str,
    outer: str = "",
) -> bytes:
    """The file of a checkpoint: float32 `(dim,)` weights, the round they end, CIDs of the one before and of the state."""
    metadata = {"format": FORMAT, "parent": parent, "round": str(round_number)} | _named(outer)
    data = weights.numpy().astype("<f4", copy=False).data.cast("B")
    return bytes(tensors.encode(specs, dtype="F32", data=data, metadata=metadata))


def decode(file: bytes | memoryview, announced: str, specs: Sequence[tensors.TensorSpec]) -> Checkpoint:
    """The checkpoint whose bytes `file` holds, if they are the ones announced.

    Args:
        file: the whole file.
        announced: CID that the ledger gives.
        specs: names and shapes the run's task prescribes.

    Raises:
        CheckpointError: the bytes have another CID, or are not a checkpoint of this layout.
    """
    found = str(unixfs.of(file))
    if found != announced:
        raise errors.CheckpointError(f"checkpoint bytes have CID {found}, expected {announced}")
    return read(file, announced, specs)


def read(file: bytes | memoryview, announced: str, specs: Sequence[tensors.TensorSpec]) -> Checkpoint:
    """As `decode`, of bytes that are known to have the CID announced: they were made here, or come out of a store.

    Raises:
        CheckpointError: they are not a checkpoint of this layout.
    """
    try:
        parsed = tensors.decode(file, specs, dtype="F32", metadata=None)
    except exchange_errors.TensorsError as error:
        raise errors.CheckpointError(f"checkpoint {announced}: {error}") from error
    parent, number, outer = (parsed.metadata.get(name, "") for name in ("parent", "round", "outer"))
    expected = {"format": FORMAT, "parent": parent, "round": number} | _named(outer)
    if parsed.metadata != expected or not ROUND.fullmatch(number):
        raise errors.CheckpointError(f"checkpoint {announced}: unexpected metadata {parsed.metadata!r}")
    for link in (parent, outer):
        if link:
            cid.Cid.parse(link)
    weights = torch.from_numpy(np.frombuffer(parsed.data, dtype="<f4").copy())
    return Checkpoint(cid=announced, round=int(number), parent=parent, outer=outer, weights=weights)


def _named(outer: str) -> dict[str, str]:
    """The metadata of a state; none where there is none."""
    return {"outer": outer} if outer else {}

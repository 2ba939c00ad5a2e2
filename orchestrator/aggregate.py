"""What a round leaves to the next beside the model: the aggregate, and the members' standing where the rule reads it.

    aggregate   safetensors, int32 by name        metadata {"format":"folkmoot-aggregate/v1"}, and "standing":"bafk...",
                                                  "scores":"bafk..." if any (orchestrator.scorebook)
    standing    {"format":"folkmoot-standing/v1","members":{"holder-00":["<gain>","<length>","<reach>",<rounds>],...}}

The commit names the aggregate, the aggregate names the standing. Real numbers are texts, as in the plan (docs/protocol.md P12).
"""

import dataclasses
import math
from collections.abc import Mapping, Sequence
from typing import Any

import torch

from aggregation import standing
from exchange import cid, tensors
from ledger import canonical
from orchestrator import errors

FORMAT = "folkmoot-aggregate/v1"
STANDING = "folkmoot-standing/v1"
# Of a standing file: more than a plan can have members.
MOST_BYTES = 2**22


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Aggregate:
    """A round's aggregate.

    Attributes:
        values: int32 `(dim,)`, in 1/256 of a lattice step.
        standing: CID of the members' standing after the round; empty if the rule keeps none.
        scores: CID of the book of the round's scores; empty if the plan keeps none.
    """

    values: torch.Tensor
    standing: str
    scores: str = ""


def encode(aggregate: Aggregate, specs: Sequence[tensors.TensorSpec]) -> bytes:
    """The file of an aggregate."""
    data = aggregate.values.numpy().astype("<i4", copy=False).data.cast("B")
    metadata = _metadata(aggregate.standing, aggregate.scores)
    return bytes(tensors.encode(specs, dtype="I32", data=data, metadata=metadata))


def decode(file: bytes, specs: Sequence[tensors.TensorSpec]) -> Aggregate:
    """The aggregate in a file.

    Raises:
        TensorsError: it is no file of these tensors.
        CidError: the standing or the book it names is no CID.
        RoundError: its metadata are others.
    """
    parsed = tensors.decode(file, specs, dtype="I32", metadata=None)
    named, scores = parsed.metadata.get("standing", ""), parsed.metadata.get("scores", "")
    if parsed.metadata != _metadata(named, scores):
        raise errors.RoundError(
            f"an aggregate with the metadata {str(parsed.metadata)[:200]}: expected format {FORMAT}"
        )
    for each in filter(None, (named, scores)):
        cid.Cid.parse(each)
    values = torch.frombuffer(bytearray(parsed.data), dtype=torch.int32)
    return Aggregate(values=values, standing=named, scores=scores)


def encode_standings(members: Mapping[str, standing.Standing]) -> bytes:
    """The file of the members' standing."""
    record: dict[str, canonical.Json] = {
        name: [repr(each.gain), repr(each.length), repr(each.reach), each.rounds] for name, each in members.items()
    }
    return canonical.encode({"format": STANDING, "members": record}, limit=MOST_BYTES)


def decode_standings(file: bytes) -> dict[str, standing.Standing]:
    """The members' standing in a file.

    Raises:
        StatementError: it is no canonical JSON.
        RoundError: it is not of the one form that `encode_standings` gives.
    """
    record: Any = canonical.decode(file, limit=MOST_BYTES)
    try:
        members = {name: _standing(row) for name, row in record["members"].items()}
    except (AttributeError, KeyError, TypeError, ValueError) as error:
        raise errors.RoundError(f"a standing file of {len(file)} bytes is of another form: {error}") from error
    if encode_standings(members) != file:
        raise errors.RoundError(f"a standing file of {len(file)} bytes is not in its one byte form")
    return members


def _metadata(standing: str, scores: str) -> dict[str, str]:
    return {name: value for name, value in (("format", FORMAT), ("scores", scores), ("standing", standing)) if value}


def _standing(row: Any) -> standing.Standing:  # noqa: ANN401  whatever the file held
    gain, length, reach = (float(each) for each in row[:3])
    (rounds,) = row[3:]
    if not all(map(math.isfinite, (gain, length, reach))) or type(rounds) is not int:
        raise ValueError(f"{row}: expected three finite numbers and a count")
    return standing.Standing(gain=gain, length=length, reach=reach, rounds=rounds)

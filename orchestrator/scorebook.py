"""The book of a round's scores: why each member was paid what it was. And the sketches that later rounds compare with.

    book      {"before":"bafk...","evaluations":12,"format":"folkmoot-scores/v1",
               "members":{"holder-00":["<score>","scored","holder-00",<T>],...},
               "reached":["<sha256 of weights>","<loss>"],"sketches":"bafk..."}
    sketches  safetensors, int16: aggregates (1..8, width), the oldest first, and updates (members, width)
              metadata {"format":"folkmoot-sketches/v1"}

The aggregate of the round names the book, the book names the sketches and the book before: a chain that every settlement
extends (docs/protocol.md P29). Sketches of updates are kept only where the plan makes the updates themselves public.
"""

import dataclasses
import re
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
import torch

from aggregation import scorers
from exchange import cid, tensors
from ledger import canonical
from orchestrator import errors, game, jury

FORMAT, SKETCHES = "folkmoot-scores/v1", {"format": "folkmoot-sketches/v1"}
MOST_BYTES = 2**22
ROUNDS = 8
"""Rounds back for which aggregates and updates are remembered; of updates fewer, where that is more than the share."""
SHARE = 6
"""Of the width of a sketch one in so many vectors may be remembered."""
JUDGED = 3
"""Rounds back that a member's T is averaged over."""
RULINGS = ("scored", "opposed", "silent", "echo")
_DIGEST = re.compile("[0-9a-f]{64}")
_SCORE = re.compile(r"0|-?[1-9][0-9]*")


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Line:
    """One accepted member's part.

    Attributes:
        score: what its party's update came to before it was shared; negative where it made the model worse.
        ruling: one of RULINGS; only `scored` is paid.
        party: the first member of the party that it shares its credit with; itself where it stands alone.
        chance: T of `aggregation.novelty` in thousandths; -1 where it was not worked out.
    """

    score: int
    ruling: str
    party: str
    chance: int


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Book:
    """The scores of a round.

    Attributes:
        before: CID of the book of the round before; empty in the first.
        sketches: CID of the sketches after the round.
        evaluations: of models, that the scores took.
        members: by accepted member.
        heard: what scorers said, where the plan has any (docs/protocol.md P30).
        reached: the model that the aggregate leads to, if it was evaluated: the next round may start from it.
    """

    before: str
    sketches: str
    evaluations: int
    members: Mapping[str, Line]
    heard: jury.Heard | None = None
    reached: game.Reached | None = None


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Sketches:
    """What a round leaves to be compared with: int16 `(rows, width)` each."""

    aggregates: torch.Tensor
    updates: torch.Tensor


def encode(book: Book) -> bytes:
    """The file of a book."""
    lines: dict[str, canonical.Json] = {
        name: [str(each.score), each.ruling, each.party, each.chance] for name, each in book.members.items()
    }
    record: dict[str, canonical.Json] = {"before": book.before, "evaluations": book.evaluations, "format": FORMAT}
    if book.heard is not None:
        record |= {"scorers": dict(book.heard.verdicts), "values": list(book.heard.values)}
    reached: canonical.Json = [book.reached.model, str(book.reached.loss)] if book.reached else []
    return canonical.encode(
        record | {"members": lines, "reached": reached, "sketches": book.sketches}, limit=MOST_BYTES
    )


def decode(file: bytes) -> Book:
    """The book in a file.

    Raises:
        StatementError: it is no canonical JSON.
        RoundError: it is not of the one form that `encode` gives.
    """
    record: Any = canonical.decode(file, limit=MOST_BYTES)
    try:
        members = {name: _line(*row) for name, row in record["members"].items()}
        book = Book(
            before=str(record["before"]),
            sketches=str(record["sketches"]),
            evaluations=int(record["evaluations"]),
            members=members,
            heard=_heard(record) if "scorers" in record else None,
            reached=_reached(*record["reached"]),
        )
    except (AttributeError, KeyError, TypeError, ValueError) as error:
        raise errors.RoundError(f"a book of scores of {len(file)} bytes is of another form: {error}") from error
    for named in (book.sketches, *filter(None, [book.before])):
        cid.Cid.parse(named)
    if encode(book) != file:
        raise errors.RoundError(f"a book of scores of {len(file)} bytes is not in its one byte form")
    return book


def encode_sketches(kept: Sketches) -> bytes:
    """The file of a round's sketches."""
    parts = [part for part in (kept.aggregates, kept.updates) if len(part)]
    data = torch.cat(parts).numpy().astype("<i2", copy=False).data.cast("B")
    specs = _specs(len(kept.aggregates), len(kept.updates), kept.aggregates.shape[1])
    return bytes(tensors.encode(specs, dtype="I16", data=data, metadata=SKETCHES))


def decode_sketches(file: bytes, *, members: int, width: int) -> Sketches:
    """The sketches in a file, of 1 to 8 aggregates, and of `members` updates of `width` integers.

    Raises:
        TensorsError: it is no such file.
    """
    rows = (len(file) - 8 - int.from_bytes(file[:8], "little")) // (2 * width)
    aggregates = min(max(rows - members, 1), ROUNDS)
    parsed = tensors.decode(file, _specs(aggregates, members, width), dtype="I16", metadata=SKETCHES)
    flat = torch.from_numpy(np.frombuffer(parsed.data, dtype="<i2").copy()).view(-1, width)
    return Sketches(aggregates=flat[:aggregates], updates=flat[aggregates:])


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Past:
    """What a round's updates are compared with.

    Attributes:
        latest: CID of the book of the round before; empty in the first.
        aggregates: sketches of the last aggregates, int16 `(rounds, width)`.
        updates: sketches of the last rounds' updates, the latest round first; `(rows, width)` each.
        chances: T of the last rounds, by member, in thousandths.
        reached: what the book of the round before says.
    """

    latest: str
    aggregates: torch.Tensor
    updates: tuple[torch.Tensor, ...]
    chances: Mapping[str, Sequence[int]]
    reached: game.Reached | None = None

    @property
    def vectors(self) -> torch.Tensor:
        """All of it, int16 `(rows, width)`: as many rounds of updates as fit into a share of the width, but at least one."""
        chosen, room = [self.aggregates], self.aggregates.shape[1] // SHARE - len(self.aggregates)
        for back, each in enumerate(self.updates):
            room -= len(each)
            if back and room < 0:
                break
            chosen.append(each)
        return torch.cat(chosen)


def remembered(latest: str, *, width: int, public: bool, read: Callable[[str], bytes]) -> Past:
    """What the books say of the rounds before.

    Args:
        latest: CID of the book of the round before; empty in the first.
        width: of a sketch.
        public: whether sketches of updates are kept.
        read: the bytes of a CID.
    """
    aggregates, named = torch.empty((0, width), dtype=torch.int16), latest
    updates: list[torch.Tensor] = []
    chances: dict[str, list[int]] = {}
    reached: game.Reached | None = None
    for back in range(ROUNDS):
        if not named:
            break
        book = decode(read(named))
        reached = reached if back else book.reached
        if back == 0 or public:
            kept = decode_sketches(read(book.sketches), members=len(book.members) if public else 0, width=width)
            aggregates = aggregates if back else kept.aggregates
            updates.append(kept.updates)
        for name, line in book.members.items() if back < JUDGED else ():
            chances.setdefault(name, []).extend([line.chance] if line.chance >= 0 else [])
        named = book.before
    return Past(latest=latest, aggregates=aggregates, updates=tuple(updates), chances=chances, reached=reached)


def _heard(record: Mapping[str, Any]) -> jury.Heard:
    verdicts = {str(name): str(verdict) for name, verdict in record["scorers"].items()}
    if not set(verdicts.values()) <= set(scorers.VERDICTS):
        raise ValueError(f"{sorted(set(verdicts.values()))}: expected verdicts out of {scorers.VERDICTS}")
    return jury.Heard(verdicts=verdicts, values=tuple(int(value) for value in record["values"]))


def _line(score: str, ruling: str, party: str, chance: int) -> Line:
    if not _SCORE.fullmatch(score) or ruling not in RULINGS or not isinstance(party, str) or type(chance) is not int:
        raise ValueError(f"{[score, ruling, party, chance]}: expected two whole numbers, a ruling, and a member")
    return Line(score=int(score), ruling=ruling, party=party, chance=chance)


def _reached(model: str = "", loss: str = "") -> game.Reached | None:
    if not model:
        return None
    if not _DIGEST.fullmatch(model) or not _SCORE.fullmatch(loss):
        raise ValueError(f"{[model, loss]}: expected a sha256 in hex and a whole number")
    return game.Reached(model=model, loss=int(loss))


def _specs(aggregates: int, updates: int, width: int) -> list[tensors.TensorSpec]:
    specs = [tensors.TensorSpec(name="aggregates", shape=(aggregates, width))]
    return specs + ([tensors.TensorSpec(name="updates", shape=(updates, width))] if updates else [])

"""What a look over a whole log found wrong with it."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import NamedTuple, TypeVar

from ledger import errors

T = TypeVar("T")

MOST = 100
"""Damages that are kept; the rest is counted."""


class Damage(NamedTuple):
    """One thing that is wrong.

    Attributes:
        what: `store`, `entry`, `node`, `note` or `published`.
        seq: Position of the entry, or last one under the node or note; None where the damage has no one place.
        sentence: What was found, and what was expected.
    """

    what: str
    seq: int | None
    sentence: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Report:
    """What was checked, and what is wrong with it.

    Attributes:
        entries: Positions that were looked at.
        nodes: Stored nodes that were compared.
        notes: Signed notes that were held against the tree.
        bytes: Of all leaves.
        damages: The first `MOST`, in order of discovery.
        more: Damages beyond those.
    """

    entries: int
    nodes: int
    notes: int
    bytes: int
    damages: tuple[Damage, ...]
    more: int

    @property
    def sound(self) -> bool:
        """Whether nothing is wrong."""
        return not self.damages


class Found:
    """The damage that is found as a look goes on."""

    def __init__(self) -> None:
        self.kept: list[Damage] = []
        self.more = 0

    def add(self, what: str, seq: int | None, sentence: str) -> None:
        """Nothing; this is damaged too."""
        if len(self.kept) < MOST:
            self.kept.append(Damage(what, seq, sentence))
        else:
            self.more += 1

    def guarded(self, what: str, seq: int | None, look: Callable[..., T], *arguments: object) -> T | None:
        """What `look` returns; None where it refused, which is damage at its own position or else at `seq`."""
        try:
            return look(*arguments)
        except errors.LedgerError as error:
            self.add(what, seq if seq is not None else getattr(error, "seq", None), str(error))
            return None

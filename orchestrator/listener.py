"""Who is told how a run goes on: the terminal, the file of metrics, a test."""

import dataclasses
from collections.abc import Sequence
from typing import Protocol, runtime_checkable

from client import phases, worker
from ledger import statements


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class RoundReport:
    """A committed round, for people.

    Attributes:
        commit: what was committed.
        spans: where the time went: `train`, `encode` and `seal` in workers; `open` to `publish` and `round`, the whole, here.
        ciphertext_bytes: of the updates that were offered.
    """

    commit: statements.RoundCommit
    spans: Sequence[phases.Span]
    ciphertext_bytes: int


class Listener(Protocol):
    """Whoever shows how the run goes on."""

    def opened(self, number: int, total: int) -> None:
        """Round `number` of `total` is open."""

    def answered(self, reply: worker.Reply) -> None:
        """A member of the open round has answered."""

    def committed(self, report: RoundReport) -> None:
        """A round is on the ledger."""


@runtime_checkable
class Hearer(Listener, Protocol):
    """A listener that is also told sentences about the run, each once."""

    def said(self, sentence: str) -> None:
        """Something that stays true."""


@runtime_checkable
class Host(Listener, Protocol):
    """A listener that is also told of holders who come from elsewhere."""

    def invited(self, name: str, line: str) -> None:
        """Nobody has taken up the invitation of `name` yet; `line` is the command that does."""

    def joined(self, name: str) -> None:
        """`name` is a holder now."""

    def waiting(self, sentence: str) -> None:
        """What the run waits for."""

"""Aggregators beside the coordinator: each can open a round's updates, recomputes what was committed, and says what it came to.

    round.recipient    before the round opens: whom holders seal to, beside the coordinator
    round.cosign       after the commit: the very same
    round.dispute      after the commit: something else, and what

One word of each aggregator on each commit, while its round is the latest or the one before.
"""

import dataclasses
from collections.abc import Mapping
from dataclasses import dataclass, field
from types import MappingProxyType

from ledger import errors, rounds, statements

AHEAD = 4
"""Rounds that a recipient may be named ahead of the one that opens next."""

Word = statements.RoundCosign | statements.RoundDispute


@dataclass(frozen=True, slots=True, kw_only=True)
class Announced:
    """Recipients of rounds that have not opened yet.

    Attributes:
        rounds: round -> aggregator -> age recipient.
    """

    rounds: Mapping[int, Mapping[str, str]] = field(default_factory=lambda: MappingProxyType({}))

    def of(self, number: int) -> Mapping[str, str]:
        """Aggregator -> recipient, for round `number`."""
        return self.rounds.get(number, MappingProxyType({}))

    def naming(self, statement: statements.RoundRecipient, *, following: int) -> "Announced":
        """These and one more.

        Args:
            statement: an aggregator's.
            following: the round that opens next.

        Raises:
            HistoryError: `wrong-round`, or `duplicate-recipient` (it has named one for that round, or somebody has named this
                one for any).

        Reference: docs/protocol.md P6, P26.
        """
        number, author = statement.round, statement.author
        if not following <= number <= following + AHEAD:
            message = f"a recipient for round {number}, expected {following} to {following + AHEAD}"
            raise errors.HistoryError("wrong-round", message)
        known = self.of(number)
        if author in known or any(statement.recipient in names.values() for names in self.rounds.values()):
            message = f"{author} has named a recipient for round {number}, or this recipient is named already"
            raise errors.HistoryError("duplicate-recipient", message)
        after = {**self.rounds, number: MappingProxyType({**known, author: statement.recipient})}
        return dataclasses.replace(self, rounds=MappingProxyType(after))

    def opened(self, number: int) -> "Announced":
        """Those of the rounds after `number`, which has opened."""
        left = {each: names for each, names in self.rounds.items() if each > number}
        return dataclasses.replace(self, rounds=MappingProxyType(left))


NONE = Announced()


def apply(
    current: rounds.RoundRecord | None, finished: rounds.RoundRecord | None, statement: Word
) -> dict[str, rounds.RoundRecord]:
    """Which of the two latest rounds has an aggregator's word now: `current` or `finished`, and that record.

    Raises:
        HistoryError: `wrong-round` (an older commit is not remembered), or as `heard`.
    """
    if current is not None and current.open.round == statement.round:
        return {"current": heard(current, statement)}
    if finished is not None and finished.open.round == statement.round:
        return {"finished": heard(finished, statement)}
    raise errors.HistoryError("wrong-round", f"round {statement.round} is neither in progress nor the one before")


def heard(record: rounds.RoundRecord, statement: Word) -> rounds.RoundRecord:
    """The record with what one more aggregator says of its commit.

    Raises:
        HistoryError: `out-of-order`, `wrong-commit`, `duplicate-cosign` (the same again) or `equivocation` (the other word, or
            another commit or reason, after the first).

    Reference: docs/protocol.md P6.
    """
    if record.commit_eid is None:
        raise errors.HistoryError("out-of-order", f"round {statement.round} is {record.phase}: no commit to speak of")
    author, same = statement.author, statement.commit == record.commit_eid
    if author in record.cosigned or author in record.disputed:
        again = same and _said(record, author) == _reason(statement)
        reason = "duplicate-cosign" if again else "equivocation"
        raise errors.HistoryError(
            reason, f"{author} has had its word on round {statement.round}, one is all that counts"
        )
    if not same:
        message = f"{author} speaks of commit {statement.commit}, the round's is {record.commit_eid}"
        raise errors.HistoryError("wrong-commit", message)
    if isinstance(statement, statements.RoundCosign):
        return dataclasses.replace(record, cosigned=record.cosigned | {author})
    return dataclasses.replace(record, disputed=MappingProxyType({**record.disputed, author: statement.reason}))


def _said(record: rounds.RoundRecord, author: str) -> str | None:
    return record.disputed.get(author)


def _reason(statement: Word) -> str | None:
    return statement.reason if isinstance(statement, statements.RoundDispute) else None

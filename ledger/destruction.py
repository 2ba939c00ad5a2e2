"""Age identities that nobody discloses: which rounds had them, and which are gone, as those say who had them.

    round over, identity kept -> round.destroy -> gone

That a file was deleted is nothing that anybody could check. The statement says when its owner says so, once, of a round that
is over and of a recipient that the round had: an aggregator of the one that it had named, the coordinator of any other.
"""

import dataclasses
from collections.abc import Mapping
from dataclasses import dataclass, field
from types import MappingProxyType

from ledger import errors, statements

MOST = 1_000
"""Rounds of which it is remembered; an identity of an older one can no longer be said to be destroyed."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Identities:
    """The identities of the last MOST rounds that are over and not disclosed.

    Attributes:
        rounds: round -> recipient -> whose identity is there still, as far as the log tells; None once it is gone; oldest
            round first.
    """

    rounds: Mapping[int, Mapping[str, str | None]] = field(default_factory=lambda: MappingProxyType({}))

    @property
    def kept(self) -> tuple[tuple[int, str], ...]:
        """(round, recipient) of each identity that is not destroyed, oldest round first."""
        return tuple(
            (number, recipient) for number, known in self.rounds.items() for recipient in known if known[recipient]
        )

    def kept_by(self, name: str) -> tuple[tuple[int, str], ...]:
        """Those of `kept` that are one member's."""
        return tuple((number, recipient) for number, recipient in self.kept if self.rounds[number][recipient] == name)

    def over(self, opening: statements.RoundOpen, readers: Mapping[str, str]) -> "Identities":
        """These, and those of one more round, which is over; `readers` maps aggregator -> its recipient there."""
        owners: dict[str, str | None] = dict.fromkeys(opening.recipients, opening.author)
        owners |= {recipient: name for name, recipient in readers.items()}
        after = {**self.rounds, opening.round: owners}
        if len(after) > MOST:
            del after[next(iter(after))]
        return dataclasses.replace(self, rounds=MappingProxyType(after))

    def destroyed(self, statement: statements.RoundDestroy) -> "Identities":
        """These, with one that is gone.

        Raises:
            HistoryError: `wrong-round`, `unknown-recipient`, `duplicate-destroy` or `not-entitled`.

        Reference: docs/protocol.md P22, and P6.
        """
        number, recipient = statement.round, statement.recipient
        known = self.rounds.get(number)
        if known is None:
            message = f"round {number} is none of the last {MOST} that are over and whose identities nobody discloses"
            raise errors.HistoryError("wrong-round", message)
        if recipient not in known:
            raise errors.HistoryError("unknown-recipient", f"{recipient[:80]} is no recipient of round {number}")
        if known[recipient] is None:
            message = f"the identity of {recipient[:80]} of round {number} is destroyed already"
            raise errors.HistoryError("duplicate-destroy", message)
        if known[recipient] != statement.author:
            message = f"the identity of {recipient[:80]} is that of {known[recipient]}, not of {statement.author}"
            raise errors.HistoryError("not-entitled", message)
        return dataclasses.replace(self, rounds=MappingProxyType({**self.rounds, number: {**known, recipient: None}}))


NONE = Identities()

"""One round, as the log tells it: open -> offers and declines -> seal -> [scores] -> commit -> credit -> [disclose].

What aggregators say of a commit is added by `cosigning`.

A RoundRecord grows by one statement at a time. Each function here takes the record and the next statement, which its
author has signed and may make, and returns the longer record or refuses with a HistoryError.
"""

import dataclasses
import enum
from collections.abc import Mapping
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Any

from ledger import context, errors, scores, scoring, statements, transfers


class Phase(enum.StrEnum):
    """Where the log stands: what may be said next."""

    EMPTY = "empty"
    IDLE = "idle"
    OPEN = "open"
    SEALED = "sealed"
    COMMITTED = "committed"
    CREDITED = "credited"


@dataclass(frozen=True, slots=True, kw_only=True)
class RoundRecord:
    """All that was said in a round so far.

    `offers` maps member -> (log position, offer), `declined` member -> reason code, `commit_eid` is the hex eid of the
    commit, `cosigned` names the aggregators who came to it too, `disputed` maps those who did not -> reason code. `readers`
    maps aggregator -> the recipient of the opening that it had named. `scorers` is what scorers said after the seal.
    """

    open: statements.RoundOpen
    readers: Mapping[str, str] = field(default_factory=lambda: MappingProxyType({}))
    offers: Mapping[str, tuple[int, statements.UpdateOffer]] = field(default_factory=lambda: MappingProxyType({}))
    declined: Mapping[str, str] = field(default_factory=lambda: MappingProxyType({}))
    seal: statements.RoundSeal | None = None
    scorers: scoring.Scoring = scoring.NONE
    commit: statements.RoundCommit | None = None
    credit: statements.CreditTransfer | None = None
    disclose: statements.RoundDisclose | None = None
    commit_eid: str | None = None
    cosigned: frozenset[str] = frozenset()
    disputed: Mapping[str, str] = field(default_factory=lambda: MappingProxyType({}))

    @property
    def phase(self) -> Phase:
        """Open, sealed, committed or credited."""
        if self.credit is not None:
            return Phase.CREDITED
        if self.commit is not None:
            return Phase.COMMITTED
        return Phase.OPEN if self.seal is None else Phase.SEALED

    @property
    def sealed(self) -> frozenset[str]:
        """The members whose offers the seal lists; nobody before the seal."""
        listed = frozenset(self.seal.offers) if self.seal is not None else frozenset()
        return frozenset(member for member, (seq, _) in self.offers.items() if seq in listed)


def begin(
    statement: statements.RoundOpen,
    *,
    number: int,
    parent: str | None,
    named: Mapping[str, str] = MappingProxyType({}),
) -> RoundRecord:
    """The record of a round that opens: the next one, from the checkpoint that the one before came to.

    Args:
        statement: the opening.
        number: of the round that is due.
        parent: the last checkpoint.
        named: aggregator -> recipient, as announced for this round.

    Raises:
        HistoryError: `wrong-round` or `wrong-parent`.
    """
    if statement.round != number:
        raise errors.HistoryError("wrong-round", f"round {statement.round}, expected {number}")
    if statement.parent != parent:
        raise errors.HistoryError("wrong-parent", f"round from {statement.parent}, expected {parent}")
    readers = {name: recipient for name, recipient in named.items() if recipient in statement.recipients}
    return RoundRecord(open=statement, readers=MappingProxyType(readers))


def offer(record: RoundRecord, seq: int, statement: statements.UpdateOffer) -> RoundRecord:
    """The record with one more offer: of the cohort, for this round, before the seal, one for each member.

    Raises:
        HistoryError: `wrong-round`, `out-of-order`, `wrong-parent`, `not-in-cohort`, `wrong-context`,
            `declined`, `duplicate-offer` (the same again) or `equivocation` (another one).
    """
    _follows(record, statement, Phase.OPEN)
    author = statement.author
    if statement.parent != record.open.parent:
        raise errors.HistoryError("wrong-parent", f"offer on {statement.parent}, expected {record.open.parent}")
    if author not in record.open.cohort:
        raise errors.HistoryError(
            "not-in-cohort", f"{author} offers in round {record.open.round} without being in its cohort"
        )
    if statement.context != context.context_digest(statement.run, statement.round, statement.parent, author).hex():
        raise errors.HistoryError(
            "wrong-context", f"context {statement.context} is not that of {author} in round {statement.round}"
        )
    _not_declined(record, author)
    if author in record.offers:
        earlier, said = record.offers[author]
        reason = "duplicate-offer" if said == statement else "equivocation"
        raise errors.HistoryError(
            reason, f"{author} already offered {said.ciphertext} at {earlier}, and now {statement.ciphertext}"
        )
    return dataclasses.replace(record, offers=MappingProxyType({**record.offers, author: (seq, statement)}))


def decline(record: RoundRecord, statement: statements.RoundDecline) -> RoundRecord:
    """The record with one member of the cohort that offers nothing: before the seal, and for good.

    A decline is an answer, as an offer is, and a member has one: whoever sealed the round early on the strength of it could
    otherwise be said to have left an offer out.

    Raises:
        HistoryError: `wrong-round`, `out-of-order`, `not-in-cohort`, `declined` (it has done so) or `offered`.
    """
    _follows(record, statement, Phase.OPEN)
    author = statement.author
    if author not in record.open.cohort:
        message = f"{author} declines round {record.open.round} without being in its cohort"
        raise errors.HistoryError("not-in-cohort", message)
    _not_declined(record, author)
    if author in record.offers:
        message = f"{author} declines round {record.open.round} after its offer at {record.offers[author][0]}"
        raise errors.HistoryError("offered", message)
    return dataclasses.replace(record, declined=MappingProxyType({**record.declined, author: statement.reason}))


def seal(record: RoundRecord, statement: statements.RoundSeal) -> RoundRecord:
    """The record with its list closed over positions of offers of this round.

    Raises:
        HistoryError: `wrong-round`, `out-of-order` or `unknown-offer`.
    """
    _follows(record, statement, Phase.OPEN)
    unknown = set(statement.offers).difference(seq for seq, _ in record.offers.values())
    if unknown:
        raise errors.HistoryError(
            "unknown-offer", f"entries {sorted(unknown)[:5]} are no offers of round {record.open.round}"
        )
    return dataclasses.replace(record, seal=statement)


def scored(
    record: RoundRecord, statement: scores.Said, plan: Mapping[str, Any], coordinator: str | None
) -> RoundRecord:
    """The record with what one more scorer says after the seal, or with the coordinator's word between the phases.

    Raises:
        HistoryError: `wrong-round`, `out-of-order`, or as `scoring.heard`.
    """
    _follows(record, statement, Phase.SEALED)
    said = scoring.heard(record.scorers, statement, plan=plan, coordinator=coordinator)
    return dataclasses.replace(record, scorers=said)


def commit(record: RoundRecord, statement: statements.RoundCommit, *, eid: str) -> RoundRecord:
    """The record with its outcome, which names each member of the cohort once and accepts only sealed offers.

    Raises:
        HistoryError: `wrong-round`, `out-of-order`, `wrong-cohort` or `not-sealed`.
    """
    _follows(record, statement, Phase.SEALED)
    named = {*statement.accepted, *(member for member, _ in statement.rejected)}
    difference = named.symmetric_difference(record.open.cohort)
    if difference:
        raise errors.HistoryError(
            "wrong-cohort", f"{sorted(difference)[:5]} stand in only one of the commit and the cohort"
        )
    unsealed = set(statement.accepted) - record.sealed
    if unsealed:
        raise errors.HistoryError("not-sealed", f"{sorted(unsealed)[:5]} are accepted without a sealed offer")
    return dataclasses.replace(record, commit=statement, commit_eid=eid)


def credit(record: RoundRecord, statement: statements.CreditTransfer, *, pool: int, whole: bool = True) -> RoundRecord:
    """The record with its credit: the plan's pool, or where not `whole` at most that, paid to accepted members alone.

    Raises:
        HistoryError: `wrong-round`, `out-of-order`, `wrong-id`, `wrong-pool`, `wrong-postings` or `not-accepted`.
    """
    _follows(record, statement, Phase.COMMITTED)
    accepted = record.commit.accepted if record.commit is not None else ()
    transfers.check_payment(statement, accepted=accepted, pool=pool, whole=whole)
    return dataclasses.replace(record, credit=statement)


def disclose(record: RoundRecord, statement: statements.RoundDisclose) -> RoundRecord:
    """The record with its age identity public.

    That the identity belongs to one of the round's recipients is for whoever opens updates with it: this package knows
    no age.

    Raises:
        HistoryError: `wrong-round` or `out-of-order`.
    """
    _follows(record, statement, Phase.CREDITED)
    return dataclasses.replace(record, disclose=statement)


def _not_declined(record: RoundRecord, author: str) -> None:
    if author in record.declined:
        message = f"{author} has declined round {record.open.round} ({record.declined[author]})"
        raise errors.HistoryError("declined", message)


def _follows(record: RoundRecord, statement: statements.RoundStatement, phase: Phase) -> None:
    if statement.round != record.open.round:
        raise errors.HistoryError("wrong-round", f"statement for round {statement.round}, expected {record.open.round}")
    if record.phase != phase:
        raise errors.HistoryError(
            "out-of-order", f"{type(statement).__name__} while the round is {record.phase}, expected {phase}"
        )

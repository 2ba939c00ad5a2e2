"""What the log says: a pure fold over its entries, the same for the coordinator, the holders and any auditor.

The text of the protocol, as code::

    genesis                                    first, by the coordinator, under the key it names
    member.enrol                               by the member, under the key it names; a new name, a new key
    member.role                                by the coordinator
    member.rotate                              by the member, under its present key; a new key
    member.revoke                              by the coordinator, or by the member about itself
    round.open                                 by the coordinator; round n+1 from the last checkpoint, between rounds
    offer|decline* seal commit credit disclose? in this order (`rounds`); the first two by members of the cohort
    score.commit* close reveal*                between seal and commit, by the plan's scorers (`scoring`)
    round.recipient cosign dispute             by an aggregator; of a round to come, or of the latest two (`cosigning`)
    round.destroy                              by whose it is; of an undisclosed round that is over (`destruction`)
    credit.transfer, code `reversal`           by the coordinator; once for each round paid (`transfers`)

A key counts from the position after the one that enrols it or changes to it; no clock decides anything.
"""

import dataclasses
import functools
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Any

from ledger import cosigning, destruction, dsse, errors, keys, leaf, membership, payout, rounds, statements, transfers

Phase = rounds.Phase
DISCLOSURES = ("public", "none")

_COORDINATOR_ONLY = (
    statements.MemberRole,
    statements.RoundOpen,
    statements.RoundSeal,
    statements.RoundCommit,
    statements.CreditTransfer,
    statements.RoundDisclose,
)


@dataclass(frozen=True, slots=True, kw_only=True)
class History:
    """All that the first `size` entries say.

    Attributes:
        size: Entries folded; the next one has this position.
        run: Hex eid of the genesis; None in an empty log.
        plan: The plan of the genesis.
        coordinator: Name of the coordinator.
        members: Name -> Member, the coordinator among them.
        round: Number of the last committed round, 0 before the first.
        checkpoint: CID that the next round starts from: the genesis' or the last committed one.
        current: The round in progress; None between rounds.
        finished: The last round that is over.
        payments: What each round paid, for reversals.
        identities: Of which undisclosed rounds the age identities are destroyed.
        recipients: What aggregators have named for rounds to come.
        balances: Member -> micro-credits, of the members ever paid.
        times_accepted: Member -> rounds in which it was accepted.
        times_rejected: Member -> rounds in which it was rejected.
    """

    size: int = 0
    run: str | None = None
    plan: Mapping[str, Any] = field(default_factory=dict)
    coordinator: str | None = None
    members: membership.Members = field(default_factory=membership.Members)
    round: int = 0
    checkpoint: str | None = None
    current: rounds.RoundRecord | None = None
    finished: rounds.RoundRecord | None = None
    payments: transfers.Payments = transfers.NONE
    identities: destruction.Identities = destruction.NONE
    recipients: cosigning.Announced = cosigning.NONE
    balances: Mapping[str, int] = field(default_factory=lambda: MappingProxyType({}))
    times_accepted: Mapping[str, int] = field(default_factory=lambda: MappingProxyType({}))
    times_rejected: Mapping[str, int] = field(default_factory=lambda: MappingProxyType({}))

    @property
    def phase(self) -> Phase:
        """What may be said next."""
        if self.current is not None:
            return self.current.phase
        return Phase.EMPTY if self.run is None else Phase.IDLE

    @property
    def open_round(self) -> statements.RoundOpen | None:
        """How the round in progress was opened; None between rounds."""
        return None if self.current is None else self.current.open

    @property
    def offers(self) -> Mapping[str, tuple[int, statements.UpdateOffer]]:
        """Member -> (log position, offer) of the round in progress; empty between rounds."""
        return MappingProxyType({}) if self.current is None else self.current.offers

    @property
    def seal(self) -> statements.RoundSeal | None:
        """The seal of the round in progress, if it is there yet."""
        return None if self.current is None else self.current.seal

    @property
    def commit(self) -> statements.RoundCommit | None:
        """The commit of the round in progress, if it is there yet."""
        return None if self.current is None else self.current.commit


EMPTY = History()


def replay(entries: Iterable[leaf.Entry]) -> History:
    """The history of a log from its first entry on.

    Raises:
        StatementError, SignatureError, HistoryError: As `apply`.
    """
    return functools.reduce(lambda before, entry: apply(before, entry.seq, entry.envelope), entries, EMPTY)


def apply(
    history: History,
    entry_seq: int,
    envelope: dsse.Envelope,
    *,
    verify: Callable[[dsse.Envelope, keys.PublicKey], object] = dsse.verify,
) -> History:
    """The history with one more statement, or a refusal; `history` itself never changes.

    Args:
        history: What the log says before.
        entry_seq: Position of the entry, equal to `history.size`.
        envelope: The signed statement.
        verify: What is done about the signature; whoever puts it off must not believe the history before (`verification`).

    Raises:
        StatementError: The payload is no statement.
        SignatureError: It is not signed with the key that its author has at this position.
        HistoryError: It does not fit; `reason` says why.

    Reference: docs/protocol.md P6.
    """
    if entry_seq != history.size:
        raise errors.HistoryError("out-of-order", f"entry {entry_seq}, expected entry {history.size}")
    statement = statements.parse(envelope.payload)
    if isinstance(statement, statements.Genesis) != (history.run is None):
        message = f"{type(statement).__name__} at entry {entry_seq}: genesis is first and only first"
        raise errors.HistoryError("out-of-order", message)
    verify(envelope, membership.signing_key(history.members, statement))
    if not isinstance(statement, statements.Genesis) and statement.run != history.run:
        raise errors.HistoryError("wrong-run", f"statement for run {statement.run}, expected {history.run}")
    if isinstance(statement, _COORDINATOR_ONLY) and statement.author != history.coordinator:
        message = f"{type(statement).__name__} by {statement.author}, expected the coordinator"
        raise errors.HistoryError("not-entitled", message)
    match statement:
        case statements.Genesis():
            return _genesis(history, envelope.eid, statement)
        case statements.RoundOpen():
            return _open(history, statement)
        case statements.RoundRecipient() | statements.RoundCosign() | statements.RoundDispute():
            return _cosigned(history, statement)
        case statements.RoundDestroy():
            if statement.author != history.coordinator:
                membership.require(history.members, statement.author, "aggregator")
            return _grown(history, identities=history.identities.destroyed(statement))
        case statements.CreditTransfer(code="reversal"):
            return _moved(history, history.payments.reversed(statement), statement)
        case statements.MemberEnrol() | statements.MemberRole() | statements.MemberRotate() | statements.MemberRevoke():
            return _grown(history, members=membership.apply(history.members, statement, seq=entry_seq))
        case _:
            return _continue(history, entry_seq, envelope.eid, statement)


def _grown(history: History, **said: Any) -> History:  # noqa: ANN401 - of the types of the fields
    return dataclasses.replace(history, size=history.size + 1, **said)


def _genesis(history: History, eid: str, statement: statements.Genesis) -> History:
    match statement.plan:
        case {"credit": {"pool": pool}, "disclosure": kind} if type(pool) is int and pool >= 0 and kind in DISCLOSURES:
            pass
        case _:
            raise errors.HistoryError("bad-plan", f"expected credit.pool >= 0 and a disclosure out of {DISCLOSURES}")
    return _grown(
        history,
        run=eid,
        plan=statement.plan,
        coordinator=statement.author,
        members=membership.found(statement, seq=history.size),
        checkpoint=statement.checkpoint,
    )


def _open(history: History, statement: statements.RoundOpen) -> History:
    if history.phase != Phase.IDLE:
        raise errors.HistoryError("out-of-order", f"RoundOpen while the round is {history.phase}, expected idle")
    named = history.recipients.of(statement.round)
    record = rounds.begin(statement, number=history.round + 1, parent=history.checkpoint, named=named)
    for name in statement.cohort:
        membership.require(history.members, name, "holder")
    return _grown(history, current=record, recipients=history.recipients.opened(statement.round))


def _continue(history: History, seq: int, eid: str, statement: statements.RoundStatement) -> History:
    record = history.current
    if record is None:
        raise errors.HistoryError("out-of-order", f"{type(statement).__name__} between rounds")
    match statement:
        case statements.UpdateOffer():
            return _grown(history, current=rounds.offer(record, seq, statement))
        case statements.RoundDecline():
            return _grown(history, current=rounds.decline(record, statement))
        case statements.RoundSeal():
            return _grown(history, current=rounds.seal(record, statement))
        case statements.RoundCommit():
            return _committed(history, rounds.commit(record, statement, eid=eid), statement)
        case statements.CreditTransfer():
            credited = rounds.credit(record, statement, **payout.terms(history.plan["credit"]))
            paid = _moved(history, history.payments.paid(statement), statement)
            if history.plan["disclosure"] == "public":
                return dataclasses.replace(paid, current=credited)
            undisclosed = history.identities.over(credited.open, credited.readers)
            return dataclasses.replace(paid, current=None, finished=credited, identities=undisclosed)
        case statements.RoundDisclose():
            return _grown(history, current=None, finished=rounds.disclose(record, statement))
        case _:
            return _grown(history, current=rounds.scored(record, statement, history.plan, history.coordinator))


def _committed(history: History, record: rounds.RoundRecord, statement: statements.RoundCommit) -> History:
    return _grown(
        history,
        current=record,
        round=statement.round,
        checkpoint=statement.checkpoint,
        times_accepted=transfers.add(history.times_accepted, ((name, 1) for name in statement.accepted)),
        times_rejected=transfers.add(history.times_rejected, ((name, 1) for name, _ in statement.rejected)),
    )


def _moved(history: History, payments: transfers.Payments, statement: statements.CreditTransfer) -> History:
    balances = transfers.add(history.balances, transfers.changes(statement.postings).items())
    return _grown(history, balances=balances, payments=payments)


def _cosigned(history: History, statement: statements.AggregatorStatement) -> History:
    membership.require(history.members, statement.author, "aggregator")
    if isinstance(statement, statements.RoundRecipient):
        latest = history.round if history.current is None else history.current.open.round
        return _grown(history, recipients=history.recipients.naming(statement, following=latest + 1))
    return _grown(history, **cosigning.apply(history.current, history.finished, statement))

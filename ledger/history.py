"""What the log says: a pure fold over its entries, the same for the coordinator, the holders and any auditor.

The text of the protocol, as code::

    genesis                                    first, by the coordinator, under the key it names
    member.enrol                               by the member, under the key it names; a new name, a new key
    member.role                                by the coordinator
    member.rotate                              by the member, under its present key; a new key
    member.revoke                              by the coordinator, or by the member about itself
    round.open                                 by the coordinator; round n+1 from the last checkpoint, between rounds
    update.offer* seal commit credit disclose? in this order (`rounds`)
    round.cosign                               by an aggregator; a commit of the round in progress or of the one before
    credit.transfer, code `reversal`           by the coordinator; once for each round paid (`transfers`)

A key counts from the position after the one that enrols it or changes to it; no clock decides anything.
"""

import dataclasses
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Any

from ledger import dsse, errors, keys, leaf, membership, rounds, statements, transfers

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
    history = EMPTY
    for entry in entries:
        history = apply(history, entry.seq, entry.envelope)
    return history


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
        case statements.RoundCosign():
            return _cosigned(history, statement)
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
    if statement.round != history.round + 1:
        raise errors.HistoryError("wrong-round", f"round {statement.round}, expected {history.round + 1}")
    if statement.parent != history.checkpoint:
        raise errors.HistoryError("wrong-parent", f"round from {statement.parent}, expected {history.checkpoint}")
    for name in statement.cohort:
        membership.require(history.members, name, "holder")
    return _grown(history, current=rounds.RoundRecord(open=statement))


def _continue(history: History, seq: int, eid: str, statement: statements.RoundStatement) -> History:
    record = history.current
    if record is None:
        raise errors.HistoryError("out-of-order", f"{type(statement).__name__} between rounds")
    match statement:
        case statements.UpdateOffer():
            return _grown(history, current=rounds.offer(record, seq, statement))
        case statements.RoundSeal():
            return _grown(history, current=rounds.seal(record, statement))
        case statements.RoundCommit():
            return _committed(history, rounds.commit(record, statement, eid=eid), statement)
        case statements.CreditTransfer():
            credited = rounds.credit(record, statement, pool=history.plan["credit"]["pool"])
            paid = _moved(history, history.payments.paid(statement), statement)
            if history.plan["disclosure"] == "public":
                return dataclasses.replace(paid, current=credited)
            return dataclasses.replace(paid, current=None, finished=credited)
        case statements.RoundDisclose():
            return _grown(history, current=None, finished=rounds.disclose(record, statement))


def _committed(history: History, record: rounds.RoundRecord, statement: statements.RoundCommit) -> History:
    return _grown(
        history,
        current=record,
        round=statement.round,
        checkpoint=statement.checkpoint,
        times_accepted=_add(history.times_accepted, ((name, 1) for name in statement.accepted)),
        times_rejected=_add(history.times_rejected, ((name, 1) for name, _ in statement.rejected)),
    )


def _moved(history: History, payments: transfers.Payments, statement: statements.CreditTransfer) -> History:
    balances = _add(history.balances, transfers.changes(statement.postings).items())
    return _grown(history, balances=balances, payments=payments)


def _cosigned(history: History, statement: statements.RoundCosign) -> History:
    membership.require(history.members, statement.author, "aggregator")
    # Only these two rounds: a cosignature of an older one would need every commit since the genesis to be kept.
    current, finished = history.current, history.finished
    if current is not None and current.open.round == statement.round:
        return _grown(history, current=rounds.cosign(current, statement))
    if finished is not None and finished.open.round == statement.round:
        return _grown(history, finished=rounds.cosign(finished, statement))
    raise errors.HistoryError("wrong-round", f"round {statement.round} is neither in progress nor the one before")


def _add(totals: Mapping[str, int], postings: Iterable[tuple[str, int]]) -> Mapping[str, int]:
    sums = dict(totals)
    for name, amount in postings:
        sums[name] = sums.get(name, 0) + amount
    return MappingProxyType(sums)

"""What the log says: a pure fold over its entries, the same for the coordinator, the holders and any auditor.

The text of the protocol, as code::

    genesis                                    first, by the coordinator, under the key it names
    member.enrol                               by the member, under the key it names; a new name, a new key
    member.role                                by the coordinator
    round.open                                 by the coordinator; round n+1 from the last checkpoint, between rounds
    update.offer* seal commit credit disclose? in this order (`rounds`)

A key counts from the position that enrols it; no clock decides anything.
"""

import dataclasses
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Any

from ledger import dsse, errors, keys, leaf, membership, rounds, statements

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
        balances: Member -> micro-credits, of the members ever paid.
        times_accepted: Member -> rounds in which it was accepted.
        times_rejected: Member -> rounds in which it was rejected.
    """

    size: int = 0
    run: str | None = None
    plan: Mapping[str, Any] = field(default_factory=dict)
    coordinator: str | None = None
    members: membership.Members = field(default_factory=lambda: MappingProxyType({}))
    round: int = 0
    checkpoint: str | None = None
    current: rounds.RoundRecord | None = None
    finished: rounds.RoundRecord | None = None
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
        StatementError: A payload that is no statement.
        SignatureError: A statement that its author did not sign.
        HistoryError: A statement that does not fit.

    Reference: docs/protocol.md P6.
    """
    history = EMPTY
    for entry in entries:
        history = apply(history, entry.seq, entry.envelope)
    return history


def apply(history: History, entry_seq: int, envelope: dsse.Envelope) -> History:
    """The history with one more statement, or a refusal; `history` itself never changes.

    Args:
        history: What the log says before.
        entry_seq: Position of the entry, equal to `history.size`.
        envelope: The signed statement.

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
        raise errors.HistoryError(
            "out-of-order", f"{type(statement).__name__} at entry {entry_seq}: genesis is first and only first"
        )
    dsse.verify(envelope, _key(history, statement))
    if not isinstance(statement, statements.Genesis) and statement.run != history.run:
        raise errors.HistoryError("wrong-run", f"statement for run {statement.run}, expected {history.run}")
    if isinstance(statement, _COORDINATOR_ONLY) and statement.author != history.coordinator:
        raise errors.HistoryError(
            "not-entitled", f"{type(statement).__name__} by {statement.author}, expected the coordinator"
        )
    match statement:
        case statements.Genesis():
            told = _genesis(history, envelope.eid, statement)
        case statements.MemberEnrol():
            enrolled = membership.enrol(history.members, statement, seq=entry_seq)
            told = dataclasses.replace(history, members=enrolled)
        case statements.MemberRole():
            told = dataclasses.replace(history, members=membership.entitle(history.members, statement))
        case statements.RoundOpen():
            told = _open(history, statement)
        case _:
            told = _continue(history, entry_seq, statement)
    return dataclasses.replace(told, size=entry_seq + 1)


def _key(history: History, statement: statements.Predicate) -> keys.PublicKey:
    # The two statements that name a key are signed with that very key: proof of possession.
    match statement:
        case statements.Genesis(key=line) | statements.MemberEnrol(key=line):
            return keys.PublicKey.parse(line)
    return membership.named(history.members, statement.author).key


def _genesis(history: History, eid: str, statement: statements.Genesis) -> History:
    match statement.plan:
        case {"credit": {"pool": pool}, "disclosure": disclosure} if type(pool) is int and pool >= 0:
            sound = disclosure in DISCLOSURES
        case _:
            sound = False
    if not sound:
        raise errors.HistoryError("bad-plan", f"a plan without credit.pool >= 0 or a disclosure out of {DISCLOSURES}")
    return dataclasses.replace(
        history,
        run=eid,
        plan=statement.plan,
        coordinator=statement.author,
        members=membership.found(statement, seq=history.size),
        checkpoint=statement.checkpoint,
    )


def _open(history: History, statement: statements.RoundOpen) -> History:
    if history.phase != Phase.IDLE:
        raise errors.HistoryError(
            "out-of-order", f"RoundOpen while the round is {history.phase}, expected {Phase.IDLE}"
        )
    if statement.round != history.round + 1:
        raise errors.HistoryError("wrong-round", f"round {statement.round}, expected {history.round + 1}")
    if statement.parent != history.checkpoint:
        raise errors.HistoryError("wrong-parent", f"round from {statement.parent}, expected {history.checkpoint}")
    for name in statement.cohort:
        if membership.named(history.members, name).role != "holder":
            raise errors.HistoryError("not-entitled", f"{name} is in the cohort without being a holder")
    return dataclasses.replace(history, current=rounds.RoundRecord(open=statement))


def _continue(history: History, seq: int, statement: statements.RoundStatement) -> History:
    record = history.current
    if record is None:
        raise errors.HistoryError("out-of-order", f"{type(statement).__name__} between rounds")
    match statement:
        case statements.UpdateOffer():
            return dataclasses.replace(history, current=rounds.offer(record, seq, statement))
        case statements.RoundSeal():
            return dataclasses.replace(history, current=rounds.seal(record, statement))
        case statements.RoundCommit():
            return _committed(history, rounds.commit(record, statement), statement)
        case statements.CreditTransfer():
            return _credited(history, rounds.credit(record, statement, pool=history.plan["credit"]["pool"]), statement)
        case statements.RoundDisclose():
            return dataclasses.replace(history, current=None, finished=rounds.disclose(record, statement))


def _committed(history: History, record: rounds.RoundRecord, statement: statements.RoundCommit) -> History:
    return dataclasses.replace(
        history,
        current=record,
        round=statement.round,
        checkpoint=statement.checkpoint,
        times_accepted=_add(history.times_accepted, ((name, 1) for name in statement.accepted)),
        times_rejected=_add(history.times_rejected, ((name, 1) for name, _ in statement.rejected)),
    )


def _credited(history: History, record: rounds.RoundRecord, statement: statements.CreditTransfer) -> History:
    paid = dataclasses.replace(history, balances=_add(history.balances, statement.postings))
    if history.plan["disclosure"] == "public":
        return dataclasses.replace(paid, current=record)
    return dataclasses.replace(paid, current=None, finished=record)


def _add(totals: Mapping[str, int], postings: Iterable[tuple[str, int]]) -> Mapping[str, int]:
    sums = dict(totals)
    for name, amount in postings:
        sums[name] = sums.get(name, 0) + amount
    return MappingProxyType(sums)

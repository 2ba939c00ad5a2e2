"""What members can say: nineteen predicates, each the body of an in-toto Statement v1.

A predicate is a value of one of the types below; `build` and `parse` lead to its one byte form (`intoto`) and back.
"""

import typing
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TypeAlias

from ledger import canonical, errors, fields, intoto, scores


@dataclass(frozen=True, slots=True, kw_only=True)
class Genesis:
    """The coordinator starts a run; its eid names the run."""

    author: fields.Name
    plan: fields.Object
    key: fields.SshKey
    checkpoint: fields.Cid


@dataclass(frozen=True, slots=True, kw_only=True)
class MemberEnrol:
    """A member enters, with a signature by that very key as proof of possession."""

    author: fields.Name
    run: fields.Hex64
    key: fields.SshKey


@dataclass(frozen=True, slots=True, kw_only=True)
class MemberRole:
    """The coordinator entitles a member."""

    author: fields.Name
    run: fields.Hex64
    member: fields.Name
    role: fields.Role


@dataclass(frozen=True, slots=True, kw_only=True)
class MemberRotate:
    """A member changes its key; `possession` is the new key's own signature (`membership.possession`)."""

    author: fields.Name
    run: fields.Hex64
    key: fields.SshKey
    possession: fields.Signature


@dataclass(frozen=True, slots=True, kw_only=True)
class MemberRevoke:
    """From here on nothing that `member` signs counts: the coordinator says so, or the member itself."""

    author: fields.Name
    run: fields.Hex64
    member: fields.Name
    reason: fields.Reason


@dataclass(frozen=True, slots=True, kw_only=True)
class OfRound:
    """What a member says of one round of a run."""

    author: fields.Name
    run: fields.Hex64
    round: fields.Positive


@dataclass(frozen=True, slots=True, kw_only=True)
class RoundOpen(OfRound):
    """The coordinator opens a round: who, from what, sealed to whom, on which lattice, until when (seconds)."""

    parent: fields.Cid
    cohort: fields.Cohort
    recipients: fields.Recipients
    exponents: fields.Exponents
    task: fields.Hex64
    rule: fields.Hex64
    deadline: fields.Positive


@dataclass(frozen=True, slots=True, kw_only=True)
class UpdateOffer(OfRound):
    """A holder offers one sealed update: `size` bytes, trained on `examples`, `saturated` values clamped."""

    parent: fields.Cid
    ciphertext: fields.Cid
    size: fields.Positive
    examples: fields.Positive
    saturated: fields.Natural
    context: fields.Hex64
    runtime: fields.Runtime


@dataclass(frozen=True, slots=True, kw_only=True)
class RoundDecline(OfRound):
    """A holder of the cohort offers nothing in this round, and says why: nobody need wait for it."""

    reason: fields.Reason


@dataclass(frozen=True, slots=True, kw_only=True)
class RoundSeal(OfRound):
    """The coordinator closes the round's list: the log positions of the offers that count."""

    offers: fields.Positions


@dataclass(frozen=True, slots=True, kw_only=True)
class RoundCommit(OfRound):
    """The round's outcome; metrics are on the public test set, loss in millionths."""

    accepted: fields.Members
    rejected: fields.Reasons
    aggregate: fields.Cid
    checkpoint: fields.Cid
    correct: fields.Natural
    total: fields.Positive
    loss_micro: fields.Natural

    def __post_init__(self) -> None:
        both = set(self.accepted).intersection(member for member, _ in self.rejected)
        if both:
            fields.refuse(sorted(both), "no member both accepted and rejected")
        if self.correct > self.total:
            fields.refuse(self.correct, f"at most the total of {self.total} correct")


@dataclass(frozen=True, slots=True, kw_only=True)
class CreditTransfer(OfRound):
    """Micro-credits move between accounts: a round pays, or a `reversal` takes back what the transfer `reverses` paid."""

    id: fields.TransferId
    code: fields.TransferCode
    reverses: fields.Reverses
    postings: fields.Postings


@dataclass(frozen=True, slots=True, kw_only=True)
class RoundDisclose(OfRound):
    """The coordinator publishes the round's age identity, so that anyone can replay it."""

    identity: fields.Identity


@dataclass(frozen=True, slots=True, kw_only=True)
class RoundDestroy(OfRound):
    """Whose it was has destroyed the identity of a recipient of a round that is over, and opens its updates no more."""

    recipient: fields.Recipient


@dataclass(frozen=True, slots=True, kw_only=True)
class RoundCosign(OfRound):
    """An aggregator has recomputed the round and come to the very `commit` that has this eid."""

    commit: fields.Hex64


@dataclass(frozen=True, slots=True, kw_only=True)
class RoundDispute(OfRound):
    """An aggregator has recomputed the round and come to something else than the `commit` that has this eid."""

    commit: fields.Hex64
    reason: fields.Reason


@dataclass(frozen=True, slots=True, kw_only=True)
class RoundRecipient(OfRound):
    """An aggregator names the age recipient that updates of a round to come be sealed to, for it to open."""

    recipient: fields.Recipient


RoundStatement: TypeAlias = (
    UpdateOffer | RoundDecline | RoundSeal | RoundCommit | CreditTransfer | RoundDisclose | scores.Said
)
AggregatorStatement: TypeAlias = RoundRecipient | RoundCosign | RoundDispute
MemberStatement: TypeAlias = MemberEnrol | MemberRole | MemberRotate | MemberRevoke
Predicate: TypeAlias = Genesis | MemberStatement | RoundOpen | RoundStatement | RoundDestroy | AggregatorStatement

TYPES: Mapping[str, type[Predicate]] = {
    "urn:folkmoot:genesis:v1": Genesis,
    "urn:folkmoot:member.enrol:v1": MemberEnrol,
    "urn:folkmoot:member.role:v1": MemberRole,
    "urn:folkmoot:member.rotate:v1": MemberRotate,
    "urn:folkmoot:member.revoke:v1": MemberRevoke,
    "urn:folkmoot:round.open:v1": RoundOpen,
    "urn:folkmoot:update.offer:v1": UpdateOffer,
    "urn:folkmoot:round.decline:v1": RoundDecline,
    "urn:folkmoot:round.seal:v1": RoundSeal,
    "urn:folkmoot:round.commit:v1": RoundCommit,
    "urn:folkmoot:credit.transfer:v1": CreditTransfer,
    "urn:folkmoot:round.disclose:v1": RoundDisclose,
    "urn:folkmoot:round.destroy:v1": RoundDestroy,
    "urn:folkmoot:round.recipient:v1": RoundRecipient,
    "urn:folkmoot:round.cosign:v1": RoundCosign,
    "urn:folkmoot:round.dispute:v1": RoundDispute,
    "urn:folkmoot:score.commit:v1": scores.ScoreCommit,
    "urn:folkmoot:score.close:v1": scores.ScoreClose,
    "urn:folkmoot:score.reveal:v1": scores.ScoreReveal,
}

_READERS = {name: fields.readers(predicate_type) for name, predicate_type in TYPES.items()}
_NAMES = {predicate_type: name for name, predicate_type in TYPES.items()}


def build(predicate: Predicate) -> bytes:
    """The payload that states a predicate.

    Raises:
        StatementError: A field is outside its range.
    """
    name = _NAMES[type(predicate)]
    value = {field: getattr(predicate, field) for field in _READERS[name]}
    written = canonical.encode(value)
    # Read back as a stranger would, before the subject is derived from fields that may be nonsense.
    _predicate(name, typing.cast("dict[str, canonical.Json]", canonical.decode(written)))
    return intoto.payload(name, value, written)


def parse(payload: bytes) -> Predicate:
    """The predicate a payload states.

    Raises:
        StatementError: Anything but the one byte form of a predicate in range.

    Reference: in-toto attestation spec v1, statement.md; docs/protocol.md P3.
    """
    statement = canonical.decode(payload)
    match statement:
        case {"predicate": dict(value), "predicateType": str(name)}:
            pass
        case _:
            raise errors.StatementError(f"{payload[:80]!r} is no in-toto statement")
    if name not in TYPES:
        raise errors.StatementError(f"predicate type {name[:60]!a}, expected one of {list(TYPES)}", code="wrong-type")
    predicate = _predicate(name, value)
    expected = intoto.statement(name, value)
    if expected != statement:
        message = f"{intoto.TYPE}, the subject {expected['subject']} and no more"
        raise errors.StatementError(f"a {name} statement around other members, expected {message}")
    return predicate


def _predicate(name: str, value: Mapping[str, canonical.Json]) -> Predicate:
    return TYPES[name](**fields.read(name, _READERS[name], value))

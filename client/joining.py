"""How a holder comes to its place in a run: what it has to say next, by what the log says already.

    invited       the name is enrolled under the invitation's key      -> member.rotate to the holder's own
    expected      the name is not enrolled, its key is awaited         -> member.enrol
    enrolled      the name has the holder's key, and no role yet       -> wait for the coordinator
    entitled      a holder is named in cohorts from the next round on, an aggregator in openings

Nothing but the log tells how far this has come, so it can be cut short anywhere and begun again.

Reference: docs/protocol.md P23, P24.
"""

import enum
from dataclasses import dataclass

from client import errors
from ledger import dsse, history, keys, membership, statements


@dataclass(frozen=True, slots=True, kw_only=True)
class Seat:
    """A holder's place, taken or not.

    Attributes:
        run: hex eid of the genesis.
        name: of the holder.
        key: its own.
        invited: the key of its invitation; None where its own key is registered, or the invitation is used up.
        role: that the coordinator gives it.
    """

    run: str
    name: str
    key: keys.SigningKey
    invited: keys.SigningKey | None
    role: str = "holder"


class Stage(enum.StrEnum):
    """How far the holder has come."""

    ABSENT = "absent"
    INVITED = "invited"
    ENROLLED = "enrolled"
    ENTITLED = "entitled"


def stage(known: history.History, seat: Seat) -> Stage:
    """How far the holder has come, as the log says.

    Raises:
        JoinError: the place is not to be had.
    """
    member = known.members.get(seat.name)
    if member is None:
        if seat.invited is not None:
            raise errors.JoinError(f"{seat.name} is not enrolled in run {seat.run[:12]}, expected the invited member")
        return Stage.ABSENT
    if member.revoked_at is not None:
        raise errors.JoinError(f"{seat.name} was revoked at entry {member.revoked_at}: nothing it signs counts")
    if member.key == seat.key.public:
        return _entitled(member, seat.role)
    if seat.invited is not None and member.key == seat.invited.public:
        return Stage.INVITED
    message = f"{seat.name} has the key {member.key.fingerprint} in this run, and ours is {seat.key.public.fingerprint}"
    raise errors.JoinError(f"{message}: somebody else has used the invitation, or this folder lacks the present key")


def due(known: history.History, seat: Seat) -> dsse.Envelope | None:
    """The signed statement that takes the holder further; None if there is none to make.

    Raises:
        JoinError: the place is not to be had.
    """
    match stage(known, seat):
        case Stage.ABSENT:
            enrol = statements.MemberEnrol(author=seat.name, run=seat.run, key=str(seat.key.public))
            return dsse.sign(statements.build(enrol), seat.key)
        case Stage.INVITED if seat.invited is not None:
            rotation = membership.rotation(seat.run, seat.name, seat.invited.public, seat.key)
            return dsse.sign(statements.build(rotation), seat.invited)
    return None


def _entitled(member: membership.Member, role: str) -> Stage:
    if member.role is None:
        return Stage.ENROLLED
    if member.role != role:
        raise errors.JoinError(f"{member.name} is {member.role} in this run, expected {role}")
    return Stage.ENTITLED

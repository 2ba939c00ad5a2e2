"""The members of a run: who has which key and role, from which position of the log on."""

import dataclasses
from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import TypeAlias

from ledger import errors, keys, statements


@dataclass(frozen=True, slots=True, kw_only=True)
class Member:
    """Someone with a key: role `coordinator`, `holder` or none yet."""

    name: str
    key: keys.PublicKey
    role: str | None
    enrolled_at: int


Members: TypeAlias = Mapping[str, Member]


def found(statement: statements.Genesis, *, seq: int) -> Members:
    """The coordinator alone."""
    key = keys.PublicKey.parse(statement.key)
    return _with({}, Member(name=statement.author, key=key, role="coordinator", enrolled_at=seq))


def enrol(members: Members, statement: statements.MemberEnrol, *, seq: int) -> Members:
    """The members and one more, of a new name and a new key, without a role.

    Raises:
        HistoryError: `duplicate-member` or `duplicate-key`.
    """
    key = keys.PublicKey.parse(statement.key)
    if statement.author in members:
        raise errors.HistoryError("duplicate-member", f"{statement.author} is enrolled already")
    if any(member.key == key for member in members.values()):
        raise errors.HistoryError("duplicate-key", f"{key.fingerprint} is some member's key already")
    return _with(members, Member(name=statement.author, key=key, role=None, enrolled_at=seq))


def entitle(members: Members, statement: statements.MemberRole) -> Members:
    """The members, one of whom now has a role.

    Raises:
        HistoryError: `unknown-member` or `duplicate-role`.
    """
    member = named(members, statement.member)
    if member.role is not None:
        raise errors.HistoryError("duplicate-role", f"{member.name} is {member.role} already")
    return _with(members, dataclasses.replace(member, role=statement.role))


def named(members: Members, name: str) -> Member:
    """The member of a name.

    Raises:
        HistoryError: `unknown-member`.
    """
    member = members.get(name)
    if member is None:
        raise errors.HistoryError("unknown-member", f"{name} is not enrolled at this position")
    return member


def _with(members: Members, member: Member) -> Members:
    return MappingProxyType({**members, member.name: member})

r"""The members of a run: who has which key and role, from which position of the log on.

To change its key a member shows that it holds the new one too. The new key signs, in UTF-8::

    folkmoot possession v1 LF <run> LF <author> LF <present key's line> LF <new key's line> LF
"""

import base64
import dataclasses
from collections.abc import Iterator, Mapping, ValuesView
from dataclasses import dataclass
from types import MappingProxyType

from ledger import errors, keys, layers, statements

MOST = 16_384
"""Members of a run, those who left among them: the 10,000 holders of the largest plan, and whoever else has a role.

A log of nothing else must not keep its readers for hours.
"""


@dataclass(frozen=True, slots=True, kw_only=True)
class Member:
    """Someone with a key: role `coordinator`, `holder`, `aggregator` or none yet.

    Attributes:
        name: Unique in the run, also after a revocation.
        key: The key that counts from the next position on.
        role: What the member is entitled to; a revoked member keeps the word, and may do nothing with it.
        enrolled_at: Position of its first statement.
        rotations: (position, key until then) of each change of key, in order.
        revoked_at: Position of its revocation; None if there is none.
    """

    name: str
    key: keys.PublicKey
    role: str | None
    enrolled_at: int
    rotations: tuple[tuple[int, keys.PublicKey], ...] = ()
    revoked_at: int | None = None

    def key_at(self, size: int) -> keys.PublicKey:
        """The key that counted when the log had `size` entries: for the entry at that position, and for its log checkpoint."""
        return next((earlier for position, earlier in self.rotations if size <= position), self.key)


class Members(Mapping[str, Member]):
    """Name -> member, and every key that any of them ever had; it never changes."""

    __slots__ = ("_by_name", "_keys")

    def __init__(self, by_name: Mapping[str, Member] = MappingProxyType({})) -> None:
        self._by_name = layers.Layers(by_name)
        self._keys = layers.Layers({member.key.raw: None for member in by_name.values()})

    def __getitem__(self, name: str) -> Member:
        return self._by_name[name]

    def __iter__(self) -> Iterator[str]:
        return iter(self._by_name)

    def __len__(self) -> int:
        return len(self._by_name)

    def values(self) -> ValuesView[Member]:
        """The members, in the order in which they came."""
        return self._by_name.values()

    def knows(self, key: keys.PublicKey) -> bool:
        """Whether a key is or ever was some member's."""
        return key.raw in self._keys

    def having(self, member: Member) -> "Members":
        """These, and this one in the place of one of the same name."""
        made = Members()
        made._by_name = self._by_name.having(member.name, member)
        made._keys = self._keys if self.knows(member.key) else self._keys.having(member.key.raw, None)
        return made


def found(statement: statements.Genesis, *, seq: int) -> Members:
    """The coordinator alone."""
    key = keys.PublicKey.parse(statement.key)
    return Members().having(Member(name=statement.author, key=key, role="coordinator", enrolled_at=seq))


def apply(members: Members, statement: statements.MemberStatement, *, seq: int) -> Members:
    """The members after one more statement about them, at position `seq`.

    Raises:
        HistoryError: It does not fit.
    """
    match statement:
        case statements.MemberEnrol():
            return enrol(members, statement, seq=seq)
        case statements.MemberRole():
            return entitle(members, statement)
        case statements.MemberRotate():
            return rotate(members, statement, seq=seq)
        case statements.MemberRevoke():
            return revoke(members, statement, seq=seq)


def enrol(members: Members, statement: statements.MemberEnrol, *, seq: int) -> Members:
    """The members and one more, of a new name and a new key, without a role.

    Raises:
        HistoryError: `too-many-members`, `duplicate-member` or `duplicate-key`.
    """
    if len(members) >= MOST:
        raise errors.HistoryError("too-many-members", f"{len(members)} members, expected at most {MOST}")
    if statement.author in members:
        raise errors.HistoryError("duplicate-member", f"{statement.author} is enrolled already")
    key = keys.PublicKey.parse(statement.key)
    require_new(members, key)
    return members.having(Member(name=statement.author, key=key, role=None, enrolled_at=seq))


def entitle(members: Members, statement: statements.MemberRole) -> Members:
    """The members, one of whom now has a role.

    Raises:
        HistoryError: `unknown-member`, `revoked` or `duplicate-role`.
    """
    member = active(members, statement.member)
    if member.role is not None:
        raise errors.HistoryError("duplicate-role", f"{member.name} is {member.role} already")
    return members.having(dataclasses.replace(member, role=statement.role))


def rotate(members: Members, statement: statements.MemberRotate, *, seq: int) -> Members:
    """The members, one of whom has another key from the next position on.

    Raises:
        HistoryError: `duplicate-key` or `no-possession`.

    Reference: docs/protocol.md P3, P6.
    """
    member = active(members, statement.author)
    require_new(members, keys.PublicKey.parse(statement.key))
    try:
        key = shown(statement, member.key)
    except errors.SignatureError as error:
        raise errors.HistoryError("no-possession", f"{member.name} does not show its new key: {error}") from error
    rotations = (*member.rotations, (seq, member.key))
    return members.having(dataclasses.replace(member, key=key, rotations=rotations))


def revoke(members: Members, statement: statements.MemberRevoke, *, seq: int) -> Members:
    """The members, one of whom can say nothing from the next position on.

    Raises:
        HistoryError: `unknown-member`, `revoked` (already) or `not-entitled` (the coordinator, without whom the run could
            never go on; or another member, by one that is not the coordinator).
    """
    member = active(members, statement.member)
    author = active(members, statement.author)
    if member.role == "coordinator" or (author.role != "coordinator" and author.name != member.name):
        raise errors.HistoryError("not-entitled", f"{author.name} cannot revoke {member.name}, the {member.role}")
    return members.having(dataclasses.replace(member, revoked_at=seq))


def possession(run: str, author: str, present: keys.PublicKey, new: keys.PublicKey) -> bytes:
    """What a new key signs to show that its holder holds it: for this run, this member, and in place of this key alone.

    Reference: docs/protocol.md P3.
    """
    return f"folkmoot possession v1\n{run}\n{author}\n{present}\n{new}\n".encode()


def rotation(run: str, author: str, present: keys.PublicKey, new: keys.SigningKey) -> statements.MemberRotate:
    """The statement by which a member changes its key, yet to be signed with its present one."""
    shown = base64.b64encode(new.sign(possession(run, author, present, new.public))).decode()
    return statements.MemberRotate(author=author, run=run, key=str(new.public), possession=shown)


def signing_key(members: Members, statement: statements.Predicate) -> keys.PublicKey:
    """The key that has to have signed a statement.

    Raises:
        HistoryError: `unknown-member` or `revoked`.
    """
    # The two statements that bring a member in are signed with the very key they name: proof of possession.
    match statement:
        case statements.Genesis(key=line) | statements.MemberEnrol(key=line):
            return keys.PublicKey.parse(line)
    return active(members, statement.author).key


def require(members: Members, name: str, role: str) -> None:
    """Nothing, if a member's word counts and it has this role.

    Raises:
        HistoryError: `unknown-member`, `revoked` or `not-entitled`.
    """
    member = active(members, name)
    if member.role != role:
        raise errors.HistoryError("not-entitled", f"{name} has the role {member.role or 'none'}, expected {role}")


def shown(statement: statements.MemberRotate, present: keys.PublicKey) -> keys.PublicKey:
    """The new key of a change of key, once it has shown that its holder holds it.

    Args:
        statement: The change.
        present: The author's key until then.

    Raises:
        SignatureError: `possession` is not the new key's signature over `possession(...)`.
    """
    key = keys.PublicKey.parse(statement.key)
    key.verify(base64.b64decode(statement.possession), possession(statement.run, statement.author, present, key))
    return key


def require_new(members: Members, key: keys.PublicKey) -> None:
    """Nothing, if no member has or ever had a key.

    Raises:
        HistoryError: `duplicate-key`.
    """
    if members.knows(key):
        raise errors.HistoryError("duplicate-key", f"{key.fingerprint} is or was some member's key already")


def named(members: Members, name: str) -> Member:
    """The member of a name, revoked or not.

    Raises:
        HistoryError: `unknown-member`.
    """
    member = members.get(name)
    if member is None:
        raise errors.HistoryError("unknown-member", f"{name} is not enrolled at this position")
    return member


def active(members: Members, name: str) -> Member:
    """The member of a name, whose word counts.

    Raises:
        HistoryError: `unknown-member` or `revoked`.
    """
    member = named(members, name)
    if member.revoked_at is not None:
        raise errors.HistoryError(
            "revoked", f"{name} was revoked at entry {member.revoked_at}: nothing it signs counts"
        )
    return member

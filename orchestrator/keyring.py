"""The keys of a run folder's members: who has which, and how one is changed or revoked (docs/adr/0012).

A change of key is in this order, so that the key which counts on the ledger is on disk at every moment:

    key.next, synced -> member.rotate on the ledger -> signed checkpoint -> key.next renamed to key

After a crash anywhere in between, the same call goes on from there.
"""

import dataclasses
import os
from pathlib import Path

from ledger import dsse, history, keys, membership, statements
from orchestrator import errors, folder, journal, publishing


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Holding:
    """A member and its key.

    Attributes:
        name: of the member.
        role: `coordinator`, `holder`, `aggregator`, or empty.
        line: the public key that counts now, as OpenSSH writes it.
        fingerprint: of it.
        enrolled: log position that made it a member.
        rotated: log positions that changed its key.
        revoked: log position that revoked it; None if it counts.
    """

    name: str
    role: str
    line: str
    fingerprint: str
    enrolled: int
    rotated: tuple[int, ...]
    revoked: int | None

    @classmethod
    def of(cls, member: membership.Member) -> "Holding":
        """What the ledger says of a member."""
        return cls(
            name=member.name,
            role=member.role or "",
            line=str(member.key),
            fingerprint=member.key.fingerprint,
            enrolled=member.enrolled_at,
            rotated=tuple(position for position, _ in member.rotations),
            revoked=member.revoked_at,
        )


def holdings(where: folder.RunFolder) -> list[Holding]:
    """Every member of a run, in order of name.

    Raises:
        FolderError, LedgerError: there is no run, or its log is damaged.
    """
    members = _read(where).members
    return [Holding.of(members[name]) for name in sorted(members)]


def rotate(where: folder.RunFolder, name: str, new: keys.SigningKey | None = None) -> Holding:
    """The member, whose key is another now: on the ledger, under a signed checkpoint, and in its file.

    Args:
        where: the run folder; it is locked meanwhile.
        name: of the coordinator or a holder whose key is in the folder.
        new: the key to change to; None to make one, or to end a change that was cut short.

    Raises:
        ConfigError: no such member, or it is revoked; or a change to another key was cut short.
        FolderError: the folder is busy, or the member's key is not in it.
        KeyFileError, LedgerError: a file or the log is damaged, or `new` has been used in this run.
    """
    with where.existing().locked():
        known = _read(where)
        member = _member(known, name)
        leads = member.role == "coordinator"
        path = where.coordinator_key_path if leads else where.holder_key_path(name)
        present = _present(path, member)
        fresh = _beside(path, new, known)
        if member.key != fresh.public:
            written = membership.rotation(known.run or "", name, present.public, fresh)
            with journal.Journal(where.ledger, present if leads else where.coordinator_key()) as record:
                record.append(dsse.sign(statements.build(written), present))
        with publishing.opened(where, fresh if leads else where.coordinator_key()) as record:
            record.publish()
            after = record.history
        _settle(path)
    return Holding.of(after.members[name])


def revoke(where: folder.RunFolder, name: str, reason: str) -> Holding:
    """The member, whose word counts no more, by the coordinator's statement, under a signed checkpoint.

    Args:
        where: the run folder; it is locked meanwhile.
        name: of any member but the coordinator.
        reason: why, as a code.

    Raises:
        ConfigError: no such member, revoked already, or the coordinator.
        FolderError: the folder is busy, or a change of key was cut short.
        LedgerError: the log is damaged.
    """
    with where.existing().locked():
        where.require_settled_keys()
        known = _read(where)
        if _member(known, name).role == "coordinator":
            raise errors.ConfigError(f"{name} is the coordinator, without whom the run cannot go on: rotate its key")
        said = statements.MemberRevoke(author=known.coordinator or "", run=known.run or "", member=name, reason=reason)
        with publishing.opened(where, where.coordinator_key()) as record:
            record.append(*record.sign(said))
            record.publish()
            after = record.history
    return Holding.of(after.members[name])


def _read(where: folder.RunFolder) -> history.History:
    with journal.published(where.existing().ledger) as record:
        return history.replay(record.entries())


def _member(known: history.History, name: str) -> membership.Member:
    member = known.members.get(name)
    if member is None:
        raise errors.ConfigError(f"{name} is no member of this run, expected one of {', '.join(sorted(known.members))}")
    if member.revoked_at is not None:
        raise errors.ConfigError(f"{name} was revoked at entry {member.revoked_at}, and its name and key never return")
    return member


def _present(path: Path, member: membership.Member) -> keys.SigningKey:
    """The key at `path`, which the ledger expects, unless the one beside it is expected already."""
    if not path.exists():
        raise errors.FolderError(f"{path} is missing: only whoever holds that key can change it")
    found = keys.SigningKey.load(path)
    beside = keys.SigningKey.load(_next(path)) if _next(path).exists() else found
    if member.key not in (found.public, beside.public):
        message = f"{path} holds {found.public.fingerprint}, the ledger expects {member.key.fingerprint}"
        raise errors.FolderError(f"{message}: put that key there first")
    return found


def _next(path: Path) -> Path:
    return path.with_name(f"{path.name}.next")


def _beside(path: Path, new: keys.SigningKey | None, known: history.History) -> keys.SigningKey:
    """The key that is to replace the one at `path`, on disk beside it."""
    if not _next(path).exists():
        made = new or keys.SigningKey.generate()
        # Asked before it is on disk, so that a key which cannot be used does not stand in the way of one which can.
        membership.require_new(known.members, made.public)
        made.save(_next(path))
        return made
    found = keys.SigningKey.load(_next(path))
    if new is not None and new.public != found.public:
        message = f"a change to {found.public.fingerprint} was cut short ({_next(path)})"
        raise errors.ConfigError(f"{message}: end it first, without --new")
    return found


def _settle(path: Path) -> None:
    _next(path).replace(path)
    place = os.open(path.parent, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(place)
    finally:
        os.close(place)

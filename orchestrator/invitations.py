"""Who may come into a run: names that were invited, and keys that are expected.

FOLDER/invites/NAME     the invitation of a name that nobody has taken up yet, mode 0600; its key is enrolled
FOLDER/expected.json    {name: fingerprint} of keys that may enrol by themselves
FOLDER/aggregators.json the names of both kinds that are to be aggregators; all others are to be holders

    invited     enrolled under the invitation's key -> the holder changes it to its own -> role
    expected    enrolled under the expected key     -> role

The coordinator gives the role to nobody else, so whoever could write to the log could make no holder (docs/protocol.md P23).
"""

import fcntl
import json
import re
import secrets
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from client import errors as client_errors
from client import invitation
from ledger import dsse, durable, history, keys, statements
from orchestrator import errors, folder, journal

_FINGERPRINT = re.compile(r"SHA256:[A-Za-z0-9+/]{43}")


def invite(where: folder.RunFolder, record: journal.Journal, name: str, role: str = "holder") -> invitation.Invitation:
    """The invitation of `name`, enrolled under its key; the same again until somebody takes it up.

    Args:
        where: the run folder.
        record: its log, which grows by the enrolment.
        name: of a member to be.
        role: that it is to have, `holder` or `aggregator`.

    Raises:
        ConfigError: the run's members are fixed, or there was such a member before.
        KeyFileError: the file of the invitation cannot be read or written.
        HistoryError: the name cannot be enrolled.

    Reference: docs/protocol.md P23.
    """
    record.refresh()
    known = record.history
    _require_open(known)
    path = where.invites / name
    member = known.members.get(name)
    made = _read(path, known.run or "")
    if member is not None and (made is None or member.key_at(0) != made.key.public or taken_up(known, name)):
        said = "was revoked, and its name never returns" if member.revoked_at is not None else "is a member already"
        raise errors.ConfigError(f"{name} {said}: choose another name")
    _destine(where, name, role)
    if made is None:
        made = invitation.Invitation(run=known.run or "", name=name, seed=secrets.token_bytes(32))
        path.unlink(missing_ok=True)
        path.parent.mkdir(parents=True, exist_ok=True)
        keys.write_private(path, made.text.encode() + b"\n")
    if member is None:
        enrol = statements.MemberEnrol(author=name, run=made.run, key=str(made.key.public))
        record.append(dsse.sign(statements.build(enrol), made.key))
    return made


def pending(where: folder.RunFolder, known: history.History) -> list[invitation.Invitation]:
    """The invitations that nobody has taken up, in order of name."""
    found = [_read(path, known.run or "") for path in sorted(where.invites.glob("*"))]
    return [each for each in found if each is not None and not taken_up(known, each.name)]


def command(where: folder.RunFolder, invited: invitation.Invitation) -> str:
    """What somebody types to take up an invitation, DATA being theirs to fill in; the address too where no service runs."""
    line = f"{reached(where)} --invite {invited.text}"
    return f"folkmoot aggregate {line}" if invited.name in aggregators(where) else f"folkmoot join {line} --data DATA"


def reached(where: folder.RunFolder) -> str:
    """Where holders reach the run; a blank where no service runs with it."""
    return where.address.read_text().strip() if where.address.exists() else "http://HOST:PORT"


def expect(where: folder.RunFolder, known: history.History, name: str, key: str, role: str = "holder") -> str:
    """The fingerprint of a key that may now enrol as `name` by itself.

    Args:
        where: the run folder.
        known: what its log says.
        name: of a member to be.
        key: an `ssh-ed25519` line, whose comment is left out, or a fingerprint as `ssh-keygen -l` prints it.
        role: that it is to have, `holder` or `aggregator`.

    Raises:
        ConfigError: the run's members are fixed, there is such a member already, or the key is none.
        KeyFileError: the line is no key that we use.
    """
    _require_open(known)
    if name in known.members:
        raise errors.ConfigError(f"{name} is a member already: choose another name")
    if key.startswith("ssh-ed25519 "):
        key = keys.PublicKey.parse(" ".join(key.split()[:2])).fingerprint
    if not _FINGERPRINT.fullmatch(key):
        expected_is = "expected what an OpenSSH file such as id_ed25519.pub holds, or SHA256: and 43 characters"
        raise errors.ConfigError(f"{key[:60]!r} is no key, {expected_is}")
    _destine(where, name, role)
    with _locked(where):
        after = {**expected(where), name: key}
        durable.write(where.expected, json.dumps(after, indent=1, sort_keys=True).encode() + b"\n")
    return key


def expected(where: folder.RunFolder) -> dict[str, str]:
    """Name -> fingerprint of the keys that may enrol by themselves.

    Raises:
        FolderError: the file is damaged.
    """
    try:
        found = json.loads(where.expected.read_bytes())
    except FileNotFoundError:
        return {}
    except ValueError as error:
        raise errors.FolderError(f"{where.expected} is damaged: {error}") from error
    if not isinstance(found, dict) or not all(isinstance(each, str) for each in found.values()):
        raise errors.FolderError(f"{where.expected} is damaged: expected fingerprints by name")
    return found


def aggregators(where: folder.RunFolder) -> frozenset[str]:
    """The names that are to be aggregators.

    Raises:
        FolderError: the file is damaged.
    """
    try:
        found = json.loads(where.aggregators.read_bytes())
    except FileNotFoundError:
        return frozenset()
    except ValueError as error:
        raise errors.FolderError(f"{where.aggregators} is damaged: {error}") from error
    if not isinstance(found, list) or not all(isinstance(each, str) for each in found):
        raise errors.FolderError(f"{where.aggregators} is damaged: expected a list of names")
    return frozenset(found)


def arrived(where: folder.RunFolder, known: history.History) -> tuple[str, ...]:
    """The members without a role that came as they were invited or expected, sorted.

    Reference: docs/protocol.md P23.
    """
    waiting = [member for member in known.members.values() if member.role is None and member.revoked_at is None]
    if not waiting:
        return ()
    by_key = expected(where)
    found = []
    for member in waiting:
        first = member.key_at(0)
        invited = _read(where.invites / member.name, known.run or "") if member.rotations else None
        if by_key.get(member.name) == first.fingerprint or (invited is not None and invited.key.public == first):
            found.append(member.name)
    return tuple(sorted(found))


def admit(where: folder.RunFolder, record: journal.Journal, names: tuple[str, ...]) -> tuple[str, ...]:
    """Of `names` those that have a role now and had none before: the coordinator has given them theirs."""
    known = record.history
    names = tuple(name for name in names if known.members[name].role is None)
    author, run, others = known.coordinator or "", known.run or "", aggregators(where)
    roles = {name: "aggregator" if name in others else "holder" for name in names}
    said = [statements.MemberRole(author=author, run=run, member=name, role=role) for name, role in roles.items()]
    if said:
        record.append(*record.sign(*said))
    for name in names:
        (where.invites / name).unlink(missing_ok=True)  # void since its key was changed
    return names


def taken_up(known: history.History, name: str) -> bool:
    """Whether a member has put its own key in the place of its invitation's, or has gone."""
    member = known.members.get(name)
    return member is not None and bool(member.role or member.rotations or member.revoked_at is not None)


def _destine(where: folder.RunFolder, name: str, role: str) -> None:
    """Nothing; `name` is to have a role, and nobody who waits for it has another until then."""
    with _locked(where):
        before = aggregators(where)
        after = before | {name} if role == "aggregator" else before - {name}
        if after != before:
            durable.write(where.aggregators, json.dumps(sorted(after)).encode() + b"\n")


def require_going_on(known: history.History) -> None:
    """Nothing; of a run that is over, or whose holders are fixed, nobody more can be part.

    Raises:
        ConfigError: it is such a run.
    """
    _require_open(known)
    if known.phase == history.Phase.IDLE and known.round == known.plan.get("rounds"):
        raise errors.ConfigError(f"all {known.round} rounds of this run are done: nobody can join it any more")


def _require_open(known: history.History) -> None:
    if known.plan.get("cohort", {}).get("members") != "invited":
        raise errors.ConfigError(
            "the holders of this run are fixed by its plan, expected a run that began with pool=remote"
        )


def _read(path: Path, run: str) -> invitation.Invitation | None:
    """The invitation in a file, if there is one and it is to this run."""
    if not path.exists():
        return None
    try:
        found = invitation.Invitation.parse(keys.read_private(path).decode(errors="replace"))
    except client_errors.InvitationError as error:
        raise errors.FolderError(f"{path} is damaged: {error}") from error
    return found if (found.run, found.name) == (run, path.name) else None


@contextmanager
def _locked(where: folder.RunFolder) -> Iterator[None]:
    with where.expected.with_suffix(".lock").open("w") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield

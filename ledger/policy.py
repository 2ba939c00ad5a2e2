r"""Trust policies: which logs are believed, which witnesses count, and how many of them must have cosigned.

::

    log <vkey> [<url>]
    witness <name> <vkey> [<url>]
    group <name> <k|any|all> <name> [<name> ...]
    quorum <name|none>

One statement a line; words stand apart by spaces and tabs; empty lines and lines that begin with `#` say nothing. A group or
a quorum names only what stands above it, and a name is a member of one group at most. Names are octets, not text.

Reference: C2SP tlog-policy; docs/protocol.md P18.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Self

from ledger import checkpoint, errors, note, vkey

MAX_BYTES = 256 * 1024
NONE = "none"

_ALLOWED = frozenset((0x09, 0x0A, *range(0x20, 0x7F), *range(0x80, 0x100)))


@dataclass(frozen=True, slots=True, kw_only=True)
class Witness:
    """A witness of a policy: its key, and where it can be asked; `url` is empty where the policy names none."""

    verifier: note.Verifies
    url: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Group:
    """A group of a policy: it has witnessed what `threshold` of its members have."""

    threshold: int
    members: tuple[str, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Accepted:
    """A checkpoint that meets a policy.

    Attributes:
        checkpoint: What the log promises.
        witnesses: Of each witness that cosigned it, by name: when, in seconds since 1970, 0 where it does not say.
    """

    checkpoint: checkpoint.LogCheckpoint
    witnesses: Mapping[str, int]


@dataclass(frozen=True, slots=True, kw_only=True)
class Policy:
    """Whose checkpoints are believed.

    Attributes:
        logs: Keys of the logs, each under its origin; none where the log is known from elsewhere.
        witnesses: By name.
        groups: By name; a group's members are witnesses, or groups before it.
        quorum: A witness or a group, or `none`.
    """

    logs: tuple[note.Verifies, ...]
    witnesses: Mapping[str, Witness]
    groups: Mapping[str, Group]
    quorum: str

    @classmethod
    def parse(cls, data: bytes) -> Self:
        """The policy of a policy file.

        Raises:
            StatementError: Anything else; the message names the line.

        Reference: C2SP tlog-policy, "Policy file syntax and structure".
        """
        return cls(**vars(_Reader().read(data)))

    def accept(self, data: bytes, origin: str, *, log: note.Verifies | None = None) -> Accepted:
        """The checkpoint of a note that one of the logs signed under `origin`, and a quorum of the witnesses.

        Args:
            data: The note.
            origin: The log's name.
            log: The log's key, known from elsewhere; it counts where the policy names no log.

        Raises:
            StatementError: Not a note, not a checkpoint, or one of another log.
            SignatureError: No such log signed it, a known key's line is bad, or the quorum is not met; the message says
                what is missing.
        """
        logs = [each for each in self.logs if each.name == origin]
        logs = [log] if log is not None and not self.logs else logs
        if not logs:
            raise errors.SignatureError(f"the policy names no log {origin!r}, but {[each.name for each in self.logs]}")
        opened = note.open(data, [*logs, *(witness.verifier for witness in self.witnesses.values())])
        if opened.times.keys().isdisjoint(logs):
            raise errors.SignatureError(f"witnesses cosigned this checkpoint, but no known key of {origin!r} signed it")
        promise = checkpoint.LogCheckpoint.parse(opened.text)
        if promise.origin != origin:
            raise errors.StatementError(f"checkpoint of {promise.origin[:60]!r}, expected one of {origin!r}")
        times = self._named(opened.times)
        if not self.met(self.quorum, times):
            raise errors.SignatureError(self.lacking(times))
        return Accepted(checkpoint=promise, witnesses=times)

    def times(self, data: bytes) -> Mapping[str, int]:
        """When each witness cosigned a note that is one's own, by name; whether the log signed it is not asked.

        Raises:
            StatementError: Not a note.
            SignatureError: A witness' line is bad.
        """
        verifiers = [each.verifier for each in self.witnesses.values()]
        keys = {(key.name, note.key_id(key)) for key in verifiers}
        signed = any(line[:2] in keys for line in note.split(data)[1])
        return self._named(note.open(data, verifiers).times) if signed else {}

    def met(self, name: str, signed: Mapping[str, int]) -> bool:
        """Whether the witness or the group has witnessed what the witnesses in `signed` cosigned."""
        if name not in self.groups:
            return name == NONE or name in signed
        group = self.groups[name]
        return sum(self.met(member, signed) for member in group.members) >= group.threshold

    def _named(self, times: Mapping[note.Verifies, int]) -> dict[str, int]:
        return {name: times[each.verifier] for name, each in self.witnesses.items() if each.verifier in times}

    def lacking(self, signed: Mapping[str, int]) -> str:
        """What the quorum lacks where only the witnesses in `signed` cosigned, as a sentence."""
        said = [f"cosigned by {', '.join(map(_shown, signed)) or 'no witness'}"]
        for name in (self.quorum, *self.groups):
            if name in self.groups and not self.met(name, signed):
                group = self.groups[name]
                has = sum(self.met(member, signed) for member in group.members)
                missing = ", ".join(_shown(member) for member in group.members if not self.met(member, signed))
                said.append(f"{_shown(name)} has {has} of {group.threshold}, without {missing}")
        return f"quorum {_shown(self.quorum)} is not met: {'; '.join(dict.fromkeys(said))}"


class _Reader:
    """What the lines of a policy said so far."""

    def __init__(self) -> None:
        self.logs: tuple[note.Verifies, ...] = ()
        self.witnesses: dict[str, Witness] = {}
        self.groups: dict[str, Group] = {}
        self.quorum = ""

    def read(self, data: bytes) -> Self:
        if len(data) > MAX_BYTES:
            raise errors.StatementError(f"policy of {len(data)} bytes, expected at most {MAX_BYTES}", code="too-large")
        *lines, last = data.split(b"\n")
        if last:
            raise errors.StatementError(f"policy line {len(lines) + 1} is not ended by a newline")
        for number, line in enumerate(lines, start=1):
            try:
                self._line(line)
            except (errors.StatementError, errors.KeyFileError) as error:
                raise errors.StatementError(f"policy line {number}: {error}") from error
        if not self.quorum:
            raise errors.StatementError("policy without a quorum line, expected 'quorum NAME' or 'quorum none'")
        return self

    def _line(self, line: bytes) -> None:
        if not _ALLOWED.issuperset(line):
            raise errors.StatementError(f"{line[:80]!r} has a control character")
        # Octets over 7F pass through as they are: names are compared, never shown or folded.
        words = line.decode("utf-8", "surrogateescape").replace("\t", " ").split(" ")
        stripped = [word for word in words if word]
        match [] if stripped and stripped[0].startswith("#") else stripped:
            case []:
                pass
            case ["log", key, *url] if len(url) <= 1:
                self._log(key)
            case ["witness", name, key, *url] if len(url) <= 1:
                self._witness(name, key, "".join(url))
            case ["group", name, threshold, *members]:
                self._group(name, threshold, members)
            case ["quorum", name]:
                self._quorum(name)
            case _:
                raise errors.StatementError(
                    f"{line[:80]!r}, expected log, witness, group or quorum and what follows it"
                )

    def _log(self, key: str) -> None:
        verifier = vkey.parse(key)
        if verifier.type not in {0x01, 0x06}:
            raise errors.StatementError(f"key {verifier.name} has type {verifier.type:02x}, a log signs with 01 or 06")
        self._require_fresh(verifier)
        self.logs += (verifier,)

    def _witness(self, name: str, key: str, url: str) -> None:
        verifier = vkey.parse(key)
        if verifier.type not in {0x04, 0x06}:
            message = f"key {verifier.name} has type {verifier.type:02x}, a witness signs with 04 or 06"
            raise errors.StatementError(message)
        self._require_fresh(verifier)
        self._require_free(name)
        self.witnesses[name] = Witness(verifier=verifier, url=url)

    def _group(self, name: str, threshold: str, members: list[str]) -> None:
        self._require_free(name)
        taken = {member for group in self.groups.values() for member in group.members}
        for member in members:
            self._require_known(member)
            if member in taken:
                raise errors.StatementError(f"{_shown(member)} is a member already, expected once in all groups")
            taken.add(member)
        least = {"any": 1, "all": len(members)}.get(threshold) or _decimal(threshold)
        if not 1 <= least <= len(members):
            raise errors.StatementError(f"group {_shown(name)} asks for {threshold} of {len(members)} members")
        self.groups[name] = Group(threshold=least, members=tuple(members))

    def _quorum(self, name: str) -> None:
        if self.quorum:
            raise errors.StatementError(f"a second quorum, after {_shown(self.quorum)}")
        if name != NONE:
            self._require_known(name)
        self.quorum = name

    def _require_free(self, name: str) -> None:
        if name == NONE or name in self.witnesses or name in self.groups:
            raise errors.StatementError(f"the name {_shown(name)} is taken")

    def _require_known(self, name: str) -> None:
        if name not in self.witnesses and name not in self.groups:
            raise errors.StatementError(f"no witness or group {_shown(name)} stands above")

    def _require_fresh(self, verifier: note.Verifies) -> None:
        # Stricter than the specification by one case: nor may a log be its own witness.
        others = [*self.logs, *(witness.verifier for witness in self.witnesses.values())]
        if any(each.raw == verifier.raw for each in others):
            raise errors.StatementError(f"the public key of {verifier.name} stands above already")


def _decimal(text: str) -> int:
    if not (text.isascii() and text.isdecimal()) or len(text) > 4 or text.startswith("0"):
        raise errors.StatementError(f"threshold {_shown(text)}, expected a number, any or all")
    return int(text)


def _shown(name: str) -> str:
    return name.encode("utf-8", "surrogateescape").decode("utf-8", "backslashreplace")

"""A holder's folder: all that it must not lose or show. One process at a time holds it.

<folder>/member.json        {"name":...,"run":...,"url":...}: whose folder this is
<folder>/key                the holder's key, readable by its owner alone
<folder>/invitation         the invitation, until the log shows the holder's own key in its place
<folder>/policy.yaml        what the holder consents to
<folder>/offer.json         the last offer, kept before anybody sees it (client.outbox)
<folder>/momentum.safetensors, spending.jsonl
<folder>/refusals.jsonl     what was refused, and why
<folder>/ledger.sqlite, checkpoint, memory/     the log as far as it is covered, and what is remembered of it (client.follower)
<folder>/blocks/            parents and sealed updates
"""

import contextlib
import fcntl
import json
import os
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

from client import errors, invitation
from ledger import canonical, durable, fields, keys
from ledger import errors as ledger_errors

MAX_BYTES = 4096


@dataclass(frozen=True, slots=True, kw_only=True)
class Membership:
    """Whose folder it is: a name in a run, and where the run is served."""

    run: str
    name: str
    url: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Home:
    """A holder's folder; made when it is first held."""

    root: Path

    @property
    def key_path(self) -> Path:
        """The file of the holder's key."""
        return self.root / "key"

    @property
    def policy(self) -> Path:
        """What the holder consents to."""
        return self.root / "policy.yaml"

    @property
    def offer(self) -> Path:
        """The last offer."""
        return self.root / "offer.json"

    @property
    def momentum(self) -> Path:
        """The holder's momentum."""
        return self.root / "momentum.safetensors"

    @property
    def spending(self) -> Path:
        """What was spent of the policy's budgets."""
        return self.root / "spending.jsonl"

    @contextlib.contextmanager
    def held(self) -> Iterator[None]:
        """Hold the folder for this process alone; the lock goes with the process, however it ends.

        Raises:
            HomeError: another process holds it, or it cannot be made.
        """
        try:
            self.root.mkdir(mode=0o700, parents=True, exist_ok=True)
            file = (self.root / "lock").open("w")
        except OSError as error:
            raise errors.HomeError(f"{self.root} cannot be the holder's folder: {error}") from error
        with file:
            try:
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                message = f"another process holds {self.root}: stop it, or name another folder with --folder"
                raise errors.HomeError(message) from None
            yield

    def membership(self) -> Membership | None:
        """Whose folder it is; None if it is nobody's yet.

        Raises:
            HomeError: the file says something else.
        """
        try:
            with (self.root / "member.json").open("rb") as file:
                record = canonical.decode(file.read(MAX_BYTES + 1).removesuffix(b"\n"))
        except FileNotFoundError:
            return None
        except ledger_errors.StatementError as error:
            raise errors.HomeError(f"{self.root / 'member.json'} is damaged: {error}") from error
        match record:
            case {"name": str(name), "run": str(run), "url": str(url), **rest} if not rest:
                return Membership(run=fields.read_hex64(run), name=fields.read_name(name), url=url)
        raise errors.HomeError(f"{self.root / 'member.json'} is {str(record)[:100]}, expected a name, a run and a URL")

    def bind(self, whose: Membership) -> None:
        """Nothing; this is `whose` folder, which may have moved to another URL.

        Raises:
            HomeError: it is another member's, or of another run.
        """
        known = self.membership()
        if known is not None and (known.run, known.name) != (whose.run, whose.name):
            message = f"{self.root} is the folder of {known.name} in run {known.run[:12]}"
            raise errors.HomeError(
                f"{message}, expected {whose.name} in run {whose.run[:12]}: name another with --folder"
            )
        if known != whose:
            record = canonical.encode({"name": whose.name, "run": whose.run, "url": whose.url})
            durable.write(self.root / "member.json", record + b"\n")

    def key(self) -> keys.SigningKey:
        """The holder's key, made at first use.

        Raises:
            KeyFileError: the file holds no key, or others can read it.
        """
        if not self.key_path.exists():
            keys.SigningKey.generate().save(self.key_path)
        return keys.SigningKey.load(self.key_path)

    def adopt(self, key: keys.SigningKey) -> None:
        """Nothing; the holder's key is this one, which it had before.

        Raises:
            HomeError: the folder has another key already.
        """
        if not self.key_path.exists():
            key.save(self.key_path)
        elif keys.SigningKey.load(self.key_path).public != key.public:
            raise errors.HomeError(f"{self.key_path} is another key than the one given")

    def invited_by(self) -> invitation.Invitation | None:
        """The invitation that has not been used up yet; None without one."""
        path = self.root / "invitation"
        return invitation.Invitation.parse(keys.read_private(path).decode()) if path.exists() else None

    def keep_invitation(self, by: invitation.Invitation) -> None:
        """Nothing; the invitation is kept, readable by its owner alone, until it is used up."""
        durable.write(self.root / "invitation", by.text.encode() + b"\n", mode=0o600)

    def settled(self) -> None:
        """Nothing; the invitation is used up, and kept no longer."""
        (self.root / "invitation").unlink(missing_ok=True)

    def refused(self, record: Mapping[str, object]) -> None:
        """Nothing; one more line tells what was refused."""
        path = self.root / "refusals.jsonl"
        with durable.named(path), path.open("a") as file:
            file.write(json.dumps(record) + "\n")
            file.flush()
            os.fsync(file.fileno())

"""The one folder in which everything durable of a run lies.

runs/digits-3f9c21ab/
config.yaml          the resolved configuration, as it was first started
ledger.sqlite        the log; `checkpoint` beside it is its last published signed note
blocks/              content-addressed: ciphertext, aggregates, checkpoints, what the outer optimizer remembers
keys/coordinator     Ed25519, OpenSSH; keys/rounds/<n>.age the age identity of a round until it is disclosed
holders/<name>/      of a simulated holder: key, offer.json
metrics.jsonl        one line a round, for plots and people; plots/
"""

import dataclasses
import fcntl
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from client import durable
from exchange import blocks, recipients
from ledger import keys
from orchestrator import errors


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class RunFolder:
    """Where things lie in a run folder."""

    root: Path

    @property
    def config(self) -> Path:
        """The resolved configuration."""
        return self.root / "config.yaml"

    @property
    def ledger(self) -> Path:
        """The database of the log."""
        return self.root / "ledger.sqlite"

    @property
    def checkpoint(self) -> Path:
        """The last signed checkpoint of the log."""
        return self.root / "checkpoint"

    @property
    def store(self) -> Path:
        """The folder whose `blocks/` is the block store."""
        return self.root

    @property
    def holders(self) -> Path:
        """One folder for each simulated holder."""
        return self.root / "holders"

    @property
    def metrics(self) -> Path:
        """One JSON line a round."""
        return self.root / "metrics.jsonl"

    @property
    def plots(self) -> Path:
        """PNG files."""
        return self.root / "plots"

    def existing(self) -> "RunFolder":
        """This folder, if it holds a run.

        Raises:
            FolderError: it does not; the message says what to run.
        """
        if not self.ledger.is_file():
            raise errors.FolderError(f"{self.root} holds no run (no ledger.sqlite): `folkmoot run` makes one")
        return self

    @contextmanager
    def locked(self) -> Iterator[None]:
        """Hold the folder for this process alone; the lock goes with the process, however it ends.

        Raises:
            FolderError: another process holds it.
        """
        self.root.mkdir(parents=True, exist_ok=True)
        with (self.root / "lock").open("w") as file:
            try:
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                message = f"another process is running {self.root}: wait for it, or stop it, or choose dir=OTHER"
                raise errors.FolderError(message) from None
            yield

    def coordinator_key(self) -> keys.SigningKey:
        """The coordinator's key, made with the run.

        Raises:
            FolderError: the folder holds a run, but not its key.
        """
        if self.ledger.exists() and not (self.root / "keys" / "coordinator").exists():
            raise errors.FolderError(
                f"{self.root}/keys/coordinator is missing: without that key nobody can continue the run"
            )
        return _key(self.root / "keys" / "coordinator")

    def holder_key(self, name: str) -> keys.SigningKey:
        """A simulated holder's key, made at first use."""
        return _key(self.holders / name / "key")

    def round_identity(self, number: int) -> str:
        """Text of the age identity that updates of round `number` are sealed to, made at first use and then kept.

        It is on disk before the round that names its recipient opens, so a crash in between cannot lose a round.
        """
        path = self._identity_path(number)
        if not path.exists():
            path.parent.mkdir(parents=True, exist_ok=True)
            durable.write(path, str(recipients.X25519Identity.generate()).encode() + b"\n", mode=0o600)
        return path.read_text().strip()

    def forget_identities(self, committed: int) -> None:
        """Delete the age identities of rounds up to `committed`: their audit window is over, or they are on the ledger."""
        for path in (self.root / "keys" / "rounds").glob("*.age"):
            if int(path.stem) <= committed:
                path.unlink()

    def _identity_path(self, number: int) -> Path:
        return self.root / "keys" / "rounds" / f"{number}.age"


def newest(runs: Path, *, checkpoint: str | None = None) -> RunFolder:
    """The run folder in `runs` that was written last, or the last of those that store `checkpoint`.

    Raises:
        FolderError: there is none; the message says what to run or to name.
        CidError: `checkpoint` is no CID.
    """
    ledgers = sorted(runs.glob("*/ledger.sqlite"), key=lambda path: path.stat().st_mtime, reverse=True)
    for path in ledgers:
        if checkpoint is None or blocks.BlockStore(path.parent).has(checkpoint):
            return RunFolder(root=path.parent)
    if not ledgers:
        raise errors.FolderError(f"there is no run in {runs}/: `folkmoot run` makes one, or name a run folder")
    raise errors.FolderError(f"none of the {len(ledgers)} runs in {runs}/ stores {checkpoint}: name the run folder")


def _key(path: Path) -> keys.SigningKey:
    if not path.exists():
        path.parent.mkdir(parents=True, exist_ok=True)
        made = keys.SigningKey.generate()
        made.save(path)
    return keys.SigningKey.load(path)

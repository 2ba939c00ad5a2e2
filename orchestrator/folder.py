"""The one folder in which everything durable of a run lies.

runs/digits-3f9c21ab/
config.yaml          the resolved configuration, as it was first started
ledger.sqlite        the log; `checkpoint` beside it is its last published signed note
ledger.url           instead: the URL of the PostgreSQL database that holds the log
store.api            addresses of IPFS nodes, one a line, where what blocks/ holds is put too, and what it lacks is looked for
blocks/              content-addressed: ciphertext, aggregates, checkpoints, what the outer optimizer remembers
store.gateways       URLs of trustless gateways, one a line, where what blocks/ lacks is looked for too
keys/coordinator     Ed25519, OpenSSH; keys/coordinator.mldsa, where wanted, a second one for checkpoints
keys/rounds/<n>.age  the age identity of a round until it is disclosed or, after its audit window, destroyed
invites/<name>       the invitation of a name that nobody has taken up yet; expected.json: keys that may enrol by themselves
aggregators.json     the names that are to be aggregators, and not holders
address              the URL of the service, while one runs with the run; service.log: what it says
holders/<name>/      of a simulated holder: key, offer.json
*.next               beside a key: the one that is to replace it, while `folkmoot key rotate` is at work
metrics.jsonl        one line a round, for plots and people; plots/, and trace.json with profile=true
"""

import dataclasses
import fcntl
from collections.abc import Callable, Collection, Iterator
from contextlib import contextmanager
from pathlib import Path

from exchange import blocks, places
from ledger import keys, mldsa
from orchestrator import errors, identities, pointer


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
        """The database of the log, or the file that names the server's database that holds it."""
        return self.url if self.url.exists() else self.root / "ledger.sqlite"

    @property
    def url(self) -> Path:
        """The file that names a server's database, where the log lies on a server."""
        return self.root / "ledger.url"

    @property
    def server(self) -> str | None:
        """The URL of the server's database that holds the log; None where it lies in the folder."""
        return pointer.read(self.url) if self.url.exists() else None

    @property
    def checkpoint(self) -> Path:
        """The last signed checkpoint of the log."""
        return self.root / "checkpoint"

    @property
    def store(self) -> Path:
        """The folder whose `blocks/` is the block store."""
        return self.root

    @property
    def api(self) -> Path:
        """The file that names IPFS nodes, where the run has some."""
        return self.root / "store.api"

    @property
    def gateways(self) -> Path:
        """The file that names trustless gateways, where the run has some."""
        return self.root / "store.gateways"

    @property
    def place(self) -> places.Place:
        """Where the run's files are."""
        api, gateways = (
            tuple(pointer.read(file).split()) if file.exists() else () for file in (self.api, self.gateways)
        )
        return places.Place(folder=self.store.resolve(), api=api, gateways=gateways)

    @property
    def holders(self) -> Path:
        """One folder for each simulated holder."""
        return self.root / "holders"

    @property
    def invites(self) -> Path:
        """One file for each invitation that nobody has taken up."""
        return self.root / "invites"

    @property
    def expected(self) -> Path:
        """The file of the keys that may enrol by themselves."""
        return self.root / "expected.json"

    @property
    def aggregators(self) -> Path:
        """The file of the names that are to be aggregators."""
        return self.root / "aggregators.json"

    @property
    def address(self) -> Path:
        """The file that names the URL of the service that runs with the run."""
        return self.root / "address"

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
    def locked(self, waiting: Callable[[], None] | None = None) -> Iterator[None]:
        """Hold the folder for this process alone; the lock goes with the process, however it ends.

        Args:
            waiting: is called if another process holds it, and then it is waited for; None not to wait.

        Raises:
            FolderError: another process holds it, and nobody wanted to wait.
        """
        self.root.mkdir(parents=True, exist_ok=True)
        with (self.root / "lock").open("w") as file:
            try:
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                if waiting is None:
                    message = f"another process is running {self.root}: wait for it with standby=true, or stop it"
                    raise errors.FolderError(f"{message}, or choose dir=OTHER") from None
                waiting()
                fcntl.flock(file, fcntl.LOCK_EX)
            yield

    def coordinator_key(self) -> keys.SigningKey:
        """The coordinator's key, made with the run.

        Raises:
            FolderError: the folder holds a run, but not its key.
        """
        if self.ledger.exists() and not self.coordinator_key_path.exists():
            raise errors.FolderError(
                f"{self.coordinator_key_path} is missing: without that key nobody can continue the run"
            )
        return made_key(self.coordinator_key_path)

    def holder_key(self, name: str) -> keys.SigningKey:
        """A simulated holder's key, made at first use."""
        return made_key(self.holder_key_path(name))

    @property
    def coordinator_key_path(self) -> Path:
        """The file of the coordinator's key."""
        return self.root / "keys" / "coordinator"

    def make_second_key(self) -> None:
        """Nothing; the coordinator has an ML-DSA-44 key for its checkpoints, beside the other."""
        path = self.coordinator_key_path.with_name("coordinator.mldsa")
        if not path.exists():
            path.parent.mkdir(parents=True, exist_ok=True)
            mldsa.SigningKey.generate().save(path)

    def second_key(self) -> mldsa.SigningKey | None:
        """The coordinator's ML-DSA-44 key; None where none was made."""
        path = self.coordinator_key_path.with_name("coordinator.mldsa")
        return mldsa.SigningKey.load(path) if path.exists() else None

    def holder_key_path(self, name: str) -> Path:
        """The file of a simulated holder's key."""
        return self.holders / name / "key"

    def require_settled_keys(self) -> None:
        """Nothing, if no change of key was cut short.

        Raises:
            FolderError: one was; the message says how to end it.
        """
        found = [*self.root.glob("keys/coordinator.next"), *self.holders.glob("*/key.next")]
        if found:
            name = found[0].stem if found[0].parent.name == "keys" else found[0].parent.name
            message = f"a change of key was cut short: {found[0]} is there still"
            raise errors.FolderError(f"{message}. `folkmoot key rotate {self.root} {name}` ends it")

    def round_identity(self, number: int) -> str:
        """Text of the age identity that updates of round `number` are sealed to, made at first use and then kept.

        It is on disk before the round that names its recipient opens, so a crash in between cannot lose a round.
        """
        return self.identities.made(number)

    def forget_identities(self, committed: int, *, but: Collection[int] = ()) -> None:
        """Delete, durably, the age identities of rounds up to `committed`, but for those of some rounds."""
        self.identities.forget(committed, but=but)

    @property
    def identities(self) -> identities.Identities:
        """The age identities of its rounds."""
        return identities.Identities(root=self.root / "keys" / "rounds")


def newest(runs: Path, *, checkpoint: str | None = None) -> RunFolder:
    """The run folder in `runs` that was written last, or the last of those that store `checkpoint`.

    Raises:
        FolderError: there is none; the message says what to run or to name.
        CidError: `checkpoint` is no CID.
    """
    ledgers = sorted([*runs.glob("*/ledger.sqlite"), *runs.glob("*/ledger.url")], key=_written, reverse=True)
    for path in ledgers:
        if checkpoint is None or blocks.BlockStore(path.parent).has(checkpoint):
            return RunFolder(root=path.parent)
    if not ledgers:
        raise errors.FolderError(f"there is no run in {runs}/: `folkmoot run` makes one, or name a run folder")
    raise errors.FolderError(f"none of the {len(ledgers)} runs in {runs}/ stores {checkpoint}: name the run folder")


def made_key(path: Path) -> keys.SigningKey:
    """The key in the file `path`, made at first use.

    Raises:
        KeyFileError: the file holds no key, or others can read it.
    """
    if not path.exists():
        path.parent.mkdir(parents=True, exist_ok=True)
        made = keys.SigningKey.generate()
        made.save(path)
    return keys.SigningKey.load(path)


def _written(ledger: Path) -> float:
    # A server's database has no time here; what is published from it has.
    published = ledger.with_name("checkpoint")
    return (published if ledger.suffix == ".url" and published.exists() else ledger).stat().st_mtime

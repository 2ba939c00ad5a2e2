"""Memory: the last checkpoint that its owner accepted of each log. It is what makes a rewritten history visible.

::

    <folder>/<sha256 of the origin, hex>            "time " <seconds since 1970> LF, then the note
    <folder>/<sha256 of the origin, hex>.lock       held from the check of the old checkpoint until the new one is on disk
    <folder>/<sha256 of the origin, hex>.evidence/  what was refused, see `ledger.evidence`

The first checkpoint of a log is taken on trust. Every later one must extend what is remembered.

Reference: docs/protocol.md P18; docs/adr/0014-memory-and-witnesses.md.
"""

import contextlib
import hashlib
import os
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TypeAlias

from ledger import checkpoint, durable, errors, evidence, merkle, note

_STORED = re.compile(rb"time (0|[1-9][0-9]{0,15})\n")

Prove: TypeAlias = Callable[[int, int], Sequence[bytes]]
"""prove(old, new): the consistency proof of the log between these sizes; it may raise ProofError."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Remembered:
    """A checkpoint that was accepted, its note, and when, in seconds since 1970."""

    checkpoint: checkpoint.LogCheckpoint
    note: bytes
    time: int


class Slot:
    """What is remembered of one log, while its lock is held."""

    def __init__(self, folder: Path, origin: str) -> None:
        self._path = folder / digest(origin)
        self._origin = origin
        self.last = self._read()

    def extend(self, promise: checkpoint.LogCheckpoint, proof: Sequence[bytes]) -> None:
        """Nothing; a checkpoint that does not extend what is remembered, by this proof, raises.

        Raises:
            ProofError: It does not.
        """
        if promise.size == 0 and promise.root != merkle.EMPTY:
            raise errors.ProofError(f"{promise.root.hex()} is not the root of no entries")
        size, root = (self.last.checkpoint.size, self.last.checkpoint.root) if self.last else (0, merkle.EMPTY)
        merkle.verify_consistency(size, promise.size, root, promise.root, proof)

    def store(self, promise: checkpoint.LogCheckpoint, data: bytes, now: int) -> None:
        """Nothing; this is what is remembered from now on, and it is on disk."""
        durable.write(self._path, b"time %d\n" % now + data)
        self.last = Remembered(checkpoint=promise, note=data, time=now)

    def keep(self, data: bytes, proof: Sequence[bytes] | None) -> Path:
        """The folder of the evidence that `data` does not follow on what is remembered."""
        if self.last is None:
            raise errors.LogError(f"nothing is remembered of {self._origin!r} that a note could contradict")
        nodes = None if proof is None else tuple(proof)
        found = evidence.Evidence(accepted=self.last.note, refused=data, proof=nodes)
        return found.keep(self._path.with_name(f"{self._path.name}.evidence"))

    def _read(self) -> Remembered | None:
        try:
            with self._path.open("rb") as file:
                stored = file.read(note.MAX_BYTES + 100)
        except FileNotFoundError:
            return None
        header = _STORED.match(stored)
        if header is None:
            raise errors.CorruptError(f"{self._path} does not begin with a time, expected a remembered checkpoint")
        data = stored[header.end() :]
        try:
            promise = checkpoint.unverified(data, self._origin)
        except errors.StatementError as error:
            raise errors.CorruptError(f"{self._path} is damaged: {error}") from error
        return Remembered(checkpoint=promise, note=data, time=int(header.group(1)))


class Memory:
    """The remembered checkpoints in one folder, shared by any number of threads and processes."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def last(self, origin: str) -> Remembered | None:
        """What is remembered of a log, or None.

        Raises:
            CorruptError: The file is damaged. Nobody but its owner can say what to do.
            LogError: The folder cannot be read.
        """
        with _translated(self._folder):
            return Slot(self._folder, origin).last

    @contextlib.contextmanager
    def held(self, origin: str) -> Iterator[Slot]:
        """What is remembered of a log, for a check and a store that nobody comes between.

        Raises:
            CorruptError: The file is damaged.
            LogError: The folder cannot be made, locked or written.
        """
        with _translated(self._folder):
            self._folder.mkdir(parents=True, exist_ok=True)
            with durable.locked(self._folder / f"{digest(origin)}.lock"):
                yield Slot(self._folder, origin)

    def accept(
        self,
        data: bytes,
        trust: Callable[[bytes], checkpoint.LogCheckpoint],
        prove: Prove,
        *,
        now: int,
        root: Callable[[int], bytes] | None = None,
    ) -> Remembered | None:
        """What was remembered before of the log whose note this is, None at its first checkpoint; `data` is remembered now.

        Args:
            data: The note.
            trust: The checkpoint of a note whose signatures suffice; it raises where they do not.
            prove: The consistency proof from a remembered size to that of the note, from whoever serves the log.
            now: Seconds since 1970.
            root: The root of the offered log at a smaller size, where it is known: it helps the evidence to convict.

        Raises:
            StatementError, SignatureError: What `trust` raises; nothing was remembered.
            ForkError: Another root at the remembered size, or the proof does not lead from there. Evidence is kept.
            StaleError: The checkpoint is smaller than the remembered one. Both notes are kept.
            LogError: The folder refused. Nothing was accepted.

        Reference: docs/protocol.md P18.
        """
        promise = trust(data)
        with self.held(promise.origin) as slot:
            before = slot.last
            if before is not None:
                self._require_growth(slot, before.checkpoint, promise, data, prove, root)
            else:
                slot.extend(promise, [])
            if before is None or before.checkpoint.size < promise.size:
                slot.store(promise, data, now)
            return before

    def _require_growth(
        self,
        slot: Slot,
        old: checkpoint.LogCheckpoint,
        new: checkpoint.LogCheckpoint,
        data: bytes,
        prove: Prove,
        root: Callable[[int], bytes] | None,
    ) -> None:
        if new.size < old.size:
            kept = slot.keep(data, None)
            message = f"the log {new.origin!r} shows {new.size} entries, after {old.size} that were accepted before"
            raise errors.StaleError(message, evidence=str(kept))
        proof: list[bytes] = []
        try:
            if new.size > old.size:
                proof = list(prove(old.size, new.size))
            slot.extend(new, proof)
        except errors.ProofError as error:
            # RFC 6962 leaves the old root out where it is a node of the new tree; who judges later needs the true one.
            leading = [root(old.size)] if root is not None and old.size & (old.size - 1) == 0 and old.size else []
            kept = slot.keep(data, [*leading, *proof] if new.size > old.size else None)
            message = f"the log {new.origin!r} of {new.size} entries does not extend the {old.size} accepted before"
            raise errors.ForkError(f"{message} ({error})", evidence=str(kept)) from error


def place(environment: Mapping[str, str] = os.environ) -> Path:
    """Where memory lies by default: $FOLKMOOT_STATE, $XDG_STATE_HOME/folkmoot, or ~/.local/state/folkmoot."""
    if chosen := environment.get("FOLKMOOT_STATE"):
        return Path(chosen)
    state = environment.get("XDG_STATE_HOME")
    return (Path(state) if state else Path.home() / ".local" / "state") / "folkmoot"


def digest(origin: str) -> str:
    """The hex sha256 by which files and addresses name a log."""
    return hashlib.sha256(origin.encode()).hexdigest()


@contextlib.contextmanager
def _translated(folder: Path) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        raise errors.LogError(f"{folder} cannot hold what is remembered: {error}") from error

"""A run's log as a holder follows it: believed where a checkpoint covers it that the coordinator signed, and nowhere else.

    leaf       chained to the one before, signed by its author, fitting what the log says     -> pending
    note       signed by the coordinator, its root that of the leaves seen, its size no less than that of the last one,
               and following on what is remembered                                            -> covered, and on disk

What is covered lies in a log of the holder's own, so that a restart reads it from there; what is remembered lies beside it
(`ledger.memory`). The run is named by the hash of its signed genesis: the service has no say in who is its coordinator.

Reference: docs/protocol.md P18, P24.
"""

import collections
import copy
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Protocol

from client import errors, view
from ledger import authority, checkpoint, durable, leaf, log, memory, merkle, note
from ledger import errors as ledger_errors

MOST_PENDING = 262_144
"""Entries that no checkpoint covers yet: more of them is a service that never shows one."""

_AGAIN = "remove {} to fetch the log anew: what is remembered of it stays, and is held against it"


class Proven(Protocol):
    """The published log that a service serves, at the size of one note."""

    def root(self, size: int | None = None) -> bytes:
        """The root over the first `size` entries."""

    def consistency(self, old: int, new: int) -> list[bytes]:
        """That the first `old` entries are a prefix of the first `new`."""


Ask = Callable[[bytes, checkpoint.LogCheckpoint], Proven]
"""ask(note, promise): the published log at this note, from its tiles; raises LogError where it cannot be had."""


class Follower:
    """The log of one run, as far as it is known.

    Args:
        run: hex eid of the genesis.
        folder: where the log and the memory are kept; only one process uses it.
        ask: where a note can be looked into whose root is not that of the leaves seen.

    Attributes:
        covered: what the covered entries say: all that a holder acts on.
        latest: what all entries seen say; nothing is acted on, but nothing is said twice either.

    Raises:
        HomeError: the folder holds another run's log, or one that is damaged, or not the one remembered there.
        LogError: the folder cannot be read or written.
    """

    def __init__(self, run: str, folder: Path, ask: Ask) -> None:
        self._run = run
        self._folder = folder
        self._ask = ask
        self._memory = memory.Memory(folder / "memory")
        self._log: log.Log | None = None
        self._head = self._covered_head = leaf.NO_HEAD
        self._tree = merkle.Frontier()
        self._pending: collections.deque[leaf.Entry] = collections.deque()
        self._note: bytes | None = None
        self.covered = self.latest = view.View()
        self._resume()

    @property
    def next(self) -> int:
        """The position of the entry that is due."""
        return self.latest.known.size

    def add(self, data: bytes) -> None:
        """Nothing; the entry that is due is pending, or covered.

        Raises:
            ServiceError: it is not what the run's members said in this place; nothing has changed.
            JoinError: it is the genesis of another run.
            ForkError, StaleError: a checkpoint that waited for it is not of the log followed so far. The evidence is kept.
        """
        entry = self._read(data)
        try:
            after = view.extended(self.latest, entry)
        except ledger_errors.LedgerError as error:
            raise errors.ServiceError(f"entry {entry.seq} does not belong there: {error}") from error
        if len(self._pending) >= MOST_PENDING:
            raise errors.ServiceError(f"{len(self._pending)} entries without a checkpoint, expected one before")
        self._pending.append(entry)
        self._head, self.latest = entry.hash.hex(), after
        if self._note is not None:
            self.cover(self._note)

    def cover(self, data: bytes) -> bool:
        """Whether a checkpoint covers more than the one before; one of entries that are not here yet is kept for later.

        Raises:
            ServiceError: it is none, not the coordinator's, or its entries are others than those that were served.
            ForkError, StaleError: it does not follow on what was accepted before. The evidence is kept.
            LogError: the folder refused.

        Reference: docs/protocol.md P18, P24.
        """
        self._note = None
        if self.latest.genesis is None:
            self._note = data
            return False
        try:
            promise = authority.verify(data, self.latest.known)
        except ledger_errors.LedgerError as error:
            raise errors.ServiceError(f"the checkpoint is not the coordinator's: {error}") from error
        if promise.size > self.next:
            self._note = data
            return False
        if promise.size < self._tree.size or promise.size == self.covered.known.size:
            self._accept(data, promise, self._replica(promise.origin))
            return False
        tree = self._grown(promise)
        if tree.root() != promise.root:
            self._disown(data, promise)
        self._keep(data, promise, tree)
        return True

    def entries(self, start: int) -> Iterator[leaf.Entry]:
        """The covered entries from position `start` on, as they were kept."""
        return iter(()) if self._log is None else self._log.entries(start, self.covered.known.size)

    def drop(self) -> int:
        """The position to go on from, once all that no checkpoint covers is forgotten."""
        self._pending.clear()
        self._note = None
        self.latest = self.covered
        self._head = self._covered_head
        return self.next

    def close(self) -> None:
        """Nothing; the log is closed."""
        if self._log is not None:
            self._log.close()

    def _read(self, data: bytes) -> leaf.Entry:
        try:
            entry = leaf.Entry.parse(data, seq=self.next, prev=self._head)
        except ledger_errors.StatementError as error:
            raise errors.ServiceError(f"entry {self.next} is no leaf in this place: {error}") from error
        if entry.seq == 0 and entry.eid != self._run:
            raise errors.JoinError(f"the service serves the run {entry.eid}, expected {self._run}")
        return entry

    def _grown(self, promise: checkpoint.LogCheckpoint) -> merkle.Frontier:
        tree = copy.deepcopy(self._tree)
        for entry in self._pending:
            if tree.size < promise.size:
                tree.append(entry.hash)
        return tree

    def _disown(self, data: bytes, promise: checkpoint.LogCheckpoint) -> None:
        """Nothing ever; either the coordinator signed two histories, which its tiles show, or the service mixed up one."""
        try:
            self._accept(data, promise, self._ask(data, promise))
        except (ledger_errors.CorruptError, ledger_errors.LogError) as error:
            raise errors.ServiceError(f"its tiles do not lead to its checkpoint: {error}") from error
        raise errors.ServiceError(f"its entries do not lead to its checkpoint of {promise.size}")

    def _keep(self, data: bytes, promise: checkpoint.LogCheckpoint, tree: merkle.Frontier) -> None:
        """The entries under a note whose root they have: on disk first, then remembered, then acted on."""
        replica = self._replica(promise.origin)
        count = promise.size - self._tree.size
        entries = [self._pending[place] for place in range(count)]
        replica.append([entry.envelope for entry in entries], head=replica.head)
        self._accept(data, promise, replica)
        durable.write(self._folder / "checkpoint", data)
        covered = self.covered
        for entry in entries:
            # Its signature was verified when it came.
            covered = view.extended(covered, entry, verify=lambda *_: None)
            self._pending.popleft()
        self.covered, self._tree, self._covered_head = covered, tree, entries[-1].hash.hex()

    def _accept(self, data: bytes, promise: checkpoint.LogCheckpoint, proven: Proven) -> None:
        self._memory.accept(data, lambda _: promise, proven.consistency, now=int(time.time()), root=proven.root)

    def _replica(self, origin: str) -> log.Log:
        if self._log is None:
            self._log = log.Log.open(self._folder / "ledger.sqlite", origin=origin)
        return self._log

    def _resume(self) -> None:
        """What was covered before, from our own disk, its signatures verified then."""
        note_path, place = self._folder / "checkpoint", self._folder / "ledger.sqlite"
        if not (note_path.is_file() and place.is_file()):
            # The first checkpoint was being kept, or its owner wants the log fetched anew. What is remembered stays.
            for each in [note_path, *self._folder.glob("ledger.sqlite*")]:
                each.unlink(missing_ok=True)
            return
        try:
            self._fold(self._replica(checkpoint.LogCheckpoint.parse(note.split(note_path.read_bytes())[0]).origin))
        except (ledger_errors.CorruptError, ledger_errors.RollbackError, ledger_errors.StatementError) as error:
            raise errors.HomeError(f"{error}; {_AGAIN.format(place)}") from error

    def _fold(self, replica: log.Log) -> None:
        for entry in replica.entries():
            if entry.seq == 0 and entry.eid != self._run:
                raise errors.HomeError(f"{self._folder} follows the run {entry.eid}, expected {self._run}")
            self._tree.append(entry.hash)
            self.covered = view.extended(self.covered, entry, verify=lambda *_: None)
        self.latest, self._head = self.covered, replica.head
        self._covered_head = self._head
        last = self._memory.last(authority.name(self.covered.known))
        if last is None:
            return
        known = last.checkpoint
        if known.size > replica.size or replica.root(known.size) != known.root:
            raise ledger_errors.RollbackError(f"{self._folder} holds another log than the one remembered there")

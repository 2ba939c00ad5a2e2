"""The other side of a holder, in memory: a run's log under the ledger's own rules, its checkpoints, and its blocks.

It stands in for the HTTP service where a test must stop the world between any two of its steps, or have it lie.
"""

from collections.abc import Callable
from pathlib import Path
from typing import BinaryIO

from client import errors, tail
from exchange import blocks
from ledger import authority, checkpoint, dsse, history, keys, leaf, merkle
from ledger import errors as ledger_errors


class Line:
    """A tail of the log in memory, from one position on."""

    def __init__(self, served: "Service", start: int) -> None:
        self._served = served
        self._next = start
        self._note = b""
        self.restarts = 0

    def take(self, seconds: float) -> list[tail.Event]:
        leaves = self._served.leaves
        taken: list[tail.Event] = [tail.Leaf(seq=seq, data=leaves[seq]) for seq in range(self._next, len(leaves))]
        self._next = len(leaves)
        if self._note != self._served.note:
            self._note = self._served.note
            taken.append(tail.Note(data=self._note))
        if seconds and not taken:
            self._served.idle()
        return taken

    def restart(self, start: int) -> None:
        self._next, self._note = start, b""
        self.restarts += 1

    def believed(self) -> None:
        pass


class Service:
    """A run's service."""

    def __init__(self, key: keys.SigningKey, store: blocks.BlockStore) -> None:
        self._key = key
        self.store = store
        self.history = history.EMPTY
        self.leaves: list[bytes] = []
        self.envelopes: list[dsse.Envelope] = []
        self.note = b""
        self.refused: list[str] = []
        self.idle: Callable[[], None] = lambda: None

    @property
    def head(self) -> str:
        return merkle.leaf_hash(self.leaves[-1]).hex() if self.leaves else leaf.NO_HEAD

    def append(self, envelope: dsse.Envelope) -> int:
        for seq, known in enumerate(self.envelopes):
            if known.eid == envelope.eid:
                return seq
        try:
            self.history = history.apply(self.history, len(self.leaves), envelope)
        except ledger_errors.HistoryError as error:
            self.refused.append(error.reason)
            raise errors.RejectedError(str(error), status=409, code=error.reason) from error
        self.leaves.append(leaf.written(len(self.leaves), self.head, envelope))
        self.envelopes.append(envelope)
        return len(self.leaves) - 1

    def publish(self, size: int | None = None) -> bytes:
        """Sign a checkpoint of the first `size` entries, or of all."""
        self.note = signed(self.leaves[: len(self.leaves) if size is None else size], self._key, self.history)
        return self.note

    def put(self, cid: str, file: BinaryIO, size: int, offer: dsse.Envelope) -> None:
        assert str(self.store.put(file.read(size))) == cid

    def tail(self, start: int) -> Line:
        return Line(self, start)


def signed(leaves: list[bytes], key: keys.SigningKey, known: history.History) -> bytes:
    """The note of a log of these leaves."""
    tree = merkle.Frontier()
    for each in leaves:
        tree.append(merkle.leaf_hash(each))
    promise = checkpoint.LogCheckpoint(origin=authority.name(known), size=tree.size, root=tree.root())
    return checkpoint.sign(promise, key)


def of(envelopes: list[dsse.Envelope], key: keys.SigningKey, folder: Path) -> Service:
    """A service whose log says this, under a checkpoint."""
    made = Service(key, blocks.BlockStore(folder, fsync="never"))
    for envelope in envelopes:
        made.append(envelope)
    made.publish()
    return made

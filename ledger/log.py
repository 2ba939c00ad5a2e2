"""The log: entries in a store, appended by compare-and-append, published as signed checkpoints.

Outside the store lies the file `checkpoint`, the last note that was published. It is the high-water mark: a store that
lost its tail (SQLite cuts a damaged write-ahead log silently at the first bad frame, an asynchronous PostgreSQL standby
may be promoted without its last commits) or was exchanged for an older copy no longer has that root, and is refused.
"""

from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Self

from ledger import checkpoint, dsse, errors, keys, leaf, nodes, places, promises, prover, rows, store

Entry = leaf.Entry


class Log:
    """An open log. Not for use by several threads; several processes may open the same store."""

    def __init__(self, source: store.Store, path: Path, origin: str, *, read_only: bool) -> None:
        self._store = source
        self._read_only = read_only
        self._published = path
        self._origin = origin

    @classmethod
    def open(cls, place: Path | str, *, origin: str, published: Path | None = None, read_only: bool = False) -> Self:
        """The log in `place`, created if it is not there, checked against its last published checkpoint.

        Args:
            place: An SQLite file, or the `postgresql://` URL of a database that holds this log and no other.
            origin: The log's name, as it stands in its checkpoints.
            published: The file of the last published checkpoint; by default `checkpoint` beside an SQLite file.
            read_only: Write nothing, create nothing.

        Raises:
            RollbackError: The store has fewer entries than a checkpoint names, or another root at its size.
            CorruptError: The store or the checkpoint is damaged, or of another log.
            LogError: It cannot be opened.

        Reference: docs/protocol.md P5.
        """
        source, path = places.open(place, origin=origin, published=published, read_only=read_only)
        log = cls(source, path, origin, read_only=read_only)
        try:
            promises.check(source, path, origin)
        except BaseException:
            log.close()
            raise
        return log

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Nothing; the store is closed."""
        self._store.close()

    @property
    def size(self) -> int:
        """Number of entries."""
        return self._store.size()

    @property
    def head(self) -> str:
        """Hex hash of the last leaf, 64 zeros in an empty log: the token that `append` asks for.

        Raises:
            CorruptError: The last leaf does not have its stored hash.
        """
        return rows.head(self._store)

    def node(self, level: int, index: int) -> bytes:
        """The root of the perfect subtree over the 2^level leaves from index * 2^level on, as the store has it.

        Raises:
            CorruptError: A row is missing, or the log has fewer leaves.
        """
        return nodes.tree(self._store)(level, index)

    def root(self, size: int | None = None) -> bytes:
        """The 32-byte root of the tree over the first `size` entries, from stored hashes and nodes.

        The root leads to the next signed one, where there is one at this size or beyond.

        Raises:
            ProofError: The log has fewer entries.
            CorruptError: A row is missing, or the root does not lead to the signed one.
        """
        return prover.Prover(self._store, self._origin).root(size)

    def inclusion(self, index: int, size: int) -> list[bytes]:
        """The audit path of the entry at `index` in the tree over the first `size`, lowest node first, verified.

        Raises:
            ProofError: There is no such entry in a tree of this size, or the log has fewer entries.
            CorruptError: The proof does not lead from the leaf to the root.

        Reference: RFC 6962 section 2.1.1; docs/protocol.md P4.
        """
        return prover.Prover(self._store, self._origin).inclusion(index, size)

    def consistency(self, old: int, new: int) -> list[bytes]:
        """That the tree over the first `old` entries is a prefix of the one over the first `new`, verified.

        Raises:
            ProofError: `old` is larger than `new`, or the log has fewer entries.
            CorruptError: The proof does not lead to both roots.

        Reference: RFC 6962 section 2.1.2; docs/protocol.md P4.
        """
        return prover.Prover(self._store, self._origin).consistency(old, new)

    def find(self, eid: str) -> int | None:
        """The position of the entry with this hex eid; None without one."""
        return self._store.positions([bytes.fromhex(eid)]).get(bytes.fromhex(eid))

    def append(self, envelopes: Sequence[dsse.Envelope], *, head: str | Callable[[], str]) -> list[int]:
        """The positions of the envelopes, appended in one durable transaction, all or none.

        Signatures and meaning are `history.apply`'s to check, before. An envelope whose eid the log has keeps its old
        position, and when it has all of them the head is not asked: so a retry after an unknown outcome is safe.

        Args:
            envelopes: What to append, in this order.
            head: The head that the caller's decision rests on; or what decides and then tells it, called while nobody
                else can append: it may read on, may be called again, and where it raises nothing was appended.

        Raises:
            ConflictError: The head is another one; nothing was appended.
            CorruptError: The last entry is damaged; chaining to it would damage the log for good.
            LogError: The store refused. Append the same again.

        Reference: docs/protocol.md P4.
        """
        eids = [bytes.fromhex(envelope.eid) for envelope in envelopes]
        asked = dict(zip(eids, envelopes, strict=True))

        def work() -> list[int]:
            known = self._store.positions(list(asked))
            rows.require(self._store, known)
            new = {eid: envelope for eid, envelope in asked.items() if eid not in known}
            if new:
                expected, current = head() if callable(head) else head, rows.head(self._store)
                if expected != current:
                    raise errors.ConflictError(f"head is {current} at size {self.size}, expected {expected}")
                known |= nodes.append(self._store, rows.chain(new, self.size, current))
            return [known[eid] for eid in eids]

        return self._write(work)

    def entries(self, start: int = 0, stop: int | None = None) -> Iterator[leaf.Entry]:
        """The entries from `start` to before `stop` or the end, each checked against its row and the one before.

        Args:
            start: First position, >= 0.
            stop: Position to stop before; None, or one beyond the end, for the size at the first step.

        Yields:
            Entries in order, in constant memory.

        Raises:
            CorruptError: At the first entry that is missing or differs in leaf, hash, chain or eid.
        """
        size = self.size
        yield from rows.entries(self._store, start, size if stop is None else min(stop, size))

    def publish(self, key: keys.SigningKey, size: int | None = None) -> bytes:
        """The signed checkpoint of the log as it stands: stored first, then written to the file `checkpoint`.

        Before anything is signed, the tree's edge at the last signed size must have the signed root; from there on
        every leaf is hashed anew and every stored node compared. A size that was signed once keeps its note.

        Args:
            key: Who signs.
            size: Entries to sign, where others write too and the signer has not read them all; None for all there are.

        Raises:
            RollbackError: The store no longer has what was published; nothing was signed.
            CorruptError: A leaf, a hash, a node or the last signed root does not agree with the rest; nothing was signed.
            SignatureError: This size was signed already, by another key.
            LogError: The store or the file system refused. Publish again.

        Reference: C2SP tlog-checkpoint 1.0.0; docs/protocol.md P5.
        """
        return self._released(lambda: promises.signed(self._store, self._published, self._origin, key, size))

    def endorse(self, endorsed: bytes) -> bytes:
        """The stored note of that size with the signature lines of `endorsed` that it lacked: stored, and released.

        Whose lines they are is for the caller to verify, before. A line of a key that the note has already is left
        out, so the log's own signature stays, and stays first.

        Args:
            endorsed: The note as others signed it.

        Raises:
            StatementError: It is no checkpoint of this log, not the text signed for that size, or of too many lines.
            LogError: The store or the file system refused. Endorse again.

        Reference: C2SP signed-note 1.0.0; docs/protocol.md P5.
        """
        size = checkpoint.unverified(endorsed, self._origin).size

        def work() -> bytes:
            stored = self._store.note(size)
            if stored is None:
                raise errors.StatementError(f"a checkpoint of size {size}, which this log never signed")
            merged = promises.merge(stored, endorsed)
            if merged != stored:
                self._store.put_note(size, merged)
            return merged

        return self._released(work)

    def note(self, size: int) -> bytes | None:
        """The note stored for this size; None where none was signed."""
        return self._store.note(size)

    def last_note(self) -> bytes | None:
        """The note of the largest size signed; None before the first."""
        last = self._store.last_note()
        return None if last is None else last[1]

    def notes(self) -> list[tuple[int, bytes]]:
        """(size, note) of every checkpoint signed, in order of size."""
        found: list[tuple[int, bytes]] = []
        while page := self._store.notes(found[-1][0] + 1 if found else 0, rows.PAGE):
            found += page
        return found

    def _write(self, work: Callable[[], store.T]) -> store.T:
        # Asked here, because SQLite lets a reader begin, and the file `checkpoint` is not the store's to protect.
        if self._read_only:
            raise errors.LogError(f"{self._published.parent} was opened read-only")
        return self._store.transact(work)

    def _released(self, work: Callable[[], bytes]) -> bytes:
        stored = self._write(work)
        self._release()
        return stored

    def _release(self) -> None:
        # The newest note and not our own, read under the lock: of two publishers the slower must not set the file back.
        self._write(lambda: promises.release(self._store, self._published))

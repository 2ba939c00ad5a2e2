"""The log: entries in an SQLite database, appended by compare-and-append, published as signed checkpoints.

Beside the database lies `checkpoint`, the last note that was published. It is the high-water mark: a database that lost
its tail (a damaged write-ahead log is cut silently at the first bad frame) or was exchanged for an older copy no longer
has that root, and is refused.
"""

import collections
import contextlib
import os
import sqlite3
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Self

from ledger import checkpoint, database, dsse, errors, keys, leaf, note, rows

Entry = leaf.Entry


class Log:
    """An open log. Not for use by several threads; several processes may open the same database."""

    def __init__(self, connection: sqlite3.Connection, path: Path, origin: str, *, read_only: bool) -> None:
        self._connection = connection
        self._read_only = read_only
        self._published = path.with_name("checkpoint")
        self._origin = origin

    @classmethod
    def open(cls, path: Path, *, origin: str, read_only: bool = False) -> Self:
        """The log in the database `path`, created if it is not there, checked against its last published checkpoint.

        Args:
            path: The database; the checkpoint is the file `checkpoint` in the same folder.
            origin: The log's name, as it stands in its checkpoints.
            read_only: Write nothing, create nothing.

        Raises:
            RollbackError: The database has fewer entries than a checkpoint names, or another root at its size.
            CorruptError: The database or the checkpoint is damaged, or of another log.
            LogError: It cannot be opened.

        Reference: docs/protocol.md P5.
        """
        log = cls(database.connect(path, read_only=read_only), path, origin, read_only=read_only)
        try:
            with database.translated():
                log._check_promises()
        except BaseException:
            log.close()
            raise
        return log

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Nothing; the database is closed."""
        self._connection.close()

    @property
    def size(self) -> int:
        """Number of entries."""
        with database.translated():
            return rows.size(self._connection)

    @property
    def head(self) -> str:
        """Hex hash of the last leaf, 64 zeros in an empty log: the token that `append` asks for.

        Raises:
            CorruptError: The last leaf does not have its stored hash.
        """
        with database.translated():
            return rows.head(self._connection)

    def root(self) -> bytes:
        """The tree's 32-byte root, over the stored leaf hashes.

        Raises:
            CorruptError: A row is missing or its hash is no hash.
        """
        with database.translated():
            size = self.size
            return rows.roots(self._connection, {size})[size]

    def append(self, envelopes: Sequence[dsse.Envelope], *, head: str) -> list[int]:
        """The positions of the envelopes, appended in one durable transaction, all or none.

        Signatures and meaning are `history.apply`'s to check, before. An envelope whose eid the log has keeps its old
        position, and when it has all of them the head is not asked: so a retry after an unknown outcome is safe.

        Args:
            envelopes: What to append, in this order.
            head: The head that the caller's decision rests on.

        Raises:
            ConflictError: The head is another one; nothing was appended.
            CorruptError: The last entry is damaged; chaining to it would damage the log for good.
            LogError: The database refused. Append the same again.

        Reference: docs/protocol.md P4.
        """
        with self._transaction():
            known = {envelope.eid: rows.position(self._connection, envelope.eid) for envelope in envelopes}
            if None in known.values():
                current = rows.head(self._connection)
                if head != current:
                    raise errors.ConflictError(f"head is {current} at size {self.size}, expected {head}")
                self._insert(envelopes, known, head)
        return [seq for seq in (known[envelope.eid] for envelope in envelopes) if seq is not None]

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
        with database.translated():
            size = self.size
            yield from rows.entries(self._connection, start, size if stop is None else min(stop, size))

    def publish(self, key: keys.SigningKey) -> bytes:
        """The signed checkpoint of the log as it stands: stored first, then written to the file `checkpoint`.

        Before anything is signed, the root is recomputed from the stored hashes; it must pass through the last signed
        root, and every leaf since that one is hashed anew. A size that was signed once keeps its note.

        Raises:
            CorruptError: A hash, a leaf or the last signed root does not agree with the rest; nothing was signed.
            SignatureError: This size was signed already, by another key.
            LogError: The database or the file system refused. Publish again.

        Reference: C2SP tlog-checkpoint 1.0.0; docs/protocol.md P5.
        """
        with self._transaction():
            current = self._verified_checkpoint()
            row = self._connection.execute("SELECT note FROM checkpoint WHERE size = ?", (current.size,)).fetchone()
            signed = bytes(row[0]) if row else checkpoint.sign(current, key)
            checkpoint.verify(signed, self._origin, key.public)
            if row is None:
                self._connection.execute("INSERT INTO checkpoint VALUES (?, ?)", (current.size, signed))
        self._release()
        return signed

    def notes(self) -> list[tuple[int, bytes]]:
        """(size, note) of every checkpoint signed, in order of size."""
        with database.translated():
            return self._connection.execute("SELECT size, note FROM checkpoint ORDER BY size").fetchall()

    def _transaction(self) -> contextlib.AbstractContextManager[None]:
        # Asked here, because SQLite lets a reader begin, and the file `checkpoint` is not SQLite's to protect.
        if self._read_only:
            raise errors.LogError(f"{self._published.parent} was opened read-only")
        return database.transaction(self._connection)

    def _check_promises(self) -> None:
        promises = [promise for promise in (self._published_checkpoint(), self._last_signed()) if promise is not None]
        most = max((promise.size for promise in promises), default=0)
        if most > self.size:
            raise errors.RollbackError(f"{self.size} entries, expected the {most} of the last checkpoint")
        roots = rows.roots(self._connection, {promise.size for promise in promises})
        for promise in promises:
            if roots[promise.size] != promise.root:
                collections.deque(self.entries(), maxlen=0)  # where a row is what differs, this names it
                found, expected = roots[promise.size].hex(), promise.root.hex()
                raise errors.RollbackError(
                    f"root {found} at size {promise.size}, expected {expected} of the checkpoint"
                )

    def _published_checkpoint(self) -> checkpoint.LogCheckpoint | None:
        try:
            with self._published.open("rb") as file:
                data = file.read(note.MAX_BYTES + 1)
        except FileNotFoundError:
            return None
        except OSError as error:
            raise errors.LogError(f"{self._published} cannot be read: {error}") from error
        return self._promise(data)

    def _last_signed(self) -> checkpoint.LogCheckpoint | None:
        row = self._connection.execute("SELECT size, note FROM checkpoint ORDER BY size DESC LIMIT 1").fetchone()
        promise = None if row is None else self._promise(row[1])
        if promise is not None and promise.size != row[0]:
            raise errors.CorruptError(f"the checkpoint stored for size {row[0]} names {promise.size}")
        return promise

    def _promise(self, data: bytes) -> checkpoint.LogCheckpoint:
        try:
            return checkpoint.unverified(data, self._origin)
        except errors.StatementError as error:
            raise errors.CorruptError(f"the last checkpoint is damaged, or of another log: {error}") from error

    def _verified_checkpoint(self) -> checkpoint.LogCheckpoint:
        size, last = self.size, self._last_signed()
        signed = 0 if last is None else last.size
        roots = rows.roots(self._connection, {size, signed})
        if last is not None and roots[signed] != last.root:
            raise errors.CorruptError(
                f"root {roots[signed].hex()} at size {signed}, expected the signed {last.root.hex()}"
            )
        for _ in self.entries(signed, size):
            pass
        return checkpoint.LogCheckpoint(origin=self._origin, size=size, root=roots[size])

    def _release(self) -> None:
        # The newest note and not our own, read under the lock: of two publishers the slower must not set the file back.
        with self._transaction():
            _, newest = self._connection.execute(
                "SELECT size, note FROM checkpoint ORDER BY size DESC LIMIT 1"
            ).fetchone()
            _replace(self._published, newest)

    def _insert(self, envelopes: Sequence[dsse.Envelope], known: dict[str, int | None], head: str) -> None:
        size = self.size
        for envelope in envelopes:
            if known[envelope.eid] is None:
                entry = leaf.Entry.chain(size, head, envelope)
                rows.insert(self._connection, entry)
                known[entry.eid], size, head = size, size + 1, entry.hash.hex()


def _replace(path: Path, data: bytes) -> None:
    temporary = path.with_name(f"{path.name}.tmp")
    try:
        with temporary.open("wb") as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
        temporary.replace(path)
        folder = os.open(path.parent, os.O_RDONLY | os.O_DIRECTORY)
        try:
            os.fsync(folder)
        finally:
            os.close(folder)
    except OSError as error:
        raise errors.LogError(f"{path} cannot be written: {error}") from error

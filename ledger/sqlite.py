"""The log's store in one SQLite file: how it is opened, what its schema must be, what its errors mean."""

import contextlib
import importlib.resources
import sqlite3
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

from ledger import errors, store

BUSY_SECONDS = 30.0
MAX_VALUE_BYTES = 1024 * 1024

# SQLite takes a limited number of values in one statement; how many depends on its build.
_MOST_ASKED = 500
_ROW = (int, bytes, bytes, bytes)
_PAIR = (int, bytes)
_DAMAGE = (sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB, sqlite3.SQLITE_CONSTRAINT)


class SqliteStore:
    """An open database, whose schema is exactly ours. Not for use by several threads.

    Commits are durable when they return (write-ahead log, `synchronous=FULL`: one fdatasync for each). Transactions are
    begun by hand.
    """

    def __init__(self, path: Path, *, read_only: bool) -> None:
        """Open the database.

        Args:
            path: The database file, created if it is not there.
            read_only: Refuse to write. Without a write-ahead log beside it the file is taken as immutable, so that a
                copy on a read-only medium opens too.

        Raises:
            CorruptError: Not a database, or one with other tables, views or triggers than ours.
            LogError: It cannot be opened.
        """
        self._path = path
        with _translated(path):
            self._connection = _open(path, read_only=read_only)
        try:
            self._check_schema(create=not read_only)
        except BaseException:
            self.close()
            raise

    def close(self) -> None:
        """Nothing; the database is closed."""
        self._connection.close()

    def transact(self, work: Callable[[], store.T]) -> store.T:
        """What `work` returns; this connection alone writes from before its first line on."""
        with _translated(self._path), self._connection:
            self._connection.execute("BEGIN IMMEDIATE")
            return work()

    def size(self) -> int:
        """One more than the last position, 0 without rows."""
        [(last,)] = self._query("SELECT max(seq) FROM entry")
        return 0 if last is None else last + 1

    def census(self) -> tuple[int, int]:
        """(number of rows, the lowest position), (0, 0) without rows."""
        [(count, lowest)] = self._query("SELECT count(*), min(seq) FROM entry")
        return count, lowest or 0

    def positions(self, eids: Sequence[bytes]) -> dict[bytes, int]:
        """Eid -> position, of those that have one."""
        found: dict[bytes, int] = {}
        for part in (eids[at : at + _MOST_ASKED] for at in range(0, len(eids), _MOST_ASKED)):
            query = f"SELECT eid, seq FROM entry WHERE eid IN ({','.join('?' * len(part))})"  # noqa: S608 - question marks
            found.update(self._query(query, *part))
        return found

    def rows(self, start: int, stop: int) -> list[store.Row]:
        """The rows from position `start` to before `stop`."""
        query = "SELECT seq, hash, eid, leaf FROM entry WHERE seq >= ? AND seq < ? ORDER BY seq"
        return [store.Row(*row) for row in self._typed(_ROW, query, start, stop)]

    def hashes(self, level: int, start: int, stop: int) -> list[tuple[int, bytes]]:
        """(index, hash) from index `start` to before `stop`: of the leaves at level 0, else of the stored nodes."""
        if level == 0:
            query = "SELECT seq, hash FROM entry WHERE seq >= ? AND seq < ? ORDER BY seq"
            return self._typed(_PAIR, query, start, stop)
        query = "SELECT i, hash FROM node WHERE level = ? AND i >= ? AND i < ? ORDER BY i"
        return self._typed(_PAIR, query, level, start, stop)

    def insert(self, rows: Sequence[store.Row]) -> None:
        """Nothing; the rows are stored."""
        with _translated(self._path):
            self._connection.executemany("INSERT INTO entry (seq, hash, eid, leaf) VALUES (?, ?, ?, ?)", rows)

    def insert_nodes(self, nodes: Sequence[store.NodeRow]) -> None:
        """Nothing; the nodes are stored."""
        with _translated(self._path):
            self._connection.executemany("INSERT INTO node (level, i, hash) VALUES (?, ?, ?)", nodes)

    def node_count(self) -> int:
        """Number of stored nodes."""
        count: int
        [(count,)] = self._query("SELECT count(*) FROM node")
        return count

    def note(self, size: int) -> bytes | None:
        """The note stored for this size."""
        rows = self._typed(_PAIR, "SELECT size, note FROM checkpoint WHERE size = ?", size)
        return rows[0][1] if rows else None

    def last_note(self) -> tuple[int, bytes] | None:
        """(size, note) of the largest size."""
        rows = self._typed(_PAIR, "SELECT size, note FROM checkpoint ORDER BY size DESC LIMIT 1")
        return rows[0] if rows else None

    def notes(self, start: int, limit: int) -> list[tuple[int, bytes]]:
        """(size, note) of the first `limit` notes whose size is at least `start`."""
        query = "SELECT size, note FROM checkpoint WHERE size >= ? ORDER BY size LIMIT ?"
        return self._typed(_PAIR, query, start, limit)

    def put_note(self, size: int, note: bytes) -> None:
        """Nothing; the note is stored for this size, in place of an earlier one."""
        query = (
            "INSERT INTO checkpoint (size, note) VALUES (?, ?) ON CONFLICT (size) DO UPDATE SET note = excluded.note"
        )
        self._query(query, size, note)

    def damages(self) -> Iterator[str]:
        """What SQLite's own check of pages and indices finds, one sentence each."""
        for (found,) in self._query("PRAGMA integrity_check(100)"):
            if found != b"ok":
                yield found.decode(errors="replace")

    def _query(self, query: str, *values: object) -> list[Any]:
        with _translated(self._path):
            return self._connection.execute(query, values).fetchall()

    def _typed(self, kinds: tuple[type, ...], query: str, *values: object) -> list[Any]:
        # A STRICT table holds to its types as rows are written; what a flipped bit makes of a row, nobody asks but us.
        found = self._query(query, *values)
        for row in found:
            if tuple(map(type, row)) != kinds:
                place = row[0] if type(row[0]) is int else None
                raise errors.CorruptError(f"a row of {[type(each).__name__ for each in row]}", seq=place)
        return found

    def _check_schema(self, *, create: bool) -> None:
        # A stranger's database could answer to our queries with a view or change our rows with a trigger.
        script = importlib.resources.files("ledger").joinpath("schema.sql").read_text()
        expected = {statement.strip().encode() for statement in script.split(";") if statement.strip()}

        def complete() -> None:
            if not self._schema():
                for statement in sorted(expected):
                    self._query(statement.decode())

        if create:
            self.transact(complete)
        found = self._schema()
        if found != expected:
            raise errors.CorruptError(f"the database is not a log: its schema is {sorted(found)!r:.200}")

    def _schema(self) -> set[bytes]:
        return {sql for (sql,) in self._query("SELECT sql FROM sqlite_schema WHERE sql IS NOT NULL")}


@contextlib.contextmanager
def _translated(path: Path) -> Iterator[None]:
    """Nothing; within, an SQLite error leaves as CorruptError where stored bytes are damaged, else as LogError."""
    try:
        yield
    except sqlite3.Error as error:
        # An error that sqlite3 raises itself, such as use after close, has no code. A constraint that fails under the
        # lock, after we looked, means that two tables do not tell the same.
        code = getattr(error, "sqlite_errorcode", 0) & 0xFF
        if code in _DAMAGE:
            raise errors.CorruptError(f"the database is damaged: {error}") from error
        raise errors.LogError(f"the database {path} refused: {error}") from error
    except UnicodeDecodeError as error:
        # The message of an error, in which SQLite quotes damaged bytes.
        raise errors.CorruptError(f"the database is damaged: {error}") from error


def _open(path: Path, *, read_only: bool) -> sqlite3.Connection:
    location = path.absolute().as_uri() + "?mode=rwc"
    if read_only:
        quiet = not path.with_name(f"{path.name}-wal").exists()
        location = path.absolute().as_uri() + ("?mode=ro&immutable=1" if quiet else "?mode=ro")
    connection = sqlite3.connect(location, uri=True, isolation_level=None, timeout=BUSY_SECONDS)
    try:
        _configure(connection, path, read_only=read_only)
    except BaseException:
        connection.close()
        raise
    return connection


def _configure(connection: sqlite3.Connection, path: Path, *, read_only: bool) -> None:
    connection.setlimit(sqlite3.SQLITE_LIMIT_LENGTH, MAX_VALUE_BYTES)
    # Text that is not UTF-8 would raise in the middle of a walk; as bytes it is compared and found wrong.
    connection.text_factory = bytes
    connection.execute("PRAGMA trusted_schema=OFF")
    if not read_only:
        mode = connection.execute("PRAGMA journal_mode=WAL").fetchone()
        if mode != (b"wal",):
            raise errors.LogError(f"{path} has journal mode {mode}, expected wal: the file system has no shared memory")
        connection.execute("PRAGMA synchronous=FULL")

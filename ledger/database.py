"""The SQLite database under the log: how it is opened, what its schema must be, what its errors mean."""

import contextlib
import importlib.resources
import sqlite3
from collections.abc import Iterator
from pathlib import Path

from ledger import errors

BUSY_SECONDS = 30.0
MAX_VALUE_BYTES = 1024 * 1024

_DAMAGE = (sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB)


def connect(path: Path, *, read_only: bool) -> sqlite3.Connection:
    """A connection to the log's database, whose schema is exactly ours.

    Commits are durable when they return (write-ahead log, `synchronous=FULL`: one fdatasync for each). Transactions are
    begun by hand.

    Args:
        path: The database file.
        read_only: Refuse to write. Without a write-ahead log beside it the file is taken as immutable, so that a copy
            on a read-only medium opens too.

    Raises:
        CorruptError: Not a database, or one with other tables, views or triggers than ours.
        LogError: It cannot be opened.
    """
    with translated():
        connection = _open(path, read_only=read_only)
        try:
            _check_schema(connection, create=not read_only)
        except BaseException:
            connection.close()
            raise
    return connection


@contextlib.contextmanager
def translated() -> Iterator[None]:
    """Nothing; within, an SQLite error leaves as CorruptError where stored bytes are damaged, else as LogError."""
    try:
        yield
    except sqlite3.Error as error:
        # An error that sqlite3 raises itself, such as use after close, has no code.
        code = getattr(error, "sqlite_errorcode", 0) & 0xFF
        if code in _DAMAGE:
            raise errors.CorruptError(f"the database is damaged: {error}") from error
        raise errors.LogError(f"the database refused: {error}") from error


@contextlib.contextmanager
def transaction(connection: sqlite3.Connection) -> Iterator[None]:
    """Nothing; within, this connection alone writes, and all of it is durable at the end or none of it happened.

    Raises:
        LogError: The lock, the disk or the file system refused. Whether a failed commit happened is then unknown.
    """
    with translated(), connection:
        connection.execute("BEGIN IMMEDIATE")
        yield


def _open(path: Path, *, read_only: bool) -> sqlite3.Connection:
    location = path.absolute().as_uri() + "?mode=rwc"
    if read_only:
        quiet = not path.with_name(f"{path.name}-wal").exists()
        location = path.absolute().as_uri() + ("?mode=ro&immutable=1" if quiet else "?mode=ro")
    connection = sqlite3.connect(location, uri=True, isolation_level=None, timeout=BUSY_SECONDS)
    connection.setlimit(sqlite3.SQLITE_LIMIT_LENGTH, MAX_VALUE_BYTES)
    # Text that is not UTF-8 would raise in the middle of a walk; as bytes it is compared and found wrong.
    connection.text_factory = bytes
    connection.execute("PRAGMA trusted_schema=OFF")
    if not read_only:
        mode = connection.execute("PRAGMA journal_mode=WAL").fetchone()
        if mode != (b"wal",):
            raise errors.LogError(f"{path} has journal mode {mode}, expected wal: the file system has no shared memory")
        connection.execute("PRAGMA synchronous=FULL")
    return connection


def _check_schema(connection: sqlite3.Connection, *, create: bool) -> None:
    # A stranger's database could answer to our queries with a view or change our rows with a trigger.
    script = importlib.resources.files("ledger").joinpath("schema.sql").read_text()
    expected = {statement.strip().encode() for statement in script.split(";") if statement.strip()}
    if create:
        with transaction(connection):
            if not _schema(connection):
                for statement in sorted(expected):
                    connection.execute(statement.decode())
    found = _schema(connection)
    if found != expected:
        raise errors.CorruptError(f"the database is not a log: its schema is {sorted(found)!r:.200}")


def _schema(connection: sqlite3.Connection) -> set[bytes]:
    return {sql for (sql,) in connection.execute("SELECT sql FROM sqlite_schema WHERE sql IS NOT NULL")}

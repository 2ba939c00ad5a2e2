"""The log's store in a PostgreSQL database: several coordinators, one server, and a server that may be killed.

A writer takes the one row of `log` FOR UPDATE before it reads anything, under READ COMMITTED: every later statement
sees what was committed before it got the lock, so compare-and-append on the head is atomic. The lock also makes a
retry's answer as good as a commit: it writes to the log on disk, so its own commit waits for that and for standbys.

Reference: docs/protocol.md P4; ADR 13.
"""

import contextlib
import time
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import psycopg
from psycopg import conninfo

from ledger import errors, server, store

PATIENCE_SECONDS = 60.0
"""How long an operation waits for a server that went away, from its first failure on."""

_GONE = ("08", "57P")
_DAMAGE = ("23", "XX001", "XX002")


class _LostError(errors.LogError):
    """The server went away, or is not yet what we need: worth another try."""


class PostgresStore:
    """An open database, whose schema is exactly ours. Not for use by several threads, nor across a fork.

    Commits are durable when they return, as far as the server's settings promise it (ADR 13). Where the server goes
    away, every method tries again by itself on a new connection.
    """

    def __init__(self, url: str, *, origin: str | None, read_only: bool, patience: float = PATIENCE_SECONDS) -> None:
        """Connect; there is no second try before a first one succeeded.

        Args:
            url: `postgresql://...`; its database, or the schema its `search_path` names, holds this log and no other.
            origin: The log's name; None to read whichever it is.
            read_only: Refuse to write, create nothing.
            patience: Seconds to wait for a server that went away.

        Raises:
            CorruptError: The tables are not ours, or of another log.
            LogError: No server, a standby, one that would lose acknowledged commits, or no log to read.
        """
        self._url = url
        self._origin = origin
        self._read_only = read_only
        self._patience = patience
        self._within = False
        self._closed = False
        self._warnings: list[str] = []
        self._connection = self._connect()
        try:
            self._check_schema()
        except BaseException:
            self.close()
            raise

    def close(self) -> None:
        """Nothing; the connection is closed."""
        self._closed = True
        self._connection.close()

    def transact(self, work: Callable[[], store.T]) -> store.T:
        """What `work` returns; this connection alone writes from before its first line on.

        Where the server goes away, the outcome of the commit too may be unknown: `work` is then done again.
        """
        return self._persistent(lambda: self._transact(work))

    def size(self) -> int:
        """One more than the last position, 0 without rows."""
        return int(self._query("SELECT coalesce(max(seq) + 1, 0) FROM entry")[0][0])

    def census(self) -> tuple[int, int]:
        """(number of rows, the lowest position), (0, 0) without rows."""
        count, lowest = self._query("SELECT count(*), coalesce(min(seq), 0) FROM entry")[0]
        return count, lowest

    def positions(self, eids: Sequence[bytes]) -> dict[bytes, int]:
        """Eid -> position, of those that have one."""
        return dict(self._query("SELECT eid, seq FROM entry WHERE eid = ANY(%b::bytea[])", list(eids)))

    def rows(self, start: int, stop: int) -> list[store.Row]:
        """The rows from position `start` to before `stop`."""
        # Cut by the server: a stranger's giant value does not come into memory, and what was cut has another hash.
        values = "seq, substr(hash, 1, 33), substr(eid, 1, 33), substr(leaf, 1, 65536)"
        query = f"SELECT {values} FROM entry WHERE seq >= %b AND seq < %b ORDER BY seq"  # noqa: S608 - no value in it
        return [store.Row(*row) for row in self._query(query, start, stop)]

    def hashes(self, level: int, start: int, stop: int) -> list[tuple[int, bytes]]:
        """(index, hash) from index `start` to before `stop`: of the leaves at level 0, else of the stored nodes."""
        if level == 0:
            query = "SELECT seq, substr(hash, 1, 33) FROM entry WHERE seq >= %b AND seq < %b ORDER BY seq"
            return self._query(query, start, stop)
        query = "SELECT i, substr(hash, 1, 33) FROM node WHERE level = %b AND i >= %b AND i < %b ORDER BY i"
        return self._query(query, level, start, stop)

    def insert(self, rows: Sequence[store.Row]) -> None:
        """Nothing; the rows are stored."""
        first = rows[0].seq
        [prev] = [found for _, found in self.hashes(0, first - 1, first)] if first else [server.ZEROS]
        seqs, hashes, eids, leaves = (list(column) for column in zip(*rows, strict=True))
        columns = "%b::bigint[]" + 4 * ", %b::bytea[]"
        query = f"INSERT INTO entry (seq, prev, hash, eid, leaf) SELECT * FROM unnest({columns})"  # noqa: S608
        self._query(query, seqs, [prev, *hashes[:-1]], hashes, eids, leaves)

    def insert_nodes(self, nodes: Sequence[store.NodeRow]) -> None:
        """Nothing; the nodes are stored."""
        for node in nodes:
            self._query("INSERT INTO node (level, i, hash) VALUES (%b, %b, %b)", *node)

    def node_count(self) -> int:
        """Number of stored nodes."""
        return int(self._query("SELECT count(*) FROM node")[0][0])

    def note(self, size: int) -> bytes | None:
        """The note stored for this size."""
        rows = self._query("SELECT substr(note, 1, 65537) FROM checkpoint WHERE size = %b", size)
        return rows[0][0] if rows else None

    def last_note(self) -> tuple[int, bytes] | None:
        """(size, note) of the largest size."""
        rows = self._query("SELECT size, substr(note, 1, 65537) FROM checkpoint ORDER BY size DESC LIMIT 1")
        return rows[0] if rows else None

    def notes(self, start: int, limit: int) -> list[tuple[int, bytes]]:
        """(size, note) of the first `limit` notes whose size is at least `start`."""
        query = "SELECT size, substr(note, 1, 65537) FROM checkpoint WHERE size >= %b ORDER BY size LIMIT %b"
        return self._query(query, start, limit)

    def put_note(self, size: int, note: bytes) -> None:
        """Nothing; the note is stored for this size, in place of an earlier one."""
        query = (
            "INSERT INTO checkpoint (size, note) VALUES (%b, %b) ON CONFLICT (size) DO UPDATE SET note = excluded.note"
        )
        self._query(query, size, note)

    def damages(self) -> Iterator[str]:
        """Rows whose `prev` is not the hash of the row before; pages are PostgreSQL's to check (`initdb -k`)."""
        chain = "SELECT seq, prev, lag(hash, 1, %b::bytea) OVER (ORDER BY seq) AS before FROM entry"
        query = f"SELECT seq FROM ({chain}) AS chain WHERE prev <> before ORDER BY seq LIMIT 100"  # noqa: S608
        for (seq,) in self._query(query, server.ZEROS):
            yield f"row {seq} is stored after another hash than that of row {seq - 1}"

    def _query(self, query: str, *values: object) -> list[Any]:
        def ask() -> list[Any]:
            with _translated():
                cursor = self._connection.execute(query.encode(), values, binary=True)
                return cursor.fetchall() if cursor.description else []

        return ask() if self._within else self._persistent(ask)

    def _persistent(self, operation: Callable[[], store.T]) -> store.T:
        deadline, pause = None, 0.05
        while True:
            try:
                if self._connection.closed and not self._closed:
                    self._connection = self._connect()
                return operation()
            except _LostError:
                self._connection.close()
                deadline = deadline or time.monotonic() + self._patience
                if self._closed or time.monotonic() + pause > deadline:
                    raise
                time.sleep(pause)
                pause = min(2 * pause, 2.0)

    def _transact(self, work: Callable[[], store.T]) -> store.T:
        self._warnings.clear()
        self._within = True
        try:
            with _translated(), self._connection.transaction():
                # The settings too are asked each time: they change under an open session.
                query = f"SELECT origin, {server.SETTINGS} FROM log FOR UPDATE"  # noqa: S608
                server.require_log(self._query(query), self._origin)
                result = work()
        finally:
            self._within = False
        # A commit whose wait for the standby is cancelled succeeds with a warning: it may be on one disk only. Done again,
        # all is found there, and this time the commit waits.
        if self._warnings:
            raise _LostError(f"the server committed, but warned: {self._warnings[0]}")
        return result

    def _connect(self) -> psycopg.Connection[Any]:
        with _translated():
            parameters = {**server.PARAMETERS, **conninfo.conninfo_to_dict(self._url)}
            connection = psycopg.connect(**parameters, autocommit=True)  # type: ignore[arg-type]
        try:
            with _translated():
                self._configure(connection)
        except BaseException:
            connection.close()
            raise
        return connection

    def _configure(self, connection: psycopg.Connection[Any]) -> None:
        connection.isolation_level = psycopg.IsolationLevel.READ_COMMITTED
        connection.add_notice_handler(self._heed)
        connection.execute(server.SESSION)
        query = f"SELECT pg_is_in_recovery(), current_schema(), {server.SETTINGS}"
        [(standby, schema, *settings)] = connection.execute(query.encode()).fetchall()
        if standby:
            raise _LostError("the server is a standby, which may lack what was committed: name the primary")
        if schema is None:
            raise errors.LogError("the URL's search_path names no schema that is there: create it")
        if self._read_only:
            connection.execute("SET default_transaction_read_only = on")
        else:
            server.require_durable(settings)

    def _heed(self, diagnostic: psycopg.errors.Diagnostic) -> None:
        if diagnostic.severity_nonlocalized == "WARNING":
            self._warnings.append(str(diagnostic.message_primary))

    def _check_schema(self) -> None:
        if not self._read_only:
            self._create()
        server.require_ours([text for (text,) in self._query(server.DESCRIBE)])
        server.require_named([origin for (origin,) in self._query("SELECT left(origin, 200) FROM log")], self._origin)

    def _create(self) -> None:
        with _translated(), self._connection.transaction():
            # Of two who find nothing, one creates; there is no row of ours to lock yet.
            self._connection.execute("SELECT pg_advisory_xact_lock(%s)", (server.LOCK,))
            if not self._connection.execute(server.DESCRIBE.encode()).fetchall():
                self._connection.execute(server.CREATE.encode())
                self._connection.execute("INSERT INTO log (one, origin) VALUES (true, %s)", (self._origin,))


@contextlib.contextmanager
def _translated() -> Iterator[None]:
    """Nothing; within, psycopg's errors leave as CorruptError where stored bytes are damaged, else as LogError."""
    try:
        yield
    except psycopg.Error as error:
        state = error.sqlstate
        if state is not None and state.startswith(_DAMAGE):
            raise errors.CorruptError(f"the database is damaged: {error}") from error
        # Without a state it is the client that noticed: no connection, or none any more.
        lost = isinstance(error, psycopg.OperationalError) and (state is None or state.startswith(_GONE))
        kind = _LostError if lost or state == "25P03" else errors.LogError
        raise kind(f"the database refused: {str(error).strip()}") from error

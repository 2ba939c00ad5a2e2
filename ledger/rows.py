"""The rows of the log's database: read in pages, checked as they are read."""

import itertools
import sqlite3
from collections.abc import Collection, Iterator
from typing import Any

from ledger import errors, leaf, merkle

PAGE = 256
"""Rows read at a time: no read transaction outlives one page, however slow the reader is."""

_HASHES = "SELECT seq, hash FROM entry WHERE seq >= ? AND seq < ? ORDER BY seq"
_ROWS = "SELECT seq, hash, eid, leaf FROM entry WHERE seq >= ? AND seq < ? ORDER BY seq"


def size(connection: sqlite3.Connection) -> int:
    """One more than the last position, 0 without rows."""
    last: int | None
    [(last,)] = connection.execute("SELECT max(seq) FROM entry")
    return 0 if last is None else last + 1


def head(connection: sqlite3.Connection) -> str:
    """Hex hash of the last leaf, 64 zeros without rows.

    Raises:
        CorruptError: The last leaf does not have its stored hash.
    """
    row = connection.execute("SELECT seq, hash, leaf FROM entry ORDER BY seq DESC LIMIT 1").fetchone()
    if row is None:
        return leaf.NO_HEAD
    seq, digest, data = row
    return _agreed(seq, digest, data).hex()


def position(connection: sqlite3.Connection, eid: str) -> int | None:
    """Where the envelope of this hex eid stands; None if it does not."""
    row: tuple[int] | None
    row = connection.execute("SELECT seq FROM entry WHERE eid = ?", (bytes.fromhex(eid),)).fetchone()
    return None if row is None else row[0]


def insert(connection: sqlite3.Connection, entry: leaf.Entry) -> None:
    """Nothing; the entry has its row."""
    row = (entry.seq, entry.hash, bytes.fromhex(entry.eid), entry.leaf)
    connection.execute("INSERT INTO entry (seq, hash, eid, leaf) VALUES (?, ?, ?, ?)", row)


def entries(connection: sqlite3.Connection, start: int, stop: int) -> Iterator[leaf.Entry]:
    """The entries from `start` to before `stop`, each checked against its row and the one before it.

    Raises:
        CorruptError: At the first entry that is missing or differs in leaf, hash, chain or eid.
    """
    prev = leaf.NO_HEAD
    if 0 < start < stop:
        [(_, before)] = _pages(connection, _HASHES, start - 1, start)
        prev = before.hex()
    for seq, digest, eid, data in _pages(connection, _ROWS, start, stop):
        _agreed(seq, digest, data)
        try:
            entry = leaf.Entry.parse(data, seq=seq, prev=prev)
        except errors.StatementError as error:
            raise errors.CorruptError(str(error), seq=seq) from error
        if entry.eid != eid.hex():
            raise errors.CorruptError(f"stored under the eid {eid.hex()}, expected {entry.eid}", seq=seq)
        yield entry
        prev = entry.hash.hex()


def roots(connection: sqlite3.Connection, sizes: Collection[int]) -> dict[int, bytes]:
    """Size -> root of the tree over that many stored leaf hashes.

    Args:
        connection: The log's database.
        sizes: Sizes up to the number of rows.

    Raises:
        CorruptError: A row is missing.
    """
    frontier = merkle.Frontier()
    found = {0: frontier.root()}
    for _, digest in _pages(connection, _HASHES, 0, max(sizes, default=0)):
        frontier.append(digest)
        if frontier.size in sizes:
            found[frontier.size] = frontier.root()
    return found


def _agreed(seq: int, digest: bytes, data: bytes) -> bytes:
    if merkle.leaf_hash(data) != digest:
        raise errors.CorruptError("the leaf does not have its stored hash", seq=seq)
    return digest


def _pages(connection: sqlite3.Connection, query: str, start: int, stop: int) -> Iterator[tuple[Any, ...]]:
    for first in range(start, stop, PAGE):
        expected = range(first, min(first + PAGE, stop))
        rows = connection.execute(query, (expected.start, expected.stop)).fetchall()
        for seq, row in itertools.zip_longest(expected, rows):
            if row is None or row[0] != seq:
                raise errors.CorruptError("the row is missing", seq=seq)
            yield row

"""The rows of a log: read in pages, checked as they are read."""

import itertools
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import TypeVar

from ledger import dsse, errors, leaf, merkle, store

PAGE = 256
"""Rows read at a time: no read transaction outlives one page, however slow the reader is."""

_Indexed = TypeVar("_Indexed", bound=tuple[object, ...])


def head(rows: store.Store) -> str:
    """Hex hash of the last leaf, 64 zeros without rows.

    Raises:
        CorruptError: The last leaf does not have its stored hash.
    """
    size = rows.size()
    return leaf.NO_HEAD if size == 0 else leaf_hash(rows, size - 1).hex()


def leaf_hash(rows: store.Store, seq: int) -> bytes:
    """The hash of the leaf at a position.

    Raises:
        CorruptError: There is no row, or its leaf does not have the stored hash.
    """
    [row] = pages(rows.rows, seq, seq + 1)
    _require_hash(row, merkle.leaf_hash(row.leaf))
    return row.hash


def entries(rows: store.Store, start: int, stop: int) -> Iterator[leaf.Entry]:
    """The entries from `start` to before `stop`, each checked against its row and the one before it.

    Raises:
        CorruptError: At the first entry that is missing or differs in leaf, hash, chain or eid.
    """
    prev = leaf.NO_HEAD
    if 0 < start < stop:
        prev = stored_hash(rows, start - 1).hex()
    for row in pages(rows.rows, start, stop):
        entry = checked(row, prev)
        yield entry
        prev = entry.hash.hex()


def require(rows: store.Store, positions: Mapping[bytes, int]) -> None:
    """Nothing, if the entry at each of these positions has that eid; what the store says of itself alone is not believed.

    Raises:
        CorruptError: It has another, or there is no such entry.
    """
    size = rows.size() if positions else 0
    for eid, seq in positions.items():
        if not 0 <= seq < size:
            raise errors.CorruptError(f"a row at {seq} of {size} claims the eid {eid.hex()}")
        [entry] = entries(rows, seq, seq + 1)
        if entry.eid != eid.hex():
            raise errors.CorruptError(f"the eid is {entry.eid}, where {eid.hex()} was looked for", seq=seq)


def chain(envelopes: Mapping[bytes, dsse.Envelope], size: int, head: str) -> list[store.Row]:
    """The rows of new entries.

    Args:
        envelopes: Eid -> envelope, in order.
        size: Entries before them.
        head: Hex hash of the last leaf before them.
    """
    added: list[store.Row] = []
    for seq, (eid, envelope) in enumerate(envelopes.items(), start=size):
        data = leaf.written(seq, head, envelope)
        added.append(store.Row(seq, merkle.leaf_hash(data), eid, data))
        head = added[-1].hash.hex()
    return added


def checked(row: store.Row, prev: str) -> leaf.Entry:
    """The entry of a row that must follow the leaf of hex hash `prev`.

    Raises:
        CorruptError: The row differs in leaf, hash, chain or eid.
    """
    try:
        entry = leaf.Entry.parse(row.leaf, seq=row.seq, prev=prev)
    except errors.StatementError as error:
        _require_hash(row, merkle.leaf_hash(row.leaf))
        raise errors.CorruptError(str(error), seq=row.seq) from error
    _require_hash(row, entry.hash)
    if entry.eid != row.eid.hex():
        raise errors.CorruptError(f"stored under the eid {row.eid.hex()}, expected {entry.eid}", seq=row.seq)
    return entry


def stored_hash(rows: store.Store, seq: int) -> bytes:
    """The hash in the row of a position, not held against the leaf.

    Raises:
        CorruptError: There is no row.
    """
    [(_, found)] = pages(lambda start, stop: rows.hashes(0, start, stop), seq, seq + 1)
    return found


def pages(read: Callable[[int, int], Sequence[_Indexed]], start: int, stop: int) -> Iterator[_Indexed]:
    """The rows from `start` to before `stop`, a page at a time, none missing.

    Args:
        read: Reads the rows of a range of positions; each row begins with its position.
        start: First position.
        stop: Position to stop before.

    Raises:
        CorruptError: A row is missing.
    """
    for first in range(start, stop, PAGE):
        expected = range(first, min(first + PAGE, stop))
        for seq, row in itertools.zip_longest(expected, read(expected.start, expected.stop)):
            if row is None or row[0] != seq:
                raise errors.CorruptError("the row is missing", seq=seq)
            yield row


def _require_hash(row: store.Row, found: bytes) -> None:
    if found != row.hash:
        raise errors.CorruptError("the leaf does not have its stored hash", seq=row.seq)

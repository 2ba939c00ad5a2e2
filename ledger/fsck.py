"""The whole log held against itself: every row, hash, link, node and note, and all damage that is found.

`Log.open` looks at the promises and `Log.entries` stops at the first damage; this goes on, so that a person sees what is
lost and what is not. One damaged byte is one damage: where a leaf and its stored hash disagree, the next leaf, which
names the true hash, decides with which one the tree goes on.

Reference: docs/protocol.md P4 and P5.
"""

import re
from collections.abc import Callable, Collection, Iterator
from pathlib import Path

from ledger import canonical, checkpoint, damage, errors, keys, leaf, merkle, nodes, note, places, promises, rows, store

_LEAST = -(2**63)
_WIDEST_GAP = 10_000
_HEX64 = re.compile("[0-9a-f]{64}")


def check(
    place: Path | str,
    *,
    origin: str,
    published: Path | None = None,
    signers: Collection[keys.PublicKey] = (),
    progress: Callable[[int, int], None] = lambda done, total: None,  # noqa: ARG005
) -> damage.Report:
    """The report of a log, which need not be one that still opens. Nothing is written; memory stays constant.

    Args:
        place: An SQLite file or a `postgresql://` URL, as for `Log.open`.
        origin: The log's name.
        published: The file of the last published checkpoint, as for `Log.open`.
        signers: The log's keys, one of which must have signed each note; without any, signatures are not verified.
        progress: Is told how many entries are done, and of how many, a page at a time.

    Raises:
        LogError: The store cannot be opened, for a reason other than damage.
    """
    try:
        source, path = places.open(place, origin=origin, published=published, read_only=True)
    except errors.CorruptError as error:
        return damage.Report(
            entries=0, nodes=0, notes=0, bytes=0, damages=(damage.Damage("store", None, str(error)),), more=0
        )
    try:
        return _Check(source, path, origin, signers, progress).run()
    finally:
        source.close()


class _Check:
    """One walk over one store."""

    def __init__(
        self,
        source: store.Store,
        published: Path,
        origin: str,
        signers: Collection[keys.PublicKey],
        progress: Callable[[int, int], None],
    ) -> None:
        self._store = source
        self._published = published
        self._origin = origin
        self._verifiers = [note.Verifier(name=origin, key=key) for key in signers]
        self._progress = progress
        self._edge = nodes.Edge()
        self._prev = leaf.NO_HEAD
        self._promise: checkpoint.LogCheckpoint | None = None
        self._doubted = False
        self._notes: Iterator[tuple[int, bytes]] = iter(())
        self._note: tuple[int, bytes] | None = None
        self._counts = {"nodes": 0, "notes": 0, "bytes": 0}
        self._found = damage.Found()

    def run(self) -> damage.Report:
        self._found.guarded("store", None, self._ask_store)
        size = self._size()
        self._promise = self._found.guarded("published", None, promises.read, self._published, self._origin)
        self._notes = self._read_notes()
        self._note = next(self._notes, None)
        if self._note is not None and not self._published.exists():
            self._found.add("published", None, f"{self._published} is missing: publish again, and it is written")
        self._promised()
        for seq, row, following in self._rows(size):
            self._entry(seq, row, following)
            self._promised()
            if seq + 1 == size or (seq + 1) % rows.PAGE == 0:
                self._progress(seq + 1, size)
        self._beyond(size)
        return damage.Report(entries=size, damages=tuple(self._found.kept), more=self._found.more, **self._counts)

    def _size(self) -> int:
        """How far to look: to the last row, but not through a gap that nothing can have filled."""
        size = self._found.guarded("store", None, self._store.size) or 0
        count, lowest = self._found.guarded("store", None, self._store.census) or (size, 0)
        if lowest < 0:
            self._found.add("store", None, f"a row has the position {lowest}, expected none before 0")
        if count < size - _WIDEST_GAP:
            self._found.add("store", size - 1, f"a row stands at {size - 1}, but there are only {count} rows")
            return count
        if count > size:
            self._found.add("store", None, f"{count} rows are stored, expected {size}")
        return size

    def _ask_store(self) -> None:
        for sentence in self._store.damages():
            self._found.add("store", None, sentence)

    def _rows(self, size: int) -> Iterator[tuple[int, store.Row | None, store.Row | None]]:
        """(position, its row, the row after), a page at a time and one row ahead."""
        before: store.Row | None = None
        for first in range(0, size, rows.PAGE):
            stop = min(first + rows.PAGE, size)
            page = self._page(first, stop)
            for seq in range(first, stop):
                if seq:
                    yield seq - 1, before, page.get(seq)
                before = page.get(seq)
        if size:
            yield size - 1, before, None

    def _page(self, first: int, stop: int) -> dict[int, store.Row]:
        try:
            found = self._store.rows(first, stop)
        except errors.LogError:  # one bad row hides its page: find it
            singles = (self._found.guarded("entry", seq, self._store.rows, seq, seq + 1) for seq in range(first, stop))
            found = [row for single in singles for row in single or []]
        return {row.seq: row for row in found}

    def _entry(self, seq: int, row: store.Row | None, following: store.Row | None) -> None:
        if row is None:
            self._found.add("entry", seq, "the row is missing")
            self._grow(_prev(following) or leaf.NO_HEAD)
            return
        self._counts["bytes"] += len(row.leaf)
        if merkle.leaf_hash(row.leaf) == row.hash:
            self._found.guarded("entry", seq, rows.checked, row, self._prev)
            self._grow(row.hash.hex())
        else:
            self._found.add("entry", seq, "the leaf does not have its stored hash")
            named, hashes = _prev(following), (row.hash.hex(), merkle.leaf_hash(row.leaf).hex())
            self._grow(named if named is not None and named in hashes else hashes[0])

    def _grow(self, digest: str) -> None:
        self._prev = digest
        for node in self._edge.append(bytes.fromhex(digest)):
            self._counts["nodes"] += 1
            self._found.guarded("node", None, nodes.check, self._store, node)

    def _promised(self) -> None:
        """What is promised of the tree at its size so far."""
        while self._note is not None and self._note[0] <= self._edge.size:
            size, data = self._note
            self._counts["notes"] += 1
            self._found.guarded("note", size - 1 if size else None, self._check_note, size, data)
            self._note = next(self._notes, None)
        if self._promise is not None and self._promise.size == self._edge.size:
            self._found.guarded(
                "published", self._edge.size - 1 if self._edge.size else None, self._same, self._promise
            )

    def _check_note(self, size: int, data: bytes) -> None:
        self._same(promises.parse(data, self._origin, size))
        if self._verifiers:
            note.open(data, self._verifiers)

    def _same(self, promise: checkpoint.LogCheckpoint) -> None:
        root = self._edge.root()
        if root != promise.root:
            self._doubted = self._doubted or promise is self._promise
            raise errors.CorruptError(
                f"root {promise.root.hex()} is signed at size {promise.size}, the entries have {root.hex()}"
            )

    def _beyond(self, size: int) -> None:
        """What is stored or promised beyond the last entry."""
        while self._note is not None:
            self._found.add(
                "note", None, f"a checkpoint of size {self._note[0]} is signed, the store has {size} entries"
            )
            self._note = next(self._notes, None)
        if self._promise is not None and self._promise.size > size:
            self._found.add("published", None, f"{self._promise.size} entries are published, the store has {size}")
        elif (
            self._promise is not None
            and not self._doubted
            and not self._found.guarded("note", None, self._store.note, self._promise.size)
        ):
            self._found.add("note", None, f"no note is stored for the published size {self._promise.size}")
        count = self._found.guarded("node", None, self._store.node_count)
        if count is not None and count > self._counts["nodes"]:
            self._found.add("node", None, f"{count} nodes are stored, expected {self._counts['nodes']}")

    def _read_notes(self) -> Iterator[tuple[int, bytes]]:
        start: int | None = _LEAST
        while start is not None:
            page = self._found.guarded("note", None, self._store.notes, start, rows.PAGE) or []
            yield from page
            start = page[-1][0] + 1 if page else None


def _prev(row: store.Row | None) -> str | None:
    """The hash of the leaf before that a row's leaf names; None where it names none."""
    if row is None:
        return None
    try:
        match canonical.decode(row.leaf, limit=leaf.MAX_BYTES):
            case {"prev": str(prev)} if _HEX64.fullmatch(prev):
                return prev
    except errors.StatementError:
        pass
    return None

"""Publication: the log written as static files into a folder, for any file server to hand out.

Bundles and tiles come first and the checkpoint last, each synced before it gets its name, so the folder is a complete log
at every moment, whenever the publisher is killed. Every file but `checkpoint` is a function of the log and never changes:
whoever publishes the same log writes the same bytes.

Reference: C2SP tlog-tiles; docs/protocol.md P19.
"""

import contextlib
import fcntl
import os
from collections.abc import Iterator, Sequence
from pathlib import Path

from ledger import checkpoint, durable, errors, leaf, log, note, tiles

CHECKPOINT = "checkpoint"
_TEMPORARY = "publishing.tmp"


def publish(record: log.Log, folder: Path) -> checkpoint.LogCheckpoint:
    """The newest checkpoint of the log, which the folder now serves with all the files it stands for.

    Work and reading are in proportion to what is new since the folder's checkpoint. A file that is there already is compared.
    Partial tiles are removed once the full tile is published; those a kill leaves behind are harmless.

    Args:
        record: A log that has signed a checkpoint.
        folder: Where to publish, made if it is not there; one publisher at a time, a second waits.

    Raises:
        RollbackError: The folder serves a checkpoint that is no prefix of this log's newest one.
        CorruptError: The folder holds other bytes than the log's in a file that never changes, or the log does not lead to
            the root it signed. The folder serves what it served before.
        LogError: Nothing was signed yet, or the file system refused. Publish again.

    Reference: C2SP tlog-tiles; docs/protocol.md P19.
    """
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with _locked(folder):
            return _Publication(record, folder).run()
    except OSError as error:
        raise errors.LogError(f"{folder} cannot be published to: {error}") from error


class _Publication:
    """One run of a publisher, from what the folder serves to what the log has signed."""

    def __init__(self, record: log.Log, folder: Path) -> None:
        notes = record.notes()
        if not notes:
            raise errors.LogError("the log has signed no checkpoint, expected one to publish")
        self._record = record
        self._folder = folder
        self._signed = {size for size, _ in notes}
        self._note = notes[-1][1]
        self._newest = _parsed(self._note)
        self._before = self._served()
        self._full: list[tiles.Tile] = []
        self._touched = {folder}

    def run(self) -> checkpoint.LogCheckpoint:
        edge = self._edge()
        self._extend(edge)
        if edge.root() != self._newest.root:
            found, expected = edge.root().hex(), self._newest.root.hex()
            raise errors.CorruptError(
                f"the log leads to root {found} at size {edge.size}, expected the signed {expected}"
            )
        for touched in sorted(self._touched):
            durable.sync(touched)
        if _read(self._folder / CHECKPOINT, note.MAX_BYTES) != self._note:
            self._replace(self._folder / CHECKPOINT, self._note)
            durable.sync(self._folder)
        for tile in self._full:
            self._remove_partial(tile)
        return self._newest

    def _served(self) -> checkpoint.LogCheckpoint | None:
        data = _read(self._folder / CHECKPOINT, note.MAX_BYTES)
        served = None if data is None else _parsed(data)
        if served is not None and (served.origin != self._newest.origin or served.size > self._newest.size):
            ours = f"{self._newest.origin} has signed {self._newest.size}: this is another log, or an older copy of it"
            raise errors.RollbackError(f"{self._folder} serves {served.size} entries of {served.origin}, but {ours}")
        return served

    def _edge(self) -> tiles.Edge:
        """The edge of the tree that the folder serves, proven by its checkpoint."""
        if self._before is None:
            return tiles.Edge(0, [])
        size = self._before.size
        rows: list[Sequence[bytes]] = [[] for _ in range(size.bit_length())]
        for tile in tiles.partial(size):
            rows[tile.level or 0] = self._hashes(tile)
        edge = tiles.Edge(size, rows)
        if edge.root() != self._before.root:
            message = (
                f"{self._folder} holds root {edge.root().hex()} at size {size}, expected {self._before.root.hex()}"
            )
            raise errors.CorruptError(f"{message} of its checkpoint")
        return edge

    def _extend(self, edge: tiles.Edge) -> None:
        before = edge.size
        # From the last bundle that the folder has: its entries show that this log goes on from there.
        first = max(before - 1, 0) // tiles.WIDTH
        served = self._hashes(_tile(before, 0, first)) if before else []
        leaves: list[bytes] = []
        for entry in self._record.entries(first * tiles.WIDTH, self._newest.size):
            leaves.append(entry.leaf)
            if entry.seq < before:
                self._check_prefix(entry, served)
            else:
                for tile, data in edge.append(entry.hash):
                    self._write(tile, data)
            if entry.seq + 1 > before and (entry.seq + 1 in self._signed or len(leaves) == tiles.WIDTH):
                self._write_edge(edge, leaves)
            if len(leaves) == tiles.WIDTH:
                leaves.clear()

    def _check_prefix(self, entry: leaf.Entry, served: Sequence[bytes]) -> None:
        known = served[entry.seq % tiles.WIDTH]
        if entry.hash != known:
            message = f"{self._folder} serves entry {entry.seq} as {known.hex()}, the log has {entry.hash.hex()}"
            raise errors.RollbackError(f"{message}: one of them is of another history")

    def _write_edge(self, edge: tiles.Edge, leaves: Sequence[bytes]) -> None:
        """The last bundle, and where a checkpoint was signed, the partial tiles that are still partial at the end."""
        bundle = tiles.Tile(level=None, index=(edge.size - 1) // tiles.WIDTH, width=len(leaves))
        parts = edge.partial() if edge.size in self._signed else []
        for tile, data in [(bundle, tiles.bundle(leaves)), *parts]:
            final = tiles.width(self._newest.size, tile.level or 0, tile.index)
            if tile.width == tiles.WIDTH or final < tiles.WIDTH:
                self._write(tile, data)

    def _hashes(self, tile: tiles.Tile) -> list[bytes]:
        data = _read(self._folder / tile.path, tile.most_bytes)
        if data is None:
            raise errors.CorruptError(f"{self._folder} lacks {tile.path}, expected it beside its checkpoint")
        return tiles.split(data, tile.width)

    def _write(self, tile: tiles.Tile, data: bytes) -> None:
        path = self._folder / tile.path
        if tile.width == tiles.WIDTH:
            self._full.append(tile)
        # Its name may not be durable yet, even if it is there already: its writer may have been killed before the sync.
        self._touched.update(parent for parent in path.parents if parent.is_relative_to(self._folder))
        found = _read(path, len(data))
        if found is None:
            path.parent.mkdir(parents=True, exist_ok=True)
            self._replace(path, data)
        elif found != data:
            raise errors.CorruptError(f"{path} is not the log's, expected the {len(data)} bytes that it had once")

    def _replace(self, path: Path, data: bytes) -> None:
        temporary = self._folder / _TEMPORARY
        with temporary.open("wb") as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
        temporary.replace(path)

    def _remove_partial(self, tile: tiles.Tile) -> None:
        parts = self._folder / f"{tile.path}.p"
        if parts.is_dir():
            for path in parts.iterdir():
                path.unlink()
            parts.rmdir()


def _tile(size: int, level: int, index: int) -> tiles.Tile:
    return tiles.Tile(level=level, index=index, width=tiles.width(size, level, index))


def _parsed(data: bytes) -> checkpoint.LogCheckpoint:
    try:
        return checkpoint.LogCheckpoint.parse(note.split(data)[0])
    except errors.StatementError as error:
        raise errors.CorruptError(f"the checkpoint is damaged: {error}") from error


def _read(path: Path, limit: int) -> bytes | None:
    """The file's bytes, at most one more than `limit`; None if it is not there."""
    try:
        with path.open("rb") as file:
            return file.read(limit + 1)
    except FileNotFoundError:
        return None


@contextlib.contextmanager
def _locked(folder: Path) -> Iterator[None]:
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX)
        yield
    finally:
        os.close(descriptor)

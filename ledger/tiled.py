"""The log as its readers see it: published files, each proven by the checkpoint before anything of it is handed on.

The checkpoint's root proves the partial tiles, for together they hold all that the root is made of; a tile proves the 256
full ones below it; a tile of level 0 proves its bundle of entries. So an auditor needs the files and a key, no database,
and the memory of one bundle.

Reference: C2SP tlog-tiles; docs/protocol.md P19.
"""

import collections
from collections.abc import Callable, Iterator, Sequence
from typing import Self

from ledger import checkpoint, errors, leaf, merkle, note, source, tiles

_KEPT = 32
"""Proven tiles to remember: all levels of a walk through the entries, several times over."""


class TiledLog:
    """A published log at one checkpoint; what is published later is not seen."""

    def __init__(self, fetch: source.Source, served: bytes, promise: checkpoint.LogCheckpoint) -> None:
        self._fetch = fetch
        self._proven: collections.OrderedDict[tuple[int, int], Sequence[bytes]] = collections.OrderedDict()
        self.note = served
        self.checkpoint = promise
        self._node = tiles.node(self._row)
        self._edge = {tile.level or 0: self._hashes(tile) for tile in tiles.partial(promise.size)}
        found = merkle.root(promise.size, tiles.node(lambda level, _: self._edge[level]))
        if found != promise.root:
            raise errors.CorruptError(f"the partial tiles lead to root {found.hex()}, expected {promise.root.hex()}")

    @classmethod
    def open(cls, fetch: source.Source, verify: Callable[[bytes], checkpoint.LogCheckpoint]) -> Self:
        """The log that is published there, as of its newest checkpoint, whose partial tiles are proven.

        Whether the log has grown from an older checkpoint, `consistency` tells.

        Args:
            fetch: Where its files are.
            verify: The checkpoint of a note, or a refusal, such as `checkpoint.verify` with a log's name and key.

        Raises:
            StatementError: The checkpoint is none, or one of another log.
            SignatureError: It is not signed as it has to be.
            CorruptError: Files are missing, or do not lead to the checkpoint's root.
            LogError: A file cannot be fetched.

        Reference: C2SP tlog-tiles; docs/protocol.md P19.
        """
        served = fetch("checkpoint", note.MAX_BYTES)
        if served is None:
            raise errors.CorruptError("no log is published here, expected the file checkpoint")
        return cls(fetch, served, verify(served))

    @property
    def size(self) -> int:
        """Number of entries."""
        return self.checkpoint.size

    @property
    def head(self) -> str:
        """Hex hash of the last leaf, 64 zeros in an empty log."""
        return self._head(self.size)

    def node(self, level: int, index: int) -> bytes:
        """The root over the 2^level leaves from index * 2^level on.

        Raises:
            ProofError: The log has fewer entries.
            CorruptError: A tile is missing or not proven.
        """
        if not 0 <= index < self.size >> level:
            raise errors.ProofError(f"a log of {self.size} entries, expected {(index + 1) << level}")
        return self._node(level, index)

    def root(self, size: int | None = None) -> bytes:
        """The root of the log when it had `size` entries, or has now.

        Raises:
            ProofError: It never had as many.
            CorruptError: A tile is missing or not proven.
        """
        return merkle.root(self.size if size is None else size, self.node)

    def inclusion(self, index: int, size: int | None = None) -> list[bytes]:
        """The audit path of an entry in the log of `size` entries, or as it is now.

        Raises:
            ProofError: There is no such entry.
            CorruptError: A tile is missing or not proven.
        """
        return merkle.inclusion_proof(index, self.size if size is None else size, self.node)

    def consistency(self, old: int, new: int | None = None) -> list[bytes]:
        """The proof that the log of `old` entries is a prefix of that of `new`, or of what it is now.

        Raises:
            ProofError: `old` is larger.
            CorruptError: A tile is missing or not proven.
        """
        return merkle.consistency_proof(old, self.size if new is None else new, self.node)

    def entries(self, start: int = 0, stop: int | None = None) -> Iterator[leaf.Entry]:
        """The entries from `start` to before `stop` or the end, each proven, and chained to the one before it.

        Args:
            start: First position, >= 0.
            stop: Position to stop before; None, or one beyond the end, for the size.

        Yields:
            Entries in order; one bundle at a time is in memory.

        Raises:
            CorruptError: At the first entry that is missing, or is not what the checkpoint promises.
            LogError: A file cannot be fetched.

        Reference: docs/protocol.md P19.
        """
        last = self.size if stop is None else min(stop, self.size)
        prev = self._head(start) if start < last else leaf.NO_HEAD
        for index in range(start // tiles.WIDTH, -(-last // tiles.WIDTH)):
            for seq, data in enumerate(self._leaves(index), start=index * tiles.WIDTH):
                if start <= seq < last:
                    entry = _entry(seq, data, prev)
                    prev = entry.hash.hex()
                    yield entry

    def _head(self, size: int) -> str:
        return self.node(0, size - 1).hex() if size else leaf.NO_HEAD

    def _leaves(self, index: int) -> list[bytes]:
        """The leaves of a bundle, each with the hash that the proven tile says."""
        hashes = self._row(0, index)
        leaves = self._bundle(tiles.Tile(level=None, index=index, width=len(hashes)))
        for position, (data, expected) in enumerate(zip(leaves, hashes, strict=True)):
            if merkle.leaf_hash(data) != expected:
                seq = index * tiles.WIDTH + position
                message = f"the bundle has leaf {merkle.leaf_hash(data).hex()}, expected {expected.hex()}"
                raise errors.CorruptError(message, seq=seq)
        return leaves

    def _bundle(self, tile: tiles.Tile) -> list[bytes]:
        data = self._fetch(tile.path, tile.most_bytes)
        if data is not None:
            return tiles.unbundle(data, tile.width)
        return tiles.unbundle(self._fallback(tile), tiles.WIDTH)[: tile.width]

    def _row(self, level: int, index: int) -> Sequence[bytes]:
        """The hashes of a tile, proven by the tile above it or by being at the edge."""
        if tiles.width(self.size, level, index) < tiles.WIDTH:
            return self._edge[level]
        key = (level, index)
        if key not in self._proven:
            above, place = divmod(index, tiles.WIDTH)
            expected = self._row(level + 1, above)[place]
            tile = tiles.Tile(level=level, index=index, width=tiles.WIDTH)
            hashes = self._hashes(tile)
            if merkle.fold(hashes) != expected:
                raise errors.CorruptError(
                    f"{tile.path} hashes to {merkle.fold(hashes).hex()}, expected {expected.hex()}"
                )
            self._proven[key] = hashes
        self._proven.move_to_end(key)
        while len(self._proven) > _KEPT:
            self._proven.popitem(last=False)
        return self._proven[key]

    def _hashes(self, tile: tiles.Tile) -> list[bytes]:
        data = self._fetch(tile.path, tile.most_bytes)
        if data is not None:
            return tiles.split(data, tile.width)
        return tiles.split(self._fallback(tile), tiles.WIDTH)[: tile.width]

    def _fallback(self, tile: tiles.Tile) -> bytes:
        # A log may drop a partial file once the full one is there, so the full one is asked for when it is missing.
        full = tile.full
        data = self._fetch(full.path, full.most_bytes) if tile != full else None
        if data is None:
            raise errors.CorruptError(f"{tile.path} is missing, expected it for a log of {self.size} entries")
        return data


def _entry(seq: int, data: bytes, prev: str) -> leaf.Entry:
    try:
        return leaf.Entry.parse(data, seq=seq, prev=prev)
    except errors.StatementError as error:
        raise errors.CorruptError(f"it is no leaf in this place: {error}", seq=seq) from error

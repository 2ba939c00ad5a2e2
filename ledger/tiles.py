"""Tiles: the log as static files, 256 hashes or 256 entries in each.

::

    checkpoint                      the last note
    tile/<L>/<N>[.p/<W>]            hashes of level L from 256 N on, 32 bytes each; those of level L stand over 256^L leaves
    tile/entries/<N>[.p/<W>]        the leaves from 256 N on, each after its length as big-endian uint16

N is written in groups of three digits, all but the last after an `x`: 1234067 is `x001/x234/067`. A full file has W = 256
hashes and no suffix; the last one of a level is partial, and there is none of width 0.

Reference: C2SP tlog-tiles; docs/protocol.md P19.
"""

import re
import struct
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Self, TypeAlias

from ledger import errors, leaf, merkle

WIDTH = 256
HEIGHT = 8
MAX_LEVEL = 63

_HASH = 32
_LENGTH = 2
_PATH = re.compile(r"tile/(entries|0|[1-9][0-9]?)/((?:x[0-9]{3}/)*[0-9]{3})(?:\.p/([1-9][0-9]{0,2}))?")

Row: TypeAlias = Callable[[int, int], Sequence[bytes]]
"""row(level, index): the hashes of a tile, by the tile's level and index."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Tile:
    """Which file of the log: `level` None is a bundle of entries, `width` 256 a full one."""

    level: int | None
    index: int
    width: int

    def __post_init__(self) -> None:
        if not (0 <= (self.level or 0) <= MAX_LEVEL and self.index >= 0 and 1 <= self.width <= WIDTH):
            raise errors.StatementError(f"{self}, expected a level up to {MAX_LEVEL} and a width of 1 to {WIDTH}")

    @classmethod
    def parse(cls, path: str) -> Self:
        """The tile of a path.

        Raises:
            StatementError: Anything but the one path of a tile.

        Reference: C2SP tlog-tiles, "Merkle Tree" and "Log entries"; docs/protocol.md P19.
        """
        found = _PATH.fullmatch(path)
        if found is None:
            raise errors.StatementError(f"path {path[:100]!r}, expected tile/<level or entries>/<index>[.p/<width>]")
        level, index, width = found.groups()
        tile = cls(
            level=None if level == "entries" else int(level),
            index=int(index.replace("x", "").replace("/", "")),
            width=int(width or WIDTH),
        )
        if tile.path != path:
            raise errors.StatementError(f"path {path[:100]!r}, expected {tile.path}", code="non-canonical")
        return tile

    @property
    def path(self) -> str:
        """Where the file lies, below the folder or URL of the log."""
        digits = f"{self.index:03d}"
        digits = digits.zfill(-(-len(digits) // 3) * 3)
        groups = [digits[at : at + 3] for at in range(0, len(digits), 3)]
        name = "entries" if self.level is None else str(self.level)
        suffix = "" if self.width == WIDTH else f".p/{self.width}"
        return "/".join(["tile", name, *(f"x{group}" for group in groups[:-1]), groups[-1] + suffix])

    @property
    def most_bytes(self) -> int:
        """The most bytes that the file can have; a tile of hashes has exactly as many."""
        return self.width * (_HASH if self.level is not None else _LENGTH + leaf.MAX_BYTES)

    @property
    def full(self) -> Self:
        """The full tile that takes the place of this one as the log grows."""
        return type(self)(level=self.level, index=self.index, width=WIDTH)


def count(size: int, level: int) -> int:
    """How many hashes level `level` has in a log of `size` entries: its perfect subtrees of 256^level leaves."""
    return size >> HEIGHT * level


def width(size: int, level: int, index: int) -> int:
    """How many hashes the tile has in a log of `size` entries: 256, fewer in a partial one, 0 where there is none."""
    return min(max(count(size, level) - index * WIDTH, 0), WIDTH)


def partial(size: int) -> list[Tile]:
    """The partial tiles of hashes of a log of `size` entries, the lowest level first."""
    levels = range((size.bit_length() + HEIGHT - 1) // HEIGHT)
    counts = ((level, divmod(count(size, level), WIDTH)) for level in levels)
    return [Tile(level=level, index=index, width=rest) for level, (index, rest) in counts if rest]


def files(size: int) -> Iterator[Tile]:
    """Every file of a log of `size` entries but `checkpoint`: the bundles of entries, then the tiles of each level from 0 on.

    Args:
        size: Entries; any number, for the files are told as they are taken.
    """
    levels = (size.bit_length() + HEIGHT - 1) // HEIGHT
    for level in (None, *range(levels)):
        for index in range(-(-count(size, level or 0) // WIDTH)):
            yield Tile(level=level, index=index, width=width(size, level or 0, index))


def node(row: Row) -> merkle.Node:
    """The nodes of the tree, looked up in the tiles that hold them or what they are hashed from."""

    def found(level: int, index: int) -> bytes:
        tile_level, height = divmod(level, HEIGHT)
        tile_index, first = divmod(index << height, WIDTH)
        return merkle.fold(row(tile_level, tile_index)[first : first + (1 << height)])

    return found


def split(data: bytes, width: int) -> list[bytes]:
    """The hashes of a tile of `width` hashes.

    Raises:
        CorruptError: It has another length.
    """
    if len(data) != _HASH * width:
        raise errors.CorruptError(f"a tile of {len(data)} bytes, expected {width} hashes of {_HASH}")
    return [data[at : at + _HASH] for at in range(0, len(data), _HASH)]


def bundle(leaves: Sequence[bytes]) -> bytes:
    """The bundle of these leaves."""
    return b"".join(struct.pack(">H", len(data)) + data for data in leaves)


def unbundle(data: bytes, width: int) -> list[bytes]:
    """The leaves of a bundle of `width` entries.

    Raises:
        CorruptError: It ends before or goes on after them.

    Reference: C2SP tlog-tiles, "Log entries"; docs/protocol.md P19.
    """
    leaves: list[bytes] = []
    at = 0
    for _ in range(width):
        start = at + _LENGTH
        at = start + int.from_bytes(data[at:start])
        leaves.append(data[start:at])
    if at != len(data):
        raise errors.CorruptError(f"a bundle of {len(data)} bytes, expected its {width} entries to end at {at}")
    return leaves


class Edge:
    """The right edge of a growing tree: of each level, the hashes of the tile that is not full yet."""

    def __init__(self, size: int, rows: Sequence[Sequence[bytes]]) -> None:
        """An edge at `size`, where `rows` are the hashes of each level's partial tile, the lowest level first."""
        self._rows = [list(row) for row in rows]
        self.size = size

    def append(self, leaf_hash: bytes) -> list[tuple[Tile, bytes]]:
        """The tiles that one more leaf fills, with their bytes, the lowest level first."""
        self.size += 1
        filled, carry = [], leaf_hash
        for level in range(MAX_LEVEL + 1):
            if level == len(self._rows):
                self._rows.append([])
            row = self._rows[level]
            row.append(carry)
            if len(row) < WIDTH:
                break
            tile = Tile(level=level, index=count(self.size, level) // WIDTH - 1, width=WIDTH)
            filled.append((tile, b"".join(row)))
            carry = merkle.fold(row)
            row.clear()
        return filled

    def partial(self) -> list[tuple[Tile, bytes]]:
        """The partial tiles with their bytes, the lowest level first."""
        return [(tile, b"".join(self._rows[tile.level or 0])) for tile in partial(self.size)]

    def root(self) -> bytes:
        """The tree's root; all its largest perfect subtrees lie at the edge."""
        return merkle.root(self.size, node(lambda level, _: self._rows[level]))

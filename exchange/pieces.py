"""Bytes in buffers that stand apart, read as one file or in batches of one size: what needs no copy gets none."""

import io
import sys
from collections.abc import Iterable, Iterator
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from _typeshed import WriteableBuffer

Piece = bytes | bytearray | memoryview


class Source(io.RawIOBase):
    """A file of the bytes of `pieces` one after the other, each asked for when the one before is used up.

    A piece may be overwritten by its maker once the next one is asked for.

    Attributes:
        size: the bytes that were read so far.
    """

    def __init__(self, pieces: Iterable[Piece]) -> None:
        super().__init__()
        self._pieces: Iterator[Piece] = iter(pieces)
        self._rest = memoryview(b"")
        self.size = 0

    def readable(self) -> bool:
        """Yes."""
        return True

    def read(self, size: int | None = -1, /) -> bytes:
        """The next `size` bytes, or all of them; fewer only at the end."""
        parts, wanted = [], size if size is not None and size >= 0 else sys.maxsize
        while wanted and self._ready():
            part = self._rest[:wanted]
            # Copied at once: the next piece may take the place of this one, unless it is all of one that cannot change.
            parts.append(part.obj if isinstance(part.obj, bytes) and len(part.obj) == len(part) else bytes(part))
            self._rest = self._rest[len(parts[-1]) :]
            self.size += len(parts[-1])
            wanted -= len(parts[-1])
        return b"".join(parts)

    def readinto(self, target: "WriteableBuffer", /) -> int:
        """Fill `target` with the next bytes, less of it only at the end; how many they are. Each is copied once."""
        count = 0
        with memoryview(target).cast("B") as room:
            while count < len(room) and self._ready():
                part = self._rest[: len(room) - count]
                room[count : count + len(part)] = part
                self._rest = self._rest[len(part) :]
                count += len(part)
        self.size += count
        return count

    def _ready(self) -> bool:
        """Whether a byte is left, the next piece having been taken up if need be."""
        while not self._rest:
            following = next(self._pieces, None)
            if following is None:
                return False
            self._rest = memoryview(following).cast("B")
        return True


def batches(pieces: Iterable[Piece], size: int) -> Iterator[Piece]:
    """The bytes of `pieces` in batches of `size`, the last one shorter; views of them, but where one ends inside a batch."""
    rest: Piece = b""
    for piece in pieces:
        whole = memoryview(piece).cast("B")
        start = 0
        if rest:
            start = min(size - len(rest), len(whole))
            rest = b"".join((rest, whole[:start]))
            if len(rest) < size:
                continue
            yield rest
        end = start + (len(whole) - start) // size * size
        for position in range(start, end, size):
            yield whole[position : position + size]
        rest = bytes(whole[end:])
    if rest:
        yield rest

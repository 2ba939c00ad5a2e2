"""Memory for what is too large to be copied: zeros that take no room until they are written to.

Huge pages are not asked for. Where they lie ready they save a few page faults; where they do not, whoever writes waits until
the kernel has gathered them, or the host of a virtual machine has found them: 0.05 to 1.1 s for 500 MB, ordinary ones 0.2.
"""

import contextlib
import mmap
import sys
from collections.abc import Iterator

LARGE = 1 << 20  # bytes; below that there is nothing to gain


def zeros(size: int) -> memoryview:
    """`size` bytes that may be written to, freed with the last view of them; MemoryError if the system has no such room."""
    if size < LARGE or sys.platform != "linux":
        return memoryview(bytearray(size))
    # Private, so that huge pages are used where the system gives them to all; shared, it would be a file in memory.
    try:
        region = mmap.mmap(-1, size, flags=mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS)
    except (OSError, OverflowError) as error:
        raise MemoryError(f"no room for {size} bytes") from error
    return memoryview(region)


class Kept:
    """Memory that is lent again and again: fresh pages cost more than the work that is done in them every round.

    One piece is kept, of at most `most` bytes; whoever asks for more, or while it is lent, gets fresh memory. Thread-safe.
    """

    def __init__(self, *, most: int) -> None:
        self._most = most
        self._free: list[memoryview] = []

    @contextlib.contextmanager
    def lent(self, size: int) -> Iterator[memoryview]:
        """`size` bytes that hold anything, until this ends: no view of them may be used after; MemoryError as `zeros`."""
        try:
            room = self._free.pop()
        except IndexError:
            room = memoryview(bytearray())
        if len(room) < size:
            room = zeros(size)
        try:
            yield room[:size]
        finally:
            if len(room) <= self._most and not self._free:
                self._free.append(room)

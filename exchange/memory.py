"""Memory for what is too large to be copied: zeros that take no room until they are written to.

On Linux huge pages are asked for. It is page faults that filling fresh memory costs, and a huge page is one instead of 512.
"""

import mmap
import sys

HUGE = 2 << 20  # bytes of a huge page on most machines; below that there is nothing to gain


def zeros(size: int) -> memoryview:
    """`size` bytes that may be written to, freed with the last view of them; MemoryError if the system has no such room."""
    if size < HUGE or sys.platform != "linux":
        return memoryview(bytearray(size))
    # Shared, which is the default, there are none: it would be a file in memory.
    try:
        region = mmap.mmap(-1, size, flags=mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS)
    except (OSError, OverflowError) as error:
        raise MemoryError(f"no room for {size} bytes") from error
    region.madvise(mmap.MADV_HUGEPAGE)
    return memoryview(region)

"""Memory for large results: zeros, that may be written to."""

import mmap
import sys
from pathlib import Path

import pytest

from exchange import memory


@pytest.mark.parametrize("size", [0, 1, memory.LARGE - 1, memory.LARGE, memory.LARGE + 4097])
def test_memory_is_zeros_that_may_be_written_to(size: int) -> None:
    """Of whatever size, it is there to its last byte, and all of it is zero at first."""
    view = memory.zeros(size)
    assert (len(view), view.readonly, bytes(view)) == (size, False, bytes(size))
    view[-1:] = b"x"[:size]
    assert bytes(view[-1:]) == b"x"[:size]


@pytest.mark.skipif(sys.platform != "linux", reason="elsewhere zeros are written at once")
def test_memory_takes_no_room_until_it_is_written_to() -> None:
    """12: an announced size of gigabytes costs nothing while the bytes do not come; one beyond all reason is a MemoryError."""
    before = resident()
    view = memory.zeros(1 << 34)
    view[1 << 33] = 1
    assert resident() - before < 16 << 20
    with pytest.raises(MemoryError, match="no room"):
        memory.zeros(1 << 62)
    with pytest.raises(MemoryError, match="no room"):
        memory.zeros(1 << 70)


def test_kept_memory_is_lent_to_one_at_a_time() -> None:
    """Who asks next gets the same memory; who asks while it is lent, or for more than is kept, gets memory of its own."""
    kept = memory.Kept(most=1 << 21)
    with kept.lent(1 << 20) as first, kept.lent(1 << 20) as second:
        first[:1], second[:1] = b"1", b"2"
        assert bytes(first[:1]) == b"1"
    with kept.lent(10) as again:
        assert bytes(again[:1]) == b"2"  # given back first
        assert len(again) == 10
    with kept.lent((1 << 21) + 1) as large:
        large[:1] = b"3"
    with kept.lent(1) as fresh:
        assert bytes(fresh) == b"\0"


def resident() -> int:
    """The bytes that this process holds in memory."""
    return int(Path("/proc/self/statm").read_text().split()[1]) * mmap.PAGESIZE

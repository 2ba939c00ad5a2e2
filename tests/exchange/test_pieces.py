"""Bytes in buffers that stand apart: read as if they were joined, and not copied where they need not be."""

from hypothesis import given
from hypothesis import strategies as st

from exchange import pieces

buffers = st.lists(st.binary(max_size=40), max_size=6)


@given(buffers, st.lists(st.integers(0, 30), max_size=20))
def test_reading_gives_the_joined_bytes(parts: list[bytes], sizes: list[int]) -> None:
    """Reads of any sizes give the bytes in order, each read short only at the end; the size counts them."""
    source, joined = pieces.Source(parts), b"".join(parts)
    position = 0
    for size in sizes:
        assert source.read(size) == joined[position : position + size]
        position = min(position + size, len(joined))
        assert source.size == position
    assert source.read() == joined[position:]
    assert (source.size, source.read(1), source.readable()) == (len(joined), b"", True)


def test_a_piece_may_be_overwritten_when_the_next_is_asked_for() -> None:
    """Whoever makes the pieces may use one buffer for all of them."""
    buffer = bytearray(4)

    def made():
        for number in range(3):
            buffer[:] = bytes([number]) * 4
            yield memoryview(buffer)

    assert pieces.Source(made()).read(10) == b"\0\0\0\0\1\1\1\1\2\2"


@given(buffers, st.integers(1, 17))
def test_batches_are_the_joined_bytes_cut_anew(parts: list[bytes], size: int) -> None:
    """All batches but the last have the size asked for, none is empty, and no byte is lost."""
    made = [bytes(batch) for batch in pieces.batches(parts, size)]
    assert b"".join(made) == b"".join(parts)
    assert all(len(batch) == size for batch in made[:-1])
    assert all(made)


def test_a_large_piece_is_cut_and_not_copied() -> None:
    """Behind a short header that fills up the first batch, all further batches but the last are views of the tensors."""
    data = bytes(range(64))
    made = list(pieces.batches([b"head", data], 16))
    assert [getattr(batch, "obj", None) is data for batch in made] == [False, True, True, True, False]

"""The payload of an age file: every chunk in its place, the last one marked."""

import os

import pytest
from hypothesis import given
from hypothesis import strategies as st

from exchange import errors, stream

KEY, NONCE = b"YELLOW SUBMARINE", bytes(16)
SIZES = [0, 1, stream.CHUNK - 1, stream.CHUNK, stream.CHUNK + 1, 2 * stream.CHUNK, 2 * stream.CHUNK + 7]


def seal(plaintext: bytes, *, last: bool = True) -> bytes:
    sealed = bytearray(stream.sealed_size(len(plaintext)))
    stream.Stream(KEY, NONCE).seal(memoryview(plaintext), memoryview(sealed), last=last)
    return bytes(sealed)


def unseal(sealed: bytes) -> bytes:
    plaintext = bytearray(stream.opened_size(len(sealed)))
    stream.Stream(KEY, NONCE).open(memoryview(sealed), memoryview(plaintext), last=True)
    return bytes(plaintext)


@pytest.mark.parametrize("size", SIZES)
def test_open_inverts_seal(size: int) -> None:
    """Payloads of no byte, and on both sides of each border between chunks, come back whole."""
    plaintext = os.urandom(size)
    assert unseal(seal(plaintext)) == plaintext


@given(st.integers(0, 10 * stream.CHUNK))
def test_sizes_are_inverse(size: int) -> None:
    """The size of a plaintext follows from the size of its payload."""
    assert stream.opened_size(stream.sealed_size(size)) == size


@pytest.mark.parametrize("size", [0, 1, 15, stream.SEALED_CHUNK + 1, stream.SEALED_CHUNK + 15])
def test_sizes_that_no_payload_has_are_refused(size: int) -> None:
    """2: a payload that ends before or inside a tag is refused by its size."""
    with pytest.raises(errors.SealError, match="truncated"):
        stream.opened_size(size)


def test_pieces_give_the_same_bytes_as_the_whole() -> None:
    """A payload sealed piece by piece, as files are, is the payload sealed at once."""
    plaintext = os.urandom(3 * stream.CHUNK + 5)
    payload, pieces = stream.Stream(KEY, NONCE), b""
    for start in range(0, len(plaintext), stream.CHUNK):
        piece = memoryview(plaintext)[start : start + stream.CHUNK]
        sealed = bytearray(stream.sealed_size(len(piece)))
        payload.seal(piece, memoryview(sealed), last=start + stream.CHUNK >= len(plaintext))
        pieces += sealed
    assert pieces == seal(plaintext)


def test_an_empty_chunk_after_others_is_refused() -> None:
    """A payload whose last chunk is empty is refused although its tag is right: it has a shorter form."""
    payload = stream.Stream(KEY, NONCE)
    sealed = bytearray(stream.SEALED_CHUNK + stream.TAG)
    payload.seal(memoryview(bytes(stream.CHUNK)), memoryview(sealed)[: stream.SEALED_CHUNK], last=False)
    payload.seal(memoryview(b""), memoryview(sealed)[stream.SEALED_CHUNK :], last=True)
    with pytest.raises(errors.SealError, match="chunk 1 is empty"):
        unseal(bytes(sealed))


def test_a_payload_that_goes_on_is_not_taken_for_whole() -> None:
    """2: a chunk that is not marked as the last one is refused where the payload ends."""
    with pytest.raises(errors.SealError, match="chunk 0"):
        unseal(seal(b"more to come", last=False))

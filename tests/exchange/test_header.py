"""The header of an age file: one byte form, within its limits."""

import io

import pytest
from hypothesis import given
from hypothesis import strategies as st

from exchange import errors, header

FILE_KEY = b"YELLOW SUBMARINE"
words = st.text(st.characters(min_codepoint=33, max_codepoint=126), min_size=1, max_size=12)
stanzas = st.builds(
    lambda args, body: header.Stanza(args=tuple(args), body=body),
    st.lists(words, min_size=1, max_size=4),
    st.binary(max_size=150),
)
HEAD = header.encode(FILE_KEY, [header.Stanza(args=("test", "x"), body=bytes(range(50)))])


@given(st.lists(stanzas, min_size=1, max_size=5), st.binary(max_size=10))
def test_parse_inverts_encode(entries: list[header.Stanza], rest: bytes) -> None:
    """Any stanzas survive, the MAC verifies, and the source is left at the byte after the header."""
    data = header.encode(FILE_KEY, entries)
    source = io.BytesIO(data + rest)
    parsed = header.parse(source)
    parsed.verify(FILE_KEY)
    assert parsed.stanzas == tuple(entries)
    assert source.read() == rest
    assert header.encode(FILE_KEY, parsed.stanzas) == data


@pytest.mark.parametrize("size", [0, 47, 48, 49, 95, 96, 97])
def test_bodies_end_with_a_short_line(size: int) -> None:
    """A body that fills its last line of 64 columns (48 bytes) is followed by an empty line, as the specification asks."""
    lines = header.encode(FILE_KEY, [header.Stanza(args=("t",), body=bytes(size))]).split(b"\n")
    body = lines[2:-2]
    assert [len(line) for line in body[:-1]] == [64] * (size // 48)
    assert len(body[-1]) < 64


@given(st.integers(0, len(HEAD) - 1), st.integers(0, 7))
def test_every_bit_counts(position: int, bit: int) -> None:
    """1: a header with one bit flipped anywhere does not parse, or its MAC does not verify."""
    flipped = bytearray(HEAD)
    flipped[position] ^= 1 << bit
    with pytest.raises(errors.SealError):
        header.parse(io.BytesIO(flipped)).verify(FILE_KEY)


@given(st.integers(0, len(HEAD) - 1))
def test_every_truncation_is_noticed(length: int) -> None:
    """2: a header that ends early, at whatever byte, is refused."""
    with pytest.raises(errors.SealError):
        header.parse(io.BytesIO(HEAD[:length]))


@given(st.binary(max_size=200))
def test_garbage_is_refused_with_a_typed_error(garbage: bytes) -> None:
    """Bytes that follow a right first line either parse, which random ones never do, or are refused with our error."""
    with pytest.raises(errors.SealError):
        header.parse(io.BytesIO(header.VERSION + garbage))


def test_another_file_key_does_not_verify() -> None:
    """A header made with another file key fails its MAC."""
    with pytest.raises(errors.SealError, match="MAC"):
        header.parse(io.BytesIO(HEAD)).verify(bytes(16))


@pytest.mark.parametrize("args", [(), ("",), ("a b",), ("a", "\n"), ("a", "é"), ("\x7f",)])
def test_arguments_are_printable_words(args: tuple[str, ...]) -> None:
    """No stanza can be made whose arguments would be read back as something else."""
    with pytest.raises(errors.SealError, match="arguments"):
        header.Stanza(args=args, body=b"")


def test_a_flood_of_stanzas_is_refused() -> None:
    """7: the 65th stanza is refused, by the writer and by the reader, and 64 are accepted by both."""
    stanza = header.Stanza(args=("X",), body=b"")
    full = header.encode(FILE_KEY, [stanza] * 64)
    assert len(header.parse(io.BytesIO(full)).stanzas) == 64
    with pytest.raises(errors.SealError, match="65 stanzas"):
        header.encode(FILE_KEY, [stanza] * 65)
    flood = header.VERSION + b"-> X\n\n" * 65
    with pytest.raises(errors.SealError, match="more than 64"):
        header.parse(io.BytesIO(flood + b"--- " + b"A" * 43 + b"\n"))


def test_a_header_without_recipients_is_refused() -> None:
    """A header needs a stanza, for the writer and the reader."""
    with pytest.raises(errors.SealError, match="0 stanzas"):
        header.encode(FILE_KEY, [])
    with pytest.raises(errors.SealError, match="0 stanzas"):
        header.parse(io.BytesIO(header.VERSION + b"--- " + b"A" * 43 + b"\n"))


def test_a_header_of_exactly_64_kib_is_the_largest() -> None:
    """7: the limit on the header is the same for writer and reader, to the byte."""
    # Version 22, "-> " + type + newline 5, body, "--- " + MAC + newline 48.
    lines, rest = divmod(header.MAX_HEADER - 22 - 5 - 48, 65)
    characters = lines * 64 + rest - 1  # the last, shorter line has a newline too
    body = bytes(characters * 3 // 4)
    largest = header.encode(FILE_KEY, [header.Stanza(args=("X",), body=body)])
    assert header.MAX_HEADER - 4 < len(largest) <= header.MAX_HEADER
    header.parse(io.BytesIO(largest)).verify(FILE_KEY)
    with pytest.raises(errors.SealError, match="at most 65536"):
        header.encode(FILE_KEY, [header.Stanza(args=("X",), body=body + bytes(3))])


@pytest.mark.parametrize("flood", [b"-> X\n" + b"A" * 64 + b"\n", b"-> " + b"X" * 100])
def test_an_endless_header_is_read_no_further_than_the_limit(flood: bytes) -> None:
    """7: a header of megabytes, in one line or in many, is refused after 64 KiB, whatever follows."""
    source = io.BytesIO(header.VERSION + flood + (b"A" * 64 + b"\n" if b"\n" in flood else b"X") * 100_000)
    with pytest.raises(errors.SealError, match="longer than 65536"):
        header.parse(source)
    assert source.tell() == header.MAX_HEADER


@pytest.mark.parametrize("length", [65, 68, 128])
def test_a_line_of_a_body_has_64_columns_at_most(length: int) -> None:
    """A body in longer lines is another spelling of the same header, and refused."""
    text = header.VERSION + b"-> X\n" + b"A" * length + b"\n--- " + b"A" * 43 + b"\n"
    with pytest.raises(errors.SealError, match=f"line of {length} characters"):
        header.parse(io.BytesIO(text))


@pytest.mark.parametrize("text", ["QQ==", "QR", "Q", "Q Q=", "QQ\n", "-_", "é"])
def test_base64_has_one_form(text: str) -> None:
    """Padding, unused bits, impossible lengths, spaces and other alphabets are refused."""
    with pytest.raises(errors.SealError, match="base64"):
        header.decode_base64(text)


@given(st.binary(max_size=60))
def test_base64_is_read_back(data: bytes) -> None:
    """All bytes survive the way to base64 and back."""
    assert header.decode_base64(header.encode_base64(data)) == data


@pytest.mark.parametrize("size", [0, 16, 31, 33])
def test_a_mac_has_32_bytes(size: int) -> None:
    """A MAC of another length is refused by the parser, before there is a key to compare it with."""
    mac = header.encode_base64(bytes(size)).encode()
    with pytest.raises(errors.SealError, match=f"MAC of {size} bytes"):
        header.parse(io.BytesIO(header.VERSION + b"-> X\n\n--- " + mac + b"\n"))

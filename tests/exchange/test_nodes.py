"""Nodes: one byte form, and no byte in it that does not count."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from exchange import cid, errors, nodes

LEAF = cid.Cid.of_block(cid.RAW, b"leaf")
numbers = st.integers(0, (1 << 60) - 1)
children = st.lists(
    st.builds(
        lambda codec, digest, size, total: nodes.Link(cid=cid.Cid(codec=codec, digest=digest), size=size, total=total),
        st.sampled_from([cid.RAW, cid.DAG_PB]),
        st.binary(min_size=32, max_size=32),
        numbers,
        numbers,
    ),
    max_size=5,
)
NODE = nodes.encode([nodes.Link(cid=LEAF, size=1 << 20, total=1 << 20), nodes.Link(cid=LEAF, size=5, total=5)])


def field(tag: int, data: bytes) -> bytes:
    assert len(data) < 128
    return bytes([tag, len(data)]) + data


def link(name: bytes = bytes(LEAF), text: bytes = b"", total: bytes = b"\x05") -> bytes:
    return field(0x12, field(0x0A, name) + field(0x12, text) + b"\x18" + total)


def file(sizes: bytes = b"\x20\x05", size: bytes = b"\x05", kind: bytes = b"\x08\x02") -> bytes:
    return field(0x0A, kind + b"\x18" + size + sizes)


@given(children)
def test_links_inverts_encode(entries: list[nodes.Link]) -> None:
    """Any children survive; the node of a real file is among the next tests."""
    if sum(entry.size for entry in entries) < 1 << 63:
        assert nodes.links(nodes.encode(entries)) == tuple(entries)


def test_the_bytes_are_these() -> None:
    """A node with one child, spelled out field by field."""
    assert nodes.encode([nodes.Link(cid=LEAF, size=5, total=5)]) == link() + file()


@given(st.integers(0, len(NODE) - 1), st.integers(0, 7))
def test_every_bit_counts(position: int, bit: int) -> None:
    """1: a node with a bit flipped is refused, or names other children: none is read as the same file."""
    flipped = bytearray(NODE)
    flipped[position] ^= 1 << bit
    try:
        found = nodes.links(bytes(flipped))
    except errors.BlockCorruptError:
        return
    assert found != nodes.links(NODE)


@given(st.binary(max_size=60), st.integers(0, len(NODE)))
def test_garbage_is_refused_with_a_typed_error(garbage: bytes, start: int) -> None:
    """Random bytes, after any beginning of a right node, are refused with our error and no other."""
    if NODE[start:] != garbage:
        with pytest.raises(errors.BlockCorruptError):
            nodes.links(NODE[:start] + garbage)


@pytest.mark.parametrize(
    "block",
    [
        b"",
        link(),
        file(),
        file() + link(),
        link() + file() + b"\x00",
        link() + file() + file(),
        link(text=b"x") + file(),
        link(total=b"\x85\x00") + file(),
        link(total=b"\xff" * 9 + b"\x01") + file(),
        link(name=b"\x01\x55\x00\x20" + bytes(32)) + file(),
        link(name=b"\x12\x20" + bytes(32)) + file(),
        link() + file(size=b"\x06"),
        link() + file(size=b"\x85\x00"),
        link() + file(sizes=b""),
        link() + file(sizes=b"\x20\x05\x20\x00"),
        link() + file(sizes=b"\x22\x01\x05"),
        link() + file(kind=b"\x08\x01"),
        link() + file(kind=b"\x08\x02\x12\x01x"),
        link() + file(sizes=b"\x20\x05\x28\x00"),
    ],
)
def test_other_forms_are_refused(block: bytes) -> None:
    """30, 33: names, inline data, folders, other hashes, packed or padded numbers, lying sizes, trailing bytes: refused."""
    assert nodes.links(link() + file()) == (nodes.Link(cid=LEAF, size=5, total=5),)
    with pytest.raises(errors.BlockCorruptError):
        nodes.links(block)


def test_what_is_wrong_is_named_with_its_place() -> None:
    """The node of a folder, well-formed in IPFS, is refused with what stands where and what was expected."""
    with pytest.raises(errors.BlockCorruptError, match="node has 080118 at byte 46, expected 080218"):
        nodes.links(link() + file(kind=b"\x08\x01"))

"""Nodes: the blocks that name other blocks, dag-pb around UnixFS.

    node   = PBLink* (field 2), then Data (field 1)
    PBLink = Hash (1), Name (2, present although empty), Tsize (3)
    Data   = Type = 2 (1), filesize (3), blocksizes (4, one field each)
    Tsize  = own block + Tsize of the children; of a leaf its length

Protocol buffers leave much freedom; here a node has one byte form, and only files have nodes.

Reference: IPLD dag-pb specification; UnixFS specification.
"""

from collections.abc import Sequence
from dataclasses import dataclass

from exchange import cid as cids
from exchange import errors

_FILE = b"\x08\x02"  # UnixFS Type = File
_HASH = bytes([0x0A, cids.BINARY_SIZE])
_NAME = b"\x12\x00"


@dataclass(frozen=True, slots=True, kw_only=True)
class Link:
    """A child of a node.

    Attributes:
        cid: its name.
        size: bytes of the file below it.
        total: bytes of all blocks from it downwards (Tsize).
    """

    cid: cids.Cid
    size: int
    total: int


def links(block: bytes) -> tuple[Link, ...]:
    """The children that a node names, in the order of the file.

    Args:
        block: a dag-pb block whose hash somebody has checked.

    Raises:
        BlockCorruptError: not the one byte form of a file node, or its sizes disagree.

    Reference: dag-pb and UnixFS specifications; docs/protocol.md P11.
    """
    cursor = _Cursor(block)
    children = []
    while cursor.peek() == 0x12:
        cursor.take(1)
        cursor.varint()  # the length of the link, like all else that is redundant, is judged by encoding again below
        cursor.expect(_HASH)
        name = _child_name(cursor.take(cids.BINARY_SIZE))
        cursor.expect(_NAME + b"\x18")
        children.append((name, cursor.varint()))
    cursor.expect(b"\x0a")
    cursor.varint()
    cursor.expect(_FILE + b"\x18")
    cursor.varint()
    sizes = []
    while cursor.peek() == 0x20:
        cursor.take(1)
        sizes.append(cursor.varint())
    if len(sizes) != len(children):
        raise errors.BlockCorruptError(f"node with {len(children)} links and {len(sizes)} sizes, expected as many")
    found = tuple(Link(cid=name, size=size, total=total) for (name, total), size in zip(children, sizes, strict=True))
    if encode(found) != block:
        raise errors.BlockCorruptError("node is not in canonical form, or its file size is not the sum of its parts")
    return found


def encode(children: Sequence[Link]) -> bytes:
    """The node block that names `children`, in its one byte form."""
    size = sum(child.size for child in children)
    data = _FILE + b"\x18" + varint(size) + b"".join(b"\x20" + varint(child.size) for child in children)
    parts = [_HASH + bytes(child.cid) + _NAME + b"\x18" + varint(child.total) for child in children]
    return b"".join([b"\x12" + varint(len(part)) + part for part in parts] + [b"\x0a" + varint(len(data)) + data])


def varint(value: int) -> bytes:
    """A number in groups of 7 bits, the least first: unsigned LEB128 in the fewest bytes."""
    groups = bytearray()
    while value > 0x7F:
        groups.append(value & 0x7F | 0x80)
        value >>= 7
    groups.append(value)
    return bytes(groups)


def _child_name(data: bytes) -> cids.Cid:
    try:
        return cids.Cid.from_bytes(data)
    except errors.CidError as error:
        raise errors.BlockCorruptError(f"node links to what we do not accept: {error}") from None


class _Cursor:
    """A place in the bytes of a node."""

    def __init__(self, block: bytes) -> None:
        self.block = block
        self.position = 0

    def peek(self) -> int | None:
        return self.block[self.position] if self.position < len(self.block) else None

    def take(self, size: int) -> bytes:
        taken = self.block[self.position : self.position + size]
        if len(taken) < size:
            raise errors.BlockCorruptError(
                f"node ends at byte {len(self.block)}, expected {size} more at {self.position}"
            )
        self.position += size
        return taken

    def expect(self, expected: bytes) -> None:
        position, found = self.position, self.take(len(expected))
        if found != expected:
            raise errors.BlockCorruptError(f"node has {found.hex()} at byte {position}, expected {expected.hex()}")

    def varint(self) -> int:
        value = 0
        for shift in range(0, 63, 7):
            group = self.take(1)[0]
            value |= (group & 0x7F) << shift
            if group <= 0x7F:
                return value
        raise errors.BlockCorruptError(f"node has a number of more than 9 bytes before byte {self.position}")

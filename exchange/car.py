"""CAR files of version 1: the blocks of one or more files in a row, as IPFS nodes take and give them.

    varint(length of header) | header | { varint(36 + length of block) | CID in 36 bytes | block }*
    header = dag-cbor {"roots": [CID, ...], "version": 1}

What is read has one byte form, holds only names of the kind that exchange.cid accepts, and ends where it ends: a foreign
codec or hash, a length in too many bytes or over that of any block, and bytes left over are refused as they are met.

Reference: IPLD, "Content Addressable aRchives (CAR) v1"; docs/protocol.md P21.
"""

from collections.abc import Iterable, Iterator, Sequence
from typing import BinaryIO

from exchange import assembly, errors, nodes, unixfs
from exchange import cid as cids

MAX_HEADER = 64 * 1024  # bytes, for some 1,590 roots
_MAX_SECTION = cids.BINARY_SIZE + unixfs.MAX_BLOCK
_ROOTS = b"\xa2\x65roots"
_LINK = b"\xd8\x2a\x58\x25\x00"  # tag 42, 37 bytes, the first of them zero
_STRIDE = len(_LINK) + cids.BINARY_SIZE
_VERSION = b"\x67version\x01"


def encode(roots: Sequence[cids.Cid], content: Iterable[tuple[cids.Cid, bytes | memoryview]]) -> Iterator[bytes]:
    """The pieces of the CAR file of these roots and blocks, in this order, as they are taken.

    Args:
        roots: the names of the files in it, one or more.
        content: name and bytes of each block.

    Reference: CAR v1; docs/protocol.md P21.
    """
    yield head(roots)
    for name, block in content:
        yield section(name, len(block))
        yield bytes(block)  # no copy of what is `bytes`


def head(roots: Sequence[cids.Cid]) -> bytes:
    """What a CAR file of these roots begins with."""
    written = _header(roots)
    return nodes.varint(len(written)) + written


def section(name: cids.Cid, size: int) -> bytes:
    """What stands before a block of `size` bytes."""
    return nodes.varint(cids.BINARY_SIZE + size) + bytes(name)


def write(roots: Sequence[cids.Cid], fetch: assembly.Fetch, sink: BinaryIO) -> int:
    """The bytes of the CAR file of whole files, which is written to `sink`: parents before children, no block twice.

    Args:
        roots: the names of the files, one or more.
        fetch: gives their blocks; the method `block` of a store.
        sink: a buffered binary file, whose `write` takes all it is given.

    Raises:
        BlockMissingError, BlockCorruptError: what was written so far is worthless.
    """
    size = 0
    for piece in encode(roots, _once(roots, fetch)):
        sink.write(piece)
        size += len(piece)
    return size


def of_file(source: BinaryIO) -> tuple[unixfs.Root, Iterator[bytes]]:
    """The file that `source` holds from here to its end, and the pieces of its CAR file, for which it is read again.

    Args:
        source: a binary file in which one can seek; left alone until the last piece is taken.

    Raises:
        BlockCorruptError: as a piece is taken: the file is not what it was.
    """
    start, kept = source.tell(), {}

    def keep(name: cids.Cid, block: bytes | memoryview) -> None:
        if name.codec == cids.DAG_PB:
            kept[name] = bytes(block)

    root = unixfs.build(source, keep)

    def fetch(name: cids.Cid, /, *, limit: int) -> bytes:
        return kept[name] if name.codec == cids.DAG_PB else assembly.verified(name, source.read(limit), limit=limit)

    source.seek(start)
    return root, encode([root.cid], assembly.walk(root.cid, fetch))


def sections(file: BinaryIO, *, limit: int | None = None) -> Iterator[tuple[cids.Cid, bytes]]:
    """Name and bytes of each block in a CAR file, as it is read. They are not hashed: the caller has to.

    Args:
        file: a binary file, at the beginning of the CAR file and with nothing behind it.
        limit: the most bytes that all sections may have together, None for any number.

    Raises:
        CarError: no CAR file of version 1, cut off, or with a name or length that we refuse.
        TooLargeError: more bytes than `limit`.

    Reference: CAR v1; docs/protocol.md P21.
    """
    roots(file)
    return rest(file, limit=limit)


def roots(file: BinaryIO) -> tuple[cids.Cid, ...]:
    """The names in the header of a CAR file, which is read up to its first section; raises CarError."""
    size = _length(file, MAX_HEADER)
    if size is None:
        raise errors.CarError("file is empty, expected a CAR header")
    head = _exactly(file, size)
    # The header has one form: the names are taken from where they must stand, and all the rest judged by writing it again.
    count, start = _count(head[len(_ROOTS) :])
    names = [head[start + index * _STRIDE :][len(_LINK) : _STRIDE] for index in range(count)]
    found = tuple(_name(name) for name in names)
    if _header(found) != head:
        raise errors.CarError(f"CAR header {head[:40].hex()} is not that of version 1 in canonical form")
    return found


def rest(file: BinaryIO, *, limit: int | None = None) -> Iterator[tuple[cids.Cid, bytes]]:
    """What `sections` gives, where `roots` has read the header."""
    total = 0
    for name, size in lengths(file):
        total += cids.BINARY_SIZE + size
        if limit is not None and total > limit:
            raise errors.TooLargeError(f"CAR file has sections of {total} bytes, expected at most {limit}")
        yield name, _exactly(file, size)


def lengths(file: BinaryIO) -> Iterator[tuple[cids.Cid, int]]:
    """Name and length of each block, where `roots` has read the header; whoever takes one reads it, or seeks beyond it."""
    while (size := _length(file, _MAX_SECTION)) is not None:
        if size < cids.BINARY_SIZE:
            raise errors.CarError(f"CAR section of {size} bytes, expected at least the {cids.BINARY_SIZE} of a CID")
        yield _name(_exactly(file, cids.BINARY_SIZE)), size - cids.BINARY_SIZE


def _once(names: Sequence[cids.Cid], fetch: assembly.Fetch) -> Iterator[tuple[cids.Cid, bytes]]:
    sent: set[cids.Cid] = set()
    for root in names:
        yield from assembly.walk(root, fetch, sent=sent)


def _length(file: BinaryIO, most: int) -> int | None:
    """The next varint, at most `most` and in as few bytes as it needs; None at the end of the file."""
    value = shift = 0
    while group := file.read(1):
        value |= (group[0] & 0x7F) << shift
        shift += 7
        if group[0] <= 0x7F:
            if value > most or (shift > 7 and group == b"\0"):
                raise errors.CarError(
                    f"CAR length {value} in {shift // 7} bytes, expected at most {most} in the fewest"
                )
            return value
        if value > most or shift > 63:
            raise errors.CarError(f"CAR length of {value} and more, expected at most {most}")
    if shift:
        raise errors.CarError("CAR file is cut off within a length")
    return None


def _exactly(file: BinaryIO, size: int) -> bytes:
    parts, missing = [], size
    while missing and (part := file.read(missing)):
        parts.append(part)
        missing -= len(part)
    if missing:
        raise errors.CarError(f"CAR file is cut off: {missing} bytes of {size} are missing")
    return parts[0] if len(parts) == 1 else b"".join(parts)


def _name(data: bytes) -> cids.Cid:
    try:
        return cids.Cid.from_bytes(data)
    except errors.CidError as error:
        raise errors.CarError(f"CAR file names what we do not accept: {error}") from None


def _header(names: Sequence[cids.Cid]) -> bytes:
    return _ROOTS + _head(len(names)) + b"".join(_LINK + bytes(name) for name in names) + _VERSION


def _head(count: int) -> bytes:
    """The head of a dag-cbor array of so many items."""
    if count < 24:
        return bytes([0x80 + count])
    return bytes([0x98, count]) if count < 256 else b"\x99" + count.to_bytes(2, "big")


def _count(rest: bytes) -> tuple[int, int]:
    """The items of the array that `rest` begins with, and where in the header the first of them stands."""
    extra = {0x98: 1, 0x99: 2}.get(rest[0] if rest else 0, 0)
    count = int.from_bytes(rest[1 : 1 + extra], "big") if extra else max(0, (rest[:1] or b"\x80")[0] - 0x80)
    return min(count, MAX_HEADER // _STRIDE), len(_ROOTS) + 1 + extra

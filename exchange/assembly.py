"""A file from its blocks, wherever they come from: every store reads through here.

    name -> block -> hashed by `verified` -> links (exchange.nodes) -> layout and sizes (exchange.unixfs) -> leaves in order

What is read is bounded before it is read: by the caller's limit, by the size a root names, and by that of a block.
"""

import hashlib
import io
import itertools
from collections.abc import Callable, Iterable, Iterator
from typing import BinaryIO, Protocol

from exchange import cid as cids
from exchange import errors, memory, nodes, unixfs

_BUFFERS = memory.Kept(most=2 * unixfs.CHUNK)


class Fetch(Protocol):
    """Gives the one block `cid`, hashed, of at most `limit` bytes: the method `block` of a store."""

    def __call__(self, cid: cids.Cid, /, *, limit: int) -> bytes: ...  # noqa: D102  said by the class


Fill = Callable[[cids.Cid, memoryview], None]


def name(cid: cids.Cid | str) -> cids.Cid:
    """The CID, parsed if it is a text; raises CidError."""
    return cids.Cid.parse(cid) if isinstance(cid, str) else cid


def bound(cid: cids.Cid, limit: int) -> int:
    """The most bytes that the block `cid` may have, where the caller allows `limit`."""
    return min(limit, unixfs.CHUNK if cid.codec == cids.RAW else unixfs.MAX_NODE)


def verified(cid: cids.Cid, block: bytes, *, limit: int) -> bytes:
    """`block`, which is the block `cid`.

    Raises:
        TooLargeError: it has more than `limit` bytes, or more than any block of its codec has.
        BlockCorruptError: it does not hash to `cid`.

    Reference: docs/protocol.md P11.
    """
    if hashlib.sha256(bounded(cid, block, limit=limit)).digest() != cid.digest:
        raise errors.BlockCorruptError(f"block {cid} does not hash to its name")
    return block


def bounded(cid: cids.Cid, block: bytes, *, limit: int) -> bytes:
    """`block`, said to be the block `cid`; raises TooLargeError as `verified` does."""
    most = bound(cid, limit)
    if len(block) > most:
        raise errors.TooLargeError(f"block {cid} has {len(block)} bytes, expected at most {most}")
    return block


def leaves(cid: cids.Cid, fetch: Fetch, *, limit: int) -> tuple[int, Iterator[nodes.Link]]:
    """The size of the file below the node `cid`, and its leaves in order, which are found as they are taken.

    Args:
        cid: the name of a node, not of a leaf.
        fetch: gives its nodes.
        limit: the most bytes that the file may have.

    Raises:
        TooLargeError: the file has more than `limit` bytes.
        BlockCorruptError: the tree is not the one that the profile lays out.

    Reference: docs/protocol.md P11.
    """
    children = nodes.links(fetch(cid, limit=unixfs.MAX_NODE))
    size = sum(child.size for child in children)
    if size > limit:
        raise errors.TooLargeError(f"file {cid} has {size} bytes, expected at most {limit}")
    return size, unixfs.leaves(children, lambda below: fetch(below, limit=unixfs.MAX_NODE))


def chunks(cid: cids.Cid, fetch: Fetch, *, limit: int) -> Iterator[bytes]:
    """The file `cid` in blocks of at most 1 MiB; raises as `leaves` does and as `fetch` does."""
    if cid.codec == cids.RAW:
        yield fetch(cid, limit=min(limit, unixfs.CHUNK))
        return
    for leaf in leaves(cid, fetch, limit=limit)[1]:
        block = fetch(leaf.cid, limit=unixfs.CHUNK)
        if len(block) != leaf.size:
            raise errors.BlockCorruptError(f"block {leaf.cid} has {len(block)} bytes, its parent says {leaf.size}")
        yield block


def filled(cid: cids.Cid, fetch: Fetch, fill: Fill, *, limit: int) -> Iterator[memoryview]:
    """The same below the node `cid`, in two buffers: each is overwritten when the block after the next is asked for."""
    with _BUFFERS.lent(2 * unixfs.CHUNK) as room:
        buffers = itertools.cycle((room[: unixfs.CHUNK], room[unixfs.CHUNK :]))
        for leaf, buffer in zip(leaves(cid, fetch, limit=limit)[1], buffers, strict=False):
            fill(leaf.cid, buffer[: leaf.size])
            yield buffer[: leaf.size]


def get(cid: cids.Cid, fetch: Fetch, *, limit: int, fill: Fill | None = None) -> bytes:
    """The file `cid`; raises as `chunks` does.

    Args:
        cid: its name.
        fetch: gives its blocks.
        limit: the most bytes that the file may have.
        fill: writes the block of that name, hashed, into all of the memory it is given; saves a copy of each leaf.
    """
    if cid.codec == cids.RAW or fill is None:
        file = io.BytesIO()
        get_file(cid, fetch, file, limit=limit)
        return file.getvalue()
    size, parts = leaves(cid, fetch, limit=limit)
    file = io.BytesIO(bytes(size))  # becomes `bytes` without a copy
    with file.getbuffer() as target:
        position = 0
        for leaf in parts:
            fill(leaf.cid, target[position : position + leaf.size])
            position += leaf.size
    return file.getvalue()


def get_file(cid: cids.Cid, fetch: Fetch, file: BinaryIO, *, limit: int) -> int:
    """The bytes of the file `cid`, which are written to `file`, a buffered one; raises as `chunks` does."""
    return write(chunks(cid, fetch, limit=limit), file)


def write(blocks: Iterable[bytes | memoryview], file: BinaryIO) -> int:
    """The bytes of the blocks, which are written to `file` as they come."""
    size = 0
    for block in blocks:
        file.write(block)
        size += len(block)
    return size


def size(cid: cids.Cid, fetch: Fetch) -> int:
    """The bytes of the file `cid`, as its root says; raises BlockCorruptError and as `fetch` does."""
    block = fetch(cid, limit=unixfs.MAX_BLOCK)
    return len(block) if cid.codec == cids.RAW else sum(child.size for child in nodes.links(block))


def tree(
    cid: cids.Cid, fetch: Fetch, *, seen: set[tuple[nodes.Link, int]] | None = None
) -> Iterator[tuple[cids.Cid, int, int]]:
    """Name, bytes and level above the leaves of each block of the file `cid`, parents first.

    Each node is looked at once, whatever shape the tree has; a leaf is named as often as these name it, and not fetched,
    unless it is the file.

    Args:
        cid: its name.
        fetch: gives its nodes.
        seen: nodes of other files, which are left out, and to which those of this one are added (`unixfs.below`).

    Raises:
        BlockCorruptError: the tree is not the one that the profile lays out.

    Reference: docs/protocol.md P11.
    """
    for name, _, length, level in _descend(cid, fetch, set() if seen is None else seen):
        yield name, length, level


def walk(cid: cids.Cid, fetch: Fetch, *, sent: set[cids.Cid] | None = None) -> Iterator[tuple[cids.Cid, bytes]]:
    """Name and bytes of each block of the file `cid`, depth first.

    Args:
        cid: its name.
        fetch: gives its blocks.
        sent: names that are left out, to which each is added before it is given: no block comes twice, nor is read twice.
            None gives a block as often as the tree names it.

    Raises:
        BlockCorruptError: the tree is not the one that the profile lays out, or a leaf has another size.

    Reference: docs/protocol.md P11.
    """
    for name, block, length, _ in _descend(cid, fetch, None if sent is None else set()):
        if sent is not None:
            if name in sent:
                continue
            sent.add(name)
        content = fetch(name, limit=unixfs.CHUNK) if block is None else block
        if len(content) != length:
            raise errors.BlockCorruptError(f"block {name} has {len(content)} bytes, its parent says {length}")
        yield name, content


def _descend(
    cid: cids.Cid, fetch: Fetch, seen: set[tuple[nodes.Link, int]] | None
) -> Iterator[tuple[cids.Cid, bytes | None, int, int]]:
    """Name, bytes unless it is a leaf below a node, length and level of each block of a file, parents first."""
    block = fetch(cid, limit=unixfs.MAX_BLOCK)
    if cid.codec == cids.RAW:
        yield cid, block, len(block), 0
        return
    children = nodes.links(block)
    yield cid, block, len(block), unixfs.height(sum(child.size for child in children))
    for found in unixfs.below(children, lambda below: fetch(below, limit=unixfs.MAX_NODE), seen=seen):
        length = found.link.size if found.block is None else len(found.block)
        yield found.link.cid, found.block, length, found.level

"""Files as trees of blocks, in the profile unixfs-v1-2025: the same bytes always get the same CID, here and in IPFS.

    leaf    up to 1 MiB of the file, raw; a file of one leaf is that leaf, an empty file an empty leaf
    node    up to 1,024 children (exchange.nodes), all of them full but the last; all leaves lie at one depth

The shape of the tree follows from the size of the file. `leaves` demands that shape, so that a file has one CID, not
many. A few small nodes can be a file of petabytes, whose parts are all the same: who reads it sets a limit, and who only
looks at its blocks looks at each node once (`below`).

Reference: IPIP-499 (unixfs-v1-2025); the dag-pb and UnixFS specifications.
"""

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import BinaryIO

from exchange import cid as cids
from exchange import errors, nodes

CHUNK = 1 << 20  # bytes in a leaf
WIDTH = 1024  # children of a node
MAX_BLOCK = CHUNK  # bytes in any block
MAX_NODE = 64 * 1024  # bytes; a node of WIDTH children has at most 62 for each of them and 23 more


@dataclass(frozen=True, slots=True, kw_only=True)
class Root:
    """A whole file.

    Attributes:
        cid: its name.
        size: its bytes.
    """

    cid: cids.Cid
    size: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Block:
    """A block below the root of a file.

    Attributes:
        link: how its parent names it.
        level: 0 for a leaf, and 1 more than its children for a node.
        block: the bytes of a node, None for a leaf.
    """

    link: nodes.Link
    level: int
    block: bytes | None


def of(data: bytes | bytearray | memoryview) -> cids.Cid:
    """The CID of a file that holds `data`."""
    with memoryview(data).cast("B") as view:
        return assemble(slices(view), lambda _name, _block: None).cid


def build(source: BinaryIO, put: Callable[[cids.Cid, bytes | memoryview], None]) -> Root:
    """The root of the file that `source` holds from here to its end.

    Args:
        source: a binary file.
        put: called with every block, children before their parents.

    Returns:
        Name and size of the file.

    Reference: IPIP-499, profile unixfs-v1-2025.
    """
    return assemble(_chunks(source), put)


def slices(data: memoryview) -> Iterator[memoryview]:
    """The leaves of `data`, without a copy; one empty leaf if there is no data."""
    for start in range(0, max(1, len(data)), CHUNK):
        yield data[start : start + CHUNK]


def assemble(blocks: Iterable[bytes | memoryview], put: Callable[[cids.Cid, bytes | memoryview], None]) -> Root:
    """The root of the file whose leaves are given.

    Args:
        blocks: one or more; all but the last of CHUNK bytes, the last shorter or not.
        put: called with every block, children before their parents.

    Returns:
        Name and size of the file.

    Reference: IPIP-499, profile unixfs-v1-2025, "balanced" layout.
    """
    level = []
    for block in blocks:
        name = cids.Cid.of_block(cids.RAW, block)
        put(name, block)
        level.append(nodes.Link(cid=name, size=len(block), total=len(block)))
    while len(level) > 1:
        level = [_join(level[start : start + WIDTH], put) for start in range(0, len(level), WIDTH)]
    return Root(cid=level[0].cid, size=level[0].size)


def leaves(children: Sequence[nodes.Link], fetch: Callable[[cids.Cid], bytes]) -> Iterator[nodes.Link]:
    """The leaves of a file in order, the tree being walked as they are taken.

    Args:
        children: the links of the root node.
        fetch: gives a node block whose hash it has checked.

    Raises:
        BlockCorruptError: the tree is not the one that the profile lays out for a file of this size.

    Reference: IPIP-499, "balanced" layout; docs/protocol.md P11.
    """
    return (found.link for found in below(children, fetch) if found.block is None)


def below(
    children: Sequence[nodes.Link],
    fetch: Callable[[cids.Cid], bytes],
    *,
    seen: set[tuple[nodes.Link, int]] | None = None,
) -> Iterator[Block]:
    """The blocks of a file below its root, depth first, parents first, the tree being walked as they are taken.

    Args:
        children: the links of the root node.
        fetch: gives a node block whose hash it has checked.
        seen: nodes, each with its level, that are left out with all below them; those that are walked are added. What a node
            holds is fixed by its name, so it is enough to judge it once. None walks a node as often as it is named.

    Raises:
        BlockCorruptError: as for `leaves`.

    Reference: IPIP-499, "balanced" layout; docs/protocol.md P11.
    """
    yield from _walk(children, height(sum(child.size for child in children)), fetch, seen)


def height(size: int) -> int:
    """The levels of nodes above the leaves of a file of `size` bytes."""
    levels = 0
    while size > CHUNK * WIDTH**levels:
        levels += 1
    return levels


def _walk(
    children: Sequence[nodes.Link],
    levels: int,
    fetch: Callable[[cids.Cid], bytes],
    seen: set[tuple[nodes.Link, int]] | None,
) -> Iterator[Block]:
    """The blocks below a node, the leaves of which are `levels` levels down."""
    check_layout(children, levels)
    for child in children:
        if levels == 1:
            yield Block(link=child, level=0, block=None)
            continue
        if seen is not None:
            if (child, levels) in seen:
                continue
            seen.add((child, levels))
        block = fetch(child.cid)
        inner = nodes.links(block)
        found = (sum(link.size for link in inner), len(block) + sum(link.total for link in inner))
        if found != (child.size, child.total):
            expected = (child.size, child.total)
            raise errors.BlockCorruptError(f"node {child.cid} has (size, total) {found}, its parent says {expected}")
        yield Block(link=child, level=levels - 1, block=block)
        yield from _walk(inner, levels - 1, fetch, seen)


def check_layout(children: Sequence[nodes.Link], levels: int) -> None:
    """Nothing; the links of a node are what the profile lays out, `height` levels above the leaves; else BlockCorruptError."""
    sizes = [child.size for child in children]
    if levels == 0:
        raise errors.BlockCorruptError(f"node for {sum(sizes)} bytes, expected a file of one leaf to be that leaf")
    capacity = CHUNK * WIDTH ** (levels - 1)
    full, rest = divmod(sum(sizes), capacity)
    if sizes != [capacity] * full + [rest] * (rest > 0):
        raise errors.BlockCorruptError(
            f"{len(sizes)} children for {sum(sizes)} bytes, expected all but the last of {capacity}"
        )
    codec = cids.RAW if levels == 1 else cids.DAG_PB
    for child in children:
        if child.cid.codec != codec or (levels == 1 and child.total != child.size):
            raise errors.BlockCorruptError(
                f"child {child.cid} of {child.total} bytes in all does not fit {levels} levels up"
            )


def _chunks(source: BinaryIO) -> Iterator[bytes]:
    chunk = _full(source)
    yield chunk
    while len(chunk) == CHUNK and (chunk := _full(source)):
        yield chunk


def _full(source: BinaryIO) -> bytes:
    """CHUNK bytes, fewer only at the end: a pipe that is slow must not look like the end of the file."""
    chunk = source.read(CHUNK)
    if len(chunk) in {0, CHUNK}:
        return chunk
    parts = [chunk]
    missing = CHUNK - len(chunk)
    while missing and (part := source.read(missing)):
        parts.append(part)
        missing -= len(part)
    return b"".join(parts)


def _join(children: Sequence[nodes.Link], put: Callable[[cids.Cid, bytes | memoryview], None]) -> nodes.Link:
    block = nodes.encode(children)
    name = cids.Cid.of_block(cids.DAG_PB, block)
    put(name, block)
    size = sum(child.size for child in children)
    return nodes.Link(cid=name, size=size, total=len(block) + sum(child.total for child in children))

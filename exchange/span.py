"""Part of a file: the fewest blocks that prove what stands between two of its bytes."""

from collections.abc import Iterator, Sequence

from exchange import assembly, errors, nodes, unixfs
from exchange import cid as cids


def walk(cid: cids.Cid, fetch: assembly.Fetch, first: int, last: int | None) -> Iterator[tuple[cids.Cid, bytes]]:
    """Name and bytes of each block that the bytes `first` to `last` need, depth first; the root alone if there are none.

    Args:
        cid: the name of a file.
        fetch: gives its blocks.
        first: a position in it; counted from its end if below 0.
        last: a position too, inclusive; None for the end.

    Raises:
        BlockCorruptError: the tree, as far as it is walked, is not the one that the profile lays out.

    Reference: IPFS Trustless Gateway, "entity-bytes"; docs/protocol.md P21.
    """
    block = fetch(cid, limit=unixfs.MAX_BLOCK)
    yield cid, block
    if cid.codec == cids.RAW:
        return
    children = nodes.links(block)
    size = sum(child.size for child in children)
    start = max(0, first + size if first < 0 else first)
    stop = size if last is None else min(size, (last + size if last < 0 else last) + 1)
    yield from _below(children, unixfs.height(size), fetch, start, stop)


def _below(
    children: Sequence[nodes.Link], height: int, fetch: assembly.Fetch, start: int, stop: int
) -> Iterator[tuple[cids.Cid, bytes]]:
    """The blocks below a node between two of its bytes, the second exclusive."""
    unixfs.check_layout(children, height)
    for child in children:
        if start < child.size and stop > 0 and start < stop:
            block = fetch(child.cid, limit=unixfs.CHUNK if height == 1 else unixfs.MAX_NODE)
            below = () if height == 1 else nodes.links(block)
            found = sum(link.size for link in below) if below else len(block)
            if found != child.size:
                raise errors.BlockCorruptError(f"{child.cid} has {found} bytes, its parent says {child.size}")
            yield child.cid, block
            if below:
                yield from _below(below, height - 1, fetch, max(0, start), stop)
        start, stop = start - child.size, stop - child.size

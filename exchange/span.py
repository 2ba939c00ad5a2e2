"""Part of a file: the fewest blocks that prove what stands between two of its bytes."""

from collections.abc import Iterator, Sequence

from exchange import assembly, errors, nodes, unixfs
from exchange import cid as cids


def walk(
    cid: cids.Cid, fetch: assembly.Fetch, first: int, last: int | None, *, sent: set[cids.Cid] | None = None
) -> Iterator[tuple[cids.Cid, bytes]]:
    """Name and bytes of each block that the bytes `first` to `last` need, depth first; the root alone if there are none.

    Args:
        cid: the name of a file.
        fetch: gives its blocks.
        first: a position in it; counted from its end if below 0.
        last: a position too, inclusive; None for the end.
        sent: names that are left out, to which each is added before it is given; None gives a block as often as it is needed.

    Raises:
        BlockCorruptError: the tree, as far as it is walked, is not the one that the profile lays out.

    Reference: IPFS Trustless Gateway, "entity-bytes"; docs/protocol.md P21.
    """
    block = fetch(cid, limit=unixfs.MAX_BLOCK)
    if sent is not None:
        sent.add(cid)
    yield cid, block
    if cid.codec == cids.RAW:
        return
    children = nodes.links(block)
    size = sum(child.size for child in children)
    start = max(0, first + size if first < 0 else first)
    stop = size if last is None else min(size, (last + size if last < 0 else last) + 1)
    yield from _Range(fetch, sent).below(children, unixfs.height(size), start, stop)


class _Range:
    """One walk. Of what lies in the range as a whole, no node is read twice where none is to be sent twice."""

    def __init__(self, fetch: assembly.Fetch, sent: set[cids.Cid] | None) -> None:
        self._fetch = fetch
        self._sent = sent
        self._whole: set[tuple[nodes.Link, int]] = set()

    def below(
        self, children: Sequence[nodes.Link], height: int, start: int, stop: int
    ) -> Iterator[tuple[cids.Cid, bytes]]:
        """The blocks below a node between two of its bytes, the second exclusive."""
        unixfs.check_layout(children, height)
        for child in children:
            if start < child.size and stop > 0 and start < stop and not self._known(child, height, start, stop):
                block = self._fetch(child.cid, limit=unixfs.CHUNK if height == 1 else unixfs.MAX_NODE)
                inner = () if height == 1 else nodes.links(block)
                found = sum(link.size for link in inner) if inner else len(block)
                if found != child.size:
                    raise errors.BlockCorruptError(f"{child.cid} has {found} bytes, its parent says {child.size}")
                if self._sent is None or child.cid not in self._sent:
                    if self._sent is not None:
                        self._sent.add(child.cid)
                    yield child.cid, block
                if inner:
                    yield from self.below(inner, height - 1, max(0, start), stop)
            start, stop = start - child.size, stop - child.size

    def _known(self, child: nodes.Link, height: int, start: int, stop: int) -> bool:
        """Whether all that is needed of a child was given already."""
        if self._sent is None:
            return False
        if height == 1:
            return child.cid in self._sent
        if start > 0 or stop < child.size:
            return False
        known = (child, height) in self._whole
        self._whole.add((child, height))
        return known

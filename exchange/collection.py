"""Collecting blocks that nothing needs: what is kept, and in which order the rest goes.

    kept = all blocks below a pin, and below a block that was put less than `grace` seconds ago

Whoever writes holds the store's lock together with others, from the first block of a file to the last; collecting needs
it alone. So no file is half put when its blocks are judged, in whatever process, and none becomes needed between
judgement and removal. Between `put` and `pin` nobody holds the lock: that is what the grace is for. It covers a whole
file although its first leaf may be hours older than its root, because its young root counts as a pin.

Parents go before their children, so that a kill in between never leaves a root whose leaves are gone.
"""

import itertools
import time
from collections.abc import Iterable
from dataclasses import dataclass

from exchange import cid as cids
from exchange import errors, nodes, unixfs
from exchange import shelf as shelves

GRACE = 3600.0  # seconds
UNREADABLE = 99  # levels; more than any file has


@dataclass(frozen=True, slots=True, kw_only=True)
class Collected:
    """What a collection did.

    Attributes:
        blocks: how many it removed.
        size: their bytes.
        kept: how many blocks are left.
    """

    blocks: int
    size: int
    kept: int


def collect(shelf: shelves.Shelf, pins: Iterable[cids.Cid], *, grace: float) -> Collected:
    """Remove the blocks that no pin and no young block needs; only for a caller who has the store's lock alone.

    Args:
        shelf: the blocks.
        pins: the roots of files to keep.
        grace: seconds for which a block is young.

    Raises:
        BlockMissingError, BlockCorruptError: a node below a pin cannot be read, so what it needs is not known; nothing
            was removed.
    """
    kept: set[cids.Cid] = set()
    for pin in pins:
        _mark(pin, kept, shelf, pinned=True)
    entries = list(shelf.entries())
    now = time.time()
    for entry in entries:
        if now - entry.time < grace:
            _mark(entry.cid, kept, shelf, pinned=False)
    doomed = [entry for entry in entries if entry.cid not in kept]
    _remove(shelf, doomed)
    return Collected(blocks=len(doomed), size=sum(entry.size for entry in doomed), kept=len(entries) - len(doomed))


def _mark(root: cids.Cid, kept: set[cids.Cid], shelf: shelves.Shelf, *, pinned: bool) -> None:
    """Add `root` and all below it to `kept`; each node is read once, whatever shape the tree has."""
    pending = [root]
    while pending:
        name = pending.pop()
        if name in kept:
            continue
        if name.codec == cids.DAG_PB:
            try:
                pending += [child.cid for child in nodes.links(shelf.read(name, limit=unixfs.MAX_NODE))]
            except errors.StoreError as error:
                if pinned:
                    raise type(error)(f"nothing is collected, because a pinned file is damaged: {error}") from error
        kept.add(name)


def _remove(shelf: shelves.Shelf, doomed: Iterable[shelves.Entry]) -> None:
    ordered = sorted(((_height(entry.cid, shelf), entry.cid) for entry in doomed), key=lambda pair: -pair[0])
    for _, group in itertools.groupby(ordered, key=lambda pair: pair[0]):
        folders = set()
        for _, name in group:
            shelf.remove(name)
            folders.add(shelf.path(name).parent)
        shelf.sync(folders)  # after a crash of the machine too, parents went first


def _height(name: cids.Cid, shelf: shelves.Shelf) -> int:
    """Levels from a block down to its leaves; a node that cannot be read comes before all others."""
    if name.codec == cids.RAW:
        return 0
    try:
        return unixfs.height(sum(child.size for child in nodes.links(shelf.read(name, limit=unixfs.MAX_NODE))))
    except errors.StoreError:
        return UNREADABLE

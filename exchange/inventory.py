"""What a block store holds: its files, whether one is complete, and which blocks are damaged. Nothing here writes."""

import itertools
from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from exchange import assembly, errors, nodes, unixfs
from exchange import cid as cids
from exchange import shelf as shelves


@dataclass(frozen=True, slots=True, kw_only=True)
class File:
    """A file by its root.

    Attributes:
        cid: its name.
        size: its bytes, as its root names them; None if the root is damaged or missing.
        pinned: whether it is kept.
    """

    cid: cids.Cid
    size: int | None
    pinned: bool

    @property
    def block(self) -> bool:
        """Whether it looks like a part of a larger file that was never put to its end, or lost its root: a full leaf."""
        return not self.pinned and self.cid.codec == cids.RAW and self.size == unixfs.CHUNK


@dataclass(frozen=True, slots=True, kw_only=True)
class Verdict:
    """Whether one block is what its name says.

    Attributes:
        cid: its name.
        size: bytes of its file, 0 if it is missing.
        error: None if it is; otherwise what is wrong with it.
    """

    cid: cids.Cid
    size: int
    error: errors.StoreError | None


def files(shelf: shelves.Shelf, pins: Iterable[cids.Cid]) -> Iterator[File]:
    """Each root that is pinned, or that no node on the shelf names, by name; unpinned ones may be what a kill left."""
    roots, pinned = {}, set(pins)
    below: set[cids.Cid] = set()
    for entry in itertools.chain(shelf.packed(), shelf.entries()):
        roots[entry.cid] = entry.size
        if entry.cid.codec == cids.DAG_PB:
            below.update(child.cid for child in _children(entry.cid, shelf) or ())
    for name in sorted((roots.keys() - below) | pinned, key=str):
        size = roots.get(name)
        if name.codec == cids.DAG_PB:
            children = _children(name, shelf)
            size = None if children is None else sum(child.size for child in children)
        yield File(cid=name, size=size, pinned=name in pinned)


def check(name: cids.Cid, shelf: shelves.Shelf) -> None:
    """Nothing; every block of the file `name` is on the shelf: nodes and a lone leaf hashed, other leaves by their size.

    Raises:
        BlockMissingError: one is not.
        BlockCorruptError: one is damaged, or the tree is not the profile's.
    """
    for below, size, _ in assembly.tree(name, shelf.read):
        if below == name:  # just read
            continue
        found = shelf.size(below)
        if found is None:
            raise errors.BlockMissingError(f"block {below} of file {name} is not in {shelf.folder.parent}")
        if found != size:
            raise errors.BlockCorruptError(f"block {below} of file {name} has {found} bytes, expected {size}")


def verify(shelf: shelves.Shelf, pins: Iterable[cids.Cid]) -> Iterator[Verdict]:
    """A verdict on every block on the shelf, which is read and hashed, on what lies there instead, and on what pins lack."""
    seen = set()
    for entry in itertools.chain(shelf.packed(), shelf.entries()):
        seen.add(entry.cid)
        yield Verdict(cid=entry.cid, size=entry.size, error=_error(entry.cid, shelf))
    for name in shelf.strange():
        seen.add(name)
        yield Verdict(
            cid=name, size=0, error=errors.BlockCorruptError(f"block {name} is not a regular file: remove it")
        )
    for name in _wanted(pins, shelf):
        if name not in seen and not shelf.holds(name):
            missing = errors.BlockMissingError(f"block {name}, which a pin needs, is not in {shelf.folder.parent}")
            yield Verdict(cid=name, size=0, error=missing)


def _wanted(pins: Iterable[cids.Cid], shelf: shelves.Shelf) -> Iterator[cids.Cid]:
    """The blocks that pins need, as far as their trees can be walked, each once."""
    pending, found = list(pins), set()
    while pending:
        name = pending.pop()
        if name in found:
            continue
        found.add(name)
        yield name
        if name.codec == cids.DAG_PB:
            pending += [child.cid for child in _children(name, shelf) or ()]


def _children(name: cids.Cid, shelf: shelves.Shelf) -> tuple[nodes.Link, ...] | None:
    try:
        return nodes.links(shelf.read(name, limit=unixfs.MAX_NODE))
    except (errors.BlockMissingError, errors.BlockCorruptError, errors.TooLargeError):
        return None


def _error(name: cids.Cid, shelf: shelves.Shelf) -> errors.StoreError | None:
    try:
        shelf.read(name, limit=unixfs.MAX_BLOCK)
    except errors.StoreError as error:
        # Gone since it was listed: collected, which is no damage; a pinned block is not collected.
        return None if isinstance(error, errors.BlockMissingError) else error
    return None

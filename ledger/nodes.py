"""The stored nodes of the log's tree: of levels 8, 16, 24 ..., so that no question about the tree reads all its leaves.

::

    level 16   node 0 over the 256 nodes below
    level  8   node 0, node 1, ... node 255      one row each, written with the entry that completes it
    level  0   leaf hashes 0-255, 256-511, ...

A stored node is a shortcut and no evidence: what is signed is recomputed from leaves (`grow`) and must pass through the
last signed root, and a proof must lead to the root of a signed note where there is one.

Reference: docs/protocol.md P4. The levels are those of the hash tiles of C2SP tlog-tiles.
"""

from collections.abc import Sequence
from typing import Self

from ledger import errors, merkle, rows, store

HEIGHT = 8
"""Levels between two stored ones."""

WIDTH = 1 << HEIGHT
"""Nodes of a stored level under one of the next."""


class Edge:
    """The right edge of a growing tree: of each stored level, the nodes that no node of the next stored level covers."""

    __slots__ = ("_levels", "size")

    def __init__(self) -> None:
        self._levels: list[list[bytes]] = [[]]
        self.size = 0

    @classmethod
    def read(cls, source: store.Store, size: int) -> Self:
        """The edge of the first `size` leaves, from at most 255 rows a stored level; nothing is recomputed.

        Raises:
            CorruptError: A row is missing.
        """
        edge = cls()
        edge.size = size
        edge._levels = []
        level = 0
        while not level or size >> level:
            first = size >> level + HEIGHT << HEIGHT
            edge._levels.append(_read(source, level, first, size >> level))
            level += HEIGHT
        return edge

    def append(self, leaf: bytes) -> list[store.NodeRow]:
        """The nodes that a leaf of this hash completes, lowest first; the tree has one more leaf."""
        self.size += 1
        completed: list[store.NodeRow] = []
        self._levels[0].append(leaf)
        for below, level in enumerate(range(HEIGHT, HEIGHT * len(self._levels) + 1, HEIGHT)):
            if len(self._levels[below]) < WIDTH:
                break
            node = merkle.fold(self._levels[below])
            self._levels[below] = []
            if below + 1 == len(self._levels):
                self._levels.append([])
            self._levels[below + 1].append(node)
            completed.append(store.NodeRow(level, (self.size >> level) - 1, node))
        return completed

    def root(self) -> bytes:
        """The root of the tree so far."""
        return merkle.root(self.size, self._node)

    def _node(self, level: int, index: int) -> bytes:
        stored = level // HEIGHT
        down = level - stored * HEIGHT
        first = (index << down) - (self.size >> (stored + 1) * HEIGHT << HEIGHT)
        return merkle.fold(self._levels[stored][first : first + (1 << down)])


def tree(source: store.Store) -> merkle.Node:
    """The nodes of the log's tree, each from at most 128 rows: leaf hashes, or nodes of the stored level below."""

    def node(level: int, index: int) -> bytes:
        down = level % HEIGHT
        return merkle.fold(_read(source, level - down, index << down, (index + 1) << down))

    return node


def grow(source: store.Store, edge: Edge, stop: int) -> None:
    """Nothing; the edge is that of `stop` leaves, each new one hashed anew, each node on the way as it is stored.

    Raises:
        CorruptError: At the first entry or stored node that does not agree with the rest.
    """
    for entry in rows.entries(source, edge.size, stop):
        for node in edge.append(entry.hash):
            check(source, node)


def check(source: store.Store, node: store.NodeRow) -> None:
    """Nothing; the node is stored like this.

    Raises:
        CorruptError: It is missing, or another; the entry named is the last one under it.
    """
    found = source.hashes(node.level, node.place, node.place + 1)
    if found != [(node.place, node.hash)]:
        stored = found[0][1].hex() if found else "missing"
        message = f"node {node.place} of level {node.level} is {stored}, expected {node.hash.hex()}"
        raise errors.CorruptError(message, seq=(node.place + 1 << node.level) - 1)


def append(source: store.Store, added: Sequence[store.Row]) -> dict[bytes, int]:
    """Eid -> position of rows that follow the last one: they are stored, and the nodes that they complete.

    The edge is read only where a node is completed: with the rows of one stored level, once in 256 entries.
    """
    start, stop = added[0].seq, added[-1].seq + 1
    if start >> HEIGHT != stop >> HEIGHT:
        edge = Edge.read(source, start)
        source.insert_nodes([node for row in added for node in edge.append(row.hash)])
    source.insert(added)
    return {row.eid: row.seq for row in added}


def _read(source: store.Store, level: int, start: int, stop: int) -> list[bytes]:
    if level == 0:
        return [found for _, found in rows.pages(lambda first, last: source.hashes(0, first, last), start, stop)]
    found = source.hashes(level, start, stop)
    for index, row in zip(range(start, stop), [*found, None], strict=False):
        if row is None or row[0] != index:
            raise errors.CorruptError(f"node {index} of level {level} is missing", seq=(index + 1 << level) - 1)
    return [digest for _, digest in found]

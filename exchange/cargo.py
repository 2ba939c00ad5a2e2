"""The files that a CAR file carries, taken into a block store: each of them whole, or none of them seen.

Blocks come in any order. Leaves are stored as they come, nodes only when the CAR file has ended and every file in it was
found complete, so that a root is never there before its leaves. Memory holds the nodes and the names of the leaves, both
bounded by the size of the files.

Reference: IPLD, CAR v1; docs/protocol.md P21.
"""

from dataclasses import dataclass
from typing import BinaryIO

from exchange import assembly, blocks, car, errors, nodes, unixfs
from exchange import cid as cids

MAX_NODES = 16 << 20  # bytes of nodes; those of 250 GiB in large files
MAX_FILE = 1 << 38  # bytes of a file; 256 GiB, of which a few blocks that are named over and over can make more


@dataclass(frozen=True, slots=True, kw_only=True)
class Imported:
    """What was read from a CAR file into a store.

    Attributes:
        roots: the files it holds, all of them complete.
        blocks: how many different blocks they need.
        size: bytes of these.
        duplicates: how many blocks were there again.
        strays: how many blocks belong to none of the files.
    """

    roots: tuple[cids.Cid, ...]
    blocks: int
    size: int
    duplicates: int
    strays: int


def read(file: BinaryIO, store: blocks.BlockStore, *, limit: int, largest: int = MAX_FILE) -> Imported:
    """Store the files that a CAR file holds, each block of it hashed first.

    A file is seen in the store only if all of it came: its nodes are stored when the CAR file has ended well. Leaves that
    came before an error stay, and are collected.

    Args:
        file: a binary file, at the beginning of the CAR file and with nothing behind it.
        store: where to.
        limit: the most bytes that the sections may have together.
        largest: the most bytes that a file may have, which can be more.

    Raises:
        CarError: as `car.sections`; without roots; or more short leaves than files, which no CAR file of these has.
        BlockCorruptError: a block does not hash to its name, or a tree is not the profile's.
        BlockMissingError: a file is not complete.
        TooLargeError: more bytes than `limit`, a file of more than `largest`, or more than 16 MiB of nodes.
        StoreError: the store could not take them.

    Reference: CAR v1; docs/protocol.md P21.
    """
    names = car.roots(file)
    if not names:
        raise errors.CarError("CAR file has no roots, expected one or more")
    with store.writing() as writer:
        arrived = _Arrived(names)
        for name, block in car.rest(file, limit=limit):
            if arrived.take(name, assembly.verified(name, block, limit=unixfs.MAX_BLOCK)):
                writer.put(name, block)
        needed = arrived.needed(largest)
        for name in needed:
            if name.codec == cids.DAG_PB:
                writer.put(name, arrived.nodes[name])
    size = sum(arrived.sizes[name] for name in needed)
    return Imported(
        roots=names,
        blocks=len(needed),
        size=size,
        duplicates=arrived.duplicates,
        strays=len(arrived.sizes) - len(needed),
    )


class _Arrived:
    """The blocks of a CAR file so far. Leaves are full but for one of each file, so their names stay few."""

    def __init__(self, names: tuple[cids.Cid, ...]) -> None:
        self.roots = names
        self.sizes: dict[cids.Cid, int] = {}
        self.nodes: dict[cids.Cid, bytes] = {}
        self.duplicates = 0
        self._short = 0
        self._held = 0

    def take(self, name: cids.Cid, block: bytes) -> bool:
        """Whether this is a leaf to store now."""
        if name in self.sizes:
            self.duplicates += 1
            return False
        self.sizes[name] = len(block)
        if name.codec == cids.RAW:
            self._short += len(block) < unixfs.CHUNK
            if self._short > len(self.roots):
                raise errors.CarError(
                    f"CAR file has {self._short} leaves under 1 MiB, expected at most one for each of {len(self.roots)} files"
                )
            return True
        self._held += len(block)
        if self._held > MAX_NODES:
            raise errors.TooLargeError(f"CAR file has {self._held} bytes of nodes, expected at most {MAX_NODES}")
        self.nodes[name] = block
        return False

    def needed(self, largest: int) -> list[cids.Cid]:
        """The blocks of the files, children before parents, each once; BlockMissingError, BlockCorruptError, TooLargeError."""
        levels: dict[cids.Cid, int] = {}
        seen: set[tuple[nodes.Link, int]] = set()  # of all files: many may share what is below their roots
        for root in dict.fromkeys(self.roots):
            alone = [(root, self.sizes.get(root, 0), 0)]
            if root.codec == cids.DAG_PB and (total := assembly.size(root, self._fetch)) > largest:
                raise errors.TooLargeError(f"file {root} has {total} bytes, expected at most {largest}")
            for name, size, level in alone if root.codec == cids.RAW else assembly.tree(root, self._fetch, seen=seen):
                if name not in self.sizes:
                    raise errors.BlockMissingError(f"block {name} of file {root} is not in the CAR file")
                if self.sizes[name] != size:
                    raise errors.BlockCorruptError(
                        f"block {name} of file {root} has {self.sizes[name]} bytes, its parent says {size}"
                    )
                levels[name] = level
        return sorted(levels, key=levels.__getitem__)

    def _fetch(self, name: cids.Cid, /, *, limit: int) -> bytes:
        if name not in self.nodes:
            raise errors.BlockMissingError(f"block {name} is not in the CAR file")
        return assembly.bounded(name, self.nodes[name], limit=limit)

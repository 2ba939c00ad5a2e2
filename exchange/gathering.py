"""Several files into a store at once, made durable together: one flush of the disk for all, not one for each of their blocks.

    stage 1 | stage 2 | ... | flush | rename leaves | flush | rename nodes | flush

Nothing is seen under its name before it is durable, and no node before what it names. A crash leaves staged blocks, which the
store sweeps. Each block is a file of its own, and is collected as all others: updates come and go with their rounds. What stays
for good, such as the messages of a Flower run, is written into one file instead (`BlockStore.pack`).
"""

import contextlib
import ctypes
import os
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import BinaryIO, Protocol

from exchange import blocks, errors, shelf, unixfs
from exchange import cid as cids
from exchange import store as stores

_LIBC = ctypes.CDLL(None, use_errno=True)


class Sink(Protocol):
    """Whoever takes files: a store, or a `Gatherer`."""

    def put_file(self, file: BinaryIO) -> cids.Cid:
        """The CID of the file that `file` holds from its position to its end."""
        ...


@contextlib.contextmanager
def files(into: stores.Store) -> Iterator[Sink]:
    """What takes files for `into`; they are in it, durably, when this ends without an error.

    A store that is more than a folder of this machine takes each at once.
    """
    if not isinstance(into, blocks.BlockStore):
        yield into
        return
    with into.held() as target:
        gatherer = Gatherer(target)
        try:
            yield gatherer
            with shelf.reporting(f"write to {into.folder}"):
                gatherer.place()
        finally:
            gatherer.discard()


def pin(store: stores.Store, names: Sequence[str]) -> dict[str, errors.StoreError]:
    """Pin those of the files that are whole in `store`, durably when this returns; of each other one why it is not pinned."""
    if isinstance(store, blocks.BlockStore):
        return store.pin_all(names)
    refused: dict[str, errors.StoreError] = {}
    for name in names:
        try:
            store.pin(name)
        except (errors.BlockMissingError, errors.BlockCorruptError) as error:
            refused[name] = error
    return refused


class Gatherer:
    """Takes the files of one folder's store, as long as its lock is held. What it names is there once `place` returns."""

    def __init__(self, target: shelf.Shelf) -> None:
        self._shelf = target
        self._staged: dict[cids.Cid, shelf.Staged] = {}
        self._folders: set[Path] = set()  # of blocks, which stay

    def put_file(self, file: BinaryIO) -> cids.Cid:
        """The CID of what `file` holds from its position to its end; raises as `BlockStore.put_file`."""
        return unixfs.build(file, self._put).cid

    def put_leaves(self, leaves: Iterable[bytes | memoryview]) -> cids.Cid:
        """The CID of the file of these leaves, each done with when the next is asked for; errors as `put_file`."""
        return unixfs.assemble(leaves, self._put).cid

    def place(self) -> None:
        """Make all blocks durable, and put them on the shelf, children before parents; OSError as it comes."""
        nodes = {name: block for name, block in self._staged.items() if name.codec == cids.DAG_PB}
        leaves = {name: block for name, block in self._staged.items() if name not in nodes}
        if self._staged and self._shelf.durable:
            flush(self._shelf.folder)
        for level in (leaves, nodes):
            self._shelf.place(list(level.values()))
            for name in level:
                del self._staged[name]
            if level and self._shelf.durable:
                flush(self._shelf.folder)

    def discard(self) -> None:
        """Forget what was not placed."""
        self._shelf.discard(list(self._staged.values()))
        self._staged.clear()

    def _put(self, name: cids.Cid, block: bytes | memoryview) -> None:
        with shelf.reporting(f"write to {self._shelf.folder.parent}"):
            if name not in self._staged and (staged := self._shelf.stage(name, block)):
                self._staged[name] = staged
                staged.file.close()
                if staged.path.parent not in self._folders:
                    staged.path.parent.mkdir(exist_ok=True)
                    self._folders.add(staged.path.parent)


def flush(folder: Path) -> None:
    """Make all that was written to the file system of `folder` durable; OSError if any of it could not be."""
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        if not hasattr(_LIBC, "syncfs"):
            os.sync()  # a system without it: all file systems
        elif _LIBC.syncfs(descriptor):
            raise OSError(ctypes.get_errno(), os.strerror(ctypes.get_errno()), str(folder))
    finally:
        os.close(descriptor)

"""Blocks on their way into a folder: staged, synced as the next are staged, then renamed together, children before parents.

    the caller      stage 1 | stage 2 | stage 3 | ... | rename each | sync folders | node ...
    second thread             sync 1  | sync 2  | ...

So the disk is busy while the next block is made and hashed, and nothing is seen before it is durable. A `Packer` writes all
blocks into one file (exchange.packs) instead, for as many small ones as come at once, or for a file that nobody collects.
"""

import contextlib
from concurrent import futures
from pathlib import Path
from types import TracebackType
from typing import Self

from exchange import car, shelf
from exchange import cid as cids

BATCH = 32  # blocks that wait at most, on disk
SMALL = 256 * 1024  # bytes of blocks that wait at most for a pack, in memory


class Writer:
    """Takes the blocks of a file, as long as the lock of its store is held; all are durable when the context ends well."""

    def __init__(self, target: shelf.Shelf) -> None:
        self._shelf = target
        self._staged: dict[cids.Cid, shelf.Staged] = {}
        self._syncing: list[futures.Future[None]] = []
        self._thread = futures.ThreadPoolExecutor(1, thread_name_prefix="exchange-sync")
        self._touched: set[Path] = set()

    def put(self, name: cids.Cid, block: bytes | memoryview) -> None:
        """Store the block of that name, which the caller has hashed.

        Args:
            name: a node comes after its children.
            block: its bytes, not needed any more when this returns.

        Raises:
            QuotaError: the store would hold more than it may.
            StoreError: an error of the operating system, which is its cause.
        """
        with self._reporting():
            if name.codec == cids.DAG_PB:
                self._sync()
            self._touched.add(self._shelf.path(name).parent)
            if name not in self._staged and (staged := self._shelf.stage(name, block)):
                self._staged[name] = staged
                self._syncing.append(self._thread.submit(self._shelf.settle, staged))
            if len(self._staged) >= BATCH:
                self._place()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        try:
            if kind is None:
                with self._reporting():
                    self._sync()
        finally:
            self._thread.shutdown(cancel_futures=True)
            self._shelf.discard(self._drained())  # after an error some are left

    def _sync(self) -> None:
        self._place()
        self._shelf.sync(self._touched)

    def _place(self) -> None:
        for synced in self._syncing:
            synced.result()
        self._syncing.clear()
        self._shelf.place(self._drained())

    def _drained(self) -> list[shelf.Staged]:
        staged = list(self._staged.values())
        self._staged.clear()
        return staged

    def _reporting(self) -> contextlib.AbstractContextManager[None]:
        return shelf.reporting(f"write to {self._shelf.folder.parent}")


class Packer:
    """Takes blocks as a `Writer` does, into one pack; all are durable, and only then there, when the context ends well."""

    def __init__(self, target: shelf.Shelf) -> None:
        self._shelf = target
        self._pack: shelf.Staged | None = None
        self._waiting = bytearray()

    def put(self, name: cids.Cid, block: bytes | memoryview) -> None:
        """Store the block of that name; as `Writer.put`."""
        with self._reporting():
            if self._pack is None:
                self._pack = self._shelf.begin()
                self._waiting += car.head([name])
            self._waiting += car.section(name, len(block))
            if len(block) < SMALL:
                self._waiting += block
                block = b""
            if block or len(self._waiting) >= SMALL:
                self._pack = self._flushed(self._pack, block)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._pack is None:
            return
        try:
            if kind is None:
                with self._reporting():
                    self._pack = self._flushed(self._pack)
                    self._shelf.settle(self._pack)
                    self._shelf.place([self._pack])
                    self._shelf.sync({self._pack.path.parent})
        finally:
            self._shelf.discard([self._pack] if self._pack.staged.exists() else [])

    def _flushed(self, pack: shelf.Staged, block: bytes | memoryview = b"") -> shelf.Staged:
        written = self._shelf.add(pack, bytes(self._waiting), block)
        self._waiting.clear()
        return written

    def _reporting(self) -> contextlib.AbstractContextManager[None]:
        return shelf.reporting(f"write to {self._shelf.folder.parent}")

"""Blocks as files of a folder: each there as a whole or not at all, and hashed whenever it is read.

    <folder>/<2 characters>/<cid>    the two before the last, as in Kubo's flatfs: they are evenly distributed
    <folder>/tmp/<random>            being written; a killed process leaves some
    <folder>/usage                   how many bytes there are (exchange.usage)
    <folder>/packs/<random>.car      small blocks that were put together (exchange.packs)

A block is written, synced and then renamed to its name, so no reader ever sees a part of one.
"""

import contextlib
import dataclasses
import io
import os
import secrets
import stat
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Literal

from exchange import assembly, blockfile, errors, packs, usage
from exchange import cid as cids

STALE = 3600.0  # seconds after which a file in tmp/ belongs to nobody that is alive

Fsync = Literal["always", "never"]


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Entry:
    """A block that lies on the shelf, not read yet: its name, the bytes of its file, and when it was put, since 1970."""

    cid: cids.Cid
    size: int
    time: float


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Staged:
    """A block that is written, but neither synced nor on the shelf.

    Attributes:
        path: where it will lie.
        staged: where it is.
        file: the open file there.
        size: its bytes.
    """

    path: Path
    staged: Path
    file: io.FileIO
    size: int


class Shelf:
    """The blocks of one folder, which several processes may share."""

    def __init__(self, folder: Path, *, quota: int | None, fsync: Fsync) -> None:
        self.folder = folder
        self.staging = folder / "tmp"
        self.durable = fsync == "always"
        self._packs = packs.Packs(folder / "packs")
        self._usage = usage.Usage(folder / "usage", quota, self._count)

    def path(self, name: cids.Cid) -> Path:
        """Where the block `name` lies, if it is here."""
        return blockfile.place(self.folder, name)

    def stage(self, name: cids.Cid, block: bytes | memoryview) -> "Staged | None":
        """The block, written beside the shelf; None if it lies there intact, which only marks it as put again.

        Raises QuotaError, and OSError as it comes.
        """
        path = self.path(name)
        if blockfile.freshened(path, block):
            return None
        return self._written(path, block)

    def begin(self) -> "Staged":
        """A pack, empty and staged, to which `add` adds; raises OSError as it comes."""
        return self._written(self._packs.folder / f"{secrets.token_hex(16)}{packs.SUFFIX}", b"")

    def add(self, pack: "Staged", *pieces: bytes | memoryview) -> "Staged":
        """The pack with `pieces` behind what it has; raises as `stage` does."""
        size = sum(map(len, pieces))
        with self._usage.adding(size):
            for piece in pieces:
                _write(pack.file, piece)
        return dataclasses.replace(pack, size=pack.size + size)

    def _written(self, path: Path, block: bytes | memoryview) -> "Staged":
        staged = self.staging / secrets.token_hex(16)
        with self._usage.adding(len(block)):
            file = blockfile.reserved(staged, len(block))
        written = Staged(path=path, staged=staged, file=file, size=len(block))
        try:
            _write(file, block)
        except BaseException:
            self.discard([written])
            raise
        return written

    def settle(self, block: "Staged") -> None:
        """Make what was written durable, close it, and make its folder; OSError as it comes. Any thread may call it."""
        if self.durable:
            os.fsync(block.file.fileno())
        block.file.close()
        block.path.parent.mkdir(exist_ok=True)

    def place(self, written: Sequence["Staged"]) -> None:
        """Put blocks that are settled on the shelf, durable but for their names, which `sync` makes so; OSError as it comes."""
        try:
            for block in written:
                block.staged.replace(block.path)
        except BaseException:
            self.discard(written)
            raise

    def discard(self, written: Sequence["Staged"]) -> None:
        """Forget staged blocks; those that are on the shelf already stay."""
        for block in written:
            with contextlib.suppress(OSError):  # there is an earlier error, which is the one to tell
                block.file.close()
                block.staged.unlink()
                self._usage.lower(block.size)

    def read(self, name: cids.Cid, *, limit: int) -> bytes:
        """The block `name`; raises BlockMissingError, BlockCorruptError, TooLargeError, or StoreError."""
        limit = assembly.bound(name, limit)
        with self._opened(name) as (file, size):
            if size > limit:
                raise errors.TooLargeError(f"block {name} has {size} bytes, expected at most {limit}")
            block = io.BytesIO(bytes(size))  # becomes `bytes` without a copy
            with block.getbuffer() as target:
                blockfile.fill(target, file, name)
        return block.getvalue()

    def read_into(self, name: cids.Cid, target: memoryview) -> None:
        """Read the block `name` into all of `target`; raises as `read` does."""
        with self._opened(name) as (file, _):
            blockfile.fill(target, file, name)

    def holds(self, name: cids.Cid) -> bool:
        """Whether a file lies where the block `name` would, or a pack has it."""
        return self.size(name) is not None

    def size(self, name: cids.Cid) -> int | None:
        """The bytes that the block `name` has by its file, or by the pack that it is in; None if there is none."""
        found = blockfile.regular(self.path(name))
        if found is not None:
            return found.st_size
        packed = self._packs.find(name)
        return None if packed is None else packed.size

    def entries(self) -> Iterator[Entry]:
        """What lies here, in no order. A file that no block would be in, by its name or place, is passed over."""
        for name, found in self._named():
            if stat.S_ISREG(found.st_mode):
                yield Entry(cid=name, size=found.st_size, time=found.st_mtime)

    def packed(self) -> Iterator[Entry]:
        """What lies in packs, which are read and never collected."""
        for name, place in self._packs.places().items():
            yield Entry(cid=name, size=place.size, time=place.time)

    def strange(self) -> Iterator[cids.Cid]:
        """The names under which something else than a file lies: a folder, a link, a pipe."""
        return (name for name, found in self._named() if not stat.S_ISREG(found.st_mode))

    def remove(self, name: cids.Cid) -> None:
        """Take the block off the shelf; whoever has it open reads on. Only for a caller who has the lock alone."""
        self.path(name).unlink(missing_ok=True)

    def sweep(self, *, older: float = STALE) -> None:
        """Remove what killed processes left, where it is `older` than so many seconds; only for who has the lock alone."""
        for staged in self.staging.iterdir():
            with contextlib.suppress(FileNotFoundError):
                if time.time() - staged.stat().st_mtime >= older:
                    staged.unlink()

    def recount(self) -> None:
        """Count the bytes again that the quota is held against."""
        self._usage.recount()

    def sync(self, folders: set[Path]) -> None:
        """Make the names in `folders`, which lie on the shelf, and their own names durable, and forget the folders."""
        if self.durable and folders:
            for folder in (*folders, self.folder, self.folder.parent):
                sync(folder)
        folders.clear()

    def _count(self) -> int:
        staged = 0  # renamed at any moment: counted first, it is counted twice, never not at all
        for file in self.staging.iterdir():
            with contextlib.suppress(FileNotFoundError):
                staged += file.stat().st_size
        return staged + self._packs.size() + sum(entry.size for entry in self.entries())

    def _named(self) -> Iterator[tuple[cids.Cid, os.stat_result]]:
        for folder in self.folder.glob("[a-z2-7][a-z2-7]"):
            with os.scandir(folder) as files:
                for file in files:
                    with contextlib.suppress(errors.CidError, FileNotFoundError):
                        name, found = cids.Cid.parse(file.name), file.stat(follow_symlinks=False)
                        if folder.name == file.name[-3:-1]:
                            yield name, found

    @contextlib.contextmanager
    def _opened(self, name: cids.Cid) -> Iterator[tuple[io.FileIO, int]]:
        """The open file, at the block's first byte, and how many bytes the block has."""
        with reporting(f"read {name}"):
            try:
                file, packed = blockfile.opened(self.path(name)), None
            except FileNotFoundError as error:
                packed = self._packs.find(name)
                if packed is None:
                    raise errors.BlockMissingError(f"block {name} is not in {self.folder.parent}") from error
                file = blockfile.opened(packed.path)
            if file is None:
                raise errors.BlockCorruptError(f"block {name} is not a regular file")
            with file:
                file.seek(0 if packed is None else packed.start)
                yield file, os.fstat(file.fileno()).st_size if packed is None else packed.size


@contextlib.contextmanager
def reporting(action: str) -> Iterator[None]:
    """Turn the operating system's errors into ours, as "cannot `action`"."""
    try:
        yield
    except OSError as error:
        raise errors.StoreError(f"cannot {action}: {error}") from error


def _write(file: io.FileIO, data: bytes | memoryview) -> None:
    rest = memoryview(data)
    while rest:
        rest = rest[file.write(rest) :]


def sync(folder: Path) -> None:
    """Make the names in `folder` durable."""
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)

"""The embedded block store: a folder with one file for each block, named by its CID.

    <folder>/blocks/<2 characters>/<cid>    the two before the last, as in Kubo's flatfs: they are evenly distributed
    <folder>/blocks/tmp/<random>            being written; a killed process leaves some, a later put removes them

A block is written, synced and then renamed to its name, so no reader ever sees a part of one. Leaves are durable before
the node that names them. Nothing that is read is trusted: every block is hashed.
"""

import contextlib
import hashlib
import io
import os
import secrets
import stat
import time
from collections.abc import Iterator
from pathlib import Path

from exchange import cid as cids
from exchange import errors, nodes, unixfs

STALE = 3600.0  # seconds after which a file in tmp/ belongs to nobody that is alive


class BlockStore:
    """Files by CID in a folder, which several processes may share; made when something is first put."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.blocks = folder / "blocks"
        self.staging = self.blocks / "tmp"

    def put(self, data: bytes | bytearray | memoryview) -> cids.Cid:
        """The CID of `data`, all of whose blocks are on disk when this returns.

        A block that is already there is left alone if it is intact and replaced if it is not.

        Args:
            data: contiguous bytes, any number.

        Raises:
            StoreError: no space, no permission or another error of the operating system, which is its cause. What was
                stored so far stays and does no harm.
        """
        touched: set[Path] = set()

        def store(name: cids.Cid, block: bytes | memoryview) -> None:
            if name.codec == cids.DAG_PB:
                _sync(touched)
            path = self._path(name)
            touched.update((path.parent, self.blocks, self.folder))
            if not _holds(path, block):
                self._write(path, block)

        with memoryview(data).cast("B") as view, _reporting(f"write to {self.folder}"):
            self.staging.mkdir(parents=True, exist_ok=True)
            self._sweep()
            root = unixfs.assemble(unixfs.slices(view), store)
            _sync(touched)
        return root.cid

    def get(self, cid: cids.Cid | str, *, limit: int) -> bytes:
        """The bytes of the file `cid`, every block of it verified.

        Args:
            cid: the name that `put` gave, or its text.
            limit: the most bytes that the file may have; memory use stays within it.

        Raises:
            CidError: `cid` is a text that is no CID.
            BlockMissingError: a block of the file is not here.
            BlockCorruptError: a block does not hash to its name, or the tree is not laid out as the profile says.
            TooLargeError: the file has more than `limit` bytes.
            StoreError: an error of the operating system, which is its cause.

        Reference: docs/protocol.md P11.
        """
        name = cids.Cid.parse(cid) if isinstance(cid, str) else cid
        if name.codec == cids.RAW:
            return self._read(name, limit=min(limit, unixfs.CHUNK))
        children = nodes.links(self._node(name))
        size = sum(child.size for child in children)
        if size > limit:
            raise errors.TooLargeError(f"file {name} has {size} bytes, expected at most {limit}")
        file = io.BytesIO(bytes(size))  # becomes `bytes` without a copy
        with file.getbuffer() as target:
            position = 0
            for leaf in unixfs.leaves(children, self._node):
                self._read_into(target[position : position + leaf.size], leaf.cid)
                position += leaf.size
        return file.getvalue()

    def has(self, cid: cids.Cid | str) -> bool:
        """Whether the root block of the file `cid` is here; `put` writes it last, so the rest was stored before it.

        Raises:
            CidError: `cid` is a text that is no CID.
            StoreError: an error of the operating system, which is its cause.
        """
        name = cids.Cid.parse(cid) if isinstance(cid, str) else cid
        with _reporting(f"look for {name}"):
            return self._path(name).is_file()

    def _path(self, name: cids.Cid) -> Path:
        text = str(name)
        return self.blocks / text[-3:-1] / text

    def _write(self, path: Path, block: bytes | memoryview) -> None:
        path.parent.mkdir(exist_ok=True)
        staged = self.staging / secrets.token_hex(16)
        try:
            with staged.open("xb", buffering=0) as file:
                rest = memoryview(block)
                while rest:
                    rest = rest[file.write(rest) :]
                os.fsync(file.fileno())
            staged.replace(path)
        finally:
            staged.unlink(missing_ok=True)

    def _sweep(self) -> None:
        for staged in self.staging.iterdir():
            with contextlib.suppress(FileNotFoundError):
                if time.time() - staged.stat().st_mtime > STALE:
                    staged.unlink()

    def _node(self, name: cids.Cid) -> bytes:
        return self._read(name, limit=unixfs.MAX_NODE)

    def _read(self, name: cids.Cid, *, limit: int) -> bytes:
        with self._opened(name) as file:
            size = os.fstat(file.fileno()).st_size
            if size > limit:
                raise errors.TooLargeError(f"block {name} has {size} bytes, expected at most {limit}")
            block = io.BytesIO(bytes(size))
            with block.getbuffer() as target:
                _fill(target, file, name)
        return block.getvalue()

    def _read_into(self, target: memoryview, name: cids.Cid) -> None:
        with self._opened(name) as file:
            _fill(target, file, name)

    @contextlib.contextmanager
    def _opened(self, name: cids.Cid) -> Iterator[io.FileIO]:
        with _reporting(f"read {name}"):
            try:
                # Without O_NONBLOCK, a pipe in the place of a block would hang whoever reads it.
                file = io.FileIO(os.open(self._path(name), os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC), "rb")
            except FileNotFoundError as error:
                raise errors.BlockMissingError(f"block {name} is not in {self.folder}") from error
            with file:
                if not stat.S_ISREG(os.fstat(file.fileno()).st_mode):
                    raise errors.BlockCorruptError(f"block {name} is not a regular file")
                yield file


def _fill(target: memoryview, file: io.FileIO, name: cids.Cid) -> None:
    """Read all of `target`, which must be the block `name`."""
    rest = target
    while rest and (count := file.readinto(rest)):
        rest = rest[count:]
    if rest or hashlib.sha256(target).digest() != name.digest:
        raise errors.BlockCorruptError(f"block {name} does not hash to its name, or has not {len(target)} bytes")


def _holds(path: Path, block: bytes | memoryview) -> bool:
    try:
        return path.stat().st_size == len(block) and path.read_bytes() == block
    except FileNotFoundError:
        return False


def _sync(folders: set[Path]) -> None:
    """Make the names in `folders` durable, and forget the folders."""
    while folders:
        descriptor = os.open(folders.pop(), os.O_RDONLY | os.O_DIRECTORY)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)


@contextlib.contextmanager
def _reporting(action: str) -> Iterator[None]:
    """Turn the operating system's errors into ours."""
    try:
        yield
    except OSError as error:
        raise errors.StoreError(f"cannot {action}: {error}") from error

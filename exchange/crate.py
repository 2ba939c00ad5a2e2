"""Crates: CAR files in which each set of blocks has one order, so that it has one file, and which are read where they lie.

    header with one root | sections in ascending order of the 36 bytes of their CIDs, so none is there twice

Who opens one reads it to its end once: framing, names, order, the hash of each block. After that a block is found by its name,
in the memory of 13 bytes for each, and hashed again. What was asked for is noted, so that what nobody needs can be refused.
Nothing is unpacked anywhere.

Reference: IPLD, "Content Addressable aRchives (CAR) v1"; docs/protocol.md P28; P21 for CAR files.
"""

import array
import bisect
import contextlib
import os
import stat
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import BinaryIO, Self

from exchange import assembly, car, errors, shelf, unixfs
from exchange import cid as cids

MAX_BLOCKS = 1 << 22
_PACE = 1000  # blocks between two words on how far it is


def encode(root: cids.Cid, names: Iterable[cids.Cid], fetch: assembly.Fetch) -> Iterator[bytes]:
    """The pieces of the crate of these blocks, as they are taken.

    Args:
        root: the one name in its header.
        names: of the blocks, in any order.
        fetch: gives them.

    Raises:
        CarError: there are more than `MAX_BLOCKS`.
        StoreError: as `fetch` raises it; what was taken so far is worthless.

    Reference: docs/protocol.md P28.
    """
    chosen = sorted(set(names), key=bytes)
    if len(chosen) > MAX_BLOCKS:
        raise errors.CarError(f"{len(chosen)} blocks, expected at most the {MAX_BLOCKS} of a crate")
    return car.encode([root], ((name, fetch(name, limit=unixfs.MAX_BLOCK)) for name in chosen))


class Crate:
    """An open crate, of which every byte was read and checked; made by `opened`.

    Attributes:
        root: the one name in its header.
    """

    def __init__(self, path: Path, file: BinaryIO) -> None:
        self._path = path
        self._file = file
        self._starts = array.array("Q")
        self._sizes = array.array("I")
        self._wanted = bytearray()
        self.root = _root(file)

    @classmethod
    @contextlib.contextmanager
    def opened(cls, path: Path, told: Callable[[int], object] = lambda _: None) -> Iterator[Self]:
        """The crate in a file.

        Args:
            path: where it lies.
            told: is told now and then how many blocks were read.

        Raises:
            CarError: it is none: the message says from which byte on.
            BlockCorruptError, TooLargeError: a block does not hash to its name, or is larger than any.
            StoreError: it cannot be read.

        Reference: docs/protocol.md P28.
        """
        with contextlib.ExitStack() as stack:
            with shelf.reporting(f"read {path}"):
                # Not to wait for whoever may write into a pipe.
                file = stack.enter_context(os.fdopen(os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK), "rb"))
                if not stat.S_ISREG(os.fstat(file.fileno()).st_mode):
                    raise errors.CarError(f"{path} is no file, expected one that can be read twice")
                with _placed(path, file):
                    found = cls(path, file)
                    found._scan(told)
            yield found

    def block(self, cid: cids.Cid, /, *, limit: int) -> bytes:
        """The block `cid`, verified, and noted as wanted.

        Raises:
            BlockMissingError: it is not in the crate.
            BlockCorruptError: the file is not what it was when it was opened.
            TooLargeError: it has more than `limit` bytes.
            StoreError: it cannot be read.
        """
        with shelf.reporting(f"read {self._path}"):
            index = self._find(bytes(cid))
            if index is None:
                raise errors.BlockMissingError(f"block {cid} is not in {self._path}")
            self._wanted[index] = True
            start = self._starts[index] + cids.BINARY_SIZE
            data = os.pread(self._file.fileno(), self._sizes[index], start)
        return assembly.verified(cid, data, limit=limit)

    def unwanted(self) -> cids.Cid | None:
        """The first block that nobody has asked for; None if there is none."""
        index = self._wanted.find(False)
        return None if index < 0 else cids.Cid.from_bytes(self._name(index))

    def _find(self, name: bytes) -> int | None:
        index = bisect.bisect_left(range(len(self._starts)), name, key=self._name)
        return index if index < len(self._starts) and self._name(index) == name else None

    def _name(self, index: int) -> bytes:
        return os.pread(self._file.fileno(), cids.BINARY_SIZE, self._starts[index])

    def _scan(self, told: Callable[[int], object]) -> None:
        last = b""
        for name, block in car.rest(self._file):
            if bytes(name) <= last:
                raise errors.CarError(f"block {name} is not after the one before it, expected ascending names")
            last = bytes(name)
            assembly.verified(name, block, limit=unixfs.MAX_BLOCK)
            if len(self._starts) == MAX_BLOCKS:
                raise errors.CarError(f"more than {MAX_BLOCKS} blocks")
            self._starts.append(self._file.tell() - len(block) - cids.BINARY_SIZE)
            self._sizes.append(len(block))
            if len(self._starts) % _PACE == 0:
                told(len(self._starts))
        self._wanted = bytearray(len(self._starts))
        if self._find(bytes(self.root)) is None:
            raise errors.CarError(f"its root, block {self.root}, is not in it")


@contextlib.contextmanager
def _placed(path: Path, file: BinaryIO) -> Iterator[None]:
    """What is raised says of which file it is, and how far that was read."""
    try:
        yield
    except (errors.CarError, errors.StoreError) as error:
        raise type(error)(f"{path}, before byte {file.tell()}: {error}") from error


def _root(file: BinaryIO) -> cids.Cid:
    names = car.roots(file)
    if len(names) != 1:
        raise errors.CarError(f"CAR file of {len(names)} roots, expected 1")
    return names[0]

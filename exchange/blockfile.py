"""The file of one block: opened, made, read and compared. What is no regular file of this folder is no block.

A link could lead to bytes that somebody else takes away, a pipe would hang whoever opens it, a device has side effects.
"""

import contextlib
import errno
import functools
import hashlib
import io
import os
import stat
from pathlib import Path

from exchange import cid as cids
from exchange import errors

_NO_FILE = (errno.ELOOP, errno.ENXIO, errno.ENODEV)
_NOT_OURS = (errno.ENOENT, errno.EACCES, errno.EPERM)


@functools.lru_cache(maxsize=1024)  # asked for at each step of a block's way, and slow to put together
def place(folder: Path, name: cids.Cid) -> Path:
    """Where the block `name` lies in `folder`, if it is there."""
    text = str(name)
    return folder.joinpath(text[-3:-1], text)


def opened(path: Path) -> io.FileIO | None:
    """The file, to be read; None if what lies there is no regular file. OSError as it comes."""
    try:
        # Without O_NONBLOCK, a pipe in the place of a block would hang whoever reads it.
        descriptor = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_NOFOLLOW | os.O_CLOEXEC)
    except OSError as error:
        if error.errno in _NO_FILE:
            return None
        raise
    if not stat.S_ISREG(os.fstat(descriptor).st_mode):
        os.close(descriptor)
        return None
    return io.FileIO(descriptor, "rb")


def regular(path: Path) -> os.stat_result | None:
    """What the system says of the file; None if there is none, or if it is no regular one. OSError as it comes."""
    try:
        found = path.lstat()
    except FileNotFoundError:
        return None
    return found if stat.S_ISREG(found.st_mode) else None


def reserved(path: Path, size: int) -> io.FileIO:
    """A new file of `size` bytes, which are yet to be written."""
    file = io.FileIO(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o644), "wb")
    try:
        file.truncate(size)
    except BaseException:
        with contextlib.suppress(OSError):
            file.close()
            path.unlink()
        raise
    return file


def fill(target: memoryview, file: io.FileIO, name: cids.Cid) -> None:
    """Read all of `target`, which must be the block `name`; raises BlockCorruptError."""
    rest = target
    while rest and (count := file.readinto(rest)):
        rest = rest[count:]
    if rest or hashlib.sha256(target).digest() != name.digest:
        raise errors.BlockCorruptError(f"block {name} does not hash to its name, or has not {len(target)} bytes")


def freshened(path: Path, block: bytes | memoryview) -> bool:
    """Whether the block is there and intact; if so it is as young as if it had been written now."""
    try:
        file = opened(path)
        if file is None:
            return False
        with file:
            if os.fstat(file.fileno()).st_size != len(block) or file.readall() != block:
                return False
            os.utime(file.fileno())
    except OSError as error:  # somebody else's block that we cannot make young is written anew
        if error.errno in _NOT_OURS:
            return False
        raise
    return True

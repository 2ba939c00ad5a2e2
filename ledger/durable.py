"""Small files that must survive a crash: whole or not there, and on disk before anybody acts on them."""

import contextlib
import ctypes
import fcntl
import os
from collections.abc import Iterator
from pathlib import Path

_LIBC = ctypes.CDLL(None, use_errno=True)


def write(path: Path, data: bytes, *, mode: int = 0o644) -> None:
    """Nothing; `path` holds `data`, durably and all at once: a crash leaves the old file or the new one.

    Of two writers at a time one loses its temporary file, so hold `locked` where there can be two.

    Args:
        path: The file, in a folder that is there.
        data: All that it holds from now on.
        mode: Permissions of the new file, less the process' umask.

    Raises:
        OSError: The file system refused; the old file is as it was.
    """
    os.replace(_staged(path, data, mode, synced=True), path)  # noqa: PTH105  texts: a round has hundreds
    sync(path.parent)


class Together:
    """Files that become durable together: one flush of the disk for all of them, not one for each.

    Nobody may act on any of them before `finish` returns; a crash before that leaves of each the old file or the new one.
    """

    def __init__(self) -> None:
        self._staged: dict[Path, str] = {}
        self._touched: Path | None = None

    def write(self, path: Path, data: bytes, *, mode: int = 0o644) -> None:
        """Nothing; `path` holds `data` when `finish` has returned. Arguments and errors are those of `write`."""
        self._staged[path] = _staged(path, data, mode, synced=False)
        self._touched = path.parent

    def appended(self, path: Path) -> None:
        """Nothing; what the caller wrote to `path` without a sync is durable when `finish` has begun to replace files."""
        self._touched = path.parent

    def finish(self) -> None:
        """Nothing; all of it is durable, and nothing of it is held any more.

        Raises:
            OSError: the file system refused; of each file either the old or the new one is there.
        """
        if self._touched is None:
            return
        flush(self._touched)
        for path, temporary in self._staged.items():
            os.replace(temporary, path)  # noqa: PTH105
        if self._staged:
            flush(self._touched)
        self._staged, self._touched = {}, None


def flush(folder: Path) -> None:
    """Nothing; all that was written to the file system of `folder` is on disk.

    Raises:
        OSError: some of it could not be written.
    """
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        if not hasattr(_LIBC, "syncfs"):
            os.sync()  # a system without it: all file systems
        elif _LIBC.syncfs(descriptor):
            raise OSError(ctypes.get_errno(), os.strerror(ctypes.get_errno()), str(folder))
    finally:
        os.close(descriptor)


def _staged(path: Path, data: bytes, mode: int, *, synced: bool) -> str:
    """The temporary file beside `path` that holds `data`."""
    temporary = f"{path}.tmp"
    descriptor = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, mode)
    with named(path), os.fdopen(descriptor, "wb") as file:
        file.write(data)
        file.flush()
        if synced:
            os.fsync(file.fileno())
    return temporary


@contextlib.contextmanager
def named(path: Path) -> Iterator[None]:
    """Nothing; an OSError from within says which file it is about: a full disk is told to a write, which knows no name."""
    try:
        yield
    except OSError as error:
        error.filename = error.filename or str(path)
        raise


def sync(folder: Path) -> None:
    """Nothing; the names in `folder` are on disk."""
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


@contextlib.contextmanager
def locked(path: Path) -> Iterator[None]:
    """Hold the lock file `path` alone among threads and processes; a second waits. It goes with the process."""
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_CLOEXEC, 0o666)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX)
        yield
    finally:
        os.close(descriptor)

"""Small files that must survive a crash: whole or not there, and on disk before anybody acts on them."""

import contextlib
import fcntl
import os
from collections.abc import Iterator
from pathlib import Path


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
    temporary = path.with_name(f"{path.name}.tmp")
    descriptor = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, mode)
    with named(path), os.fdopen(descriptor, "wb") as file:
        file.write(data)
        file.flush()
        os.fsync(file.fileno())
    temporary.replace(path)
    sync(path.parent)


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
    with path.open("ab") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield

"""One lock of a folder that several processes share: many may write at once, one may collect while nobody writes.

The kernel holds it (flock), so it goes with whoever held it, however that process ended; there is nothing to clean up
after a kill. It is held by an open file, so two threads of one process exclude each other as two processes do.
"""

import contextlib
import fcntl
import os
import time
from collections.abc import Iterator
from pathlib import Path

from exchange import errors

POLL = 0.02  # seconds between two tries


@contextlib.contextmanager
def shared(path: Path) -> Iterator[int]:
    """Hold the lock `path` together with others; waits for as long as somebody has it alone. Gives its descriptor."""
    with _opened(path) as descriptor:
        fcntl.flock(descriptor, fcntl.LOCK_SH)
        yield descriptor


@contextlib.contextmanager
def alone(path: Path, *, wait: float | None = None) -> Iterator[int]:
    """Hold the lock `path` alone. Gives its descriptor.

    Args:
        path: the file, made if it is not there.
        wait: seconds after which to give up; None waits for ever.

    Raises:
        BusyError: others still held it after `wait` seconds.
    """
    with _opened(path) as descriptor:
        if wait is None:
            fcntl.flock(descriptor, fcntl.LOCK_EX)
        else:
            _insist(descriptor, path, wait)
        yield descriptor


def _insist(descriptor: int, path: Path, wait: float) -> None:
    until = time.monotonic() + wait
    while True:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            if time.monotonic() >= until:
                raise errors.BusyError(f"{path.parent} is being written to for {wait} seconds, try later") from None
            time.sleep(POLL)
        else:
            return


@contextlib.contextmanager
def _opened(path: Path) -> Iterator[int]:
    descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o644)
    try:
        yield descriptor
    finally:
        os.close(descriptor)

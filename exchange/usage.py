r"""How many bytes a block store holds, kept in a file, so that a quota costs no walk over the folder.

    <boot id> <20 digits>\n      the boot of the machine in which this was counted, and the bytes

The count is never too low. It is raised before a block is written and lowered only when writing failed, so a kill leaves
it too high; it is written in place without a sync, so after a crash of the machine it may be old, which the boot id
shows. Whoever would be refused by it counts anew first. It is kept only once somebody has asked for a quota.
"""

import contextlib
import os
import uuid
from collections.abc import Callable, Iterator
from pathlib import Path

from exchange import errors, lock

_SIZE = 36 + 1 + 20 + 1


def _boot() -> str:
    try:
        return Path("/proc/sys/kernel/random/boot_id").read_text("ascii").strip()
    except OSError:
        return str(uuid.uuid4())  # not this system's habit: every process counts anew


BOOT = _boot()


class Usage:
    """The count at `path`, against `quota` bytes; `count` finds it by walking, files under way before finished ones."""

    def __init__(self, path: Path, quota: int | None, count: Callable[[], int]) -> None:
        self.path = path
        self.quota = quota
        self.count = count

    @contextlib.contextmanager
    def adding(self, size: int) -> Iterator[None]:
        """Raise the count by `size` bytes; within, the caller makes a file of that size for whoever counts next.

        Raises:
            QuotaError: the store would hold more than its quota; nothing was changed.
        """
        with lock.alone(self.path) as descriptor:
            held = self._known(descriptor)
            if self.quota is not None and (held is None or held + size > self.quota):
                held = self.count()
                if held + size > self.quota:
                    _write(descriptor, held)
                    raise errors.QuotaError(
                        f"{size} bytes more in {self.path.parent}, which holds {held}, expected at most {self.quota} in all"
                    )
            if held is None:
                yield
                return
            _write(descriptor, held + size)
            try:
                yield
            except BaseException:
                _write(descriptor, held)
                raise

    def lower(self, size: int) -> None:
        """Take back `size` bytes that were added and then not written."""
        with lock.alone(self.path) as descriptor:
            if (held := self._known(descriptor)) is not None:
                _write(descriptor, held - size)

    def recount(self) -> None:
        """Count anew, if a count is kept."""
        with lock.alone(self.path) as descriptor:
            if self.quota is not None or self._known(descriptor) is not None:
                _write(descriptor, self.count())

    @staticmethod
    def _known(descriptor: int) -> int | None:
        text = os.pread(descriptor, _SIZE + 1, 0)
        boot, _, digits = text.rstrip(b"\n").partition(b" ")
        if len(text) != _SIZE or boot != BOOT.encode() or not digits.isdigit():
            return None
        return int(digits)


def _write(descriptor: int, held: int) -> None:
    line = f"{BOOT} {max(0, held):020d}\n".encode()
    if os.pwrite(descriptor, line, 0) != len(line):
        os.ftruncate(descriptor, 0)  # half a line is no count

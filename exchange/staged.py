"""Files that appear whole or not at all.

.<random>.part     beside the target while it is being written; synced, then renamed
"""

import contextlib
import os
import secrets
from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO

from exchange import errors, shelf


@contextlib.contextmanager
def writing(path: Path, *, mode: int = 0o600) -> Iterator[BinaryIO]:
    """A file that takes the name `path`, durably, if the block ends well, and is gone if it raises.

    Args:
        path: its name.
        mode: who may read it, but for whom the process' umask leaves out.

    Raises:
        StoreError: no space, no permission or another error of the operating system, which is its cause.
    """
    part = path.with_name(f".{secrets.token_hex(16)}.part")
    try:
        try:
            part.touch(mode=mode, exist_ok=False)
            with part.open("wb") as file:
                yield file
                file.flush()
                os.fsync(file.fileno())
            part.replace(path)
        finally:
            part.unlink(missing_ok=True)
        shelf.sync(path.parent)
    except OSError as error:
        raise errors.StoreError(f"cannot write {path}: {error}") from error

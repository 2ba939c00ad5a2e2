"""Where a command may write a file: a new name, or a regular file that it was told to replace."""

import stat
from pathlib import Path

from orchestrator import errors


def require_free(path: Path, *, replace: bool) -> None:
    """Nothing, if a file can be written to `path`.

    Args:
        path: where to.
        replace: whether there may be a file already.

    Raises:
        FolderError: it cannot: there is a file already, which is not to be replaced, or something that is no regular file.
    """
    if not path.parent.is_dir():
        raise errors.FolderError(f"there is no folder {path.parent}: make it first")
    require_regular(path)
    if not replace and path.exists():
        raise errors.FolderError(f"{path} exists: choose another file, or add --force")


def require_regular(path: Path) -> None:
    """Nothing, if there is a regular file at `path`, or nothing. A link is neither: the file behind it would not be replaced.

    Raises:
        FolderError: there is something else.
    """
    try:
        mode = path.lstat().st_mode
    except FileNotFoundError:
        return
    if not stat.S_ISREG(mode):
        message = "is there and is no regular file, but a folder, link, pipe or device"
        raise errors.FolderError(f"{path} {message}: choose another name")


def require_outside(path: Path, root: Path) -> None:
    """Nothing, if `path` is outside of the run folder `root`, by whatever links either is named.

    Raises:
        FolderError: it is inside.
    """
    if path.resolve().is_relative_to(root.resolve()):
        raise errors.FolderError(f"{path} is inside of the run folder {root}, expected a place outside of it")

"""Files on their way into a store and out of it, with a bar on standard error where that is a terminal."""

import contextlib
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, BinaryIO, cast

from rich import progress
from rich.console import Console

if TYPE_CHECKING:
    from exchange import cid as cids
    from exchange import store

COLUMNS = (
    progress.TextColumn("{task.description}"),
    progress.BarColumn(),
    progress.DownloadColumn(),
    progress.TransferSpeedColumn(),
)


@contextlib.contextmanager
def read(file: BinaryIO, name: str, size: int) -> Iterator[BinaryIO]:
    """`file`, of which what is read shows, against its size, or 0 where that is not known, as of a pipe."""
    with _bar() as bar, bar.wrap_file(file, total=size, description=name) as watched:
        yield watched


def written(stores: "Sequence[store.Store]", cid: str, path: Path, *, limit: int) -> tuple[int, str]:
    """Bytes of the file `cid`, and where it was written: to `path`, which did not exist, or to standard output for "-".

    Args:
        stores: are asked in this order.
        cid: its name.
        path: appears when it is whole, or not at all.
        limit: the most bytes it may have.

    Raises:
        FolderError: `path` exists.
        StoreError: no store gives it.
    """
    from exchange import cid as cids  # noqa: PLC0415  `--help` need not wait
    from exchange import staged  # noqa: PLC0415

    name = cids.Cid.parse(cid)
    if str(path) == "-":
        return _got(stores, name, sys.stdout.buffer, limit=limit), "-"
    _check_free(path)
    with staged.writing(path, mode=0o666) as file:  # as other programs make files: it is sealed or public
        size = _got(stores, name, file, limit=limit)
        _check_free(path)
    return size, str(path)


def _got(stores: "Sequence[store.Store]", name: "cids.Cid", file: BinaryIO, *, limit: int) -> int:
    from exchange import errors  # noqa: PLC0415

    failures: list[errors.StoreError] = []
    with _bar() as bar:
        sink = _Sink(file, bar, bar.add_task(str(name)[:16], total=None))
        for each in stores:
            sink.rewind()
            try:
                return each.get_file(name, cast("BinaryIO", sink), limit=limit)
            except errors.StoreError as error:
                failures.append(error)
    if len(failures) == 1:
        raise failures[0]
    raise errors.PeerError(f"nobody gives {name}: {'; '.join(map(str, failures))}")


class _Sink:
    """A file that is written to once, in spite of several beginnings, all of which are the same bytes."""

    def __init__(self, file: BinaryIO, bar: progress.Progress, task: progress.TaskID) -> None:
        self._file = file
        self._bar = bar
        self._task = task
        self._written = 0
        self._position = 0

    def rewind(self) -> None:
        """The next write begins anew."""
        self._position = 0

    def write(self, data: bytes) -> int:
        known = max(0, min(len(data), self._written - self._position))
        self._file.write(memoryview(data)[known:])
        self._position += len(data)
        self._written = max(self._written, self._position)
        self._bar.update(self._task, completed=self._written)
        return len(data)


def _bar() -> progress.Progress:
    console = Console(stderr=True)
    # Where there is no terminal, an empty line would be left of it.
    return progress.Progress(*COLUMNS, console=console, transient=True, disable=not console.is_terminal)


def _check_free(path: Path) -> None:
    from orchestrator import errors  # noqa: PLC0415

    if path.exists() or path.is_symlink():
        raise errors.FolderError(f"{path} exists, and is not overwritten")

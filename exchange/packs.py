"""Small blocks that were put together, one file for all of them: what is written and synced once, and not once for each.

    <folder>/<32 hex digits>.car    a CAR file (exchange.car), its first block named as its root; never changed,
                                    and never collected

Any CAR program reads one. Its blocks are found, read and hashed by their names, as those that have a file of their own.
"""

import io
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

from exchange import blockfile, car, errors
from exchange import cid as cids

SUFFIX = ".car"


@dataclass(frozen=True, slots=True, kw_only=True)
class Place:
    """Where in a pack a block lies.

    Attributes:
        path: of the pack.
        start: of the block's first byte.
        size: its bytes.
        time: when it was put, in seconds since 1970.
    """

    path: Path
    start: int
    size: int
    time: float


class Packs:
    """The packs of one folder, which may be missing; looked at again whenever a name is not known."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._seen: dict[Path, int] = {}
        self._places: dict[cids.Cid, Place] = {}

    def find(self, name: cids.Cid) -> Place | None:
        """Where the block `name` lies; None if it is in no pack. OSError as it comes."""
        if name not in self._places:
            self._refresh()
        return self._places.get(name)

    def places(self) -> Mapping[cids.Cid, Place]:
        """All blocks that are in packs. OSError as it comes."""
        self._refresh()
        return dict(self._places)

    def size(self) -> int:
        """Bytes of all packs. OSError as it comes."""
        self._refresh()
        return sum(self._seen.values())

    def _refresh(self) -> None:
        if not self.folder.is_dir():
            return
        for path in sorted(self.folder.glob(f"*{SUFFIX}")):
            if path not in self._seen:
                found = dict(_places(path))
                self._seen[path] = path.lstat().st_size
                self._places |= found


def _places(path: Path) -> Iterator[tuple[cids.Cid, Place]]:
    """What a pack holds, up to where it is no CAR file any more: what is damaged is missing."""
    file = blockfile.opened(path)
    if file is None:
        return
    with io.BufferedReader(file) as source:
        time = path.lstat().st_mtime
        try:
            car.roots(source)
            for name, size in car.lengths(source):
                yield name, Place(path=path, start=source.tell(), size=size, time=time)
                source.seek(size, io.SEEK_CUR)
        except errors.CarError:
            return

"""The names of the files that must stay, each an empty file: there or not, so a kill leaves no half of a pin.

    <folder>/<cid>

A pin means the whole file, every block below its root. One name is pinned once, however many asked for it.
"""

import os
from collections.abc import Iterator
from pathlib import Path

from exchange import cid as cids
from exchange import errors, shelf


class Pins:
    """The pins in one folder, which several processes may share; made when something is first pinned."""

    def __init__(self, folder: Path, *, durable: bool) -> None:
        self.folder = folder
        self.durable = durable

    def add(self, *names: cids.Cid) -> None:
        """Pin `names`, durably when this returns."""
        self.folder.mkdir(parents=True, exist_ok=True)
        for name in names:
            os.close(os.open(f"{self.folder}/{name}", os.O_WRONLY | os.O_CREAT | os.O_CLOEXEC, 0o666))
        self._sync(self.folder.parent)
        self._sync(self.folder)

    def remove(self, name: cids.Cid) -> None:
        """Pin `name` no longer; durable likewise."""
        if self.folder.is_dir():
            (self.folder / str(name)).unlink(missing_ok=True)
            self._sync(self.folder)

    def __contains__(self, name: cids.Cid) -> bool:
        return (self.folder / str(name)).exists()

    def __iter__(self) -> Iterator[cids.Cid]:
        if not self.folder.is_dir():
            return
        for file in self.folder.iterdir():
            if file.name.startswith("."):  # what file managers leave everywhere
                continue
            try:
                yield cids.Cid.parse(file.name)
            except errors.CidError as error:
                # It may be the damaged name of a pin; passing over it could cost a file.
                raise errors.StoreError(f"{self.folder} holds a pin that is no name: {error}") from error

    def _sync(self, folder: Path) -> None:
        if self.durable:
            shelf.sync(folder)

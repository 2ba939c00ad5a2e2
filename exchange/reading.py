"""A store of which only blocks can be had, and a note of which were.

fetch(cid) -> block  ->  Reading: files, by the same checks as every store's  ->  nothing is put or pinned
"""

from typing import BinaryIO

from exchange import assembly, errors, readonly, unixfs
from exchange import cid as cids


class Reading(readonly.ReadOnly):
    """The files whose blocks something gives; see `exchange.store.Store`.

    Args:
        fetch: gives a block by name, hashed.
        place: what it is, for messages.
    """

    def __init__(self, fetch: assembly.Fetch, place: str) -> None:
        super().__init__(f"{place} is only read")
        self._fetch = fetch

    def get_file(self, cid: cids.Cid | str, file: BinaryIO, *, limit: int) -> int:
        """The bytes of the file `cid`, written to `file` block by block; see `exchange.store.Store`."""
        return assembly.get_file(assembly.name(cid), self._fetch, file, limit=limit)

    def block(self, cid: cids.Cid | str, *, limit: int = unixfs.MAX_BLOCK) -> bytes:
        """The bytes of the one block `cid`; raises as `get` does."""
        return self._fetch(assembly.name(cid), limit=limit)

    def has(self, cid: cids.Cid | str) -> bool:
        """Whether the root block of the file `cid` can be had."""
        try:
            self.block(cid)
        except errors.BlockMissingError:
            return False
        return True


class Noted:
    """What gives blocks, and which of them were asked for.

    Args:
        fetch: gives them.

    Attributes:
        names: of the blocks that it gave, and of those that are sound and were refused for their size alone.
        lacking: why the first of those refused for their size is no sound block; None if there is none.
    """

    def __init__(self, fetch: assembly.Fetch) -> None:
        self._fetch = fetch
        self.names: set[cids.Cid] = set()
        self.lacking: errors.ExchangeError | None = None

    def __call__(self, cid: cids.Cid, /, *, limit: int) -> bytes:
        """The block `cid`; raises as `fetch` does."""
        try:
            block = self._fetch(cid, limit=limit)
        except errors.TooLargeError:
            self._note(cid)
            raise
        self.names.add(cid)
        return block

    def _note(self, cid: cids.Cid) -> None:
        try:
            self._fetch(cid, limit=unixfs.MAX_BLOCK)
        except errors.ExchangeError as error:
            self.lacking = self.lacking or error
        else:
            self.names.add(cid)

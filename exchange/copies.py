"""Copies of what is put here, at others too. Where they could not be made they are owed, and made later.

What is owed outlives the process where a folder is given for it: one empty file for each name (exchange.pins). Somebody who
takes what is put pays the debts of before: some with each put, all when the store is opened for it.
"""

import contextlib
import itertools
import logging
import sys
import tempfile
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import BinaryIO, cast

from exchange import cid as cids
from exchange import errors, pins, rests, store

MAX_OWED = 1024  # files; what is put after that is named in the log, and not remembered
AT_ONCE = 16  # files that are paid with one put

logger = logging.getLogger(__name__)


class Copies:
    """Puts files of one store at others.

    Args:
        local: has the files.
        peers: by name, in the order in which they are tried.
        resting: who of them is left alone.
        wanted: how many copies there should be, at most as many as peers; None for one at each.
        owed: remembers the files of which there are fewer; None forgets.
        staging: folder for a file on its way; the system's own if left out.
    """

    def __init__(
        self,
        local: store.Store,
        peers: Mapping[str, store.Store],
        resting: rests.Rests,
        *,
        wanted: int | None,
        owed: pins.Pins | None,
        staging: Path | None,
    ) -> None:
        self._local = local
        self._peers = peers
        self._resting = resting
        self._wanted = len(peers) if wanted is None else min(wanted, len(peers))
        self._owed = owed
        self._staging = staging

    def make(self, name: cids.Cid, put: Callable[[store.Store], cids.Cid] | None = None) -> None:
        """Have the peers take the file `name`, which is here; who does not is no error, but is named.

        Args:
            name: of the file.
            put: puts it at a peer; reads it from here if left out.
        """
        if not self._wanted:
            return
        with _named(f"{name} is here, and may be owed to {self._who()}"):
            if self._made(name, put):
                self._forget(name)
                self.settle(AT_ONCE)
            else:
                self._owe(name)

    def settle(self, most: int | None = None) -> None:
        """Make copies that are owed, at most so many, as long as somebody takes them."""
        with _named(f"what is owed to {self._who()} stays owed"):
            for name in list(itertools.islice(self._owed or (), most)):
                if not self._willing():
                    return
                try:
                    if not self._made(name, None):
                        continue
                except (errors.BlockMissingError, errors.BlockCorruptError) as error:
                    logger.warning("%s is owed to %s, and not all here any more: %s", name, self._who(), error)
                self._forget(name)

    def _willing(self) -> list[str]:
        return [peer for peer in self._resting.over() if peer in self._peers]

    def _made(self, name: cids.Cid, put: Callable[[store.Store], cids.Cid] | None) -> bool:
        """Whether enough peers took it."""
        if put is None:
            with tempfile.TemporaryFile(dir=self._staging) as staged:
                self._local.get_file(name, staged, limit=sys.maxsize)
                return self._taken(name, lambda peer: _rewound(staged, peer))
        return self._taken(name, put)

    def _taken(self, name: cids.Cid, put: Callable[[store.Store], cids.Cid]) -> bool:
        missing = self._wanted
        for peer in self._willing() if missing else ():
            try:
                named = put(self._peers[peer])
                if named != name:
                    raise errors.PeerError(f"{peer} named what we put {named}, expected {name}")
            except errors.StoreError as error:
                logger.warning("%s was not put at %s: %s", name, peer, error)
                self._resting.blamed(peer, error)
                continue
            self._resting.succeeded(peer)
            missing -= 1
            if not missing:
                break
        return not missing

    def _owe(self, name: cids.Cid) -> None:
        if self._owed is None:
            return
        if sum(1 for _ in self._owed) >= MAX_OWED and name not in self._owed:
            logger.warning("%s is owed to %s, and not remembered: %d files are", name, self._who(), MAX_OWED)
            return
        self._owed.add(name)
        logger.warning("%s is owed to %s, and put there with what is put next", name, self._who())

    def _forget(self, name: cids.Cid) -> None:
        if self._owed is not None and name in self._owed:
            self._owed.remove(name)

    def _who(self) -> str:
        return f"{self._wanted} of {', '.join(self._peers)}"


@contextlib.contextmanager
def _named(what: str) -> Iterator[None]:
    """A copy that is not made, or not remembered, is no reason to lose the file that is here."""
    try:
        yield
    except (errors.StoreError, OSError) as error:
        logger.warning("%s: %s", what, error)


def _rewound(staged: object, peer: store.Store) -> cids.Cid:
    file = cast("BinaryIO", staged)
    file.seek(0)
    return peer.put_file(file)

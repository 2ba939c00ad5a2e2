"""One store made of several: our own first, then others, of whom nobody is relied on.

    get     here; else from the peers in order, and what came is kept here too
    put     here; then also at the peers that are named for it

A peer that lies, is slow or fails is named in the log and left alone for a while, longer each time; the next one is asked. A
peer that does not have a file is only passed by.
"""

import contextlib
import io
import logging
import shutil
import sys
import tempfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from types import TracebackType
from typing import BinaryIO, Self, TypeVar, cast

from exchange import assembly, errors, race, rests, store, unixfs
from exchange import cid as cids

_T = TypeVar("_T")

logger = logging.getLogger(__name__)


class Layered:
    """A store of ours, and peers that are asked for what it lacks.

    Args:
        local: takes what is put and what was fetched; its pins are the pins.
        peers: by name, in the order in which they are asked.
        push: names of peers at which everything is put too.
        copies: at how many of these it is put, the first that take it; at all of them if left out.
        hedge: seconds without an answer after which the next peer is asked as well; None asks one at a time.
        rest: seconds for which a peer is left alone after its first failure; doubled with each one that follows.
        staging: folder for a file that is being fetched; the system's own if left out.

    Raises:
        ValueError: a name in `push` is none of a peer.
    """

    def __init__(
        self,
        local: store.Store,
        peers: Mapping[str, store.Store],
        *,
        push: Sequence[str] = (),
        copies: int | None = None,
        hedge: float | None = None,
        rest: float = rests.SECONDS,
        staging: Path | None = None,
    ) -> None:
        self._local = local
        self._peers = dict(peers)
        self._push = frozenset(push)
        if not self._push <= self._peers.keys():
            raise ValueError(f"push to {sorted(self._push)}, expected names of the peers {sorted(self._peers)}")
        self._copies = copies
        self._hedge = hedge
        self._rests = rests.Rests(self._peers, seconds=rest)
        self._staging = staging

    def put(self, data: bytes | bytearray | memoryview) -> cids.Cid:
        """The CID of `data`, stored here when this returns; a peer that does not take it is no error, but is named."""
        name = self._local.put(data)
        self._pushed(name, lambda peer: peer.put(data))
        return name

    def put_file(self, file: BinaryIO) -> cids.Cid:
        """The CID of what `file` holds from its position on, which is read once; otherwise as `put`."""
        name = self._local.put_file(file)
        self._pushed(name, lambda peer: self._copied(name, peer))
        return name

    def get(self, cid: cids.Cid | str, *, limit: int) -> bytes:
        """The file `cid`; raises as `get_file` does."""
        name = assembly.name(cid)
        try:
            return self._local.get(name, limit=limit)
        except (errors.BlockMissingError, errors.BlockCorruptError) as error:
            _told(name, error)
        file = io.BytesIO()
        self._fetch(name, file, 0, limit=limit)
        return file.getvalue()

    def get_file(self, cid: cids.Cid | str, file: BinaryIO, *, limit: int) -> int:
        """The bytes of the file `cid`, written to `file` in constant memory.

        Raises:
            BlockMissingError: neither we nor any peer has all of it.
            BlockCorruptError: its tree is not laid out as the profile says.
            TooLargeError: it has more than `limit` bytes.
            PeerError: we do not have it, and a peer that may have it failed, or is left alone; all of them are named.
        """
        name, counted = assembly.name(cid), _Counted(file)
        try:
            return self._local.get_file(name, cast("BinaryIO", counted), limit=limit)
        except (errors.BlockMissingError, errors.BlockCorruptError) as error:
            _told(name, error)
        return self._fetch(name, file, counted.size, limit=limit)

    def block(self, cid: cids.Cid | str, *, limit: int = unixfs.MAX_BLOCK) -> bytes:
        """The bytes of the one block `cid`; raises as `get_file` does. A block alone is not kept."""
        name = assembly.name(cid)
        try:
            return self._local.block(name, limit=limit)
        except (errors.BlockMissingError, errors.BlockCorruptError) as error:
            _told(name, error)
        return self._first(name, lambda peer: peer.block(name, limit=limit), lambda _: None)

    def has(self, cid: cids.Cid | str) -> bool:
        """Whether the root block of `cid` is here, or a peer says that it has it."""
        name = assembly.name(cid)
        if self._local.has(name):
            return True
        for peer in self._rests.over():
            try:
                if self._peers[peer].has(name):
                    return True
            except errors.PeerError as error:
                self._fault(peer, error)
        return False

    def pin(self, cid: cids.Cid | str) -> None:
        """Keep the file `cid`, which is here; see `exchange.store.Store`."""
        self._local.pin(cid)

    def unpin(self, cid: cids.Cid | str) -> None:
        """Keep the file `cid` here no longer; see `exchange.store.Store`."""
        self._local.unpin(cid)

    def pins(self) -> Iterator[cids.Cid]:
        """The files that are pinned here."""
        return self._local.pins()

    def close(self) -> None:
        """Let go of all stores; see `exchange.store.Store`."""
        for each in (self._local, *self._peers.values()):
            each.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def _fetch(self, name: cids.Cid, file: BinaryIO, written: int, *, limit: int) -> int:
        """The bytes of a file that a peer has, kept here and written to `file` but for the first `written` of them."""

        def whole(peer: store.Store) -> BinaryIO:
            with contextlib.ExitStack() as stack:
                staged = stack.enter_context(tempfile.TemporaryFile(dir=self._staging))
                peer.get_file(name, staged, limit=limit)
                stack.pop_all()  # it is the caller's now
            return staged

        with self._first(name, whole, lambda late: late.close()) as staged:
            staged.seek(0)
            try:
                self._local.put_file(staged)
            except errors.StoreError as error:
                logger.warning("%s was fetched and cannot be kept: %s", name, error)
            size = staged.seek(0, io.SEEK_END)
            staged.seek(written)
            shutil.copyfileobj(staged, file, unixfs.CHUNK)
        return size

    def _first(self, name: cids.Cid, ask: Callable[[store.Store], _T], drop: Callable[[_T], None]) -> _T:
        """The first verified answer of a peer."""
        said: list[errors.StoreError] = []

        def failed(peer: str, error: errors.StoreError) -> None:
            said.append(error)
            self._fault(peer, error)

        willing = self._rests.over()
        won = race.first(willing, lambda peer: ask(self._peers[peer]), hedge=self._hedge, failed=failed, drop=drop)
        if won is None:
            raise self._nowhere(name, said, [peer for peer in self._peers if peer not in willing])
        self._rests.succeeded(won[0])
        return won[1]

    def _nowhere(self, name: cids.Cid, said: Sequence[errors.StoreError], resting: Sequence[str]) -> errors.StoreError:
        """Why nobody gave us `name`: what is true of it whoever has it; else whose fault it is; else that nobody has it."""
        for error in said:
            if isinstance(error, (errors.TooLargeError, errors.BlockCorruptError)):
                return error
        faults = [str(error) for error in said if not isinstance(error, errors.BlockMissingError)]
        faults += [f"{peer} is left alone for a while" for peer in resting]
        if faults:
            return errors.PeerError(f"{name} is not here, and not to be had: {'; '.join(faults)}")
        told = "; ".join(str(error) for error in said)
        return errors.BlockMissingError(f"{name} is not all here, and no peer has it: {told or 'none is named'}")

    def _fault(self, peer: str, error: errors.StoreError) -> None:
        # Only what the peer itself did counts against it: a hostile name must not cost us honest peers.
        if not isinstance(error, errors.PeerError):
            return
        logger.warning("%s is left alone for %g s: %s", peer, self._rests.failed(peer), error)

    def _pushed(self, name: cids.Cid, put: Callable[[store.Store], cids.Cid]) -> None:
        taken = 0
        for peer in self._rests.over():
            if taken == self._copies:
                return
            if peer not in self._push:
                continue
            try:
                named = put(self._peers[peer])
                if named != name:
                    raise errors.PeerError(f"{peer} named what we put {named}, expected {name}")
                taken += 1
            except errors.StoreError as error:
                logger.warning("%s was not put at %s: %s", name, peer, error)
                self._fault(peer, error)

    def _copied(self, name: cids.Cid, peer: store.Store) -> cids.Cid:
        with tempfile.TemporaryFile(dir=self._staging) as staged:
            self._local.get_file(name, staged, limit=sys.maxsize)
            staged.seek(0)
            return peer.put_file(staged)


def _told(name: cids.Cid, error: errors.StoreError) -> None:
    """What we lack is asked for elsewhere without a word; what is damaged here, with one."""
    if isinstance(error, errors.BlockCorruptError):
        logger.warning("%s is damaged here, and asked for elsewhere: %s", name, error)


class _Counted:
    """A file that is written to, and knows how much."""

    def __init__(self, file: BinaryIO) -> None:
        self._file = file
        self.size = 0

    def write(self, data: bytes) -> int:
        self._file.write(data)
        self.size += len(data)
        return len(data)

"""One store made of several: our own first, then others, of whom nobody is relied on.

    get     here; else from the peers in order, and what came is kept here too
    put     here; then also at the peers that are named for it, later if they do not take it now (exchange.copies)

A peer that lies, is slow or fails is named in the log and left alone for a while, longer each time; the next one is asked. A
peer that does not have a file is only passed by.
"""

import contextlib
import io
import logging
import shutil
import tempfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from types import TracebackType
from typing import BinaryIO, Self, TypeVar, cast

from exchange import assembly, errors, pins, race, rests, store, unixfs
from exchange import cid as cids
from exchange import copies as copied

_T = TypeVar("_T")

logger = logging.getLogger(__name__)


class Layered:
    """A store of ours, and peers that are asked for what it lacks.

    Args:
        local: takes what is put and what was fetched; its pins are the pins.
        peers: by name, in the order in which they are asked.
        push: names of peers at which everything is put too.
        copies: at how many of these it is put, the first that take it; at all of them if left out.
        owed: remembers what could not be put there, and is put there later; None remembers nothing.
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
        owed: pins.Pins | None = None,
        hedge: float | None = None,
        rest: float = rests.SECONDS,
        staging: Path | None = None,
    ) -> None:
        self._local = local
        self._peers = dict(peers)
        if not self._peers.keys() >= set(push):
            raise ValueError(f"push to {sorted(push)}, expected names of the peers {sorted(self._peers)}")
        self._hedge = hedge
        self._rests = rests.Rests(self._peers, seconds=rest)
        self._staging = staging
        taking = {peer: each for peer, each in self._peers.items() if peer in push}
        self._copies = copied.Copies(local, taking, self._rests, wanted=copies, owed=owed, staging=staging)

    def put(self, data: bytes | bytearray | memoryview) -> cids.Cid:
        """The CID of `data`, stored here when this returns; a peer that does not take it is no error, but is named."""
        name = self._local.put(data)
        self._copies.make(name, lambda peer: peer.put(data))
        return name

    def put_file(self, file: BinaryIO) -> cids.Cid:
        """The CID of what `file` holds from its position on, which is read once; otherwise as `put`."""
        name = self._local.put_file(file)
        self._copies.make(name)
        return name

    def settle(self) -> None:
        """Put at the peers what is owed to them, as far as they take it."""
        self._copies.settle()

    def get(self, cid: cids.Cid | str, *, limit: int) -> bytes:
        """The file `cid`; raises as `get_file` does."""
        name = assembly.name(cid)
        try:
            return self._local.get(name, limit=limit)
        except (errors.BlockMissingError, errors.BlockCorruptError) as error:
            self._check_peers(name, error)
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
            self._check_peers(name, error)
        return self._fetch(name, file, counted.size, limit=limit)

    def block(self, cid: cids.Cid | str, *, limit: int = unixfs.MAX_BLOCK) -> bytes:
        """The bytes of the one block `cid`; raises as `get_file` does. A block alone is not kept."""
        name = assembly.name(cid)
        try:
            return self._local.block(name, limit=limit)
        except (errors.BlockMissingError, errors.BlockCorruptError) as error:
            self._check_peers(name, error)
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
                self._rests.blamed(peer, error)
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

    def _check_peers(self, name: cids.Cid, error: errors.StoreError) -> None:
        """What we lack is asked for elsewhere without a word; what is damaged here, with one. Without peers it is the end."""
        if not self._peers:
            raise error
        if isinstance(error, errors.BlockCorruptError):
            logger.warning("%s is damaged here, and asked for elsewhere: %s", name, error)

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
        said: dict[str, errors.StoreError] = {}

        def failed(peer: str, error: errors.StoreError) -> None:
            said[peer] = error
            self._rests.blamed(peer, error)

        willing = self._rests.over()
        won = race.first(willing, lambda peer: ask(self._peers[peer]), hedge=self._hedge, failed=failed, drop=drop)
        if won is None:
            raise self._nowhere(name, said)
        self._rests.succeeded(won[0])
        return won[1]

    def _nowhere(self, name: cids.Cid, said: Mapping[str, errors.StoreError]) -> errors.StoreError:
        """Why nobody gave us `name`: what is true of it whoever has it; else what each peer answered."""
        for error in said.values():
            if isinstance(error, (errors.TooLargeError, errors.BlockCorruptError)):
                return error
        told = [f"{peer}: {said.get(peer, 'left alone for a while')}" for peer in self._peers]
        if all(isinstance(said.get(peer), errors.BlockMissingError) for peer in self._peers):
            return errors.BlockMissingError(f"{name} is not all here, and no peer has it: {'; '.join(told)}")
        return errors.PeerError(f"{name} is not here, and not to be had: {'; '.join(told)}")


class _Counted:
    """A file that is written to, and knows how much."""

    def __init__(self, file: BinaryIO) -> None:
        self._file = file
        self.size = 0

    def write(self, data: bytes) -> int:
        self._file.write(data)
        self.size += len(data)
        return len(data)

"""Somebody else's store, read over HTTP as an IPFS trustless gateway: any of them, ours (`folkmoot store serve`) among them.

    GET /ipfs/<cid>?format=raw                                      one block
    GET /ipfs/<cid>?format=car&dag-scope=entity&car-dups=y ...      a file, its blocks in the order in which they are read

A gateway is believed nothing: each block is hashed, and a file is whole only if its tree is. Where the CAR ends too early or
holds something else, the blocks that are due are asked for one by one.

Reference: IPFS Trustless Gateway Specification; docs/protocol.md P21.
"""

import contextlib
import hashlib
import time
from collections.abc import Iterator
from typing import BinaryIO

from exchange import assembly, car, errors, pace, readonly, unixfs, web
from exchange import cid as cids

PATIENCE = 15.0
SECONDS = 30.0
RATE = 32 * 1024.0
ATTEMPTS = 4
MAX_ANSWER = 2 << 20  # bytes; no IPFS node hands on a larger block

RAW = "application/vnd.ipld.raw"
CAR = "application/vnd.ipld.car"

_ABSENT = (404, 410)
_BUSY = (429, 503)
_WALK = {"format": "car", "dag-scope": "entity", "car-version": "1", "car-order": "dfs", "car-dups": "y"}


class Gateway(readonly.ReadOnly):
    """The store behind a URL, which several threads may read at once.

    Args:
        url: `http://` or `https://`, host, perhaps port and path; `/ipfs/<cid>` is added to it.
        patience: seconds for a connection with the head of an answer, and for each next piece of its body.
        seconds: for what is asked for altogether, before bytes earn it more (see `exchange.pace`).
        rate: bytes a second that a gateway has to bring on average.

    Raises:
        PeerError: the URL is none of these.
    """

    def __init__(self, url: str, *, patience: float = PATIENCE, seconds: float = SECONDS, rate: float = RATE) -> None:
        self._host = web.Host(url, patience=patience)
        super().__init__(f"gateway {self.url} is read only: nothing can be put there or pinned")
        self._seconds = seconds
        self._rate = rate

    @property
    def url(self) -> str:
        """Where it is."""
        return self._host.url

    def get_file(self, cid: cids.Cid | str, file: BinaryIO, *, limit: int) -> int:
        """The bytes of the file `cid`, written to `file` block by block; see `exchange.store.Store`.

        Raises:
            BlockMissingError: the gateway does not have it, or not all of it.
            BlockCorruptError: its tree is not laid out as the profile says, whoever holds it.
            TooLargeError: it has more than `limit` bytes.
            PeerError: the gateway answered nonsense, too slowly or not at all.
        """
        name = assembly.name(cid)
        with contextlib.closing(_Walk(self, name, self._pace())) as walk:
            return assembly.get_file(name, walk.fetch, file, limit=limit)

    def block(self, cid: cids.Cid | str, *, limit: int = unixfs.MAX_BLOCK) -> bytes:
        """The bytes of the one block `cid`; raises as `get_file` does."""
        return self.fetched(assembly.name(cid), self._pace(), limit=limit)

    def has(self, cid: cids.Cid | str) -> bool:
        """Whether the gateway says that it has the root block of `cid`; nothing was verified.

        Raises:
            PeerError: it said neither yes nor no.
        """
        path = f"/ipfs/{assembly.name(cid)}"
        with self._host.asked("HEAD", path, {"format": "raw"}, RAW, self._pace()) as answer:
            if answer.status == 200 or answer.status in _ABSENT:
                return answer.status == 200
            raise self._host.wrong(f"{answer}, expected 200 or 404")

    def close(self) -> None:
        """Let go of connections; see `exchange.store.Store`."""
        self._host.close()

    def fetched(self, name: cids.Cid, left: pace.Pace, *, limit: int) -> bytes:
        """The block `name`, verified, within what is left of a longer transfer; raises as `get_file` does."""
        attempts = ATTEMPTS
        while True:
            attempts -= 1
            with self._host.asked("GET", f"/ipfs/{name}", {"format": "raw"}, RAW, left) as answer:
                if answer.status == 200:
                    return self.verified(name, self._whole(answer), limit=limit)
                if answer.status in _ABSENT:
                    raise errors.BlockMissingError(f"block {name} is not at {self.url}")
                if answer.status not in _BUSY or not attempts or answer.wait >= left.left:
                    raise self._host.wrong(f"{answer}, expected 200 or 404")
            time.sleep(answer.wait)

    def verified(self, name: cids.Cid, block: bytes, *, limit: int) -> bytes:
        """`block`, which is the block `name`.

        Raises:
            PeerError: it is not.
            TooLargeError: it is, and has more than `limit` bytes, or more than any block of a file.
        """
        if hashlib.sha256(block).digest() != name.digest:
            raise self._host.wrong(f"{len(block)} bytes that are not the block {name}")
        return assembly.verified(name, block, limit=limit)

    @contextlib.contextmanager
    def sections(self, name: cids.Cid, left: pace.Pace) -> Iterator[Iterator[tuple[cids.Cid, bytes]]]:
        """The blocks of the file `name` as its CAR has them, nothing verified; none if the gateway makes no such CAR.

        Raises:
            BlockMissingError: the gateway does not have the root.
            PeerError: it does not answer.
        """
        accept = f"{CAR}; version=1; order=dfs; dups=y"
        with self._host.asked("GET", f"/ipfs/{name}", _WALK, accept, left) as answer:
            if answer.status in _ABSENT:
                raise errors.BlockMissingError(f"block {name} is not at {self.url}")
            kind = [part.strip() for part in answer.headers.get("content-type", "").lower().split(";")]
            ordered = answer.status == 200 and kind[0] == CAR and "order=dfs" in kind
            yield _sections(answer.body) if ordered else iter(())

    def _whole(self, answer: web.Answer) -> bytes:
        """The body of an answer, which is one block."""
        announced = answer.headers.get("content-length", "0")
        if not announced.isdecimal() or len(announced) > 15 or int(announced) > MAX_ANSWER:
            raise self._host.wrong(f"announces {announced[:40]!r} bytes for one block, expected at most {MAX_ANSWER}")
        return answer.body.read(MAX_ANSWER)  # of more than that, this part is not the block

    def _pace(self) -> pace.Pace:
        return pace.Pace(seconds=self._seconds, rate=self._rate)


class _Walk:
    """The blocks of one file, asked for in the order of the tree: out of its CAR as long as that keeps this order."""

    def __init__(self, gateway: Gateway, name: cids.Cid, left: pace.Pace) -> None:
        self._gateway = gateway
        self._left = left
        self._answer = contextlib.ExitStack()
        self._sections: Iterator[tuple[cids.Cid, bytes]] = iter(())
        if name.codec == cids.DAG_PB:
            self._sections = self._answer.enter_context(gateway.sections(name, left))

    def fetch(self, name: cids.Cid, /, *, limit: int) -> bytes:
        """The next block, verified."""
        try:
            found = next(self._sections, None)
        except (errors.CarError, errors.PeerError):
            found = None
        if found is not None and found[0] == name:
            return self._gateway.verified(name, found[1], limit=limit)
        # Cut off, or with something else in it: this block has to be asked for, and so have all that follow.
        self.close()
        return self._gateway.fetched(name, self._left, limit=limit)

    def close(self) -> None:
        """Read no further."""
        self._sections = iter(())
        self._answer.close()


def _sections(body: BinaryIO) -> Iterator[tuple[cids.Cid, bytes]]:
    # Nothing is read before the first block is wanted, so that all that can be wrong with a CAR is met in one place.
    yield from car.sections(body)

"""Files in an IPFS node, Kubo or another with its RPC: put as a CAR, read block by block.

    put    our own blocks in a CAR -> dag/import with pin-roots -> the root that it answers is ours, and pinned
    get    block/get of each block, which is hashed; what `cat` says is not asked for, since nothing shows where it ends

The node's own way of cutting files up does not matter, so each file has the CID that it has everywhere else. What is put is
pinned: what no pin holds, a node may collect. A node is believed nothing, and has its time (see `exchange.rpc`).

Reference: Kubo RPC API, /api/v0; docs/protocol.md P11.
"""

import contextlib
import hashlib
import io
import json
import math
import tempfile
from collections.abc import Callable, Iterable, Iterator, Sequence
from types import TracebackType
from typing import Any, BinaryIO, Self, cast

from exchange import assembly, car, errors, pieces, rpc, unixfs
from exchange import cid as cids

SECONDS = 60.0
RATE = 64 * 1024.0
LOOK = 2.0  # seconds in which `has` is answered
MAX_BLOCK = 2 << 20  # bytes; no node hands on a larger block
MAX_WORDS = 1 << 16  # bytes of an answer that is about something, not the thing itself
MAX_PINS = 32 << 20  # bytes of a list of pins
MAX_LINES = 1 << 18  # of it, each of one pin where the node streams
MAX_LINE = 4 << 20  # bytes; some 50,000 pins, where it does not

_ABSENT = ("timed out", "deadline exceeded", "not found", "could not find", "unwanted")
_UNPINNED = ("not pinned", "pinned indirectly")


class IpfsStore:
    """The files of one IPFS node, and what that node finds at others.

    Args:
        api: address of its RPC, `http://HOST:PORT` or a multiaddr.
        seconds: for each call, before bytes earn it more; as long does the node look for a block at others.
        rate: bytes a second that a transfer has to make on average.

    Raises:
        PeerError: the address is none.
    """

    def __init__(self, api: str, *, seconds: float = SECONDS, rate: float = RATE) -> None:
        self.api = api
        self._node = rpc.Node(api, seconds=seconds, rate=rate)
        self._seconds = seconds
        self._rate = rate

    def put(self, data: bytes | bytearray | memoryview) -> cids.Cid:
        """The CID of a file that holds `data`, all of it in the node, and pinned; see `exchange.store.Store`.

        Raises:
            PeerError: the node did not take it, or made another root of it.
        """
        with memoryview(data).cast("B") as view:
            kept: list[tuple[cids.Cid, bytes]] = []
            root = unixfs.assemble(unixfs.slices(view), lambda name, block: kept.append((name, _node(name, block))))
            self._push(root, lambda: car.encode([root.cid], _content(kept, view)))
        return root.cid

    def put_file(self, file: BinaryIO) -> cids.Cid:
        """As `put`, from the position of `file` to its end; a file that cannot be read twice is first copied to disk."""
        if not file.seekable():
            with tempfile.TemporaryFile() as copy:
                while part := file.read(unixfs.CHUNK):
                    copy.write(part)
                copy.seek(0)
                return self.put_file(cast("BinaryIO", copy))
        start = file.tell()
        root, first = car.of_file(file)
        ready = [first]

        def made() -> Iterator[bytes]:
            if ready:
                return ready.pop()
            file.seek(start)
            return car.of_file(file)[1]

        self._push(root, made)
        return root.cid

    def get(self, cid: cids.Cid | str, *, limit: int) -> bytes:
        """The file `cid`; raises as `block` does, and TooLargeError; see `exchange.store.Store`."""
        return assembly.get(assembly.name(cid), self.block, limit=limit)

    def get_file(self, cid: cids.Cid | str, file: BinaryIO, *, limit: int) -> int:
        """The bytes of the file `cid`, written to `file` block by block; see `exchange.store.Store`."""
        return assembly.get_file(assembly.name(cid), self.block, file, limit=limit)

    def block(self, cid: cids.Cid | str, *, limit: int = unixfs.MAX_BLOCK) -> bytes:
        """The bytes of the one block `cid`, hashed.

        Raises:
            BlockMissingError: the node does not have it, and found it nowhere in time.
            TooLargeError: it has more than `limit` bytes.
            PeerError: the node answered something else, too slowly or not at all.
        """
        return self._block(assembly.name(cid), limit, self._seconds)

    def has(self, cid: cids.Cid | str) -> bool:
        """Whether the node has the root block of the file `cid`, or finds it within LOOK seconds.

        Raises:
            PeerError: it said neither yes nor no.
        """
        try:
            self._block(assembly.name(cid), unixfs.MAX_BLOCK, min(LOOK, self._seconds))
        except errors.BlockMissingError:
            return False
        return True

    def pin(self, cid: cids.Cid | str) -> None:
        """Have the node keep the whole file `cid`, which it gets from others where it has to.

        Raises:
            BlockMissingError: a block of it was found nowhere in time.
            PeerError: the node refused, or did not answer.
        """
        name = str(assembly.name(cid))
        answer = self._node.call("/pin/add", name, limit=MAX_WORDS, options={"recursive": "true", "cid-base": "base32"})
        try:
            self._require(answer, f"pin {name}", absent=f"a block of {name} is not in node {self.api}, nor found by it")
        except errors.BlockMissingError:
            for _ in assembly.walk(assembly.name(cid), self.block, sent=set()):
                pass  # ends with the name of the block that is missing, which the node does not tell
            raise

    def unpin(self, cid: cids.Cid | str) -> None:
        """Have the node keep `cid` no longer; see `exchange.store.Store`."""
        name = str(assembly.name(cid))
        answer = self._node.call("/pin/rm", name, limit=MAX_WORDS, options={"recursive": "true"})
        if answer.status == 200 or not any(words in _message(answer) for words in _UNPINNED):
            self._require(answer, f"unpin {name}")

    def pins(self) -> Iterator[cids.Cid]:
        """The files that the node keeps; what others pinned under names that are none of ours is left out."""
        options = {"type": "recursive", "stream": "true", "cid-base": "base32"}
        answer = self._node.call("/pin/ls", limit=MAX_PINS, options=options)
        self._require(answer, "list its pins")
        for said in self._lines(answer):
            known = said.get("Keys")  # all in one line, by a node that does not stream
            for text in known if isinstance(known, dict) else [said.get("Cid")]:
                with contextlib.suppress(errors.CidError):
                    yield cids.Cid.parse(str(text))

    def close(self) -> None:
        """Nothing: no connection outlives its call."""

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def _push(self, root: unixfs.Root, made: Callable[[], Iterable[bytes]]) -> None:
        """Have the node take the CAR that `made` gives, anew for each attempt."""
        seconds = math.ceil(self._seconds + root.size / self._rate)
        answer = self._node.call(
            "/dag/import",
            limit=MAX_WORDS,
            options={"pin-roots": "true", "timeout": f"{seconds}s"},
            upload=lambda: cast("BinaryIO", pieces.Source(made())),
        )
        self._require(answer, f"take {root.cid}")
        said = [line["Root"] for line in self._lines(answer) if isinstance(line.get("Root"), dict)]
        found = [each["Cid"].get("/") for each in said if isinstance(each.get("Cid"), dict)]
        unpinned = [each["PinErrorMsg"] for each in said if each.get("PinErrorMsg")]
        # An error after the answer began is told in a trailer that nobody reads: then there is no root.
        if found != [str(root.cid)] or unpinned:
            told = f"answered {answer.body[:200]!r} to a CAR of {root.cid}, expected that root, pinned"
            raise errors.PeerError(f"node {self.api} {told}")

    def _block(self, name: cids.Cid, limit: int, seconds: float) -> bytes:
        answer = self._node.call("/block/get", str(name), limit=MAX_BLOCK, seconds=seconds)
        self._require(answer, f"give block {name}", absent=f"block {name} is not in node {self.api}, nor found by it")
        if hashlib.sha256(answer.body).digest() != name.digest:
            size = len(answer.body)
            raise errors.PeerError(f"node {self.api} gave {size} bytes for block {name} that do not hash to its name")
        return assembly.bounded(name, answer.body, limit=limit)

    def _require(self, answer: rpc.Answer, action: str, absent: str | None = None) -> None:
        """Nothing, if the node did what it was asked for; BlockMissingError if only because a block is nowhere."""
        if answer.status == 200:
            return
        message = _message(answer)
        if absent is not None and answer.status in {404, 500} and any(words in message for words in _ABSENT):
            raise errors.BlockMissingError(f"{absent}: {message}")
        raise errors.PeerError(f"node {self.api} did not {action}: status {answer.status}, {message!r}")

    def _lines(self, answer: rpc.Answer) -> Iterator[dict[str, Any]]:
        body = io.BytesIO(answer.body)
        for number, line in enumerate(iter(lambda: body.readline(MAX_LINE + 1), b"")):
            if number >= MAX_LINES or len(line) > MAX_LINE:
                most = f"at most {MAX_LINES} lines of {MAX_LINE} bytes"
                raise errors.PeerError(f"node {self.api} answered more than we read, expected {most}")
            try:
                said = json.loads(line)
            except (ValueError, RecursionError):
                said = None
            if not isinstance(said, dict):
                raise errors.PeerError(f"node {self.api} answered {line[:200]!r}, expected JSON objects, one a line")
            yield said


def _node(name: cids.Cid, block: bytes | memoryview) -> bytes:
    """The block, if it is a node; a leaf is not held twice."""
    return b"" if name.codec == cids.RAW else bytes(block)


def _content(kept: Sequence[tuple[cids.Cid, bytes]], view: memoryview) -> Iterator[tuple[cids.Cid, bytes]]:
    leaves = unixfs.slices(view)
    return ((name, bytes(next(leaves)) if name.codec == cids.RAW else node) for name, node in kept)


def _message(answer: rpc.Answer) -> str:
    """What a node says is wrong, in at most 200 printable characters."""
    try:
        said = json.loads(answer.body)["Message"]
    except (ValueError, RecursionError, KeyError, TypeError):
        said = answer.body.decode(errors="replace")
    return "".join(each if each.isprintable() else "?" for each in str(said)[:200])

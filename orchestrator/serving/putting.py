"""A file that comes in under a signed offer: bounded, spooled, hashed, and only then put into the store.

    head | offer judged by the log | bytes to a file without a name | CID compared | blocks

Until the CID is the one that was offered, nothing is in the store, and a process that is killed leaves nothing at all: the
spooled file has no name.
"""

import asyncio
import base64
import binascii
import contextlib
import errno
import logging
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO, cast

from starlette import concurrency, requests

from exchange import blocks, errors, nodes, pace, unixfs
from exchange import cid as cids
from ledger import dsse
from ledger import errors as ledger_errors
from orchestrator.serving import admission, allotment, answer, door, gauges, intake, limits

HEADER = "folkmoot-offer"
_FULL = (errno.ENOSPC, errno.EDQUOT)
_BUFFER = 1 << 20

logger = logging.getLogger(__name__)


class Putting:
    """Takes files in, for the members of the open round's cohort.

    Args:
        held: where they go.
        spool: a folder of the same file system.
        source: who judges offers.
        allowed: what it gives.
        counted: where it is counted.
    """

    def __init__(
        self,
        held: blocks.BlockStore,
        spool: Path,
        source: intake.Intake,
        allowed: limits.Limits,
        counted: gauges.Gauges,
    ) -> None:
        self._held = held
        self._spool = spool
        self._source = source
        self._allowed = allowed
        self._counted = counted
        self._allotment = allotment.Allotment(allowed)

    async def put(self, request: requests.Request) -> int:
        """201 once the file is in the store, durably; 200 if it was there.

        Raises:
            Refusal: it is not.

        Reference: docs/protocol.md P24.
        """
        cid, size = _named(request), _announced(request)
        offer = await self._source.judge(_offer(request), cid)
        if size != offer.size:
            raise answer.Refusal(400, "wrong-size", f"{size} bytes are announced, the offer says {offer.size}")
        largest = await concurrency.run_in_threadpool(self._largest)
        if size > largest:
            raise answer.Refusal(413, "too-large", f"{size} bytes, expected at most {largest}", closing=True)
        if await concurrency.run_in_threadpool(self._has, cid):
            return 200
        address = door.address(request.scope)
        with self._allotment.slot(offer.author, address), self._allotment.charged(offer, largest):
            await self._receive(request, cid, size)
        return 201

    def _largest(self) -> int:
        """Bytes that an update may have: as the checkpoint that the round starts from makes it."""
        known = self._source.known
        if known.open_round is None:
            raise answer.Refusal(409, "out-of-order", "no round is open")
        name = cids.Cid.parse(known.open_round.parent)
        try:
            block = self._held.block(name)
            size = len(block) if name.codec == cids.RAW else sum(link.size for link in nodes.links(block))
        except errors.StoreError as error:
            raise answer.busy(f"the checkpoint that the round starts from cannot be read: {error}") from error
        return admission.update_limit(size)

    def _has(self, cid: str) -> bool:
        """Whether the file is here: its root is stored last."""
        try:
            return self._held.has(cid)
        except errors.StoreError as error:
            raise _refusal(error) from error

    async def _receive(self, request: requests.Request, cid: str, size: int) -> None:
        try:
            spooled = await concurrency.run_in_threadpool(self._spooled)
            try:
                await self._copy(request, spooled, size)
                await concurrency.run_in_threadpool(self._store, spooled, cid)
            finally:
                await concurrency.run_in_threadpool(spooled.close)
        except (errors.StoreError, OSError) as error:
            raise _refusal(error) from error

    async def _copy(self, request: requests.Request, spooled: BinaryIO, size: int) -> None:
        """Nothing; `size` bytes of the body are in the file."""
        seconds = min(self._allowed.grace, self._allowed.patience + size / self._allowed.slowest)
        left = pace.Pace(seconds=seconds, rate=self._allowed.slowest)
        got, stream, buffer = 0, request.stream(), bytearray()
        with _left(request):
            while True:
                try:
                    async with asyncio.timeout(max(0.0, left.left)):
                        chunk = await anext(stream, None)
                except TimeoutError:
                    message = f"{got} of {size} bytes, {left}"
                    raise answer.Refusal(408, "too-slow", message, closing=True) from None
                if chunk is None:
                    break
                got += len(chunk)
                if got > size:
                    raise answer.Refusal(400, "wrong-size", f"more than {size} bytes", closing=True)
                left.brought(len(chunk))
                self._counted.received.inc(len(chunk))
                buffer += chunk
                if len(buffer) >= _BUFFER:
                    await concurrency.run_in_threadpool(_write, spooled, bytes(buffer))
                    buffer.clear()
        if got != size:
            raise answer.Refusal(400, "wrong-size", f"{got} bytes came, {size} were announced", closing=True)
        await concurrency.run_in_threadpool(_write, spooled, bytes(buffer))

    def _spooled(self) -> BinaryIO:
        self._spool.mkdir(parents=True, exist_ok=True)
        return cast("BinaryIO", tempfile.TemporaryFile(dir=self._spool, buffering=0))

    def _store(self, spooled: BinaryIO, cid: str) -> None:
        spooled.seek(0)
        found = unixfs.build(spooled, lambda _name, _block: None).cid
        if str(found) != cid:
            raise answer.Refusal(400, answer.WRONG_BYTES, f"the bytes are {found}, {cid} was offered")
        spooled.seek(0)
        self._held.put_file(spooled)


def _write(spooled: BinaryIO, data: bytes) -> None:
    """Nothing; all of `data` is in the file. A disk that fills up takes a part first, and only then says so."""
    rest = memoryview(data)
    while rest:
        rest = rest[spooled.write(rest) :]


@contextlib.contextmanager
def _left(request: requests.Request) -> Iterator[None]:
    """A client that goes away is told nothing, but the request ends like another."""
    try:
        yield
    except requests.ClientDisconnect:
        host = request.client.host if request.client else "?"
        raise answer.Refusal(400, "wrong-size", f"{host} went away", closing=True) from None


def _named(request: requests.Request) -> str:
    try:
        return str(cids.Cid.parse(request.path_params["cid"]))
    except errors.CidError as error:
        raise answer.Refusal(400, error.code, str(error)) from error


def _announced(request: requests.Request) -> int:
    text = request.headers.get("content-length", "")
    if not text.isascii() or not text.isdecimal():
        raise answer.Refusal(400, "wrong-size", "a file needs a Content-Length", closing=True)
    if len(text) > 15:
        raise answer.Refusal(413, "too-large", f"{text[:20]} bytes are announced", closing=True)
    return int(text)


def _offer(request: requests.Request) -> dsse.Envelope:
    """The envelope in the request's head, in base64url with or without padding."""
    text = request.headers.get(HEADER, "").rstrip("=")
    if not text:
        raise answer.Refusal(401, "no-offer", "a file needs the header Folkmoot-Offer: the signed offer in base64url")
    try:
        data = base64.b64decode(text + "=" * (-len(text) % 4), altchars=b"-_", validate=True)
        return dsse.Envelope.parse(data)
    except (binascii.Error, ValueError) as error:
        raise answer.Refusal(400, "malformed", f"Folkmoot-Offer is no base64url: {error}") from error
    except ledger_errors.StatementError as error:
        raise answer.of(error) from error


def _refusal(error: Exception) -> answer.Refusal:
    """What becomes of an error of the disk: that it is full is an answer of its own."""
    cause = error.__cause__ if isinstance(error.__cause__, OSError) else error
    if isinstance(error, errors.QuotaError) or getattr(cause, "errno", None) in _FULL:
        return answer.Refusal(507, "full", "there is no space for the file")
    logger.error("a file cannot be stored: %a", str(error))
    return answer.Refusal(503, "busy", "the file cannot be stored now")

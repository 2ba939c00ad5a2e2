"""The tail: the log's entries from a position on, then as they come, with each checkpoint after the entries that it is of.

    id: 7 LF event: entry LF data: {"dsse":...} LF LF
    event: checkpoint LF data: <line of the note> LF ... LF
    : LF LF                                                   a silent tail is alive

Reference: WHATWG HTML, "Server-sent events"; docs/protocol.md P24.
"""

import asyncio
import contextlib
import logging
import re
from collections.abc import AsyncIterator, Callable

from starlette import requests, responses, types

from ledger import errors
from orchestrator.serving import answer, growth

CONTENT_TYPE = "text/event-stream"
_NUMBER = re.compile(r"0|[1-9][0-9]{0,15}")

logger = logging.getLogger(__name__)


def position(request: requests.Request) -> int:
    """The position that a tail is to begin at: after `Last-Event-ID`, else at `from`, else at 0.

    Raises:
        Refusal: 400; one of them is no position.
    """
    last, start = request.headers.get("last-event-id", ""), request.query_params.get("from", "0")
    for name, text in (("Last-Event-ID", last or "0"), ("from", start)):
        if not _NUMBER.fullmatch(text):
            raise answer.Refusal(400, "malformed", f"{name} {text[:40]!a}, expected a position")
    return int(last) + 1 if last else int(start)


async def events(grown: growth.Growth, start: int) -> AsyncIterator[bytes]:
    """The events of a tail, until the service stops.

    Args:
        grown: the log.
        start: position of the first entry.

    Raises:
        LogError: the log cannot be read; whoever listened comes again.
    """
    seq, note, beat, seen = start, b"", grown.seen.beat, grown.seen
    while not seen.over:
        silent = True
        while seq < seen.size:
            piece = await grown.piece(seq)
            data, seq = piece.since(seq), piece.stop
            for at in range(0, len(data), growth.PIECE):
                yield data[at : at + growth.PIECE]
            silent = False
        if seen.note != note and seen.signed <= seq:
            note = seen.note
            yield growth.signed_event(note)
            silent = False
        if silent and seen.beat != beat:
            yield b":\n\n"
        beat = seen.beat
        seen = await grown.changed(seen)


class Tail(responses.Response):
    """A tail as an answer. Who does not take what is sent is left by `orchestrator.service`, after its patience.

    Args:
        grown: the log.
        start: position of the first entry.
        over: is called when the tail has ended.
    """

    def __init__(self, grown: growth.Growth, start: int, over: Callable[[], None]) -> None:
        self.status_code = 200
        self.background = None
        self.init_headers({"content-type": CONTENT_TYPE, "cache-control": "no-store", "x-accel-buffering": "no"})
        self._events = events(grown, start)
        self._over = over

    async def __call__(self, _: types.Scope, receive: types.Receive, send: types.Send) -> None:
        """The tail is sent, for as long as the client and the service are there."""
        sending = asyncio.create_task(self._send(send))
        leaving = asyncio.create_task(_left(receive))
        try:
            await asyncio.wait((sending, leaving), return_when=asyncio.FIRST_COMPLETED)
        finally:
            self._over()
            for task in (sending, leaving):
                task.cancel()
                with contextlib.suppress(asyncio.CancelledError):
                    await task

    async def _send(self, send: types.Send) -> None:
        try:
            await send({"type": "http.response.start", "status": self.status_code, "headers": self.raw_headers})
            async for data in self._events:
                await send({"type": "http.response.body", "body": data, "more_body": True})
            await send({"type": "http.response.body", "body": b"", "more_body": False})
        except errors.LedgerError as error:
            logger.warning("a tail is cut off: %a", str(error))


async def _left(receive: types.Receive) -> None:
    """Nothing, once the client is gone."""
    while (await receive())["type"] != "http.disconnect":
        pass

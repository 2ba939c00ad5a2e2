"""A body that is read while it is sent, to a client that may be slow or gone; one that ends in the middle is cut off."""

import logging
from collections.abc import Callable, Iterator, Mapping

from starlette import concurrency, requests, responses, types

from exchange import errors, pace

_PIECE = 64 * 1024  # bytes that are sent at once, each within the patience of `orchestrator.service`

logger = logging.getLogger(__name__)


class Stream(responses.Response):
    """An answer with such a body; the client notices where it was cut off, since the last chunk never comes.

    Whether the client is there and quick enough is looked at with each piece, so what makes them must not work for long
    without one.

    Args:
        pieces: of the body, made in a thread.
        status: of HTTP.
        headers: by name in lower case.
        left: the time of the client, which it earns by what it takes.

    Attributes:
        over: is called when all is sent, or nothing more will be.
    """

    def __init__(
        self,
        pieces: Iterator[bytes | memoryview],
        status: int,
        headers: Mapping[str, str],
        left: pace.Pace,
    ) -> None:
        self.status_code = status
        self.background = None
        self.init_headers(headers)
        self._pieces = pieces
        self._left = left
        self.over: Callable[[], None] = lambda: None

    async def __call__(self, scope: types.Scope, receive: types.Receive, send: types.Send) -> None:
        """The answer is sent, as far as the client takes it."""
        request = requests.Request(scope, receive)
        try:
            await send({"type": "http.response.start", "status": self.status_code, "headers": self.raw_headers})
            while (piece := await concurrency.run_in_threadpool(next, self._pieces, None)) is not None:
                if await request.is_disconnected() or not await self._sent(piece, send):
                    return
            await send({"type": "http.response.body", "body": b"", "more_body": False})
        except errors.ExchangeError as error:
            logger.warning("%r cut off: %s", request.url.path[:100], error)
        finally:
            self.over()

    async def _sent(self, piece: bytes | memoryview, send: types.Send) -> bool:
        """Whether the client took the piece, and those before it, in time."""
        for start in range(0, len(piece), _PIECE):
            body = bytes(piece[start : start + _PIECE])
            await send({"type": "http.response.body", "body": body, "more_body": True})
            self._left.brought(len(body))
            if self._left.left <= 0:
                return False
        return True

"""The HTTP service of a witness: `ledger.witness` behind a socket that strangers may speak to.

What comes in is bounded before it is read: bytes of a head and of a body, seconds for each, connections at a time. What is
answered is the witness' business, but for 404, 405, 408, 413 and 503.
"""

import asyncio
import collections
import logging
import os
import socket
import sys
import time
from collections.abc import Callable
from typing import ClassVar

import uvicorn
from starlette import applications, concurrency, requests, responses, routing
from uvicorn.protocols.http import h11_impl

from ledger import errors, witness
from orchestrator import doorstep
from orchestrator import errors as run_errors

PATIENCE = 10.0
CONNECTIONS = 128
MOST_CONNECTIONS = 2 * CONNECTIONS
EACH = 32
MAX_HEAD = 16 * 1024
UNSENT = 128 * 1024  # bytes that the kernel holds of an answer, beside those that are on their way

logger = logging.getLogger(__name__)


def application(keeper: witness.Witness, *, patience: float = PATIENCE) -> applications.Starlette:
    """The two addresses of a witness, as an ASGI application.

    Args:
        keeper: the witness.
        patience: seconds for a request's body to arrive.

    Reference: C2SP tlog-witness 1.1.0, "HTTP Interface"; docs/protocol.md P18.
    """

    async def add_checkpoint(request: requests.Request) -> responses.Response:
        try:
            async with asyncio.timeout(patience):
                body = await _body(request)
        except TimeoutError:
            return _said(request, witness.Answer.text(408, f"no whole body in {patience:g} s"), closing=True)
        if body is None:
            return _said(request, witness.Answer.text(413, f"over {witness.MAX_BYTES} bytes"), closing=True)
        return await _answered(request, lambda: keeper.add_checkpoint(body, int(time.time())))

    async def checkpoint(request: requests.Request) -> responses.Response:
        digest: str = request.path_params["digest"]
        return await _answered(request, lambda: keeper.checkpoint(digest))

    app = applications.Starlette(
        routes=[
            routing.Route("/add-checkpoint", add_checkpoint, methods=["POST"]),
            routing.Route("/{digest:str}/checkpoint", checkpoint, methods=["GET"]),
        ]
    )
    app.router.redirect_slashes = False  # a redirect would be made of what the client says that our name is
    return app


def listen(host: str, port: int) -> socket.socket:
    """A bound socket; port 0 takes a free one.

    Raises:
        ConfigError: the address is taken, or is none of this machine's.
    """
    try:
        return socket.create_server((host, port), family=socket.AF_INET6 if ":" in host else socket.AF_INET)
    except OSError as error:
        why = os.strerror(error.errno) if error.errno else str(error)
        raise run_errors.ConfigError(f"cannot listen on {host}, port {port} ({why}): choose another port") from error


def server(app: applications.Starlette, *, patience: float = PATIENCE, each: int = EACH) -> uvicorn.Server:
    """A server of `app`: `run(sockets=[...])` serves until Ctrl-C or SIGTERM.

    Args:
        app: what is served.
        patience: seconds for a request's head to arrive, for what is sent at once to be taken, and for open requests when
            the server stops.
        each: connections of one address at the same time; 0 for no such limit, as behind a proxy.
    """
    held: collections.Counter[str] = collections.Counter()
    most_of_one = each

    class Patient(Impatient):
        seconds = patience
        each = most_of_one
        counts = held

    return uvicorn.Server(
        uvicorn.Config(
            doorstep.Doorstep(app, most=MAX_HEAD),
            http=Patient,
            ws="none",
            lifespan="off",
            log_config=None,
            access_log=False,
            server_header=False,
            proxy_headers=False,
            limit_concurrency=CONNECTIONS,
            h11_max_incomplete_event_size=MAX_HEAD,
            timeout_keep_alive=max(1, int(patience / 2)),
            timeout_graceful_shutdown=max(1, int(patience)),
        )
    )


class Impatient(h11_impl.H11Protocol):
    """uvicorn's connection, which waits for ever for a request's head and for a client that does not read, with an end to that.

    Above uvicorn's own limit the answer is 503; above `most` there is none, nor above `each`: who opens connections and says
    nothing leaves the others' alone.

    Attributes:
        seconds: for a head, and for what is sent at once to be taken.
        most: connections.
        each: connections of one address; 0 for no such limit.
        proxy: an address that is not counted.
        counts: connections that are open, by address; of one server.
    """

    seconds: float = PATIENCE
    most: int = MOST_CONNECTIONS
    each: int = 0
    proxy: str = ""
    counts: ClassVar[collections.Counter[str]] = collections.Counter()
    _counted = ""
    _waiting: asyncio.TimerHandle | None = None
    _flushing: asyncio.TimerHandle | None = None

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]  # uvicorn's own
        """Begin to wait for a head, unless there are too many connections."""
        super().connection_made(transport)
        if len(self.connections) > self.most or not self._count():
            transport.abort()
            return
        # With hardly any allowance, `pause_writing` tells of whatever the client has not taken yet, also when we are closing.
        # With none, asyncio's TLS takes an empty buffer for a full one.
        transport.set_write_buffer_limits(high=1)
        # Else the kernel takes megabytes first, and then nothing for so long that a client which is only slow looks dead.
        if sys.platform == "linux":
            transport.get_extra_info("socket").setsockopt(socket.IPPROTO_TCP, socket.TCP_NOTSENT_LOWAT, UNSENT)
        self._waiting = self.loop.call_later(self.seconds, transport.abort)

    def pause_writing(self) -> None:
        """Begin to wait for the client to take what is there."""
        super().pause_writing()
        if self._flushing is None:
            self._flushing = self.loop.call_later(self.seconds, self.transport.abort)

    def resume_writing(self) -> None:
        """The client has taken all."""
        super().resume_writing()
        self._stop_flushing()

    def data_received(self, data: bytes) -> None:
        """Begin to wait for the next head, where this was not the body of a request."""
        super().data_received(data)
        busy = self.cycle is not None and not self.cycle.response_complete
        if busy:
            self._stop_waiting()
        elif self._waiting is None:
            self._waiting = self.loop.call_later(self.seconds, self.transport.abort)

    def connection_lost(self, exc: Exception | None) -> None:
        """Wait for nothing."""
        self._stop_waiting()
        self._stop_flushing()
        if self._counted:
            self.counts[self._counted] -= 1
            if not self.counts[self._counted]:
                del self.counts[self._counted]
            self._counted = ""
        super().connection_lost(exc)

    def _count(self) -> bool:
        """Whether this connection is within what its address may have."""
        address = self.client[0] if self.client else ""
        if not self.each or address == self.proxy:
            return True
        self._counted = address
        self.counts[address] += 1
        return self.counts[address] <= self.each

    def _stop_flushing(self) -> None:
        if self._flushing is not None:
            self._flushing.cancel()
            self._flushing = None

    def _stop_waiting(self) -> None:
        if self._waiting is not None:
            self._waiting.cancel()
            self._waiting = None


async def _body(request: requests.Request) -> bytes | None:
    """The body, or None if it is too long, however long it was announced to be."""
    announced = request.headers.get("content-length", "0")
    if not announced.isdecimal() or len(announced) > 9 or int(announced) > witness.MAX_BYTES:
        return None
    data = bytearray()
    async for chunk in request.stream():
        data += chunk
        if len(data) > witness.MAX_BYTES:
            return None
    return bytes(data)


async def _answered(request: requests.Request, work: Callable[[], witness.Answer]) -> responses.Response:
    """The witness' answer, worked out beside the loop: it locks a file and waits for the disk."""
    try:
        answer = await concurrency.run_in_threadpool(work)
    except errors.LedgerError:
        logger.exception("the memory refused")
        answer = witness.Answer.text(503, "the witness cannot write what it would have to remember")
    return _said(request, answer)


def _said(request: requests.Request, answer: witness.Answer, *, closing: bool = False) -> responses.Response:
    who = request.client.host if request.client else "?"
    words = "" if answer.status == 200 else f" {answer.body[:200]!r}"
    what = "add-checkpoint" if request.method == "POST" else "checkpoint"
    logger.info("%s %s %d%s", who, what, answer.status, words)
    headers = {"connection": "close"} if closing else {}
    return responses.Response(
        answer.body, answer.status, headers=headers | {"content-type": answer.kind, "cache-control": "no-store"}
    )

"""The service of a run as an ASGI application: every address it has, and which of the other modules answers there.

    GET  /                     what the log says of itself
    GET  /checkpoint, /tile/   the published log (C2SP tlog-tiles)
    POST /statements           a signed statement, appended
    GET  /tail                 entries and checkpoints as they come (server-sent events)
    GET, HEAD, PUT /ipfs/CID   blocks out; files in
    GET  /healthz, /metrics, /openapi.json

Reference: docs/protocol.md P24; openapi.json beside this file.
"""

import asyncio
import contextlib
import importlib.resources
from collections.abc import AsyncIterator, Awaitable, Callable
from importlib import metadata
from typing import TypeAlias

from starlette import applications, exceptions, requests, responses, routing

from exchange import blocks
from ledger import dsse, errors, served, tiles
from orchestrator import blockservice, folder, record
from orchestrator.serving import answer, door, gauges, growth, intake, limits, putting, reading, tail

_FOREVER = "public, max-age=31536000, immutable"
_SHORTLY = "public, max-age=60"

Endpoint: TypeAlias = Callable[[requests.Request], Awaitable[responses.Response]]


class Service:
    """The service of one run folder.

    Args:
        where: the run folder, in which there need not be a run yet.
        allowed: what it gives.
        as_json: whether the log's lines are JSON objects.
        quota: bytes that the block store may have when files are put; None for no limit.

    Attributes:
        app: the ASGI application.
        routes: its addresses.
    """

    def __init__(
        self,
        where: folder.RunFolder,
        allowed: limits.Limits,
        *,
        as_json: bool = False,
        quota: int | None = None,
    ) -> None:
        self._where = where
        self._allowed = allowed
        self._counted = gauges.Gauges()
        self._held = blocks.BlockStore(where.store, quota=quota)
        self._intake = intake.Intake(where, allowed, self._counted)
        self._readers = reading.Readers(self._intake)
        self._growth = growth.Growth(where.checkpoint, self._intake, self._readers, self._counted)
        spool = where.store / "blocks" / "tmp"
        self._putting = putting.Putting(self._held, spool, self._intake, allowed, self._counted)
        inner = self._application()
        self.routes = [route for route in inner.routes if isinstance(route, routing.Route)]
        self.app = door.Door(inner, allowed, self._counted, as_json=as_json)

    def close(self) -> None:
        """Nothing; tails end. What else is being answered is answered to its end."""
        self._growth.close()

    def _application(self) -> applications.Starlette:
        given = blockservice.Limits(
            grace=self._allowed.grace,
            slowest=self._allowed.slowest,
            each=blockservice.EACH if self._allowed.each else 0,
        )
        inner = applications.Starlette(
            routes=[
                routing.Route("/", _refusing(self._index), methods=["GET"]),
                routing.Route("/checkpoint", _refusing(self._checkpoint), methods=["GET"]),
                routing.Route("/tile/{rest:path}", _refusing(self._tile), methods=["GET"]),
                routing.Route("/statements", _refusing(self._statements), methods=["POST"]),
                routing.Route("/tail", _refusing(self._tail), methods=["GET"]),
                routing.Route("/ipfs/{cid:str}", _refusing(self._put), methods=["PUT"]),
                *blockservice.routes(self._held, given),
                routing.Route("/healthz", _refusing(self._health), methods=["GET"]),
                routing.Route("/metrics", _refusing(self._metrics), methods=["GET"]),
                routing.Route("/openapi.json", _refusing(self._described), methods=["GET"]),
            ],
            exception_handlers={exceptions.HTTPException: _http},
            lifespan=self._living,
        )
        inner.router.redirect_slashes = False  # a redirect would be made of what the client says that our name is
        return inner

    @contextlib.asynccontextmanager
    async def _living(self, _: applications.Starlette) -> AsyncIterator[None]:
        self._intake.start()
        self._growth.start()
        try:
            yield
        finally:
            self._growth.close()
            await asyncio.to_thread(self._stopped)

    def _stopped(self) -> None:
        self._growth.stop()
        self._intake.stop()
        self._readers.close()

    def _ready(self) -> intake.Founded:
        founded = self._intake.founded
        if founded is None:
            raise answer.busy("the run has no genesis yet")
        if self._growth.fault or not self._growth.seen.size:
            raise answer.busy("the log cannot be read now")
        return founded

    async def _index(self, _: requests.Request) -> responses.Response:
        founded = self._ready()
        if self._intake.known.run is None:
            raise answer.busy("the log is being read")
        return answer.record(
            {
                "run": founded.run,
                "origin": founded.origin,
                "coordinator": str(record.coordinator(self._intake.known).key),
                "size": self._growth.seen.size,
                "version": metadata.version("folkmoot"),
            }
        )

    async def _checkpoint(self, _: requests.Request) -> responses.Response:
        self._ready()
        if not self._growth.seen.note:
            raise answer.busy("no checkpoint is published yet")
        headers = {"cache-control": "no-cache", "content-type": "text/plain; charset=utf-8"}
        return responses.Response(self._growth.seen.note, headers=headers)

    async def _tile(self, request: requests.Request) -> responses.Response:
        self._ready()
        try:
            wanted = tiles.Tile.parse(f"tile/{request.path_params['rest']}")
        except errors.StatementError as error:
            raise answer.Refusal(404, "not-found", str(error)) from error
        size = self._growth.seen.signed
        data = await self._readers.run(lambda source: served.tile(source, wanted, size))
        if data is None:
            raise answer.Refusal(404, "not-found", f"no {wanted.path} in a log of {size} signed entries")
        full = wanted.width == tiles.WIDTH
        headers = {"cache-control": _FOREVER if full else _SHORTLY, "content-type": "application/octet-stream"}
        return responses.Response(data, headers=headers)

    async def _statements(self, request: requests.Request) -> responses.Response:
        self._ready()
        try:
            async with asyncio.timeout(self._allowed.patience):
                data = await _body(request, dsse.MAX_BYTES)
        except TimeoutError:
            message = f"no whole body in {self._allowed.patience:g} s"
            raise answer.Refusal(408, "too-slow", message, closing=True) from None
        envelope = dsse.Envelope.parse(data)
        return answer.record({"seq": await self._intake.append(envelope), "eid": envelope.eid})

    async def _tail(self, request: requests.Request) -> responses.Response:
        self._ready()
        start = tail.position(request)
        if self._growth.tails >= self._allowed.tails:
            raise answer.busy(f"{self._growth.tails} tails are open already")
        self._growth.tails += 1
        self._counted.tails.set(self._growth.tails)
        return tail.Tail(self._growth, start, self._left)

    def _left(self) -> None:
        self._growth.tails -= 1
        self._counted.tails.set(self._growth.tails)

    async def _put(self, request: requests.Request) -> responses.Response:
        self._ready()
        status = await self._putting.put(request)
        return answer.record({"cid": request.path_params["cid"]}, status)

    async def _health(self, _: requests.Request) -> responses.Response:
        self._ready()
        if self._intake.known.run is None:
            raise answer.busy("the log is being read")
        return answer.record({"status": "ok", "size": self._growth.seen.size, "signed": self._growth.seen.signed})

    async def _metrics(self, _: requests.Request) -> responses.Response:
        headers = {"cache-control": "no-store", "content-type": gauges.CONTENT_TYPE}
        return responses.Response(self._counted.text(), headers=headers)

    async def _described(self, _: requests.Request) -> responses.Response:
        return responses.Response(description(), media_type="application/json")


def description() -> bytes:
    """The OpenAPI description of the service, as it is answered."""
    return importlib.resources.files("orchestrator.serving").joinpath("openapi.json").read_bytes()


def _refusing(endpoint: Endpoint) -> Endpoint:
    """The endpoint, whose refusals, and the ledger's, become answers."""

    async def answered(request: requests.Request) -> responses.Response:
        try:
            return await endpoint(request)
        except answer.Refusal as refusal:
            found = refusal
        except errors.LedgerError as error:
            found = answer.of(error)
        request.scope[door.REASON] = found.code
        return found.response()

    return answered


async def _http(request: requests.Request, error: Exception) -> responses.Response:
    """What Starlette refuses by itself: no such address, no such method."""
    status = error.status_code if isinstance(error, exceptions.HTTPException) else 500
    code, message = ("not-found", "no such address") if status == 404 else ("no-method", "not with this method")
    request.scope[door.REASON] = code
    found = answer.Refusal(status, code, message).response()
    found.headers.update((error.headers if isinstance(error, exceptions.HTTPException) else None) or {})
    return found


async def _body(request: requests.Request, limit: int) -> bytes:
    """The body, of at most `limit` bytes, however many were announced."""
    too_large = answer.Refusal(413, "too-large", f"over {limit} bytes", closing=True)
    announced = request.headers.get("content-length", "0")
    if not announced.isdecimal() or len(announced) > 9 or int(announced) > limit:
        raise too_large
    data = bytearray()
    try:
        async for chunk in request.stream():
            data += chunk
            if len(data) > limit:
                raise too_large
    except requests.ClientDisconnect:
        raise answer.Refusal(400, "wrong-size", "the client went away", closing=True) from None
    return bytes(data)

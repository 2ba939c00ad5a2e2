"""The HTTP service of a block store: an IPFS trustless gateway, from which holders fetch from each other with no daemon.

    GET, HEAD /ipfs/<cid>     one block, whole or a range of it; or the blocks of a file as a CAR (orchestrator.wanted)

It only reads. What is asked is bounded by address and by number, what is sent by size; a client that takes too little a
second is left. Every block is hashed before it leaves, so a damaged disk is a 500 here and no riddle elsewhere.

Reference: IPFS Trustless Gateway Specification; docs/protocol.md P21.
"""

import collections
import dataclasses
import logging
import re
from collections.abc import Iterator

from starlette import applications, concurrency, middleware, requests, responses, routing, types

from exchange import assembly, car, errors, nodes, pace, span, store
from exchange import cid as cids
from orchestrator import sending, turnstile, wanted

BURST = 512
RATE = 128.0
MAX_CAR = 64 << 30
STREAMS = 16
EACH = 4
GRACE = 30.0
SLOWEST = 16 * 1024.0

_FOREVER = "public, max-age=29030400, immutable"
_RANGE = re.compile(r"bytes=([0-9]{1,99})?-([0-9]{1,99})?")
_PROBE = bytes.fromhex("19a265726f6f747381d82a4500015500006776657273696f6e01")

logger = logging.getLogger(__name__)


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Limits:
    """What one service gives.

    Attributes:
        burst: requests of one address at once.
        rate: requests a second of one address after that.
        largest: bytes of the blocks of a file that is sent as a CAR.
        streams: CARs that are sent at the same time.
        each: of these to one address; 0 for no such limit, as behind a proxy.
        grace: seconds for a client that takes nothing, altogether.
        slowest: bytes a second that earn a client its time.
    """

    burst: int = BURST
    rate: float = RATE
    largest: int = MAX_CAR
    streams: int = STREAMS
    each: int = EACH
    grace: float = GRACE
    slowest: float = SLOWEST


def application(held: store.Store, limits: Limits = Limits()) -> applications.Starlette:
    """A gateway to what is in `held`, as an ASGI application; run by `orchestrator.service.server`.

    Reference: Trustless Gateway, "HTTP API"; docs/protocol.md P21.
    """
    gated = middleware.Middleware(_Gate, limits=limits)
    app = applications.Starlette(routes=routes(held, limits), middleware=[gated])
    app.router.redirect_slashes = False  # a redirect would be made of what the client says that our name is
    return app


def routes(held: store.Store, limits: Limits) -> list[routing.Route]:
    """The same for an application that limits the rate of an address itself."""
    sent: collections.Counter[str] = collections.Counter()  # CARs, by address

    async def answer(request: requests.Request) -> responses.Response:
        address = _address(request.scope)
        try:
            asked = wanted.parse(request.path_params["cid"], request.query_params.multi_items(), request.headers)
            made = await concurrency.run_in_threadpool(_made, held, asked, request, limits)
            if isinstance(made, sending.Stream) and asked.kind == wanted.CAR:
                _check_streams(sent, address, limits)
                sent[address] += 1
                made.over = lambda: _subtract(sent, address)
        except wanted.RefusedError as refused:
            return _refused(refused, request.scope)
        logger.info("%s %r %d", address, request.url.path[:100], made.status_code)
        return made

    return [routing.Route("/ipfs/{cid:str}", answer, methods=["GET", "HEAD"])]


class _Gate:
    """An ASGI application before another one: an address may ask so often, whatever it asks for."""

    def __init__(self, app: types.ASGIApp, limits: Limits) -> None:
        self._inner = app
        self._rate = limits.rate
        self._gate = turnstile.Turnstile(burst=limits.burst, rate=limits.rate)

    async def __call__(self, scope: types.Scope, receive: types.Receive, send: types.Send) -> None:
        if scope["type"] == "http" and not self._gate.admit(_address(scope)):
            refused = wanted.RefusedError(429, f"more than {self._rate:g} requests a second")
            await _refused(refused, scope)(scope, receive, send)
        else:
            await self._inner(scope, receive, send)


def _address(scope: types.Scope) -> str:
    return scope["client"][0] if scope.get("client") else "?"


def _refused(refused: wanted.RefusedError, scope: types.Scope) -> responses.Response:
    logger.info("%s %r %d %s", _address(scope), scope["path"][:100], refused.status, refused)
    headers = {"cache-control": "no-store", "x-content-type-options": "nosniff"}
    if refused.status in (429, 503):
        headers["retry-after"] = "1"
    return responses.PlainTextResponse(f"{refused}\n", refused.status, headers)


def _check_streams(sent: collections.Counter[str], address: str, limits: Limits) -> None:
    if sent.total() >= limits.streams:
        raise wanted.RefusedError(503, f"{limits.streams} CARs are being sent already")
    if limits.each and sent[address] >= limits.each:
        raise wanted.RefusedError(503, f"{limits.each} CARs are being sent to this address already")


def _subtract(sent: collections.Counter[str], address: str) -> None:
    sent[address] -= 1
    sent += collections.Counter()  # forgets the zeros


def _made(held: store.Store, asked: wanted.Wanted, request: requests.Request, limits: Limits) -> responses.Response:
    """The answer, but for what is read while it is sent."""
    root = _root(held, asked, request)
    headers = _headers(asked)
    told = [each.strip().removeprefix("W/") for each in request.headers.get("if-none-match", "").split(",")]
    if asked.etag in told or "*" in told:
        kept = {key: headers[key] for key in ("etag", "cache-control")}
        return responses.Response(status_code=304, headers=kept)
    if asked.kind == wanted.RAW:
        return _block(root, headers, request, limits)
    _check_size(asked, root, limits)
    pieces = iter(()) if request.method == "HEAD" else _pieces(held, asked, root)
    return sending.Stream(pieces, 200, headers, pace.Pace(seconds=limits.grace, rate=limits.slowest))


def _root(held: store.Store, asked: wanted.Wanted, request: requests.Request) -> bytes:
    if asked.name is None:
        return b""
    try:
        return held.block(asked.name)
    except errors.BlockMissingError:
        local = "only-if-cached" in request.headers.get("cache-control", "")
        raise wanted.RefusedError(412 if local else 404, f"{asked.name} is not here") from None
    except errors.StoreError:
        logger.exception("%s cannot be read", asked.name)
        raise wanted.RefusedError(500, f"{asked.name} is here, and cannot be read") from None


def _check_size(asked: wanted.Wanted, root: bytes, limits: Limits) -> None:
    if asked.name is None or asked.name.codec == cids.RAW or asked.scope == "block":
        return
    try:
        total = sum(child.total for child in nodes.links(root))
    except errors.BlockCorruptError as error:
        raise wanted.RefusedError(400, f"{asked.name} is no file of ours: {error}; ask for blocks") from None
    if total > limits.largest:
        raise wanted.RefusedError(
            400, f"{asked.name} has {total} bytes, over {limits.largest} in a CAR; ask for blocks"
        )


def _headers(asked: wanted.Wanted) -> dict[str, str]:
    ending = "bin" if asked.kind == wanted.RAW else "car"
    headers = {
        "content-type": asked.content_type,
        "content-disposition": f'attachment; filename="{asked.text}.{ending}"',
        "etag": asked.etag,
        "cache-control": _FOREVER,
        "x-content-type-options": "nosniff",
        "x-ipfs-path": f"/ipfs/{asked.text}",
        "x-ipfs-roots": asked.text,
        "accept-ranges": "bytes" if asked.kind == wanted.RAW else "none",
        "vary": "accept",
    }
    if not asked.explicit:
        headers["content-location"] = f"/ipfs/{asked.text}?format={'raw' if asked.kind == wanted.RAW else 'car'}"
    return headers


def _block(block: bytes, headers: dict[str, str], request: requests.Request, limits: Limits) -> responses.Response:
    """One block, or the range of it that was asked for."""
    said = _RANGE.fullmatch(request.headers.get("range", ""))
    fresh = request.headers.get("if-range", headers["etag"]) == headers["etag"]
    first, last, status = 0, len(block) - 1, 200
    backwards = said is not None and said[1] and said[2] and int(said[1]) > int(said[2])
    if said is not None and fresh and (said[1] or said[2]) and not backwards:
        status = 206
        if said[1]:
            first, last = int(said[1]), min(last, int(said[2] or last))
        else:
            first = max(0, len(block) - int(said[2]))
        if first > last:
            headers |= {"content-range": f"bytes */{len(block)}", "cache-control": "no-store"}
            headers["content-type"] = "text/plain; charset=utf-8"
            return responses.PlainTextResponse("no byte of the block is in that range\n", 416, headers)
        headers["content-range"] = f"bytes {first}-{last}/{len(block)}"
    part = memoryview(block)[first : last + 1]
    headers["content-length"] = str(len(part))
    pieces = iter(() if request.method == "HEAD" else (part,))
    return sending.Stream(pieces, status, headers, pace.Pace(seconds=limits.grace, rate=limits.slowest))


def _pieces(held: store.Store, asked: wanted.Wanted, root: bytes) -> Iterator[bytes | memoryview]:
    """The CAR, as it is read."""
    if asked.name is None:
        return iter((_PROBE,))
    sent: set[cids.Cid] | None = None if asked.twice else set()
    if asked.scope == "block":
        content: Iterator[tuple[cids.Cid, bytes]] = iter(((asked.name, root),))
    elif asked.span is not None:
        content = span.walk(asked.name, held.block, *asked.span, sent=sent)
    else:
        content = assembly.walk(asked.name, held.block, sent=sent)
    return car.encode([asked.name], content)

"""What every request passes: the rate of its address, the numbers that are answered at once, one line of the log, one count.

A line names the address, the method, the path without its query, the status, the reason of a refusal, and the seconds. Paths
are written in ASCII with escapes, so that a name in them moves no cursor and forges no line.
"""

import collections
import json
import logging
import time

from starlette import requests, types

from orchestrator import turnstile
from orchestrator.serving import answer, gauges, limits

PLACES = ("checkpoint", "tile", "statements", "tail", "ipfs", "healthz", "metrics", "openapi.json")
REASON = "folkmoot-reason"
_UNCOUNTED = ("tail", "healthz")  # a tail has a number of its own, and whether we live is told to whoever asks
_METHODS = ("GET", "HEAD", "POST", "PUT")

logger = logging.getLogger(__name__)


class Door:
    """An ASGI application before another one.

    Args:
        inner: the other one.
        allowed: what it gives.
        counted: where it is counted.
        as_json: whether the log's lines are JSON objects.
    """

    def __init__(
        self, inner: types.ASGIApp, allowed: limits.Limits, counted: gauges.Gauges, *, as_json: bool = False
    ) -> None:
        self._inner = inner
        self._gate = turnstile.Turnstile(burst=allowed.burst, rate=allowed.rate)
        self._allowed = allowed
        self._counted = counted
        self._as_json = as_json
        self._active: collections.Counter[str] = collections.Counter()

    async def __call__(self, scope: types.Scope, receive: types.Receive, send: types.Send) -> None:
        """The request is answered, by the application behind or here."""
        if scope["type"] != "http":
            await self._inner(scope, receive, send)
            return
        status, started, place = 0, time.perf_counter(), _place(scope["path"])

        async def watched(message: types.Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
            await send(message)

        try:
            await self._pass(place, scope, receive, watched)
        finally:
            self._note(scope, place, status, time.perf_counter() - started)

    async def _pass(self, place: str, scope: types.Scope, receive: types.Receive, send: types.Send) -> None:
        name = address(scope)
        if not self._gate.admit(name):
            refusal = answer.Refusal(429, "rate", f"more than {self._allowed.rate:g} requests a second")
            await _refuse(refusal, scope, receive, send)
        elif place in _UNCOUNTED:
            await self._inner(scope, receive, send)
        elif self._active.total() >= self._allowed.requests:
            await _refuse(answer.busy("too many requests are being answered"), scope, receive, send)
        elif self._active[name] >= self._allowed.requests_share:
            await _refuse(answer.busy("too many requests of this address are being answered"), scope, receive, send)
        else:
            self._active[name] += 1
            self._counted.active.set(self._active.total())
            try:
                await self._inner(scope, receive, send)
            finally:
                self._active[name] -= 1
                if not self._active[name]:
                    del self._active[name]
                self._counted.active.set(self._active.total())

    def _note(self, scope: types.Scope, place: str, status: int, seconds: float) -> None:
        method = scope["method"] if scope["method"] in _METHODS else "other"
        self._counted.requests.labels(place, method, str(status)).inc()
        if place != "tail":
            self._counted.seconds.labels(place).observe(seconds)
        if not logger.isEnabledFor(logging.INFO):
            return
        path, reason = ascii(scope["path"][:120])[1:-1], scope.get(REASON, "")
        said = {
            "address": address(scope),
            "method": scope["method"][:16],
            "path": path,
            "status": status,
            "code": reason,
            "seconds": round(seconds, 4),
        }
        if self._as_json:
            logger.info("%s", json.dumps({"time": round(time.time(), 3), **said}))
        else:
            logger.info("%s %s %s %d%s %.3fs", *list(said.values())[:4], f" {reason}" if reason else "", seconds)


async def _refuse(refusal: answer.Refusal, scope: types.Scope, receive: types.Receive, send: types.Send) -> None:
    scope[REASON] = refusal.code
    await refusal.response()(scope, receive, send)


def address(scope: types.Scope) -> str:
    """Where a request comes from: the client's address, or what a proxy that is named says of it."""
    return requests.HTTPConnection(scope).client.host if scope.get("client") else "?"  # type: ignore[union-attr]


def _place(path: str) -> str:
    """The kind of address, of a few: what is asked for must not fill the memory of whoever counts."""
    first = path.removeprefix("/").partition("/")[0]
    return first if first in PLACES else "" if path == "/" else "other"

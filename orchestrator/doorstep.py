"""What a request has to be before any application of ours sees it; uvicorn is more lenient.

    431    its head has more than `most` bytes
    400    its body's length is said in two ways, of which a proxy may believe the other one (RFC 9112, 6.3)

After either the connection is closed. A target that is a whole URL is taken by its path (RFC 9112, 3.2.2).
"""

from starlette import responses, types

_SCHEMES = ("http://", "https://")
_LINE = 4  # bytes of a header's line beside its name and its value


class Doorstep:
    """An ASGI application before another one.

    Args:
        inner: the other one.
        most: bytes of a head.
    """

    def __init__(self, inner: types.ASGIApp, *, most: int) -> None:
        self._inner = inner
        self._most = most

    async def __call__(self, scope: types.Scope, receive: types.Receive, send: types.Send) -> None:
        """The request is answered, by the application behind or here."""
        if scope["type"] != "http":
            await self._inner(scope, receive, send)
            return
        headers: list[tuple[bytes, bytes]] = scope["headers"]
        names = {name for name, _ in headers}
        size = len(scope["raw_path"]) + len(scope["query_string"])
        size += sum(len(name) + len(value) + _LINE for name, value in headers)
        if size > self._most:
            await _refused(431, f"a head of {size} bytes, expected at most {self._most}")(scope, receive, send)
        elif {b"content-length", b"transfer-encoding"} <= names:
            await _refused(400, "content-length beside transfer-encoding, expected one of them")(scope, receive, send)
        else:
            await self._inner(_by_path(scope), receive, send)


def _by_path(scope: types.Scope) -> types.Scope:
    """The request, without the scheme and the host of its target."""
    if not scope["path"].lower().startswith(_SCHEMES):
        return scope
    path, raw = scope["path"].split("/", 3), scope["raw_path"].split(b"/", 3)
    return {**scope, "path": "/" + "/".join(path[3:]), "raw_path": b"/" + b"/".join(raw[3:])}


def _refused(status: int, sentence: str) -> responses.Response:
    headers = {"connection": "close", "cache-control": "no-store", "x-content-type-options": "nosniff"}
    return responses.PlainTextResponse(f"{sentence}\n", status, headers)

"""Where a published log is read from: a folder or a URL, as a function from a path below it to bytes.

A source promises nothing about the bytes but their number. What they are worth, `tiled` finds out.
"""

import contextlib
import http.client
import socket
import threading
import time
import urllib.error
import urllib.parse
import urllib.request
import zlib
from collections.abc import Callable
from pathlib import Path
from typing import IO, Self, TypeAlias

from ledger import errors

Source: TypeAlias = Callable[[str, int], bytes | None]
"""source(path, limit): the bytes of the file at `path`, at most `limit`; None if there is none. Raises LogError."""

SECONDS = 30.0
"""Longest to wait over HTTP for the next bytes, and for a whole file."""

_CHUNK = 64 * 1024
_MISSING = (404, 410)
_GZIP = 31


def folder(root: Path) -> Source:
    """The source of a log that was published to the folder `root`, or to one that this is a copy of."""

    def fetch(path: str, limit: int) -> bytes | None:
        try:
            with (root / path).open("rb") as file:
                return _bounded(file.read(limit + 1), path, limit)
        except FileNotFoundError:
            return None
        except OSError as error:
            raise errors.LogError(f"{root / path} cannot be read: {error}") from error

    return fetch


def url(prefix: str, *, seconds: float = SECONDS) -> Source:
    """The source of a log at a URL.

    Args:
        prefix: `https://...` or `http://...`, with or without a slash at its end. Redirects are followed to the same
            scheme only.
        seconds: Longest to wait for the next bytes, and for a whole file.

    Raises:
        LogError: The URL is of another scheme.
    """
    scheme = urllib.parse.urlsplit(prefix).scheme
    if scheme not in ("http", "https"):
        raise errors.LogError(f"{prefix[:100]!r}, expected https:// or http://")

    def fetch(path: str, limit: int) -> bytes | None:
        where = f"{prefix.rstrip('/')}/{path}"
        request = urllib.request.Request(where, headers={"Accept-Encoding": "gzip, identity"})  # noqa: S310 - checked above
        try:
            with _Deadline(seconds) as deadline, deadline.opener().open(request, timeout=seconds) as answer:
                data = _received(answer, where, limit, time.monotonic() + seconds)
                if deadline.over:  # cut off, which may look like an end
                    raise errors.LogError(f"{where} takes too long, after {len(data)} bytes")
                return data
        except urllib.error.HTTPError as error:
            error.close()
            if error.code in _MISSING:
                return None
            raise errors.LogError(f"{where} cannot be fetched: {error}") from error
        except (OSError, http.client.HTTPException, zlib.error) as error:
            raise errors.LogError(f"{where} cannot be fetched: {error}") from error

    return fetch


class _Deadline:
    """The end of all connections that were made within it: a timeout alone begins anew with every byte that comes."""

    def __init__(self, seconds: float) -> None:
        self._timer = threading.Timer(seconds, self._end)
        self._timer.daemon = True
        self._sockets: list[socket.socket] = []
        self.over = False

    def __enter__(self) -> Self:
        self._timer.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._timer.cancel()

    def opener(self) -> urllib.request.OpenerDirector:
        """What opens URLs over connections that end with this."""
        made = urllib.request.OpenerDirector()
        for handler in (
            urllib.request.ProxyHandler(),
            _Http(self),
            _Https(self),
            urllib.request.HTTPDefaultErrorHandler(),
            urllib.request.HTTPErrorProcessor(),
            _SameScheme(),
        ):
            made.add_handler(handler)
        return made

    def connected(self, connection: http.client.HTTPConnection) -> None:
        """Nothing; this connection ends too."""
        self._sockets.append(connection.sock)

    def _end(self) -> None:
        self.over = True
        for each in self._sockets:
            with contextlib.suppress(OSError):
                each.shutdown(socket.SHUT_RDWR)


class _Http(urllib.request.HTTPHandler):
    def __init__(self, deadline: _Deadline) -> None:
        super().__init__()
        self._deadline = deadline

    def http_open(self, req: urllib.request.Request) -> http.client.HTTPResponse:
        return self.do_open(_connecting(http.client.HTTPConnection, self._deadline), req)


class _Https(urllib.request.HTTPSHandler):
    def __init__(self, deadline: _Deadline) -> None:
        super().__init__()
        self._deadline = deadline

    def https_open(self, req: urllib.request.Request) -> http.client.HTTPResponse:
        return self.do_open(_connecting(http.client.HTTPSConnection, self._deadline), req)


def _connecting(kind: type[http.client.HTTPConnection], deadline: _Deadline) -> type[http.client.HTTPConnection]:
    class Connection(kind):  # type: ignore[valid-type, misc]
        def connect(self) -> None:
            super().connect()
            deadline.connected(self)

    return Connection


class _SameScheme(urllib.request.HTTPRedirectHandler):
    """Follows no redirect from https to http, nor to a file."""

    def redirect_request(
        self,
        req: urllib.request.Request,
        fp: IO[bytes],
        code: int,
        msg: str,
        headers: http.client.HTTPMessage,
        newurl: str,
    ) -> urllib.request.Request | None:
        if urllib.parse.urlsplit(newurl).scheme != req.type:
            fp.close()
            raise errors.LogError(f"{req.full_url} redirects to {newurl[:200]!r}, expected {req.type} again")
        return super().redirect_request(req, fp, code, msg, headers, newurl)


def _received(answer: http.client.HTTPResponse, where: str, limit: int, deadline: float) -> bytes:
    """The body, unpacked: a server that sends too much or too slowly is left, and a small gzip cannot become a large file."""
    packed = answer.headers.get("Content-Encoding") == "gzip"
    inflate = zlib.decompressobj(_GZIP) if packed else None
    parts: list[bytes] = []
    size = 0
    while size <= limit and (chunk := answer.read1(_CHUNK)):
        parts.append(inflate.decompress(chunk, limit + 1 - size) if inflate else chunk)
        size += len(parts[-1])
        if time.monotonic() > deadline:
            raise errors.LogError(f"{where} takes too long, after {size} bytes")
    if inflate is not None and size <= limit and not inflate.eof:
        raise errors.LogError(f"{where} ends within its gzip, after {size} bytes")
    return _bounded(b"".join(parts), where, limit)


def _bounded(data: bytes, where: str, limit: int) -> bytes:
    if len(data) > limit:
        raise errors.LogError(f"{where} has more than the {limit} bytes it may have")
    return data

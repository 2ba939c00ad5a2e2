"""Where a published log is read from: a folder or a URL, as a function from a path below it to bytes.

A source promises nothing about the bytes but their number. What they are worth, `tiled` finds out.
"""

import http.client
import time
import urllib.error
import urllib.parse
import urllib.request
import zlib
from collections.abc import Callable
from pathlib import Path
from typing import IO, TypeAlias

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
    opener = urllib.request.OpenerDirector()
    for handler in (
        urllib.request.ProxyHandler(),
        urllib.request.HTTPHandler(),
        urllib.request.HTTPSHandler(),
        urllib.request.HTTPDefaultErrorHandler(),
        urllib.request.HTTPErrorProcessor(),
        _SameScheme(),
    ):
        opener.add_handler(handler)

    def fetch(path: str, limit: int) -> bytes | None:
        where = f"{prefix.rstrip('/')}/{path}"
        request = urllib.request.Request(where, headers={"Accept-Encoding": "gzip, identity"})  # noqa: S310 - checked above
        try:
            with opener.open(request, timeout=seconds) as answer:
                return _received(answer, where, limit, time.monotonic() + seconds)
        except urllib.error.HTTPError as error:
            error.close()
            if error.code in _MISSING:
                return None
            raise errors.LogError(f"{where} cannot be fetched: {error}") from error
        except (OSError, http.client.HTTPException, zlib.error) as error:
            raise errors.LogError(f"{where} cannot be fetched: {error}") from error

    return fetch


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

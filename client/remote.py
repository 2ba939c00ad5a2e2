"""A run's service, as a holder asks it over HTTP: the log as it grows, statements in, sealed updates in.

    GET  /tail?from=N          the entries from N on, and the checkpoints, as server-sent events (client.tail)
    POST /statements           one signed statement; the answer names its position
    PUT  /ipfs/<cid>           a file, under the signed offer that announces it

Blocks are read through `exchange.gateway`. The service holds no key and is believed nothing: what it hands on is verified by
whoever asked, and what it is asked to take is signed. No redirect is followed, and neither a proxy nor a password is taken from
the environment.

Reference: docs/protocol.md P24.
"""

import base64
import contextlib
import json
from collections.abc import AsyncGenerator, AsyncIterator, Mapping
from typing import BinaryIO, NoReturn

import httpx

from client import backoff, errors, plain, tail
from exchange import background, trust
from ledger import dsse

SECONDS = 30.0
"""Seconds for an answer, and for each `SLOWEST` bytes that are sent."""

SLOWEST = 64 * 1024
MAX_ANSWER = 64 * 1024
MAX_SAID = 300
"""Characters of a service's words that are repeated."""

_CHUNK = 64 * 1024
_LATER = (408, 425, 429, 507)
_PLAIN = {"accept-encoding": "identity"}


class Service:
    """The service at a URL.

    Args:
        url: `https://` or `http://`, host, perhaps port and path.
        silence: seconds without a byte after which a tail is given up.
        seconds: for an answer.

    Raises:
        ServiceError: the URL is none of these.
    """

    def __init__(self, url: str, *, silence: float = tail.SILENCE, seconds: float = SECONDS) -> None:
        self.url = _checked(url)
        self._silence = silence
        self._seconds = seconds
        self._loop = background.Loop()
        # `background.Loop` keeps the time, which httpx would start anew with each byte.
        self._client = httpx.AsyncClient(verify=trust.context(), trust_env=False, timeout=None, headers=_PLAIN)  # noqa: S113
        self._tails: list[tail.Tail] = []

    def append(self, envelope: dsse.Envelope) -> int:
        """The position of a statement in the log; the same again has the position it had.

        Raises:
            RejectedError: the log's rules, or the service's, say no; `code` is the reason.
            ServiceError: there is no answer, so it may or may not have been appended: send the same again.
        """
        headers = {"content-type": "application/json"}
        said = self._asked("POST", "/statements", headers, envelope.to_bytes(), self._seconds)
        match said:
            case {"seq": int(seq)} if not isinstance(seq, bool) and seq >= 0:
                return seq
        raise self._wrong(f"answered {str(said)[:100]!r} to a statement, expected its position")

    def put(self, cid: str, file: BinaryIO, size: int, offer: dsse.Envelope) -> None:
        """Nothing; the service has the file.

        Args:
            cid: its name.
            file: what is sent, from its position on, in constant memory.
            size: its bytes.
            offer: the signed offer of these bytes, by which they are let in.

        Raises:
            RejectedError: the service does not take it; `code` is the reason.
            ServiceError: there is no answer in time; put the same again.
        """
        signed = base64.urlsafe_b64encode(offer.to_bytes()).decode()
        headers = {"folkmoot-offer": signed, "content-length": str(size), "content-type": "application/octet-stream"}
        self._asked("PUT", f"/ipfs/{cid}", headers, _pieces(file), self._seconds * (1 + size / SLOWEST))

    def tail(self, start: int) -> tail.Tail:
        """The log's entries from `start` on, its checkpoints, and how the line is; until the service is closed."""
        opened = tail.Tail(self._loop, self._stream, start, silence=self._silence, waits=backoff.Backoff())
        self._tails.append(opened)
        return opened

    def close(self) -> None:
        """Let go of connections."""
        for each in self._tails:
            each.close()
        with contextlib.suppress(TimeoutError):
            self._loop.run(self._client.aclose(), 1.0)
        self._loop.close()

    def _asked(
        self, method: str, path: str, headers: Mapping[str, str], content: bytes | AsyncIterator[bytes], seconds: float
    ) -> object:
        """The JSON of an answer that says yes, None where it has none."""

        async def ask() -> object:
            async with self._client.stream(method, self.url + path, headers=dict(headers), content=content) as response:
                return _record(await self._body(response, (200, 201)))

        try:
            return self._loop.run(ask(), seconds)
        except TimeoutError:
            raise self._wrong(f"no answer in {seconds:.0f} s") from None
        except (httpx.HTTPError, httpx.StreamError) as error:
            raise self._wrong(f"{type(error).__name__} {plain.text(str(error), MAX_SAID)}".rstrip()) from error

    async def _stream(self, start: int) -> AsyncGenerator[bytes]:
        headers = {"accept": "text/event-stream"}
        where, query = f"{self.url}/tail", {"from": str(start)}
        try:
            async with self._client.stream("GET", where, params=query, headers=headers) as response:
                if response.status_code != 200:
                    await self._body(response, ())
                self._unpacked(response)
                yield b""
                async for piece in response.aiter_raw():
                    if piece:
                        yield piece
        except (httpx.HTTPError, httpx.StreamError) as error:
            raise self._wrong(f"{type(error).__name__} {plain.text(str(error), MAX_SAID)}".rstrip()) from error

    async def _body(self, response: httpx.Response, expected: tuple[int, ...]) -> bytes:
        """The body of an answer of an expected status, at most `MAX_ANSWER` bytes."""
        self._unpacked(response)
        body = b""
        async for piece in response.aiter_raw(_CHUNK):
            body += piece
            if len(body) > MAX_ANSWER:
                raise self._wrong(f"an answer of over {MAX_ANSWER} bytes")
        if response.status_code not in expected:
            self._refused(response, body)
        return body

    def _unpacked(self, response: httpx.Response) -> None:
        """Nothing, unless an answer is packed: it would have to be unpacked before it can be bounded."""
        packed = response.headers.get("content-encoding", "identity")
        if packed != "identity":
            raise self._wrong(f"content-encoding {plain.text(packed, 40)}, which was not asked for")

    def _refused(self, response: httpx.Response, body: bytes) -> NoReturn:
        status = response.status_code
        code, message = "", body[:200].decode("utf-8", "replace").strip()
        match _record(body):
            case {"code": str(code), "message": str(message)}:
                pass
        said = ": ".join(plain.text(each, MAX_SAID) for each in (code, message) if each)
        what = f"{self.url} says {status} {said or 'without a reason'}"
        if status in _LATER or status >= 500:
            wait = response.headers.get("retry-after", "")
            raise errors.ServiceError(what, wait=min(float(wait), backoff.MOST) if wait.isdecimal() else 0.0)
        if status < 400:
            raise errors.ServiceError(f"{what}; expected 200, and a redirect is not followed")
        raise errors.RejectedError(what, status=status, code=plain.text(code, MAX_SAID))

    def _wrong(self, what: str) -> errors.ServiceError:
        return errors.ServiceError(f"{self.url}: {what}")


def _record(body: bytes) -> object:
    try:
        return json.loads(body)
    except ValueError:  # also what is no UTF-8
        return None
    except RecursionError:
        return None


async def _pieces(file: BinaryIO) -> AsyncIterator[bytes]:
    while piece := file.read(_CHUNK):
        yield piece


def _checked(url: str) -> str:
    try:
        parts = httpx.URL(url)
    except httpx.InvalidURL as error:
        raise errors.ServiceError(f"{url[:200]!r} is no URL of a service: {error}") from None
    if parts.userinfo:  # not repeated: it may be a password
        raise errors.ServiceError(f"the URL of {parts.host!r} holds a name or password, expected none")
    odd = parts.query or parts.fragment or (parts.port or 0) > 65535
    if parts.scheme not in ("http", "https") or not parts.host or odd:
        message = f"{url[:200]!r} is no URL of a service, expected https://host, perhaps a port and a path"
        raise errors.ServiceError(message)
    return str(parts).rstrip("/")

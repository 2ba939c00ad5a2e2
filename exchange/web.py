"""One host that is asked over HTTP, and not trusted: what it announces, sends and how fast is bounded.

No redirect is followed, nothing packed is unpacked, and neither a proxy nor a password is taken from the environment.
"""

import contextlib
import io
import threading
import weakref
from collections.abc import Callable, Coroutine, Iterator, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, BinaryIO, TypeVar

import httpx

from exchange import background, errors, pace, pump, trust

if TYPE_CHECKING:
    from _typeshed import WriteableBuffer

_T = TypeVar("_T")


@dataclass(frozen=True, slots=True, kw_only=True)
class Answer:
    """What a host answered.

    Attributes:
        status: of HTTP.
        headers: by name in lower case.
        body: is read as it comes; raises PeerError where it does not.
    """

    status: int
    headers: Mapping[str, str]
    body: BinaryIO

    @property
    def wait(self) -> float:
        """Seconds that a busy host asks us to wait, or a guess."""
        said = self.headers.get("retry-after", "")
        return float(said) if said.isdecimal() and len(said) < 6 else 1.0

    def __str__(self) -> str:
        if 300 <= self.status < 400:
            return (
                f"status {self.status}, a redirect to {self.headers.get('location', '')[:200]!r}, which is not followed"
            )
        return f"status {self.status}"


class Host:
    """What answers below a URL, which several threads may ask at once.

    Args:
        url: `http://` or `https://`, host, perhaps port and path.
        patience: seconds for a connection with the head of an answer, and for each next piece of its body.

    Raises:
        PeerError: the URL is none of these.
    """

    def __init__(self, url: str, *, patience: float) -> None:
        self.url = _checked(url)
        self._patience = patience
        self._lock = threading.Lock()
        self._line: tuple[background.Loop, httpx.AsyncClient] | None = None
        self._forgotten: weakref.finalize[..., Host] | None = None

    @contextlib.contextmanager
    def asked(self, method: str, path: str, query: Mapping[str, str], accept: str, left: pace.Pace) -> Iterator[Answer]:
        """The answer to one request; its connection is given up if its body is not read to its end.

        Args:
            method: of HTTP.
            path: with a slash in front; is added to the URL.
            query: parameters.
            accept: the type that is wanted.
            left: the time for it, which is earned by bytes that come.

        Raises:
            PeerError: there is none in time, or it is packed.
        """
        loop, client = self._connected()
        # What was sealed does not get smaller, and what was packed would have to be unpacked before it can be bounded.
        headers = {"accept": accept, "accept-encoding": "identity"}
        request = client.build_request(method, self.url + path, params=dict(query), headers=headers)
        response = self._run(loop, _sent(client, request), left)
        pumps: list[pump.Pump] = []
        try:
            packed = response.headers.get("content-encoding", "identity")
            if packed != "identity":
                raise self.wrong(f"content-encoding {packed[:40]!r}, which was not asked for")
            body = io.BufferedReader(_Body(lambda: self._run(loop, _following(response, pumps), left), left))
            yield Answer(status=response.status_code, headers=response.headers, body=body)
        finally:
            with contextlib.suppress(errors.PeerError):
                self._run(loop, _closed(response, pumps), pace.Pace(seconds=1.0, rate=1.0))

    def wrong(self, what: str) -> errors.PeerError:
        """The error that says what this host did."""
        return errors.PeerError(f"gateway {self.url}: {what}")

    def close(self) -> None:
        """Let go of connections; the host can be asked again."""
        with self._lock:
            line, self._line = self._line, None
            if self._forgotten is not None:
                self._forgotten.detach()
        if line is not None:
            loop, client = line
            with contextlib.suppress(TimeoutError):
                loop.run(client.aclose(), 1.0)
            loop.close()

    def _connected(self) -> tuple[background.Loop, httpx.AsyncClient]:
        with self._lock:
            if self._line is None:
                # `background.Loop` keeps the time, which httpx would start anew with each byte.
                client = httpx.AsyncClient(verify=trust.context(), trust_env=False, timeout=None)  # noqa: S113
                self._line = background.Loop(), client
                self._forgotten = weakref.finalize(self, _let_go, *self._line)
                self._forgotten.atexit = False  # the process ends with all of it
            return self._line

    def _run(self, loop: background.Loop, work: Coroutine[Any, Any, _T], left: pace.Pace) -> _T:
        try:
            return loop.run(work, min(self._patience, left.left))
        except TimeoutError:
            why = f"silent for {self._patience:g} s" if left.left > 0 else f"too slow, {left}"
            raise self.wrong(why) from None
        except (httpx.HTTPError, httpx.StreamError) as error:
            raise self.wrong(f"{type(error).__name__} {str(error)[:200]!r}") from error


def _let_go(loop: background.Loop, client: httpx.AsyncClient) -> None:
    """What `close` does, for a host that nobody has any more."""
    loop.end(client.aclose())


class _Body(io.RawIOBase):
    """The body of an answer as a file, each piece waited for when it is needed."""

    def __init__(self, following: Callable[[], bytes], left: pace.Pace) -> None:
        super().__init__()
        self._following = following
        self._left = left
        self._piece = memoryview(b"")

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: "WriteableBuffer", /) -> int:
        target = memoryview(buffer).cast("B")
        if not self._piece:
            self._piece = memoryview(self._following())
            self._left.brought(len(self._piece))
        size = min(len(target), len(self._piece))
        target[:size] = self._piece[:size]
        self._piece = self._piece[size:]
        return size


async def _sent(client: httpx.AsyncClient, request: httpx.Request) -> httpx.Response:
    try:
        return await client.send(request, stream=True)
    except (httpx.RemoteProtocolError, httpx.ReadError, httpx.WriteError):
        # A connection that was kept open may have been closed by the other side just now; a fresh one tells.
        return await client.send(request, stream=True)


async def _following(response: httpx.Response, pumps: list[pump.Pump]) -> bytes:
    """What has come of a body since, empty at its end and only there; the pump begins with the first that is wanted."""
    if not pumps:
        pumps.append(pump.Pump(response.aiter_raw()))
    return await pumps[0].taken()


async def _closed(response: httpx.Response, pumps: list[pump.Pump]) -> None:
    for each in pumps:
        await each.close()
    await response.aclose()


def _checked(url: str) -> str:
    try:
        parts = httpx.URL(url)
    except httpx.InvalidURL as error:
        raise errors.PeerError(f"{url[:200]!r} is no URL of a gateway: {error}") from None
    if parts.userinfo:  # not repeated: it may be a password
        raise errors.PeerError(f"URL of gateway {parts.host!r} holds a name or password, expected none")
    if parts.scheme not in ("http", "https") or not parts.host or parts.query or parts.fragment:
        raise errors.PeerError(
            f"{url[:200]!r} is no URL of a gateway, expected https://host, perhaps a port and a path"
        )
    return str(parts).rstrip("/")

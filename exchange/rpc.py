"""Calls to the RPC of an IPFS node (Kubo's `/api/v0`), each of them bounded: in time, in bytes, in attempts.

What ipfshttpclient leaves open is closed here: its timeout begins anew with each byte and each address, and a lookup of a
name has none; it reads an answer, and above all the text of an error, to its end; it follows redirects, takes proxies and
passwords from the environment, and unpacks what comes packed. Its `connect()` is not called: it refuses every daemon from
0.8 on. A version of it is pinned, since two of its methods are overridden.

The header `Authorization` of a node, where it wants one, comes from the environment and goes nowhere else:

    FOLKMOOT_IPFS_AUTHORIZATION     lines of: address, a space, value; such as "http://10.0.0.7:5001 Bearer 5f3c..."
"""

import contextlib
import functools
import http.client
import math
import os
import random
import socket
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any, BinaryIO

from ipfshttpclient import exceptions, http_requests, multipart

from exchange import address as addresses
from exchange import errors, lookup, pace
from exchange import guard as guards

ATTEMPTS = 3
BACKOFF = 0.2  # seconds before the second attempt; four times as many before each further one
PIECE = 1 << 16  # bytes that are read or sent at once
AUTHORIZATION = "FOLKMOOT_IPFS_AUTHORIZATION"


@dataclass(frozen=True, slots=True, kw_only=True)
class Answer:
    """What a node answered.

    Attributes:
        status: of HTTP.
        body: of at most as many bytes as were allowed.
    """

    status: int
    body: bytes


class Node:
    """The RPC of one node; several threads may call it.

    Args:
        address: `http://HOST:PORT`, `https://HOST:PORT` or the same as a multiaddr.
        seconds: for what is called, before bytes earn it more (see `exchange.pace`).
        rate: bytes a second that an exchange has to make on average.

    Raises:
        PeerError: the address is none.
    """

    def __init__(self, address: str, *, seconds: float, rate: float) -> None:
        self.address = address
        self._multiaddr = addresses.multiaddr(address)
        self._seconds = seconds
        self._rate = rate
        self._headers = {"Accept-Encoding": "identity"}
        if authorization := _authorization(self._multiaddr):
            self._headers["Authorization"] = authorization

    def call(
        self,
        path: str,
        *arguments: str,
        limit: int,
        seconds: float | None = None,
        options: Mapping[str, str] | None = None,
        upload: Callable[[], BinaryIO] | None = None,
    ) -> Answer:
        """What the node answers; a call whose connection fails is made again, so it must be one that does no harm twice.

        Args:
            path: of the command, such as `/block/get`.
            arguments: of the command.
            limit: the most bytes that the answer may have.
            seconds: for it; as the node was opened with by default. The node is told to give up as soon.
            options: of the command.
            upload: opens the file that is sent, anew for each attempt.

        Raises:
            PeerError: no answer, not in time, or a longer one; it names the address.
        """
        allowed = self._seconds if seconds is None else seconds
        asked = {"timeout": f"{math.ceil(allowed * 1000)}ms", **(options or {})}
        for attempt in range(ATTEMPTS):
            if attempt:
                time.sleep(BACKOFF * 4 ** (attempt - 1) * random.uniform(0.5, 1.5))
            # The node's own timeout comes first: its answer says more than silence does.
            limits, began = pace.Pace(seconds=allowed + min(allowed, 5.0), rate=self._rate), time.monotonic()
            with contextlib.ExitStack() as stack:
                guard = stack.enter_context(guards.Guard(limits))
                file = None if upload is None else stack.enter_context(upload())
                try:
                    line = _Line(self._multiaddr, self._headers, guard, allowed + 5.0)
                    return line.exchange(path, arguments, asked, file, limit)
                except _FAILURES as error:
                    failed = error
            if guard.over or time.monotonic() - began >= allowed:
                raise errors.PeerError(f"node {self.address} took longer for {path} than {allowed:g} s") from failed
            if not isinstance(failed, _BROKEN):
                break
        raise errors.PeerError(f"node {self.address} did not answer {path}: {_reason(failed)}") from failed


class _OverlongError(Exception):
    """An answer of more bytes than allowed."""


_FAILURES = (
    exceptions.Error,
    http_requests.requests.RequestException,
    http_requests.urllib3.exceptions.HTTPError,
    http.client.HTTPException,
    OSError,
    ValueError,
    _OverlongError,
)
_BROKEN = (
    exceptions.ConnectionError,
    exceptions.ProtocolError,
    http_requests.requests.ConnectionError,
    http_requests.requests.exceptions.ChunkedEncodingError,
    OSError,
)


class _Line(http_requests.ClientSync):  # type: ignore[misc]  # ipfshttpclient has no types
    """ipfshttpclient for one call."""

    def __init__(self, address: str, headers: Mapping[str, str], guard: guards.Guard, seconds: float) -> None:
        self._guard = guard
        self._status = 0
        super().__init__(address, "api/v0", headers=dict(headers), timeout=seconds)

    def exchange(
        self, path: str, arguments: Iterable[str], options: Mapping[str, str], file: BinaryIO | None, limit: int
    ) -> Answer:
        """The answer to one request."""
        body, headers = None, None
        if file is not None:
            pieces, headers = multipart.stream_files(file, chunk_size=PIECE)
            body = self._sent(pieces)
        parameters = [*options.items(), *(("arg", argument) for argument in arguments)]
        closables, received = self._request(
            "POST", path, parameters, auth=None, data=body, headers=headers, timeout=None, chunk_size=PIECE
        )
        answer = bytearray()
        try:
            for piece in received:
                self._guard.limits.brought(len(piece))
                answer += piece
                if len(answer) > limit:
                    raise _OverlongError(f"an answer of more than {limit} bytes")
        finally:
            for closable in closables:
                closable.close()
        if self._guard.over:  # what was cut off can look like an end
            raise TimeoutError
        return Answer(status=self._status, body=bytes(answer))

    def _sent(self, pieces: Iterable[bytes]) -> Iterator[bytes]:
        for piece in pieces:
            yield piece
            self._guard.limits.brought(len(piece))

    def _make_session(self) -> Any:  # noqa: ANN401  of a package without types
        session = super()._make_session()
        session.trust_env = False
        session.max_redirects = 0
        for adapter in set(session.adapters.values()):
            manager = adapter.poolmanager
            manager.connection_pool_kw.pop("strict", None)  # urllib3 warns of it, and will refuse it
            kinds = manager.pool_classes_by_scheme.items()
            manager.pool_classes_by_scheme = {
                name: functools.partial(_guarded, kind, self._guard) for name, kind in kinds
            }
        return session

    def _do_raise_for_status(self, response: Any) -> None:  # noqa: ANN401  of a package without types
        """Keep the status: what is said beside it is read as any answer is, no further than allowed."""
        if response.headers.get("Content-Encoding", "identity") != "identity":
            raise ValueError("an answer that is packed, though it was asked for plain")
        self._status = response.status_code


def _guarded(kind: Any, guard: guards.Guard, *arguments: object, **options: object) -> Any:  # noqa: ANN401
    """A pool of connections that the guard knows of."""
    pool = kind(*arguments, **options)

    class Guarded(pool.ConnectionCls):  # type: ignore[misc, name-defined]  # ipfshttpclient has no types
        _dns_host: str
        timeout: float | None

        def _new_conn(self) -> socket.socket:
            name, patience = self._dns_host, self.timeout
            failed: Exception = OSError("no address")
            found = lookup.addresses(name, self.port, seconds=guard.limits.left)
            try:
                for self._dns_host in found:  # for the connection alone: what TLS asks for stays the name
                    self.timeout = max(0.01, guard.limits.left)
                    try:
                        connected = guard.watch(super()._new_conn())
                    except http_requests.urllib3.exceptions.HTTPError as error:
                        failed = error
                    else:
                        connected.settimeout(patience)  # from here on the guard keeps the time, which bytes earn
                        return connected
            finally:
                self._dns_host, self.timeout = name, patience
            raise failed

    pool.ConnectionCls = Guarded
    return pool


def _authorization(address: str) -> str | None:
    for line in os.environ.get(AUTHORIZATION, "").splitlines():
        where, _, value = line.strip().partition(" ")
        if where and addresses.multiaddr(where) == address:
            return value.strip()
    return None


def _reason(error: BaseException) -> str:
    return (str(error) or type(error).__name__)[:300]

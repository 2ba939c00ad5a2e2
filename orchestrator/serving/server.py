"""The server of a run's service: uvicorn with ends to its patience, TLS by files, and an end to open tails."""

import asyncio
import collections
import dataclasses
import resource
import socket
from collections.abc import Callable
from pathlib import Path

import uvicorn
from starlette import types

from orchestrator import doorstep, service
from orchestrator.serving import limits

_OTHER_FILES = 256
_STOPPING_SECONDS = 3
_UNSENT = 512 * 1024  # bytes that the kernel keeps of a connection; it doubles them


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Line:
    """How the service is reached.

    Attributes:
        certificate: PEM file of the chain; None for no TLS.
        key: PEM file of its key.
        proxy: address of the one proxy that is believed about whom it speaks for; empty for none.
    """

    certificate: Path | None = None
    key: Path | None = None
    proxy: str = ""


def server(
    app: types.ASGIApp, allowed: limits.Limits, line: Line = Line(), *, closing: Callable[[], None]
) -> uvicorn.Server:
    """A server of `app`: `run(sockets=[...])` serves until Ctrl-C or SIGTERM, and then ends within seconds.

    Args:
        app: what is served.
        allowed: what it gives.
        line: how it is reached.
        closing: is called when the server stops, before it waits for open requests.

    Raises:
        OSError: a file of TLS cannot be read, or is none.
    """
    held: collections.Counter[str] = collections.Counter()

    class Bounded(_Bounded):
        seconds = allowed.patience
        most = allowed.connections
        each = allowed.each
        proxy = line.proxy
        counts = held

    _allow_files(allowed.connections + _OTHER_FILES)
    config = uvicorn.Config(
        doorstep.Doorstep(app, most=service.MAX_HEAD),
        http=Bounded,
        ws="none",
        lifespan="on",
        log_config=None,
        access_log=False,
        server_header=False,
        proxy_headers=bool(line.proxy),
        forwarded_allow_ips=line.proxy or None,
        limit_concurrency=None,
        h11_max_incomplete_event_size=service.MAX_HEAD,
        timeout_keep_alive=max(1, int(allowed.patience / 2)),
        timeout_graceful_shutdown=_STOPPING_SECONDS,
        ssl_certfile=line.certificate,
        ssl_keyfile=line.key,
    )
    config.load()
    return _Server(config, closing, allowed.patience)


class _Server(uvicorn.Server):
    def __init__(self, config: uvicorn.Config, closing: Callable[[], None], seconds: float) -> None:
        super().__init__(config)
        self._closing = closing
        self._seconds = seconds

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        """As uvicorn's own, but that a TLS handshake has an end before asyncio's sixty seconds."""
        if self.config.ssl is None:
            await super().startup(sockets)
            return
        await self.lifespan.startup()
        if self.lifespan.should_exit:
            self.should_exit = True
            return
        loop = asyncio.get_running_loop()
        self.servers = [
            await loop.create_server(
                self._protocol,
                sock=each,
                ssl=self.config.ssl,
                backlog=self.config.backlog,
                ssl_handshake_timeout=self._seconds,
                ssl_shutdown_timeout=self._seconds,
            )
            for each in sockets or []
        ]
        self.started = True

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        """As uvicorn's own, once open tails know that it is over."""
        self._closing()
        await super().shutdown(sockets)

    def _protocol(self) -> asyncio.Protocol:
        protocol: asyncio.Protocol = self.config.http_protocol_class(  # type: ignore[call-arg]
            config=self.config, server_state=self.server_state, app_state=self.lifespan.state
        )
        return protocol


class _Bounded(service.Impatient):
    """A connection for which the kernel keeps little."""

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]  # uvicorn's own
        super().connection_made(transport)
        # By itself Linux keeps up to 4 MiB for a client that takes nothing, and lets us believe that it was sent.
        transport.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, _UNSENT)


def _allow_files(count: int) -> None:
    """Nothing; this process may have so many files open, or as many as it is let."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = count if hard == resource.RLIM_INFINITY else min(count, hard)
    if soft != resource.RLIM_INFINITY and soft < wanted:
        resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, hard))

"""An event loop in a thread of its own: what waits for somebody can be given up from outside, whatever it is waiting for.

A blocking call ends when the other side pleases: each byte of a head that trickles resets the timeout of a socket, and a
name that is looked up has none.
"""

import asyncio
import contextlib
import threading
from collections.abc import Coroutine
from typing import Any, TypeVar

from exchange import lookup

_T = TypeVar("_T")


class Loop:
    """A running loop; several threads may use it at once."""

    def __init__(self) -> None:
        self._loop = _Loop()
        self._thread = threading.Thread(target=_run, args=(self._loop,), name="exchange", daemon=True)
        self._thread.start()

    def run(self, work: Coroutine[Any, Any, _T], seconds: float) -> _T:
        """What `work` returns.

        Args:
            work: is cancelled when its time is over, or when the waiting thread is interrupted.
            seconds: for it.

        Raises:
            TimeoutError: its time is over.
        """
        future = asyncio.run_coroutine_threadsafe(_bounded(work, seconds), self._loop)
        try:
            return future.result()
        except BaseException:
            future.cancel()
            raise

    def close(self) -> None:
        """Stop; nothing may be running."""
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()

    def end(self, work: Coroutine[Any, Any, object]) -> None:
        """Do `work`, within a second, and stop; nobody waits for it. For who must not wait, as a finalizer."""
        asyncio.run_coroutine_threadsafe(_last(work), self._loop)


def _run(loop: asyncio.AbstractEventLoop) -> None:
    loop.run_forever()
    loop.close()


async def _last(work: Coroutine[Any, Any, object]) -> None:
    try:
        with contextlib.suppress(TimeoutError):
            await _bounded(work, 1.0)
    finally:
        asyncio.get_running_loop().stop()


async def _bounded(work: Coroutine[Any, Any, _T], seconds: float) -> _T:
    async with asyncio.timeout(max(0.0, seconds)):
        return await work


class _Loop(asyncio.SelectorEventLoop):
    """A loop that looks names up in threads that nobody waits for: those of a pool are joined when the process ends."""

    async def getaddrinfo(
        self,
        host: str | bytes | None,
        port: str | bytes | int | None,
        *,
        family: int = 0,
        type: int = 0,  # noqa: A002  as it is called
        proto: int = 0,
        flags: int = 0,
    ) -> list[tuple[Any, ...]]:
        found = lookup.begun(host, port, family=family, type=type, proto=proto, flags=flags)
        return await asyncio.wrap_future(found, loop=self)

"""Bytes that come in small pieces, taken ahead of who reads them: what has gathered is handed on at once.

To wait in another thread for each piece costs more than the piece. Ahead is read no more than AHEAD bytes and one piece.
"""

import asyncio
import contextlib
from collections.abc import AsyncIterator

AHEAD = 1 << 20  # bytes


class Pump:
    """Reads `pieces` in a task of the running loop, in which all of its methods are called."""

    def __init__(self, pieces: AsyncIterator[bytes]) -> None:
        self._pieces = pieces
        self._held: list[bytes] = []
        self._size = 0
        self._over = False
        self._failed: Exception | None = None
        self._filled, self._room = asyncio.Event(), asyncio.Event()
        self._task = asyncio.get_running_loop().create_task(self._run())

    async def taken(self) -> bytes:
        """What has come since, one byte or more; none at the end. Raises what the pieces raise, after what came before."""
        await self._filled.wait()
        if not self._held and self._failed is not None:
            raise self._failed
        joined = b"".join(self._held)
        self._held.clear()
        self._size = 0
        self._room.set()
        if not self._over:
            self._filled.clear()
        return joined

    async def close(self) -> None:
        """Read no further."""
        self._task.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await self._task

    async def _run(self) -> None:
        try:
            async for piece in self._pieces:
                self._held.append(piece)
                self._size += len(piece)
                if piece:
                    self._filled.set()
                if self._size >= AHEAD:
                    self._room.clear()
                    await self._room.wait()
        except Exception as error:  # noqa: BLE001  handed to whoever takes
            self._failed = error
        self._over = True
        self._filled.set()

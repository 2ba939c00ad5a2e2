"""The log of a run as it grows: one line to the service that is held open, and opened again when it breaks.

    entry        the bytes of a leaf, which claim the position in `id`
    checkpoint   a signed note, one data line for each of its lines
    : comment    the line is alive

What comes is bounded and not believed. While its reader is busy the tail stops reading; a service that gives up on it is asked
again from where it stopped, after a wait that grows.

Reference: docs/protocol.md P24.
"""

import asyncio
import contextlib
from collections.abc import AsyncGenerator, Callable
from dataclasses import dataclass
from typing import TypeAlias

from client import backoff, errors, events
from exchange import background

SILENCE = 30.0
"""Seconds without a byte after which a line is given up; a service comments every ten."""

WAITING = 256
"""Events that wait for their reader."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Leaf:
    """An entry of the log as the service gives it: bytes that claim a position."""

    seq: int
    data: bytes


@dataclass(frozen=True, slots=True, kw_only=True)
class Note:
    """A checkpoint of the log as the service gives it."""

    data: bytes


@dataclass(frozen=True, slots=True, kw_only=True)
class Alive:
    """The line is open."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Broken:
    """The line is not open: why, and in how many seconds it is tried again."""

    error: errors.ServiceError
    wait: float


Event: TypeAlias = Leaf | Note | Alive | Broken
Connect: TypeAlias = Callable[[int], AsyncGenerator[bytes]]
"""connect(start): the pieces of the stream of entries from `start` on; an empty one at first, when the line is open."""


class Tail:
    """What comes of a log from one position on.

    Args:
        loop: where the line is kept.
        connect: opens the line.
        start: the first position.
        silence: seconds without a byte after which a line is given up.
        waits: how long to wait before the line is opened again.
    """

    def __init__(
        self,
        loop: background.Loop,
        connect: Connect,
        start: int,
        *,
        silence: float = SILENCE,
        waits: backoff.Backoff | None = None,
    ) -> None:
        self._loop = loop
        self._connect = connect
        self._silence = silence
        self._waits = waits or backoff.Backoff()
        self._next = start
        self._task: asyncio.Task[None] | None = None
        self._events: asyncio.Queue[Event]
        loop.run(self._begin(), 1.0)

    def take(self, seconds: float) -> list[Event]:
        """All events that wait, at least one; none if there is none within `seconds`."""
        try:
            return self._loop.run(self._taken(), seconds)
        except TimeoutError:
            return []

    def restart(self, start: int) -> None:
        """Nothing; what was read is dropped, and the line is opened anew from `start` on, after a wait."""
        self.close()
        self._next = start
        self._loop.run(self._begin(self._waits.failed()), 1.0)

    def believed(self) -> None:
        """Nothing; what came was worth the asking, so the next wait is a short one again."""
        self._waits.succeeded()

    def close(self) -> None:
        """Let go of the line."""
        if self._task is not None:
            self._loop.run(_ended(self._task), 5.0)
            self._task = None

    async def _taken(self) -> list[Event]:
        # At one go: a change of threads for each costs more than what is done about an entry.
        taken = [await self._events.get()]
        while not self._events.empty():
            taken.append(self._events.get_nowait())
        return taken

    async def _begin(self, wait: float = 0.0) -> None:
        self._events = asyncio.Queue(WAITING)
        self._task = asyncio.create_task(self._follow(wait))

    async def _follow(self, wait: float) -> None:
        while True:
            await asyncio.sleep(wait)
            try:
                await self._read()
                error = errors.ServiceError("the service ended the tail")
            except errors.ServiceError as caught:
                error = caught
            wait = self._waits.failed(least=error.wait)
            await self._events.put(Broken(error=error, wait=wait))

    async def _read(self) -> None:
        reader = events.Reader()
        async with contextlib.aclosing(self._connect(self._next)) as pieces:
            while (piece := await self._piece(pieces)) is not None:
                if not piece:
                    await self._events.put(Alive())
                for message in reader.feed(piece):
                    await self._heard(message)

    async def _heard(self, message: events.Message | None) -> None:
        if message is None:
            # Not before it has lasted: a service that answers and then hangs up at once is asked ever more seldom.
            self._waits.succeeded()
            return
        if message.kind == "entry":
            if not message.id.isdecimal() or len(message.id) > 16 or int(message.id) != self._next:
                raise errors.ServiceError(f"the service sent entry {message.id[:20]!r}, expected {self._next}")
            self._next += 1
            await self._events.put(Leaf(seq=int(message.id), data=message.data))
        elif message.kind == "checkpoint":
            # The data lines end where the note's lines do, but for the last one.
            await self._events.put(Note(data=message.data.removesuffix(b"\n") + b"\n"))

    async def _piece(self, pieces: AsyncGenerator[bytes]) -> bytes | None:
        """The next piece, within the silence that is borne; None at the end."""
        try:
            async with asyncio.timeout(self._silence):
                return await anext(pieces, None)
        except TimeoutError:
            raise errors.ServiceError(f"the service fell silent for {self._silence:g} s") from None


async def _ended(task: asyncio.Task[None]) -> None:
    task.cancel()
    with contextlib.suppress(asyncio.CancelledError):
        await task

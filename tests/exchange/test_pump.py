"""What comes in pieces, taken ahead: bounded, in order, and with its end told last."""

import asyncio
from collections.abc import AsyncIterator

import pytest

from exchange import pump

PIECE = 1 << 16


async def some(*pieces: bytes, error: Exception | None = None) -> AsyncIterator[bytes]:
    for piece in pieces:
        yield piece
    if error is not None:
        raise error


async def settled() -> None:
    for _ in range(100):
        await asyncio.sleep(0)


def test_what_has_gathered_is_handed_on_at_once() -> None:
    """All bytes in order, in one go where they are there; then nothing, however often it is asked."""

    async def story() -> None:
        source = pump.Pump(some(b"a", b"", b"bc", b""))
        await settled()
        assert [await source.taken() for _ in range(3)] == [b"abc", b"", b""]

    asyncio.run(story())


def test_an_error_comes_after_what_came_before_it() -> None:
    """What arrived is not lost, and the error is raised each time."""

    async def story() -> None:
        source = pump.Pump(some(b"a", error=OSError("gone")))
        await settled()
        assert await source.taken() == b"a"
        for _ in range(2):
            with pytest.raises(OSError, match="gone"):
                await source.taken()

    asyncio.run(story())


def test_it_reads_ahead_with_a_bound() -> None:
    """31: of a body without end no more is held than AHEAD; it is read on as it is taken, and no further once closed."""
    given = 0

    async def endless() -> AsyncIterator[bytes]:
        nonlocal given
        while True:
            given += PIECE
            yield bytes(PIECE)
            await asyncio.sleep(0)

    async def story() -> None:
        source = pump.Pump(endless())
        for number in range(1, 4):
            await settled()
            assert given == number * pump.AHEAD
            assert len(await source.taken()) == pump.AHEAD
        await settled()
        await source.close()
        await source.taken()
        await settled()
        assert given == 4 * pump.AHEAD

    asyncio.run(story())

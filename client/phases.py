"""Where the time of a round goes: spans of wall and CPU seconds by phase."""

import dataclasses
import os
import time
from collections.abc import Iterable, Iterator
from contextlib import contextmanager


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Span:
    """One piece of work.

    Attributes:
        phase: what was done, such as `train` or `seal`.
        start: seconds since 1970.
        wall: seconds that it took.
        cpu: processor seconds of this process meanwhile, all its threads.
        process: number of the process.
    """

    phase: str
    start: float
    wall: float
    cpu: float
    process: int


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Moment:
    """A reading of the clocks: seconds since 1970, seconds that only grow, and CPU seconds of this process."""

    time: float
    wall: float
    cpu: float


def now() -> Moment:
    """The clocks as they stand."""
    return Moment(time=time.time(), wall=time.perf_counter(), cpu=time.process_time())


def since(phase: str, start: Moment) -> Span:
    """The span from `start` to now, in this process."""
    end = now()
    taken = end.wall - start.wall, end.cpu - start.cpu
    return Span(phase=phase, start=start.time, wall=taken[0], cpu=taken[1], process=os.getpid())


class Stopwatch:
    """Spans, in the order in which they ended.

    Args:
        running: False to note nothing: a reading of the processor's time can take half a millisecond.

    Attributes:
        spans: those so far.
    """

    def __init__(self, *, running: bool = True) -> None:
        self._running = running
        self.spans: list[Span] = []

    @contextmanager
    def timed(self, phase: str) -> Iterator[None]:
        """Note how long it takes, unless it fails."""
        if not self._running:
            yield
            return
        start = now()
        yield
        self.spans.append(since(phase, start))

    def taken(self) -> tuple[Span, ...]:
        """The spans so far, which are forgotten here."""
        spans, self.spans = tuple(self.spans), []
        return spans


def wall(spans: Iterable[Span]) -> dict[str, float]:
    """Wall seconds by phase."""
    return _summed((span.phase, span.wall) for span in spans)


def cpu(spans: Iterable[Span]) -> dict[str, float]:
    """CPU seconds by phase."""
    return _summed((span.phase, span.cpu) for span in spans)


def _summed(pairs: Iterable[tuple[str, float]]) -> dict[str, float]:
    sums: dict[str, float] = {}
    for phase, seconds in pairs:
        sums[phase] = sums.get(phase, 0.0) + seconds
    return sums

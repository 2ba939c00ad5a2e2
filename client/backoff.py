"""How long to wait before asking somebody again who did not answer: twice as long each time, and never quite the same.

A thousand holders whose service comes back must not all knock in the same instant, so half of each wait is drawn.
"""

import random
from collections.abc import Callable

FIRST = 0.5
MOST = 60.0


class Backoff:
    """Waits that double from `first` to `most` seconds, of each of which `draw` decides the second half."""

    def __init__(self, *, first: float = FIRST, most: float = MOST, draw: Callable[[], float] = random.random) -> None:
        self._first = first
        self._most = most
        self._draw = draw
        self._failures = 0

    def failed(self, *, least: float = 0.0) -> float:
        """Seconds to wait after one more failure.

        Args:
            least: seconds that the other side asked for.
        """
        whole = min(self._most, self._first * 2.0 ** min(self._failures, 30))
        self._failures += 1
        return max(least, whole / 2 + self._draw() * whole / 2)

    def succeeded(self) -> None:
        """Nothing; the next wait is a short one again."""
        self._failures = 0

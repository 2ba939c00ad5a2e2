"""How much each address, or member, may ask for: some at once, and then so many a second."""

import collections
import time

MOST_ADDRESSES = 4096


class Turnstile:
    """Counts by address, in bounded memory: the address that was quiet longest is forgotten first.

    Args:
        burst: requests at once.
        rate: requests a second that come on top.
    """

    def __init__(self, *, burst: int, rate: float) -> None:
        self._burst = burst
        self._rate = rate
        self._seen: collections.OrderedDict[str, tuple[float, float]] = collections.OrderedDict()

    def admit(self, address: str) -> bool:
        """Whether one more request from `address` is within its allowance, which it then uses up."""
        admitted = self.open(address)
        self._put(address, 1 if admitted else 0)
        return admitted

    def open(self, address: str) -> bool:
        """Whether one more request from `address` is within its allowance, which is left as it is."""
        return self._left(address, time.monotonic()) >= 1

    def spend(self, address: str) -> None:
        """Nothing; one request from `address` was let in, and is owed where there was no allowance for it."""
        self._put(address, 1)

    def _left(self, address: str, now: float) -> float:
        left, since = self._seen.get(address, (float(self._burst), now))
        return min(self._burst, left + (now - since) * self._rate)

    def _put(self, address: str, count: int) -> None:
        now = time.monotonic()
        left = self._left(address, now)
        self._seen[address] = left - count, now
        self._seen.move_to_end(address)
        if len(self._seen) > MOST_ADDRESSES:
            self._seen.popitem(last=False)

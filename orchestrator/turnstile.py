"""How many requests each address may make: some at once, and then so many a second."""

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
        now = time.monotonic()
        left, since = self._seen.pop(address, (float(self._burst), now))
        left = min(self._burst, left + (now - since) * self._rate)
        self._seen[address] = (left - 1 if left >= 1 else left, now)
        if len(self._seen) > MOST_ADDRESSES:
            self._seen.popitem(last=False)
        return left >= 1

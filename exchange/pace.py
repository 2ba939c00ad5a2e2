"""How long somebody slow is put up with: some seconds to begin with, and more for each byte that comes.

Who brings nothing is left after those seconds. Who trickles is left not much later, also after a fast beginning: what was
earned by bytes never adds up to more than the seconds there were at first.
"""

import time


class Pace:
    """The time that is left for a transfer, which has to make `rate` on average.

    Args:
        seconds: without a byte; more than 0.
        rate: bytes a second that earn their time; more than 0.
    """

    def __init__(self, *, seconds: float, rate: float) -> None:
        self._seconds = seconds
        self._rate = rate
        self._end = time.monotonic() + seconds

    def brought(self, size: int) -> None:
        """Nothing; `size` bytes have come, and earned their time."""
        self._end = min(self._end + size / self._rate, time.monotonic() + self._seconds)

    @property
    def left(self) -> float:
        """Seconds until it is over; 0 or less when it is."""
        return self._end - time.monotonic()

    def __str__(self) -> str:
        return f"expected {self._rate:g} bytes a second after {self._seconds:g} s"

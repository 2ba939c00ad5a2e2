"""Who is left alone for a while after a failure, and for how long."""

import logging
import threading
import time
from collections.abc import Iterable

from exchange import errors

logger = logging.getLogger(__name__)

SECONDS = 2.0
MAX_SECONDS = 120.0


class Rests:
    """Names, and until when each is left alone; several threads may use it at once.

    Args:
        names: of all.
        seconds: after a first failure; doubled with each that follows without a success, up to MAX_SECONDS.
    """

    def __init__(self, names: Iterable[str], *, seconds: float) -> None:
        self._seconds = seconds
        self._failures = dict.fromkeys(names, 0)
        self._until = dict.fromkeys(self._failures, 0.0)
        self._lock = threading.Lock()

    def over(self) -> list[str]:
        """The names that may be asked now, in their order."""
        now = time.monotonic()
        return [name for name, until in self._until.items() if until <= now]

    def failed(self, name: str) -> float:
        """Seconds for which `name` is left alone from now on."""
        with self._lock:
            seconds = min(self._seconds * 2.0 ** min(self._failures[name], 16), MAX_SECONDS)
            self._failures[name] += 1
            self._until[name] = time.monotonic() + seconds
        return seconds

    def succeeded(self, name: str) -> None:
        """Nothing; what `name` failed at before is forgotten."""
        with self._lock:
            self._failures[name] = 0

    def blamed(self, name: str, error: errors.StoreError) -> None:
        """Leave `name` alone for a while, and say so, if the error is what it did itself: a hostile file costs no peer."""
        if isinstance(error, errors.PeerError):
            logger.warning("%s is left alone for %g s: %s", name, self.failed(name), error)

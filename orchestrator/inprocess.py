"""A pool without processes: groups train one after the other, here. For small runs and tests; same bits as on Ray."""

from collections import deque
from collections.abc import Sequence
from typing import Any

import numpy as np

from client import groups, worker


class InProcessPool:
    """One worker in this process.

    Args:
        kind: what it is: made from the settings, it divides cohorts and answers as `worker.Worker` does.
    """

    def __init__(self, kind: type[Any] = worker.Worker) -> None:
        self._kind = kind
        self._worker: Any = None
        self._waiting: deque[tuple[groups.Group, bytes, np.ndarray]] = deque()

    def start(self, settings: Any) -> None:  # noqa: ANN401  of the kind
        """Make the worker."""
        self._worker = self._kind(settings)
        self._division = self._kind.division(settings)

    def ask(self, members: Sequence[str], opening: bytes, file: np.ndarray) -> None:
        """Have `members` contribute to the round that `opening` opens, from the checkpoint in `file`; forget older asks."""
        self._waiting = deque((group, opening, file) for group in self._division.of(members, opening))

    def wait(self, timeout: float) -> list[worker.Reply]:  # noqa: ARG002  work done here has no time to wait for
        """The replies of the next group, none when nobody is asked any more."""
        if self._worker is None or not self._waiting:
            return []
        replies: list[worker.Reply] = self._worker.answer(*self._waiting.popleft())
        return replies

    def close(self) -> None:
        """Drop the worker."""
        self._worker = None

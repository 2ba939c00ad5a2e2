"""A TCP proxy before a service, at which a request, or its answer, stays."""

import functools
import socket
import threading
from collections.abc import Callable

from tests import between


class Gate(between.Between):
    """Lets everything pass, but for requests of one kind from some number on.

    Args:
        url: of the service.
        beginning: of the request, as it stands first on the line.
        number: of the first that stays.
        answers: whether the request passes and its answer stays; else the request stays.

    Attributes:
        reached: is set when what stays is here.
    """

    def __init__(self, url: str, beginning: bytes, number: int, *, answers: bool) -> None:
        self._beginning = beginning
        self._left = number
        self._answers = answers
        self.reached = threading.Event()
        super().__init__(url, self._both)

    def _both(self, near: socket.socket, far: socket.socket) -> tuple[Callable[[], None], Callable[[], None]]:
        kept = threading.Event()
        return (
            functools.partial(between.pump, near, far, functools.partial(self._asks, kept)),
            functools.partial(between.pump, far, near, functools.partial(self._answered, kept)),
        )

    def _asks(self, kept: threading.Event, data: bytes) -> bool:
        if data.startswith(self._beginning):
            self._left -= 1
            if self._left <= 0:
                kept.set()
                if not self._answers:
                    self.reached.set()
                    return False
        return True

    def _answered(self, kept: threading.Event, _: bytes) -> bool:
        if kept.is_set():
            self.reached.set()
        return not kept.is_set()

"""The end of a call that takes too long: its connections are cut, whatever it is waiting for.

A socket's own timeout begins anew with each byte, so whoever trickles is never late for it.
"""

import contextlib
import socket
import threading
from typing import Self

from exchange import pace


class Guard:
    """Watches over one call, from a thread of its own.

    Args:
        limits: the time that the call has.

    Attributes:
        limits: the same.
        over: whether the time was over before the call was.
    """

    def __init__(self, limits: pace.Pace) -> None:
        self.over = False
        self.limits = limits
        self._handles: list[socket.socket] = []
        self._done = threading.Event()
        self._thread = threading.Thread(target=self._watch, name="ipfs-guard", daemon=True)

    def watch(self, connected: socket.socket) -> socket.socket:
        """The same connection, which is cut in time. A handle of our own outlasts TLS and whoever closes it."""
        self._handles.append(connected.dup())
        return connected

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._done.set()
        self._thread.join()
        for handle in self._handles:
            handle.close()

    def _watch(self) -> None:
        while not self._done.wait(max(0.0, self.limits.left)):
            if self.limits.left <= 0:
                self.over = True
                for handle in tuple(self._handles):
                    with contextlib.suppress(OSError):
                        handle.shutdown(socket.SHUT_RDWR)
                self._done.wait(0.1)  # a connection that is only just made is cut the next time

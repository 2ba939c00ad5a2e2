"""A TCP proxy of a test, between a client and a service."""

import contextlib
import socket
import threading
from collections.abc import Callable
from urllib.parse import urlsplit


class Between:
    """Connects each who comes with the service; what passes between the two is up to the kind of proxy.

    Args:
        url: of the service.
        ways: of one connection, given its near and its far end: what is done on each way, in a thread of its own.
    """

    def __init__(
        self, url: str, ways: Callable[[socket.socket, socket.socket], tuple[Callable[[], None], Callable[[], None]]]
    ) -> None:
        self._target = (urlsplit(url).hostname, urlsplit(url).port)
        self._ways = ways
        self._server = socket.create_server(("127.0.0.1", 0))
        self._sockets = [self._server]
        self._thread = threading.Thread(target=self._serve, daemon=True)
        self._thread.start()

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self._server.getsockname()[1]}"

    def close(self) -> None:
        for each in self._sockets:
            with contextlib.suppress(OSError):
                each.shutdown(socket.SHUT_RDWR)
            each.close()
        self._thread.join()

    def _serve(self) -> None:
        with contextlib.suppress(OSError):
            while True:
                near, _ = self._server.accept()
                self._sockets.append(near)
                try:
                    far = socket.create_connection(self._target)
                except OSError:  # the service is not there now; so is its proxy
                    near.close()
                    continue
                self._sockets.append(far)
                for way in self._ways(near, far):
                    threading.Thread(target=way, daemon=True).start()


def pump(source: socket.socket, target: socket.socket, passes: Callable[[bytes], bool]) -> None:
    """Hand on all that comes, until `passes` says of some bytes that they, and all after them, stay."""
    with contextlib.suppress(OSError):
        while data := source.recv(65536):
            if not passes(data):
                return
            target.sendall(data)
    with contextlib.suppress(OSError):
        target.shutdown(socket.SHUT_WR)

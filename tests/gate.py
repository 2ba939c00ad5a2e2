"""A TCP proxy before a service, at which a request, or its answer, stays."""

import contextlib
import socket
import threading
from urllib.parse import urlsplit


class Gate:
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
        self._target = (urlsplit(url).hostname, urlsplit(url).port)
        self._beginning = beginning
        self._left = number
        self._answers = answers
        self._server = socket.create_server(("127.0.0.1", 0))
        self._sockets = [self._server]
        self.reached = threading.Event()
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
                except OSError:  # the service is not there now; so is the gate
                    near.close()
                    continue
                self._sockets.append(far)
                kept = threading.Event()
                threading.Thread(target=self._ask, args=(near, far, kept), daemon=True).start()
                threading.Thread(target=self._answer, args=(far, near, kept), daemon=True).start()

    def _ask(self, near: socket.socket, far: socket.socket, kept: threading.Event) -> None:
        with contextlib.suppress(OSError):
            while data := near.recv(65536):
                if data.startswith(self._beginning):
                    self._left -= 1
                    if self._left <= 0:
                        kept.set()
                        if not self._answers:
                            self.reached.set()
                            return
                far.sendall(data)
        with contextlib.suppress(OSError):
            far.shutdown(socket.SHUT_WR)

    def _answer(self, far: socket.socket, near: socket.socket, kept: threading.Event) -> None:
        with contextlib.suppress(OSError):
            while data := far.recv(65536):
                if kept.is_set():
                    self.reached.set()
                    return
                near.sendall(data)
        with contextlib.suppress(OSError):
            near.shutdown(socket.SHUT_WR)

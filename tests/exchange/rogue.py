"""Servers that do not do what they should: each is a function that is handed a connection on which a request has come in."""

import contextlib
import socket
import threading
from collections.abc import Callable, Iterator

Behaviour = Callable[[socket.socket], None]


class Rogue:
    """A server on loopback with one behaviour, for as many connections as come.

    Attributes:
        url: where it is.
        requests: the heads of what it was asked, in order.
    """

    def __init__(self, behaviour: Behaviour) -> None:
        self.requests: list[bytes] = []
        self._behaviour = behaviour
        self._socket = socket.create_server(("127.0.0.1", 0))
        self.url = f"http://127.0.0.1:{self._socket.getsockname()[1]}"
        self._threads = [threading.Thread(target=self._accept, daemon=True)]
        self._open: list[socket.socket] = []
        self._threads[0].start()

    def stop(self) -> None:
        """Close all connections, and wait for the threads."""
        # A listening socket that is only closed leaves its accept() waiting.
        for each in (self._socket, *self._open):
            with contextlib.suppress(OSError):
                each.shutdown(socket.SHUT_RDWR)
            each.close()
        for thread in self._threads:
            thread.join(10)

    def _accept(self) -> None:
        with contextlib.suppress(OSError):
            while True:
                connection, _ = self._socket.accept()
                self._open.append(connection)
                self._threads.append(threading.Thread(target=self._serve, args=(connection,), daemon=True))
                self._threads[-1].start()

    def _serve(self, connection: socket.socket) -> None:
        with connection, contextlib.suppress(OSError):
            head = b""
            while b"\r\n\r\n" not in head:
                head += connection.recv(65536)
            self.requests.append(head)
            self._behaviour(connection)


@contextlib.contextmanager
def serving(behaviour: Behaviour) -> Iterator[Rogue]:
    """A rogue, until the end of the block."""
    rogue = Rogue(behaviour)
    try:
        yield rogue
    finally:
        rogue.stop()


def answer(body: bytes, status: str = "200 OK", *lines: str, length: int | None = None) -> Behaviour:
    """Says `body`; `length` is what it announces, where that is a lie."""
    size = len(body) if length is None else length
    head = "\r\n".join([f"HTTP/1.1 {status}", f"Content-Length: {size}", "Connection: close", *lines])

    def behave(connection: socket.socket) -> None:
        connection.sendall(head.encode() + b"\r\n\r\n" + body)
        connection.shutdown(socket.SHUT_WR)
        silent(connection)  # closed with something unread, it would be reset, and the answer lost

    return behave


def endless(head: bytes, piece: bytes, *, pause: float = 0.0) -> Behaviour:
    """Says `head`, then `piece` over and over, every `pause` seconds."""

    def behave(connection: socket.socket) -> None:
        waiting = threading.Event()
        connection.sendall(head)
        while True:
            connection.sendall(piece)
            if pause:
                waiting.wait(pause)

    return behave


def silent(connection: socket.socket) -> None:
    """Says nothing until the other side gives up."""
    while connection.recv(65536):
        pass

"""A running gateway for stories: a block store, or a server that does what it is told, over real HTTP on loopback."""

import contextlib
import socket
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

from exchange import blocks
from orchestrator import blockservice, service

Script = Callable[[socket.socket, bytes], None]


@contextlib.contextmanager
def served(
    folder: Path,
    limits: blockservice.Limits | None = None,
    *,
    patience: float = service.PATIENCE,
    buffer: int | None = None,
) -> Iterator[str]:
    """The URL of our own service of the block store in `folder`; `buffer` is what the kernel may hold of an answer."""
    app = blockservice.application(blocks.BlockStore(folder), limits or blockservice.Limits())
    server = service.server(app, patience=patience)
    with service.listen("127.0.0.1", 0) as sock:
        if buffer is not None:
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, buffer)
        thread = threading.Thread(target=server.run, kwargs={"sockets": [sock]})
        thread.start()
        while not server.started:
            time.sleep(0.005)
        try:
            yield f"http://127.0.0.1:{sock.getsockname()[1]}"
        finally:
            server.should_exit = True
            thread.join()


@contextlib.contextmanager
def scripted(script: Script) -> Iterator[str]:
    """The URL of a server that answers each request with `script(connection, head of the request)`."""
    over = threading.Event()
    threads: list[threading.Thread] = []

    def talk(connection: socket.socket) -> None:
        with connection, contextlib.suppress(OSError):
            connection.settimeout(30)
            head = b""
            while b"\r\n\r\n" not in head:
                if not (data := connection.recv(65536)):
                    return
                head += data
            script(connection, head)

    def accept() -> None:
        while not over.is_set():
            with contextlib.suppress(TimeoutError):
                connection, _ = listening.accept()
                threads.append(threading.Thread(target=talk, args=(connection,)))
                threads[-1].start()

    with socket.create_server(("127.0.0.1", 0)) as listening:
        listening.settimeout(0.05)
        accepting = threading.Thread(target=accept)
        accepting.start()
        try:
            yield f"http://127.0.0.1:{listening.getsockname()[1]}"
        finally:
            over.set()
            for thread in (accepting, *threads):
                thread.join()


def answer(body: bytes, *headers: str, status: str = "200 OK", length: int | None = None) -> bytes:
    """An HTTP answer, which says that its body has `length` bytes."""
    lines = [f"HTTP/1.1 {status}", *headers, f"Content-Length: {len(body) if length is None else length}"]
    return "\r\n".join([*lines, "Connection: close", "", ""]).encode() + body

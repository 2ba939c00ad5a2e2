"""The addresses behind a name, with an end to waiting for them: the system's own lookup has none that a caller can set.

A name server that never answers holds a thread for as long as the system has patience with it. That thread is nobody's:
whoever asked goes on in time, and the process may end.
"""

import socket
import threading
from concurrent import futures
from typing import Any

Found = futures.Future[list[tuple[Any, ...]]]


def begun(host: str | bytes | None, port: str | bytes | int | None, **wanted: int) -> Found:
    """What `socket.getaddrinfo` will have found, in a thread of its own."""
    found: Found = futures.Future()
    found.set_running_or_notify_cancel()  # who stops waiting cannot stop the lookup

    def look() -> None:
        try:
            found.set_result(list(socket.getaddrinfo(host, port, **wanted)))
        except Exception as error:  # noqa: BLE001  handed to whoever waits, and raised there
            found.set_exception(error)

    threading.Thread(target=look, name="lookup", daemon=True).start()
    return found


def addresses(host: str, port: int, *, seconds: float) -> list[str]:
    """The addresses of a host, in the order in which they should be tried.

    Raises:
        TimeoutError: they were not found in so many seconds.
        OSError: there are none.
    """
    found = begun(host, port, type=socket.SOCK_STREAM).result(max(0.0, seconds))
    return [str(where[4][0]) for where in found]

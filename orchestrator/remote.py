"""Holders elsewhere: a pool that asks nobody, for whoever is named in an opening on the ledger knows it from there.

What it does instead is to keep the service that holders reach, and to let the ledger grow.
"""

import sys
import time
import urllib.parse
from collections.abc import Sequence

import numpy as np

from client import worker
from ledger import durable
from orchestrator import child, folder, hosting

POLL = 0.1
LINGER = 5.0


class RemotePool:
    """No workers, and the process of a service.

    Args:
        where: the run folder, which the service serves.
        hosted: where the service listens.
    """

    def __init__(self, where: folder.RunFolder, hosted: hosting.Hosting) -> None:
        self._folder = where
        self._hosting = hosted
        self._service = child.Child(self._command, where.root / "service.log")

    @property
    def service(self) -> int | None:
        """The process number of the service."""
        return self._service.pid

    def start(self, settings: worker.Settings) -> None:  # noqa: ARG002  nobody is played here
        """Start the service, and write down where holders reach it.

        Raises:
            PoolError: the service does not start.
        """
        url = self._hosting.url
        if self._hosting.port is not None:
            said = self._service.start()
            url = url or str(said["url"])
        if url is not None:
            durable.write(self._folder.address, url.encode() + b"\n")

    def ask(self, members: Sequence[str], opening: bytes, file: np.ndarray) -> None:
        """Nothing: the opening is on the ledger."""

    def wait(self, timeout: float) -> list[worker.Reply]:
        """No reply; a moment later there may be more on the ledger."""
        self._service.keep()
        time.sleep(min(timeout, POLL))
        return []

    def linger(self) -> None:
        """Keep the service for a moment after the last round, so that holders learn of its end."""
        until = time.monotonic() + LINGER
        while self._service.pid is not None and time.monotonic() < until:
            self.wait(POLL)

    def close(self) -> None:
        """End the service."""
        self._service.stop()
        self._folder.address.unlink(missing_ok=True)

    def _command(self, said: dict[str, object] | None) -> list[str]:
        # One that replaces another listens where holders know it.
        port = self._hosting.port if said is None else urllib.parse.urlsplit(str(said["url"])).port
        named = ["--host", self._hosting.host, "--port", str(port), "--json"]
        return [sys.executable, "-m", "orchestrator", "serve", str(self._folder.root.resolve()), *named]

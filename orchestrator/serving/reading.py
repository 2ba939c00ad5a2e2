"""Reading the log for requests: a few threads, each with a connection of its own."""

import asyncio
import concurrent.futures
import threading
from collections.abc import Callable
from pathlib import Path
from typing import TypeVar

from ledger import errors, served
from orchestrator.serving import intake

THREADS = 2
T = TypeVar("T")


class Readers:
    """Reads the log that `source` has opened."""

    def __init__(self, source: intake.Intake) -> None:
        self._source = source
        self._local = threading.local()
        self._pool = concurrent.futures.ThreadPoolExecutor(THREADS, "reader")

    async def run(self, work: Callable[[served.Store], T]) -> T:
        """What `work` returns, given the log's store.

        Raises:
            LogError: there is none yet, or it cannot be read.
        """
        return await asyncio.get_running_loop().run_in_executor(self._pool, self._read, work)

    def close(self) -> None:
        """Nothing; what waits is not begun. Connections go with their threads."""
        self._pool.shutdown(wait=True, cancel_futures=True)

    def _read(self, work: Callable[[served.Store], T]) -> T:
        founded = self._source.founded
        if founded is None:
            raise errors.LogError("the run has no genesis yet")
        source: served.Store | None = getattr(self._local, "source", None)
        if source is None:
            source = self._local.source = opened(founded.place)
        try:
            return work(source)
        except errors.LedgerError:
            self._local.source = None
            source.close()
            raise


def opened(place: Path | str) -> served.Store:
    """The store of a log that another thread has open for writing.

    Raises:
        LogError: it cannot be read, or is not open: read without its writer's files, an SQLite file would stand still.
    """
    if isinstance(place, Path) and not place.with_name(f"{place.name}-wal").exists():
        raise errors.LogError(f"{place} is not open for writing")
    return served.opened(place)

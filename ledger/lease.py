"""Which of several coordinators acts on a log that lies on a PostgreSQL server: the one that holds a lock of a session there.

The lock goes with its session, however that ends, so nobody has to give it back. It decides who acts, and nothing more: that
two who both believe they act cannot fork the log is the doing of compare-and-append (`ledger.postgres`).

Reference: PostgreSQL, "Advisory Locks"; docs/protocol.md P23.
"""

import hashlib
import time
from collections.abc import Callable
from typing import Any

import psycopg
from psycopg import conninfo

from ledger import errors, server

POLL = 0.5
PATIENCE = 60.0
"""Seconds for which the lock is asked for again when the server has gone away."""


class Lease:
    """The right to act on the log of one name; closed, or dead, somebody else has it.

    Args:
        url: `postgresql://...`, of the log's database.
        origin: the log's name.
        patience: seconds to wait for a server that went away.
    """

    def __init__(self, url: str, origin: str, *, patience: float = PATIENCE) -> None:
        self._url = url
        self._key = int.from_bytes(
            hashlib.sha256(f"folkmoot/acting/v1\n{origin}".encode()).digest()[:8], "big", signed=True
        )
        self._patience = patience
        self._connection: psycopg.Connection[Any] | None = None

    def acquire(self, waiting: Callable[[], None] | None) -> None:
        """Nothing; it is held.

        Args:
            waiting: is called once if another has it, and then it is waited for; None not to wait.

        Raises:
            LeaseError: another has it, and nobody wanted to wait.
            LogError: there is no server.
        """
        told = False
        while not self._taken():
            if waiting is None:
                raise errors.LeaseError(
                    "another coordinator acts on this log: wait for it with standby=true, or stop it"
                )
            if not told:
                waiting()
                told = True
            time.sleep(POLL)

    def require(self) -> None:
        """Nothing; it is held now, by this session or, where the server has ended that one, by a new one.

        Raises:
            LeaseError: another has it by now.
            LogError: the server did not come back.
        """
        deadline = time.monotonic() + self._patience
        while True:
            try:
                if self._connection is not None:
                    self._connection.execute("SELECT 1")
                    return
                if self._taken():
                    return
                raise errors.LeaseError("another coordinator has taken over: this one says no more")
            except (psycopg.Error, errors.LogError) as error:
                self.close()
                if isinstance(error, errors.LeaseError):
                    raise
                if time.monotonic() > deadline:
                    raise errors.LogError(f"the server of the log has gone away: {error}") from error
                time.sleep(POLL)

    def close(self) -> None:
        """Nothing; whoever waits has it."""
        if self._connection is not None:
            self._connection.close()
            self._connection = None

    def _taken(self) -> bool:
        """Whether it is held now; a session of ours is there if it is."""
        try:
            if self._connection is None:
                parameters = {**server.PARAMETERS, **conninfo.conninfo_to_dict(self._url)}
                self._connection = psycopg.connect(**parameters, autocommit=True)  # type: ignore[arg-type]
                self._connection.execute("SET idle_session_timeout = 0")
            [(taken,)] = self._connection.execute("SELECT pg_try_advisory_lock(%s)", (self._key,)).fetchall()
        except psycopg.Error as error:
            self.close()
            raise errors.LogError(f"the database refused: {str(error).strip()}") from error
        if not taken:
            self.close()
        return bool(taken)

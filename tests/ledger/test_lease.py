"""The lock that says which coordinator acts: one session holds it, and no longer than it lives."""

import threading

import pytest

from ledger import errors, lease
from tests import servers

ORIGIN = "folkmoot/acting"


def test_one_acts_and_the_next_takes_over(server: servers.Postgres) -> None:
    """A second one is refused, or waits and is told so once; it has the lock as soon as the first one's session ends."""
    url, _ = server.url()
    first, second = lease.Lease(url, ORIGIN), lease.Lease(url, ORIGIN)
    first.acquire(None)
    first.require()
    with pytest.raises(errors.LeaseError, match="standby=true"):
        second.acquire(None)
    other = lease.Lease(url, "folkmoot/other")
    other.acquire(None)
    told: list[str] = []
    waiting = threading.Event()
    thread = threading.Thread(target=second.acquire, args=(lambda: (told.append("waits"), waiting.set()),))
    thread.start()
    assert waiting.wait(10)
    first.close()
    thread.join(10)
    assert told == ["waits"]
    second.require()
    with pytest.raises(errors.LeaseError, match="has taken over"):
        first.require()
    second.close()
    other.close()


def test_a_server_that_dies_takes_the_lock_with_it(server: servers.Postgres) -> None:
    """The acting one has it again before it says anything, unless another was faster: then it says no more."""
    url, _ = server.url()
    acting = lease.Lease(url, ORIGIN)
    acting.acquire(None)
    server.kill()
    server.start()
    acting.require()
    with pytest.raises(errors.LeaseError):
        lease.Lease(url, ORIGIN).acquire(None)
    server.kill()
    server.start()
    faster = lease.Lease(url, ORIGIN)
    faster.acquire(None)
    with pytest.raises(errors.LeaseError, match="has taken over"):
        acting.require()
    faster.close()


def test_a_server_that_stays_away_is_named() -> None:
    """Nobody acts on a log whose server is not there."""
    away = lease.Lease("postgresql://127.0.0.1:1/none?connect_timeout=2", ORIGIN, patience=0.1)
    with pytest.raises(errors.LogError, match="refused"):
        away.acquire(None)
    with pytest.raises(errors.LogError, match="gone away"):
        away.require()

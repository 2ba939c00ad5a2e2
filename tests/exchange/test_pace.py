"""The time that a slow transfer has."""

import time

import pytest

from exchange import pace


def test_bytes_earn_time_that_does_not_add_up() -> None:
    """31: each byte earns its time, but a fast beginning buys no more than what there was at first."""
    left = pace.Pace(seconds=0.4, rate=1000.0)
    assert left.left == pytest.approx(0.4, abs=0.1)
    time.sleep(0.2)
    left.brought(100)
    assert left.left == pytest.approx(0.3, abs=0.08)
    left.brought(10**9)
    assert left.left <= 0.4
    time.sleep(0.41)
    assert left.left <= 0.0

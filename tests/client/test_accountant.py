"""What noisy releases give away, against the library's accountants and against the closed form."""

import math
import time

import dp_accounting
import pytest
from dp_accounting import pld, rdp
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats

from client import accountant

MULTIPLIERS = st.floats(min_value=1.0, max_value=50.0)


@pytest.mark.parametrize(("multiplier", "releases"), [(2.0, 1), (2.0, 30), (8.0, 50), (1.0, 1), (20.0, 1000)])
def test_epsilon_is_that_of_the_library(multiplier: float, releases: int) -> None:
    """So many releases cost what dp-accounting's own accountant (PLD) says of as many Gaussian mechanisms, to 1e-6.

    The accountant there counts noise in sensitivities, and two clipped updates are up to two clip norms apart.
    """
    event = dp_accounting.GaussianDpEvent(multiplier / 2)
    library = pld.PLDAccountant().compose(event, releases).get_epsilon(1e-6)
    assert accountant.epsilon([multiplier] * releases, 1e-6) == pytest.approx(library, abs=1e-6)


def test_releases_of_different_noise_compose() -> None:
    """Two runs with their own noise on the same data add up as the library composes them; Renyi's bound is above."""
    spent = accountant.epsilon([4.0] * 3 + [10.0] * 4, 1e-5)
    tight, bound = pld.PLDAccountant(), rdp.RdpAccountant()
    for each in (tight, bound):
        each.compose(dp_accounting.GaussianDpEvent(2.0), 3).compose(dp_accounting.GaussianDpEvent(5.0), 4)
    assert spent == pytest.approx(tight.get_epsilon(1e-5), abs=1e-6)
    assert spent < bound.get_epsilon(1e-5)


@settings(deadline=None)
@given(multiplier=MULTIPLIERS, delta=st.floats(min_value=1e-10, max_value=1e-3))
def test_one_release_is_the_analytic_gaussian(multiplier: float, delta: float) -> None:
    """Balle and Wang's theorem 8, written out: at the epsilon that we give, delta is the one asked for, to 1e-6 of it."""
    epsilon, mu = accountant.epsilon([multiplier], delta), 2 / multiplier
    norm = stats.norm
    attained = norm.cdf(mu / 2 - epsilon / mu) - math.exp(epsilon) * norm.cdf(-mu / 2 - epsilon / mu)
    if epsilon > 0:
        assert attained == pytest.approx(delta, rel=1e-6)
    else:
        assert attained <= delta


@settings(deadline=None)
@given(spent=st.lists(MULTIPLIERS, max_size=20), more=MULTIPLIERS)
def test_a_release_never_gives_anything_back(spent: list[float], more: float) -> None:
    """Epsilon only grows, whatever the order of the releases."""
    before, after = accountant.epsilon(spent, 1e-6), accountant.epsilon([*spent, more], 1e-6)
    assert before <= after
    assert after == accountant.epsilon([more, *reversed(spent)], 1e-6)


def test_the_ends_of_the_scale() -> None:
    """Nothing released costs nothing; one release without noise costs everything; delta 0 cannot be had."""
    assert accountant.epsilon([], 1e-6) == 0
    assert accountant.epsilon([1.0, 0.0, 1.0], 1e-6) == math.inf
    assert accountant.epsilon([1.0], 0.0) == math.inf
    for tiny in (5e-324, 1e-200, 1e-7):
        assert accountant.epsilon([tiny], 1e-6) == math.inf
    assert accountant.epsilon([1e6], 1e-6) == 0
    assert accountant.epsilon([1e-4], 1e-6) > 1e8


def test_accounting_is_no_burden() -> None:
    """A thousand releases are accounted in well under a second: a holder does it before every round."""
    start = time.perf_counter()
    accountant.epsilon([3.0] * 100_000, 1e-6)
    assert time.perf_counter() - start < 1

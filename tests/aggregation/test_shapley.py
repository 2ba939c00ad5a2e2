"""Shapley values against their definition, and the closed form of a game of means against its exact values."""

import itertools
import math
from fractions import Fraction

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from aggregation import shapley

GAMES = st.integers(1, 5).flatmap(
    lambda n: st.lists(st.integers(-1000, 1000), min_size=2**n - 1, max_size=2**n - 1).map(lambda v: (n, [0, *v]))
)


def utility(worth):
    return lambda members: worth[sum(1 << i for i in members)]


@given(GAMES)
def test_exact_values_are_the_mean_marginals_over_all_orders(game):
    """Shapley's definition: over n! orders, what each adds to those before it, on average."""
    n, worth = game
    sums = [0] * n
    for order in itertools.permutations(range(n)):
        for place, i in enumerate(order):
            before = sum(1 << j for j in order[:place])
            sums[i] += worth[before | 1 << i] - worth[before]
    assert shapley.exact(n, utility(worth)) == [Fraction(each, math.factorial(n)) for each in sums]


@given(st.lists(st.integers(-50, 50), min_size=1, max_size=6))
def test_the_slopes_are_found_again_and_valued_exactly(slopes):
    """A game of means, `v(S) = mean a_i`: from n + 1 points of it come the exact Shapley values of all of it."""
    n = len(slopes)
    unit = math.lcm(*range(1, n + 1))  # so that every worth is a whole number
    points = [3 * unit * 2 * slope + unit * sum(slopes) * 3 // n for slope in slopes]
    found = shapley.secant(points, reached=9 * unit * sum(slopes) // n)
    assert found == shapley.exact(n, lambda members: 9 * unit * sum(slopes[i] for i in members) // len(members))


def test_who_makes_it_worse_is_worth_less_than_nothing_however_much_the_others_gain():
    """Two updates that help and one that undoes it: a good aggregate is no benefit of the doubt for the last."""
    found = shapley.secant([30, 32, -90], reached=900)
    assert found[2] < 0
    assert shapley.secant([900, 920, -90], reached=900)[2] < 0 < min(shapley.secant([900, 920, -90], reached=900)[:2])


def test_leaving_out_and_adding_are_differences():
    """Of v({0}) = 3, v({1}) = 5, v({0, 1}) = 6: leaving out costs 1 and 3, adding brings 3 and 5."""
    game = utility([0, 3, 5, 6])
    assert shapley.leave_one_out(2, game) == [1, 3]
    assert shapley.single_add(2, game) == [3, 5]


@given(GAMES, st.binary(min_size=32, max_size=32))
@settings(deadline=None)
def test_gtg_gives_everybody_something_finite_and_the_round_its_worth(game, draw):
    """Efficiency up to what truncation leaves: the sum is within v(N) / 100 of v(N), or the round is idle and all get 0."""
    n, worth = game
    found = shapley.gtg(n, utility(worth), unit=100, draw=draw)
    if abs(worth[-1]) <= Fraction(100, 1000):
        assert found == [0] * n
    else:
        assert abs(sum(found) - worth[-1]) <= Fraction(abs(worth[-1]), 100)


def test_gtg_depends_on_the_draw_alone():
    """The same draw, the same values; the subsets asked for are counted once each."""
    asked = []

    def game(members):
        asked.append(tuple(members))
        return 1000 * len(members) - sum(i * i * 100 for i in members)

    first = shapley.gtg(6, game, unit=1, draw=b"a")
    assert len(asked) == len(set(asked))
    assert shapley.gtg(6, game, unit=1, draw=b"a") == first


def test_exact_values_are_for_few():
    with pytest.raises(ValueError, match=r"13 updates: exact Shapley values are worked out for at most 12"):
        shapley.exact(13, lambda members: 0)

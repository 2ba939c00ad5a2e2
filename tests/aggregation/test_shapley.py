"""Shapley values against their definition, and the closed form of the parabola against the exact values of its game."""

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


@given(
    st.integers(1, 6).flatmap(
        lambda n: st.tuples(
            st.lists(st.integers(-50, 50), min_size=n, max_size=n),
            st.lists(st.lists(st.integers(-9, 9), min_size=3, max_size=3), min_size=n, max_size=n),
        )
    ),
    st.integers(0, 9),
)
@settings(deadline=None)
def test_the_parabola_is_found_again_and_valued_exactly(drawn, curvature):
    """A game that is a parabola: from n + 1 points of it come the exact Shapley values of all of it."""
    slopes, rows = drawn
    n = len(rows)
    unit = 2 * n * n * math.lcm(*range(1, n + 1)) ** 2  # so that every worth is a whole number
    inner = [[sum(a * b for a, b in zip(x, y, strict=True)) for y in rows] for x in rows]

    def worth(members):
        size = len(members)
        bend = Fraction(sum(inner[i][j] for i in members for j in members), size * size)
        value = unit * (Fraction(sum(slopes[i] for i in members), size) - Fraction(curvature, 2) * bend)
        assert value.denominator == 1
        return int(value)

    square = Fraction(sum(map(sum, inner)), n * n)
    found = shapley.quadratic(
        [worth([i]) for i in range(n)], inner, reached=worth(range(n)), agreeing=list(range(n)), square=square
    )
    longer = Fraction(sum(inner[i][i] for i in range(n)), n) - square
    if longer > 0:
        assert found == shapley.exact(n, worth)
    else:  # all updates are one: the curvature cannot be seen, and does not matter
        assert found == shapley._of_mean([Fraction(worth([i])) for i in range(n)])


def test_who_points_against_the_round_has_no_benefit_of_the_doubt():
    """Two good updates and one sent backwards tenfold: the last is worth less than nothing."""
    inner = [[100, 90, -200], [90, 100, -190], [-200, -190, 400]]
    found = shapley.quadratic([-5, -5, -900], inner, reached=40, agreeing=[0, 1], square=Fraction(90))
    assert found[2] < 0 < min(found[:2])


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

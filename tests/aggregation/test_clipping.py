"""Centered clipping and the clipping pre-aggregations against the papers' formulas, in the space of the rows."""

import math
from fractions import Fraction

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from aggregation import clipping, geometry, mixture


def geometry_of(rows, dtype=np.int64):
    matrix = np.array(rows, dtype=dtype)
    squared = ((matrix[:, np.newaxis] - matrix) ** 2).sum(-1)
    return geometry.Geometry(inner=matrix @ matrix.T, squared=squared)


def literal_centered_clipping(rows, start, radius, steps):
    """Karimireddy, He, Jaggi 2021, algorithm 2; without a radius, the lower median of the distances."""
    matrix, v = np.array(rows, dtype=np.float64), np.array(start, dtype=np.float64)
    for _ in range(steps):
        distances = [math.dist(x, v) for x in matrix]
        reach = sorted(distances)[(len(rows) - 1) // 2] if radius is None else radius
        v = v + sum((x - v) * (1 if d <= reach else reach / d) for x, d in zip(matrix, distances, strict=True)) / len(
            rows
        )
    return v


def point(rows, start, **options):
    """What centered clipping of the rows reaches from `start`, a row of its own, or from the origin (None)."""
    anchored = rows if start is None else [*rows[:1], start, *rows[1:]]
    decided = clipping.centered_clipping(geometry_of(anchored), start=None if start is None else 1, **options)
    assert len(decided.numerators) == len(anchored)
    assert (decided.numerators >= 0).all()
    assert decided.total == pytest.approx(1.0, abs=1e-12)
    whole = float(decided.numerators.sum())
    assert whole <= decided.total * (1 + 1e-12) if start is None else whole == pytest.approx(decided.total)
    return decided.numerators / decided.total @ np.array(anchored, dtype=np.float64)


def rows_of(dim, min_clients=1, max_clients=9, reach=1000):
    row = st.lists(st.integers(-reach, reach), min_size=dim, max_size=dim)
    return st.lists(row, min_size=min_clients, max_size=max_clients)


RADII = st.none() | st.floats(0.5, 3000)


@given(st.data(), RADII, st.integers(0, 6))
def test_centered_clipping_is_the_algorithm_of_the_paper(data, radius, steps):
    dim = data.draw(st.integers(1, 4))
    rows = data.draw(rows_of(dim))
    start = data.draw(st.lists(st.integers(-1000, 1000), min_size=dim, max_size=dim))
    reached = point(rows, start, radius=radius, steps=steps)
    np.testing.assert_allclose(reached, literal_centered_clipping(rows, start, radius, steps), rtol=0, atol=1e-3)
    reached = point(rows, None, radius=radius, steps=steps)
    np.testing.assert_allclose(reached, literal_centered_clipping(rows, [0] * dim, radius, steps), rtol=0, atol=1e-3)


def test_one_step_by_hand():
    """From 0 to 3, -4, 10 and 50: the lower median distance is 4, so 3 - 4 + 4 + 4 over four."""
    decided = clipping.centered_clipping(geometry_of([[3], [-4], [10], [50]]), start=None, steps=1)
    assert decided.numerators.tolist() == [0.25, 0.25, 0.1, 0.02]
    assert decided.total == 1.0


@given(rows_of(3), st.integers(1, 12), st.lists(st.integers(-1000, 1000), min_size=3, max_size=3))
def test_a_radius_that_follows_the_scale_sees_no_power_of_two_and_no_place(rows, exponent, shift):
    """From a start that moves along; the bits of the weights are the same."""
    start = [5, 0, -7]

    def moved(row):
        return [2**exponent * (q + s) for q, s in zip(row, shift, strict=True)]

    before = clipping.centered_clipping(geometry_of([start, *rows]), start=0)
    after = clipping.centered_clipping(geometry_of([moved(start), *map(moved, rows)]), start=0)
    assert before.numerators.tolist() == after.numerators.tolist()


@given(rows_of(2, 3, 7, 60), st.integers(1, 6), st.sampled_from([-30000, 17, 30000]), st.integers(1, 5))
def test_f_arbitrary_rows_move_a_step_by_an_honest_distance_at_most(honest, f, far, steps):
    """Less than half are wild: every step is at most the longest honest distance from where it starts.

    With honest rows within r of their mean and v at e from it, no radius is above e + r.
    """
    f = min(f, (len(honest) - 1))
    rows = [*honest, *([[far, -far]] * f)]
    center = np.mean(honest, axis=0)
    r = max(math.dist(x, center) for x in honest)
    v = np.zeros(2)
    for k in range(1, steps + 1):
        reached = point(rows, None, steps=k)
        assert math.dist(reached, v) <= (math.dist(v, center) + r) * (1 + 1e-9) + 1e-6
        v = reached


def test_a_wild_minority_does_not_pull_the_point_away():
    """Five honest near (100, 100), four colluders at the bound: after the default steps the point is among the honest."""
    honest = [[100 + i, 100 - i] for i in range(-2, 3)]
    reached = point([*honest, *([[-32767, -32767]] * 4)], [90, 90])
    assert math.dist(reached, [100, 100]) < 15


def test_equal_rows_are_reached_in_one_step():
    decided = clipping.centered_clipping(geometry_of([[8, -3]] * 4), start=None, steps=1)
    assert (decided.numerators.tolist(), decided.total) == ([0.25] * 4, 1.0)


def test_rounding_makes_no_weight_negative():
    """Nine ninths, added one after another, are more than 1."""
    decided = clipping.centered_clipping(geometry_of([[1], *([[0]] * 9)]), start=0)
    assert decided.numerators[0] == 0.0


def test_five_steps_are_taken_unless_told():
    rows = geometry_of([[q * q, 7 * q] for q in range(9)])
    default = clipping.centered_clipping(rows, start=None).numerators.tolist()
    assert default == clipping.centered_clipping(rows, start=None, steps=5).numerators.tolist()
    assert default != clipping.centered_clipping(rows, start=None, steps=4).numerators.tolist()


def test_a_majority_at_the_start_keeps_it_there():
    """The median distance is 0: nobody else counts."""
    decided = clipping.centered_clipping(geometry_of([[4, 4], [4, 4], [4, 4], [9, 9], [4, 4]]), start=0)
    assert decided.numerators[3] == 0.0
    assert decided.numerators.sum() == decided.total


def lengths(rows):
    return [math.sqrt(sum(q * q for q in row)) for row in rows]


@given(rows_of(3, 1, 12, 32767), st.data())
def test_arc_shortens_the_longest_to_the_next(rows, data):
    """Every factor is the largest multiple of 2**-16 that keeps the row within the length of the paper."""
    count = len(rows)
    f = data.draw(st.integers(0, (count - 1) // 2))
    squares = [sum(q * q for q in row) for row in rows]
    limit = sorted(squares, reverse=True)[math.floor(Fraction(2 * f, count) * (count - f))]
    mix = clipping.arc(geometry_of(rows), f)
    assert mix.denominator == 2**16
    assert not (mix.coefficients - np.diag(mix.coefficients.diagonal())).any()
    for square, factor in zip(squares, mix.coefficients.diagonal().tolist(), strict=True):
        if square <= limit:
            assert factor == 2**16
        else:
            assert factor**2 * square <= limit * 2**32 < (factor + 1) ** 2 * square


@given(rows_of(3, 1, 12, 32767), st.data())
def test_arc_of_floats_is_the_formula(rows, data):
    f = data.draw(st.integers(0, (len(rows) - 1) // 2))
    limit = sorted(lengths(rows), reverse=True)[2 * f * (len(rows) - f) // len(rows)]
    mix = clipping.arc(geometry_of(rows, np.float64), f)
    assert mix.denominator == 1
    wanted = [1.0 if length <= limit else limit / length for length in lengths(rows)]
    np.testing.assert_allclose(mix.coefficients.diagonal(), wanted, rtol=1e-14)


@given(rows_of(3, 1, 8, 32767), st.floats(0, 60000))
def test_static_clipping_keeps_every_row_within_its_radius(rows, radius):
    mix = clipping.static(geometry_of(rows), radius)
    limit = Fraction(radius) ** 2
    for row, factor in zip(rows, mix.coefficients.diagonal().tolist(), strict=True):
        square = sum(q * q for q in row)
        if square <= limit:
            assert factor == 2**16
        else:
            assert factor**2 * square <= limit * 2**32 < (factor + 1) ** 2 * square
    floats = clipping.static(geometry_of(rows, np.float64), radius)
    wanted = [1.0 if length <= radius else radius / length for length in lengths(rows)]
    np.testing.assert_allclose(floats.coefficients.diagonal(), wanted, rtol=1e-14)


def test_a_clipped_geometry_is_that_of_the_clipped_rows():
    """Lengths 5, 10, 20, 1000; f = 1 clips one of four, to 20; the factor 20 / 1000 rounded down is 1310 / 2**16."""
    rows = geometry_of([[3, 4], [6, -8], [0, 20], [1000, 0]])
    mix = clipping.arc(rows, 1)
    assert mix.coefficients.diagonal().tolist() == [2**16] * 3 + [1310]
    assert geometry.mixed(rows, mix).inner.diagonal().tolist() == [25 << 32, 100 << 32, 400 << 32, 1_310_000**2]
    assert geometry.mixed(rows, mixture.identity(4)) is rows

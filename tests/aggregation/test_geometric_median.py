"""The geometric median against its optimality condition, a slow literal descent, and those who would move it."""

import math

import numpy as np
import pytest
from hypothesis import assume, example, given
from hypothesis import strategies as st

from aggregation import geometric_median, geometry

REACH = 2000


def geometry_of(rows):
    """Exact for integer rows, float64 for others."""
    matrix = np.array(rows)
    if matrix.dtype != np.float64:
        matrix = matrix.astype(np.object_)
    inner = matrix @ matrix.T
    squared = ((matrix[:, np.newaxis] - matrix) ** 2).sum(-1)
    dtype = np.float64 if matrix.dtype == np.float64 else np.int64 if squared.max() < 2**62 else np.object_
    return geometry.Geometry(inner=inner.astype(dtype), squared=squared.astype(dtype))


def point(rows):
    decided = geometric_median.geometric_median(geometry_of(rows))
    assert (decided.numerators >= 0).all()
    assert decided.total == geometry.total(decided.numerators)
    return decided.numerators / decided.total @ np.array(rows, dtype=np.float64)


def pull(rows, z):
    """The length of the sum of unit vectors from z to the rows, less what rows at z hold: 0 at the median."""
    differences = np.array(rows, dtype=np.float64) - z
    distances = np.linalg.norm(differences, axis=1)
    away = distances > 1e-9 * np.median(distances)
    total = np.linalg.norm((differences[away] / distances[away, np.newaxis]).sum(0))
    return max(total - (~away).sum(), 0.0)


def sum_of_distances(rows, z):
    return np.linalg.norm(np.array(rows, dtype=np.float64) - z, axis=1).sum()


def literal_weiszfeld(rows, steps=20_000):
    """Weiszfeld 1937, in the space of the rows."""
    matrix = np.array(rows, dtype=np.float64)
    z = matrix.mean(0)
    for _ in range(steps):
        inverse = 1 / np.maximum(np.linalg.norm(matrix - z, axis=1), 1e-12 * np.abs(matrix).max() + 1e-100)
        z = inverse @ matrix / inverse.sum()
    return z


def matrices(min_clients=1, max_clients=12, reach=REACH):
    def of(dim):
        row = st.lists(st.integers(-reach, reach), min_size=dim, max_size=dim)
        return st.lists(row, min_size=min_clients, max_size=max_clients)

    return st.integers(1, 5).flatmap(of)


@given(matrices())
@example([[0, 0], [3, 1], [3, -1]])
@example([[0], [1], [2], [10]])
@example([[0, 1]] * 3 + [[5, 5]] * 3)
def test_nothing_near_by_has_a_smaller_sum_of_distances(rows):
    """No row, mean, median or point of a slow descent: the sum is convex, so its least value is the median's."""
    z = point(rows)
    least = sum_of_distances(rows, z)
    for other in [*rows, np.mean(rows, axis=0), np.median(rows, axis=0), literal_weiszfeld(rows, 200)]:
        assert least <= sum_of_distances(rows, other) * (1 + 1e-9)


@pytest.mark.parametrize("kind", ["wide", "plane", "crowds", "outliers", "heavy tails", "one far out"])
@pytest.mark.parametrize("clients", [3, 10, 25, 50])
def test_the_pull_of_the_rows_cancels_at_the_median(kind, clients):
    """The sum of unit vectors is less than 1e-8 of their number, in wide and flat, even and clustered data."""
    draw = np.random.default_rng(clients)
    rows = draw.normal(size=(clients, 2 if kind == "plane" else 300 if kind == "wide" else 5))
    if kind == "crowds":
        rows[: clients // 2] += 100
    elif kind == "outliers":
        rows[: (clients - 1) // 2] *= 1e6
    elif kind == "heavy tails":
        rows *= 10 ** draw.uniform(-2, 2, size=(clients, 1))
    elif kind == "one far out":
        rows[-1] = 1e9
    assert pull(rows, point(rows)) <= 1e-8 * clients


@pytest.mark.parametrize("seed", range(5))
def test_it_is_what_a_slow_descent_in_the_space_of_the_rows_finds(seed):
    rows = np.random.default_rng(seed).integers(-3000, 3000, size=(9, 4)).tolist()
    np.testing.assert_allclose(point(rows), literal_weiszfeld(rows), rtol=0, atol=1e-6)


@pytest.mark.parametrize("excess", [0.1, 1e-2, 1e-3, 1e-5])
def test_a_median_close_to_a_row_is_found(excess):
    """Two unit vectors that pull at the origin by 1 + excess: the plain descent would take 1 / excess^2 steps."""
    angle = math.acos((1 + excess) / 2)
    rows = [[0.0, 0.0], [math.cos(angle), math.sin(angle)], [math.cos(angle), -math.sin(angle)]]
    # Fermat's point: it sees every pair of rows under 120 degrees.
    wanted = math.cos(angle) - math.sin(angle) / math.sqrt(3)
    assert wanted > 0
    np.testing.assert_allclose(point(rows), [wanted, 0.0], rtol=0, atol=1e-8)


def test_rows_in_a_narrow_valley_do_not_stall_it():
    """Twelve rows within a thousandth of a line: along it the sum of distances changes by less than 1e-5 of a unit."""
    draw = np.random.default_rng(0)
    rows = np.outer(draw.normal(size=12), np.ones(3)) + 1e-3 * draw.normal(size=(12, 3))
    assert pull(rows, point(rows)) <= 1e-8 * 12


@given(st.lists(st.integers(-REACH, REACH), min_size=1, max_size=11).filter(lambda q: len(q) % 2))
def test_of_an_odd_number_on_a_line_it_is_the_row_in_the_middle(numbers):
    decided = geometric_median.geometric_median(geometry_of([[q, -2 * q] for q in numbers]))
    chosen = sorted(numbers)[len(numbers) // 2]
    assert decided.numerators.tolist() == [int(i == numbers.index(chosen)) for i in range(len(numbers))]
    assert decided.total == 1


@given(st.integers(1, 9), st.lists(st.integers(-REACH, REACH), min_size=1, max_size=4))
def test_equal_rows_are_returned_exactly(clients, row):
    decided = geometric_median.geometric_median(geometry_of([row] * clients))
    assert decided.numerators.tolist() == [1] + [0] * (clients - 1)


def test_a_majority_at_one_place_wins_whatever_the_others_do():
    rows = [[30000, -5], [7, 7], [7, 7], [-12345, 32767], [7, 7]]
    assert point(rows).tolist() == [7.0, 7.0]


def test_two_rows_meet_halfway():
    """Every point between is a median; the one in the middle sees no order."""
    assert geometric_median.geometric_median(geometry_of([[0, 3], [10, 5]])).numerators.tolist() == pytest.approx(
        [1 / math.sqrt(26)] * 2
    )
    assert point([[0, 3], [10, 5]]).tolist() == pytest.approx([5.0, 4.0])


@given(matrices(max_clients=8), st.integers(-1000, 1000), st.integers(1, 7), st.data())
def test_the_weights_move_with_translation_and_order_and_power_of_two(rows, shift, exponent, data):
    """A translation and a permutation of identical geometry give the same bits; doubling does, too."""
    decided = geometric_median.geometric_median(geometry_of(rows))
    moved = geometric_median.geometric_median(geometry_of([[2**exponent * (q + shift) for q in row] for row in rows]))
    shares, again = decided.numerators / decided.total, moved.numerators / moved.total
    assert shares.tolist() == again.tolist()
    order = data.draw(st.permutations(range(len(rows))))
    permuted = point([rows[i] for i in order])
    assert sum_of_distances(rows, permuted) <= sum_of_distances(rows, shares @ np.array(rows)) * (1 + 1e-9)


@pytest.mark.parametrize("scale", [1e-100, 1e-30, 1e30, 1e100])
def test_scale_does_not_show(scale):
    rows = np.random.default_rng(1).normal(size=(11, 3))
    np.testing.assert_allclose(point(rows * scale) / scale, point(rows), rtol=1e-8, atol=1e-8)


@given(matrices(5, 12, 50), st.integers(1, 5), st.integers(1, 32767), st.data())
def test_f_arbitrary_rows_cannot_pull_it_out_of_reach(honest, f, far, data):
    """With f of n rows and all honest ones within r of a point c: |z - c| <= 2 (n - f) / (n - 2 f) r.

    Lopuhaa and Rousseeuw 1991; Minsker 2015, lemma 2.1.
    """
    assume(f < len(honest))
    dim = len(honest[0])
    wild = data.draw(
        st.lists(st.lists(st.sampled_from([-far, 0, 1, far]), min_size=dim, max_size=dim), min_size=f, max_size=f)
    )
    center = np.mean(honest, axis=0)
    radius = np.linalg.norm(np.array(honest) - center, axis=1).max()
    count = len(honest) + f
    z = point([*wild, *honest])
    assert np.linalg.norm(z - center) <= 2 * (count - f) / (count - 2 * f) * radius * (1 + 1e-6) + 1e-6


def test_a_thousand_rows_take_bounded_steps():
    """Integers of any size: distances beyond int64 start from correctly rounded doubles."""
    draw = np.random.default_rng(2)
    matrix = draw.integers(-32767, 32767, size=(1000, 3)).astype(np.float64)
    squared = ((matrix[:, np.newaxis] - matrix) ** 2).sum(-1)
    rows = geometry.Geometry(inner=matrix @ matrix.T, squared=squared)
    decided = geometric_median.geometric_median(rows)
    assert pull(matrix, decided.numerators / decided.total @ matrix) <= 1e-6

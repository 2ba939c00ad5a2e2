"""Largest eigenvalues against LAPACK, and CAF against its paper's algorithm."""

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from aggregation import geometry, spectral


def geometry_of(rows):
    """The geometry of a float or integer matrix, in numpy."""
    rows = np.asarray(rows)
    differences = rows[:, np.newaxis] - rows[np.newaxis]
    return geometry.Geometry(inner=rows @ rows.T, squared=(differences**2).sum(-1))


def shares(decided):
    return decided.numerators / decided.total


def literal_caf(rows, f):
    """Allouah et al. 2025, CAF, on the d x d covariance; the maximum of tau is over the rows that have weight."""
    rows = np.asarray(rows, dtype=np.float64)
    c, best, least = np.ones(len(rows)), rows.mean(0), math.inf
    while c.sum() > len(rows) - 2 * f + 1e-9:
        mean = c @ rows / c.sum()
        values, vectors = np.linalg.eigh((c * (rows - mean).T) @ (rows - mean) / c.sum())
        if values[-1] < least * (1 - 1e-12):
            best, least = mean, values[-1]
        tau = ((rows - mean) @ vectors[:, -1]) ** 2 * (c > 0)
        if tau.max() == 0:
            break
        c = np.where(tau > tau.max() * (1 - 2**-40), 0, c * (1 - tau / tau.max()))
    return best


def test_a_covariance_by_hand():
    """Rows 0, 2 and 4 on a line, the middle one counted twice: mean 2, deviations -2, 0, 2, variance 8 / 4."""
    squared = np.array([[0.0, 4.0, 16.0], [4.0, 0.0, 4.0], [16.0, 4.0, 0.0]])
    wanted = [[4.0, 0.0, -4.0], [0.0, 0.0, 0.0], [-4.0, 0.0, 4.0]]
    weights = np.array([0.25, 0.5, 0.25])
    assert spectral.centred(squared, weights).tolist() == wanted
    value, deviations = spectral.stretch(squared, weights)
    assert math.isclose(value, 2.0)
    assert deviations.tolist() == [1.0, 0.0, 1.0]


@given(st.integers(1, 40), st.integers(1, 20), st.integers(0, 2**32 - 1))
def test_the_top_pair_is_lapacks(rows, rank, seed):
    half = np.random.default_rng(seed).normal(size=(rows, rank))
    matrix = half @ half.T
    value, vector = spectral.top(matrix)
    assert math.isclose(value, np.linalg.eigvalsh(matrix)[-1], rel_tol=1e-12)
    assert np.allclose(matrix @ vector, value * vector, atol=1e-7 * value)
    assert math.isclose(vector @ vector, 1.0, rel_tol=1e-12)


@pytest.mark.parametrize("gap", [1e-3, 1e-6, 1e-9])
def test_eigenvalues_close_together_are_told_apart(gap):
    """The power method would take about 1 / gap steps; squaring takes its logarithm."""
    basis = np.linalg.qr(np.random.default_rng(3).normal(size=(9, 9)))[0]
    matrix = basis @ np.diag([1.0, 1.0 - gap, *[0.3] * 7]) @ basis.T
    value, vector = spectral.top((matrix + matrix.T) / 2)
    assert math.isclose(value, 1.0, rel_tol=1e-12)
    assert math.isclose(abs(vector @ basis[:, 0]), 1.0, abs_tol=1e-4 if gap == 1e-9 else 1e-9)


def test_a_tie_gives_the_first_direction():
    """Of the plane of the eigenvalue 2 that part which row 1 has most of; of an even spread, row 0."""
    assert spectral.top(np.diag([1.0, 2.0, 2.0]))[1].tolist() == [0.0, 1.0, 0.0]
    value, vector = spectral.top(np.eye(4) - 0.25)
    assert math.isclose(value, 1.0)
    assert np.allclose(vector, np.array([3.0, -1.0, -1.0, -1.0]) / math.sqrt(12))
    assert spectral.top(np.zeros((3, 3)))[0] == 0.0


def test_many_rows_keep_nearly_the_largest_spread():
    """Noise without any gap in its spectrum is the worst case of a Krylov space: 1 % is lost. A colluding tenth is seen."""
    noise = np.random.default_rng(4).normal(size=(300, 1000))
    matrix = noise @ noise.T
    value, vector = spectral.top(matrix)
    assert math.isclose(value, vector @ matrix @ vector, rel_tol=1e-9)
    assert value > 0.99 * np.linalg.eigvalsh(matrix)[-1]
    noise[:30] += 0.4
    values, vectors = np.linalg.eigh(noise @ noise.T)
    value, vector = spectral.top(noise @ noise.T)
    assert math.isclose(value, values[-1], rel_tol=1e-12)
    assert math.isclose(abs(vector @ vectors[:, -1]), 1.0, rel_tol=1e-9)


def test_a_space_that_ends_early_is_enough():
    """Rank 2 in 80 rows: three images span all there is."""
    half = np.random.default_rng(5).normal(size=(80, 2))
    assert math.isclose(spectral.top(half @ half.T)[0], np.linalg.eigvalsh(half.T @ half)[-1], rel_tol=1e-12)
    assert spectral.top(np.zeros((80, 80)))[0] == 0.0


@given(st.integers(1, 12), st.integers(1, 9), st.integers(0, 2**32 - 1))
def test_values_of_many_matrices_are_lapacks_up_to_the_bar(rows, sets, seed):
    halves = np.random.default_rng(seed).normal(size=(sets, rows, 3))
    matrices = np.moveaxis(halves @ halves.transpose(0, 2, 1), 0, -1)
    wanted = np.linalg.eigvalsh(np.moveaxis(matrices, -1, 0))[:, -1]
    assert np.allclose(spectral.largest(matrices), wanted, rtol=1e-12)
    bar = float(np.median(wanted))
    below = spectral.largest(matrices, bar=bar * (1 + 1e-9))
    assert np.all((below == math.inf) == (wanted > bar * (1 + 1e-9)))
    assert np.allclose(below[below < math.inf], wanted[below < math.inf], rtol=1e-12)


def test_values_of_matrices_without_a_gap_are_right_too():
    matrices = np.stack([np.zeros((5, 5)), np.eye(5), np.diag([1.0, 1.0 - 1e-12, 0.5, 0.0, 0.0])], axis=-1)
    assert np.allclose(spectral.largest(matrices), [0.0, 1.0, 1.0], rtol=1e-13)


@given(st.data(), st.integers(3, 14), st.integers(1, 6), st.integers(0, 2**32 - 1))
def test_caf_is_its_papers_algorithm(data, rows, dim, seed):
    f = data.draw(st.integers(0, (rows - 1) // 2))
    matrix = np.random.default_rng(seed).normal(size=(rows, dim))
    matrix[:f] += data.draw(st.sampled_from([0.0, 3.0, 1e4]))
    decided = spectral.caf(geometry_of(matrix), f)
    assert np.allclose(shares(decided) @ matrix, literal_caf(matrix, f), rtol=1e-6, atol=1e-6)
    assert decided.numerators.min() >= 0.0
    assert decided.numerators.max() <= 1.0


def test_caf_without_byzantine_rows_is_the_mean():
    assert shares(spectral.caf(geometry_of([[0], [5], [1000]]), 0)).tolist() == [1 / 3] * 3


@pytest.mark.parametrize("distance", [1e2, 1e6, 1e12])
def test_caf_ends_and_forgets_clients_however_far_away(distance):
    """Other implementations take the largest deviation over removed clients too and never end."""
    honest = np.random.default_rng(6).normal(size=(10, 5))
    far = distance * np.array([[1.0, 0, 0, 0, 0], [0, 2.0, 0, 0, 0]])
    decided = spectral.caf(geometry_of(np.concatenate([honest, far])), 2)
    assert decided.numerators[10:].tolist() == [0.0, 0.0]
    assert np.allclose(shares(decided)[:10] @ honest, literal_caf(np.concatenate([honest, far]), 2), atol=1e-4)


def test_caf_of_equal_rows_and_of_two_camps_is_the_mean():
    """No spread: nothing to remove. Two camps of three: all lie equally far out, and none is left to prefer."""
    assert shares(spectral.caf(geometry_of(np.full((5, 3), 7)), 2)).tolist() == [0.2] * 5
    assert shares(spectral.caf(geometry_of([[1]] * 3 + [[-1]] * 3), 2)).tolist() == [1 / 6] * 6


def test_caf_takes_the_best_weights_and_not_the_last():
    """The value along the way falls to a least and rises again; the result is that of the least."""
    rises = 0
    for seed in range(20):
        matrix = np.random.default_rng(seed).normal(size=(12, 40))
        matrix[:5] += 1e2
        decided = spectral.caf(geometry_of(matrix), 5)
        assert np.allclose(shares(decided) @ matrix, literal_caf(matrix, 5), rtol=1e-5, atol=1e-5)
        rises += decided.numerators.sum() > 2.9
    assert rises > 0


def test_caf_removes_opposite_rows_together():
    """Rounding makes the two deviations differ in the last bits; neither keeps a trace of weight."""
    for seed in range(20):
        half = np.random.default_rng(seed).normal(size=(6, 7))
        half[0] *= 20.0
        numerators = spectral.caf(geometry_of(np.concatenate([half, -half])), 2).numerators
        assert numerators[[0, 6]].tolist() == [0.0, 0.0]


def test_caf_does_not_see_the_scale():
    """Powers of two are exact: the same bits from 2**-270 to 2**200, and for integers beyond int64."""
    matrix = np.random.default_rng(7).integers(-9, 10, size=(9, 4))
    wanted = spectral.caf(geometry_of(matrix), 3).numerators.tobytes()
    for exponent in (-270, -1, 200):
        assert spectral.caf(geometry_of(matrix * 2.0**exponent), 3).numerators.tobytes() == wanted
    wide = geometry_of(matrix.astype(np.object_) * 2**40)
    assert spectral.caf(wide, 3).numerators.tobytes() == wanted


def test_caf_moves_with_the_order_of_rows():
    matrix = np.random.default_rng(8).normal(size=(12, 6))
    order = np.random.default_rng(9).permutation(12)
    before, after = (spectral.caf(geometry_of(m), 4).numerators for m in (matrix, matrix[order]))
    assert np.allclose(before[order], after, atol=1e-9)


def test_caf_of_a_far_minority_stays_with_the_honest():
    """The guarantee: within a constant times the honest spread of the honest mean, wherever the others go."""
    generator = np.random.default_rng(10)
    for shift in (0.5, 2.0, 8.0, 1e3):
        matrix = generator.normal(size=(20, 30))
        matrix[:6] = shift + 0.01 * matrix[:6]
        result = shares(spectral.caf(geometry_of(matrix), 6)) @ matrix
        spread = np.linalg.eigvalsh(np.cov(matrix[6:].T, bias=True))[-1]
        assert np.linalg.norm(result - matrix[6:].mean(0)) <= 3.0 * math.sqrt(spread)

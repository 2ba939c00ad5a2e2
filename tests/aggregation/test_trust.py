"""FLTrust against its paper."""

import math

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from aggregation import geometry, trust


def geometry_of(rows):
    rows = np.asarray(rows)
    differences = rows[:, np.newaxis] - rows[np.newaxis]
    return geometry.Geometry(inner=rows @ rows.T, squared=(differences**2).sum(-1))


def aggregated(rows, root):
    decided = trust.fltrust(geometry_of(rows), root)
    return decided.numerators / decided.total @ np.asarray(rows)


def literal_fltrust(rows, root):
    """Cao et al. 2021, equations 2 to 4."""
    server = rows[root]
    scores, scaled = [], []
    for row in np.delete(rows, root, axis=0):
        cosine = row @ server / (np.linalg.norm(row) * np.linalg.norm(server))
        scores.append(max(0.0, cosine))
        scaled.append(np.linalg.norm(server) / np.linalg.norm(row) * row)
    return np.array(scores) @ np.array(scaled) / sum(scores) if sum(scores) else np.zeros(len(server))


@given(st.integers(2, 12), st.integers(1, 8), st.sampled_from([1e-9, 1.0, 1e9]), st.integers(0, 2**32 - 1), st.data())
def test_fltrust_is_its_papers_equations(rows, dim, scale, seed, data):
    matrix = scale * np.random.default_rng(seed).normal(size=(rows, dim))
    root = data.draw(st.integers(0, rows - 1))
    assert np.allclose(aggregated(matrix, root), literal_fltrust(matrix, root), rtol=1e-9, atol=1e-9 * scale)


def test_a_round_by_hand():
    """Root (3, 4) of length 5. (6, 8): trust 1, brought to (3, 4). (5, 0): trust 3/5, stays (5, 0). Opposite: trust 0."""
    rows = [[6, 8], [5, 0], [-3, -4], [3, 4]]
    assert np.allclose(aggregated(rows, 3), [(3 + 0.6 * 5) / 1.6, 4 / 1.6])
    assert trust.fltrust(geometry_of(rows), 3).numerators[2:].tolist() == [0.0, 0.0]


def test_inflating_an_update_changes_nothing():
    rows = np.array([[1.0, 2.0], [2.0, 1.0], [1.0, 1.0]])
    louder = rows * np.array([[1000.0], [1.0], [1.0]])
    assert np.allclose(aggregated(rows, 2), aggregated(louder, 2))


def test_nothing_moves_without_trust():
    """All against the root, at right angles to it, or zero; and a root of zeros, which trusts nobody."""
    for rows in ([[-1, 0], [0, 7], [0, 0], [2, 0]], [[1, 1], [2, 0], [0, 0], [0, 0]]):
        decided = trust.fltrust(geometry_of(rows), 3)
        assert decided.numerators.tolist() == [0.0] * 4
        assert decided.total > 0


def test_the_result_is_never_longer_than_the_root():
    matrix = np.random.default_rng(2).normal(size=(9, 4)) * 10.0 ** np.arange(-4, 5)[:, np.newaxis]
    for root in range(9):
        assert math.hypot(*aggregated(matrix, root)) <= math.hypot(*matrix[root]) * (1 + 1e-12)

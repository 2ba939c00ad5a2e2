"""MDA and SMEA against a look at every subset, and their limits."""

import itertools
import math
import time

import numpy as np
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from aggregation import errors, geometry, subsets


def geometry_of(rows):
    rows = np.asarray(rows)
    differences = rows[:, np.newaxis] - rows[np.newaxis]
    return geometry.Geometry(inner=rows @ rows.T, squared=(differences**2).sum(-1))


def geometry_of_distances(squared):
    return geometry.Geometry(inner=squared, squared=squared)


def chosen(decided):
    assert set(decided.numerators.tolist()) <= {0, 1}
    assert decided.total == decided.numerators.sum()
    return tuple(np.flatnonzero(decided.numerators).tolist())


def literal_mda(squared, f):
    """El Mhamdi et al. 2020: `min` over tuples takes the first of equal subsets."""
    subsets_ = itertools.combinations(range(len(squared)), len(squared) - f)
    return min(subsets_, key=lambda subset: max(squared[i][j] for i in subset for j in subset))


def literal_smea(rows, f):
    """Allouah et al. 2023, with the covariance written out."""
    best, least = None, math.inf
    for subset in itertools.combinations(range(len(rows)), len(rows) - f):
        among = np.asarray(rows, dtype=np.float64)[list(subset)]
        deviations = among - among.mean(0)
        value = np.linalg.eigvalsh(deviations.T @ deviations / len(among))[-1]
        if value < least * (1 - 1e-11) - 1e-13:
            best, least = subset, value
    return best


@st.composite
def lattices(draw):
    """Small integers, so that many distances are equal; and an f with 2 f < rows."""
    rows, dim = draw(st.integers(1, 8)), draw(st.integers(1, 3))
    matrix = draw(st.lists(st.lists(st.integers(-3, 3), min_size=dim, max_size=dim), min_size=rows, max_size=rows))
    return matrix, draw(st.integers(0, (rows - 1) // 2))


@given(lattices())
@example(([[0], [1], [0], [1], [0]], 2))
def test_mda_is_the_first_of_the_best_subsets(case):
    matrix, f = case
    squared = geometry_of(matrix)
    assert chosen(subsets.mda(squared, f)) == literal_mda(squared.squared.tolist(), f)


@given(st.integers(2, 11), st.integers(0, 2**32 - 1), st.integers(2, 4), st.data())
def test_mda_of_any_distances_at_all(rows, seed, values, data):
    """Two, three or four values at random, also ones no points have: every kind of conflict graph comes up."""
    drawn = np.triu(np.random.default_rng(seed).integers(1, values + 1, size=(rows, rows)), 1)
    squared = drawn + drawn.T
    f = data.draw(st.integers(0, (rows - 1) // 2))
    assert chosen(subsets.mda(geometry_of_distances(squared), f)) == literal_mda(squared.tolist(), f)


def test_mda_where_the_row_with_most_conflicts_must_stay():
    """Nine rows, fourteen conflicts: the four rows that meet all of them are not those with the most."""
    conflicts = ["01", "04", "08", "12", "17", "24", "25", "28", "35", "38", "45", "47", "56", "68"]
    squared = 1 - np.eye(9, dtype=np.int64)
    for i, j in conflicts:
        squared[int(i), int(j)] = squared[int(j), int(i)] = 2
    assert chosen(subsets.mda(geometry_of_distances(squared), 4)) == literal_mda(squared.tolist(), 4)


def test_mda_compares_integers_beyond_doubles():
    """Distances that differ by one at 2**80: as doubles they would be equal."""
    squared = np.full((3, 3), 2**80, dtype=np.object_)
    np.fill_diagonal(squared, 0)
    squared[1, 2] = squared[2, 1] = 2**80 - 1
    assert chosen(subsets.mda(geometry_of_distances(squared), 1)) == (1, 2)


@pytest.mark.parametrize(("rows", "f"), [(50, 10), (101, 50), (1000, 20)])
def test_mda_of_many_rows_needs_no_look_at_all_subsets(rows, f):
    """C(101, 50) is 1e29. The f rows far out go, wherever they stand, and the rest is the one best subset."""
    matrix = np.random.default_rng(1).normal(size=(rows, 3))
    far = np.random.default_rng(2).permutation(rows)[:f]
    matrix[far] += 100.0 * np.arange(1, f + 1)[:, np.newaxis]
    assert chosen(subsets.mda(geometry_of(matrix), f)) == tuple(sorted(set(range(rows)) - set(far.tolist())))


@pytest.mark.parametrize("degree", [3, 4, 6])
def test_mda_ends_soon_on_the_hardest_conflicts_known(degree):
    """Regular graphs of a few neighbours whose smallest cover has about f rows: C(81, 40) subsets in under 10 s."""
    generator = np.random.default_rng(degree)
    squared = np.full((81, 81), 10)
    for _ in range(degree):
        order = generator.permutation(81)
        squared[order[:40], order[40:80]] = squared[order[40:80], order[:40]] = generator.integers(900, 1000, size=40)
    np.fill_diagonal(squared, 0)
    squared = np.maximum(squared, squared.T)
    began = time.process_time()
    subset = list(chosen(subsets.mda(geometry_of_distances(squared), 40)))
    assert len(subset) == 41
    assert time.process_time() - began < 10.0


@given(lattices())
@example(([[1], [1], [-1], [-1], [0]], 2))
def test_smea_is_the_first_of_the_best_subsets(case):
    matrix, f = case
    assert chosen(subsets.smea(geometry_of(matrix), f)) == literal_smea(matrix, f)


@given(st.integers(3, 9), st.integers(1, 6), st.integers(0, 2**32 - 1), st.data())
def test_smea_of_reals_is_the_best_subset(rows, dim, seed, data):
    matrix = np.random.default_rng(seed).normal(size=(rows, dim))
    f = data.draw(st.integers(0, (rows - 1) // 2))
    assert chosen(subsets.smea(geometry_of(matrix), f)) == literal_smea(matrix.tolist(), f)


def test_smea_over_many_batches_finds_the_one_best_subset():
    matrix = np.random.default_rng(3).normal(size=(18, 4))
    matrix[[2, 5, 11, 17]] += np.array([[9.0], [-9.0], [8.0], [-8.0]])
    assert chosen(subsets.smea(geometry_of(matrix), 4)) == tuple(sorted(set(range(18)) - {2, 5, 11, 17}))


def test_smea_sees_a_subset_that_is_a_little_better(monkeypatch):
    """1 and 1.97 are closer than 0 and 1: a spread of 0.94 against 1; also when each subset is a batch of its own."""
    monkeypatch.setattr(subsets, "_BATCH", 1)
    assert chosen(subsets.smea(geometry_of([[0.0], [1.0], [1.97]]), 1)) == (1, 2)


def test_equal_rows_give_the_first_subset():
    for rule in (subsets.mda, subsets.smea):
        assert chosen(rule(geometry_of([[3, 4]] * 7), 3)) == (0, 1, 2, 3)


def test_smea_refuses_more_subsets_than_it_can_look_at():
    with pytest.raises(errors.RuleError) as caught:
        subsets.smea(geometry_of(np.zeros((50, 1))), 10)
    assert str(caught.value) == (
        "C(50, 10) = 10272278170 subsets of 40 rows: expected at most 16777: lower rule.byzantine to 2, or choose caf, "
        "which looks at n at most"
    )
    assert math.comb(50, 2) <= 2**30 // 48**3 < math.comb(50, 3)


@pytest.mark.parametrize(("rows", "f"), [(25, 5), (17, 8), (60, 1), (1000, 0)])
def test_smea_accepts_what_it_can_look_at(rows, f):
    subsets.require(rows, f)


def test_mda_refuses_more_byzantine_rows_than_it_can_branch_on():
    subsets.require_diameter(10**6, 50)
    with pytest.raises(errors.RuleError, match=r"C\(103, 51\) = about 2\*\*99 subsets: expected at most 50 Byz"):
        subsets.mda(geometry_of(np.zeros((103, 1))), 51)

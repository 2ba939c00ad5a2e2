"""DnC against its paper, and the drawing of coordinates."""

import hashlib

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from aggregation import divide_and_conquer, errors, geometry


def geometry_of(rows):
    rows = np.asarray(rows)
    differences = rows[:, np.newaxis] - rows[np.newaxis]
    return geometry.Geometry(inner=rows @ rows.T, squared=(differences**2).sum(-1))


def literal_dnc(matrix, drawings, removed):
    """Shejwalkar, Houmansadr 2021, algorithm 2: intersection over drawings of the rows with the least scores."""
    good = set(range(len(matrix)))
    for columns in drawings:
        sampled = matrix[:, columns]
        centred = sampled - sampled.mean(0)
        scores = (centred @ np.linalg.svd(centred)[2][0]) ** 2
        good &= set(np.argsort(scores, kind="stable")[: len(matrix) - removed].tolist())
    return good


@given(st.integers(5, 15), st.integers(1, 4), st.floats(0.5, 1.5), st.integers(0, 2**32 - 1), st.data())
def test_dnc_is_its_papers_algorithm(rows, iterations, remove, seed, data):
    f = data.draw(st.integers(0, (rows - 1) // 2))
    matrix = np.random.default_rng(seed).normal(size=(rows, 12))
    matrix[:f] += data.draw(st.sampled_from([0.0, 1.0, 50.0]))
    drawings = [divide_and_conquer.subset_of_coordinates(12, 7, draw=b"d", iteration=i) for i in range(iterations)]
    decided = divide_and_conquer.dnc([geometry_of(matrix[:, d]) for d in drawings], f, remove=remove)
    wanted = literal_dnc(matrix, drawings, int(remove * f))
    if wanted:
        assert set(np.flatnonzero(decided.numerators).tolist()) == wanted
    assert set(decided.numerators.tolist()) <= {0, 1}
    assert decided.total == decided.numerators.sum() > 0


def test_without_byzantine_rows_it_is_the_mean():
    assert divide_and_conquer.dnc([geometry_of([[1], [2], [9]])], 0).numerators.tolist() == [1, 1, 1]


def test_colluding_rows_are_removed_whatever_they_send():
    matrix = np.random.default_rng(1).normal(size=(20, 400))
    matrix[3:8] = matrix[8:].mean(0) - 1.5 * matrix[8:].std(0)
    drawings = [divide_and_conquer.subset_of_coordinates(400, 100, draw=b"", iteration=i) for i in range(5)]
    kept = divide_and_conquer.dnc([geometry_of(matrix[:, d]) for d in drawings], 5).numerators
    assert kept[3:8].tolist() == [0] * 5


def test_where_no_row_is_kept_always_those_kept_most_often_are():
    """Three rows, each far out in one of three drawings: all were kept twice. With the second row out twice: the others."""
    out = [geometry_of(np.eye(3, dtype=np.int64)[[i]].T * 9) for i in range(3)]
    assert divide_and_conquer.dnc(out, 1).numerators.tolist() == [1, 1, 1]
    assert divide_and_conquer.dnc([*out, out[1]], 1).numerators.tolist() == [1, 0, 1]


def test_of_equal_rows_the_lower_are_kept():
    assert divide_and_conquer.dnc([geometry_of([[5, 5]] * 5)], 2).numerators.tolist() == [1, 1, 1, 0, 0]
    assert divide_and_conquer.dnc([geometry_of([[0], [3], [0], [3], [1]])], 2).numerators.tolist() == [1, 0, 1, 0, 1]


def test_a_drawing_that_would_keep_no_row_is_refused():
    with pytest.raises(errors.RuleError, match=r"2.5 \* 2 of 5 rows removed in each drawing"):
        divide_and_conquer.dnc([geometry_of([[1], [2], [3], [4], [5]])], 2, remove=2.5)


def test_coordinates_are_the_words_of_a_hash():
    """SHA-256 of `ab LF 7 LF 0` gives four words, of `ab LF 7 LF 1` the next four."""
    blocks = [hashlib.sha256(b"ab\n7\n%d" % counter).digest() for counter in (0, 1)]
    words = [int.from_bytes(block[8 * k : 8 * k + 8], "big") for block in blocks for k in range(4)]
    drawn = divide_and_conquer.subset_of_coordinates(10**9, 6, draw=b"ab", iteration=7)
    assert drawn.tolist() == sorted(word % 10**9 for word in words[:6])


@given(st.integers(1, 300), st.integers(1, 300), st.binary(max_size=4), st.integers(0, 3))
def test_coordinates_are_different_and_ascending(dim, size, draw, iteration):
    drawn = divide_and_conquer.subset_of_coordinates(dim, size, draw=draw, iteration=iteration).tolist()
    assert drawn == sorted(set(drawn))
    assert len(drawn) == min(dim, size)
    assert 0 <= drawn[0] <= drawn[-1] < dim


def test_coordinates_are_all_equally_likely():
    """500 drawings of 20 in 100: each coordinate about 100 times, at 5 standard deviations of 9."""
    counts = np.zeros(100, dtype=np.int64)
    for iteration in range(500):
        counts[divide_and_conquer.subset_of_coordinates(100, 20, draw=b"u", iteration=iteration)] += 1
    assert 55 < counts.min() <= counts.max() < 145

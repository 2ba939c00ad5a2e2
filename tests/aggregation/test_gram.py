"""Exact inner products and distances against Python's integers."""

import jaxtyping
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from aggregation import gram


def dot(x, y):
    return sum(a * b for a, b in zip(x, y, strict=True))


def rows_of(low, high):
    """Matrices of a few rows with entries in [low, high]."""
    return st.integers(1, 12).flatmap(
        lambda dim: st.lists(st.lists(st.integers(low, high), min_size=dim, max_size=dim), min_size=1, max_size=6)
    )


def test_a_block_cannot_leave_the_integers_that_float64_holds():
    """The largest product of two limbs is (2**16)**2; a block of such columns sums to at most 2**53."""
    assert gram.BLOCK_COLUMNS * (2**16) ** 2 <= 2**53


@given(rows_of(-32768, 32767))
def test_gram_norms_and_distances_are_pythons_integers(rows):
    matrix = torch.tensor(rows, dtype=torch.int16)
    assert gram.gram(matrix).tolist() == [[dot(x, y) for y in rows] for x in rows]
    assert gram.squared_norms(matrix) == [dot(x, x) for x in rows]
    distances = [[sum((a - b) ** 2 for a, b in zip(x, y, strict=True)) for y in rows] for x in rows]
    assert gram.squared_distances(matrix) == distances


@given(rows_of(-(2**31), 2**31 - 1))
def test_distances_of_wide_sums_are_pythons_integers(rows):
    """Also where they pass 2**63."""
    distances = [[sum((a - b) ** 2 for a, b in zip(x, y, strict=True)) for y in rows] for x in rows]
    assert gram.squared_distances(torch.tensor(rows, dtype=torch.int32)) == distances


@given(rows_of(-32768, 32767), st.data())
def test_inner_products_with_any_int32_are_pythons_integers(rows, data):
    dim = len(rows[0])
    vector = data.draw(st.lists(st.integers(-(2**31), 2**31 - 1), min_size=dim, max_size=dim))
    matrix = torch.tensor(rows, dtype=torch.int16)
    assert gram.inner(matrix, torch.tensor(vector, dtype=torch.int32)) == [dot(x, vector) for x in rows]


@pytest.mark.parametrize("beyond", [-1, 0, 1, 4097])
def test_extremes_over_many_blocks_stay_exact(beyond):
    """Constant rows at +-32767 and their neighbours: every expected number is a product of three integers."""
    dim = 40 * 2**14 + beyond
    values = (32767, -32767, -32768, 32766, 1)
    matrix = torch.tensor(values, dtype=torch.int16).unsqueeze(1).repeat(1, dim)
    matrix[:, -1] = 0
    matrix[0, -1] = 3
    last = (3, 0, 0, 0, 0)
    wanted = [
        [a * b * (dim - 1) + p * q for b, q in zip(values, last, strict=True)]
        for a, p in zip(values, last, strict=True)
    ]
    assert gram.gram(matrix).tolist() == wanted
    assert gram.squared_norms(matrix) == [wanted[i][i] for i in range(5)]
    vector = torch.full((dim,), -(2**31), dtype=torch.int32)
    assert gram.inner(matrix, vector) == [-(2**31) * (a * (dim - 1) + p) for a, p in zip(values, last, strict=True)]


def test_shapes_and_dtypes_in_signatures_are_checked_under_pytest():
    """The whole package is imported through jaxtyping's hook: a wrong dtype or axis stops at the call."""
    with pytest.raises(jaxtyping.TypeCheckError):
        gram.gram(torch.zeros(2, 3))
    with pytest.raises(jaxtyping.TypeCheckError):
        gram.inner(torch.zeros(2, 3, dtype=torch.int16), torch.zeros(4, dtype=torch.int32))


def test_a_small_distance_between_long_vectors_is_not_lost():
    """float32 would say 0: the norms are near 1e14, the distance is 1."""
    matrix = torch.full((2, 100_000), 32767, dtype=torch.int16)
    matrix[1, 99_999] = 32766
    assert gram.squared_distances(matrix) == [[0, 1], [1, 0]]


def test_distances_of_wide_rows_over_many_blocks_stay_exact():
    dim = 3 * 2**14 + 5
    matrix = torch.tensor([[2**31 - 1], [-(2**31)], [1 << 16]], dtype=torch.int32).repeat(1, dim)
    wide, narrow, other = dim * (2**32 - 1) ** 2, dim * (2**31 - 1 - 2**16) ** 2, dim * (2**31 + 2**16) ** 2
    assert wide > 2**63
    assert gram.squared_distances(matrix) == [[0, wide, narrow], [wide, 0, other], [narrow, other, 0]]

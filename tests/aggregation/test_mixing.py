"""Nearest-neighbour mixing and bucketing against the papers' algorithms, written out."""

import hashlib
from fractions import Fraction

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from aggregation import geometry, mixing


def squared(x, y):
    return sum((a - b) ** 2 for a, b in zip(x, y, strict=True))


def geometry_of(rows, dtype=np.int64):
    distances = np.array([[squared(x, y) for y in rows] for x in rows], dtype=dtype)
    return geometry.Geometry(inner=np.zeros_like(distances), squared=distances)


def literal_nnm(rows, f):
    """Allouah et al. 2023, algorithm 2: the n - f nearest of each row, ties to the lower index."""
    mixed = []
    for x in rows:
        nearest = sorted(range(len(rows)), key=lambda j: (squared(x, rows[j]), j))[: len(rows) - f]
        mixed.append([int(j in nearest) for j in range(len(rows))])
    return mixed


@st.composite
def cases(draw, reach):
    clients, dim = draw(st.integers(1, 9)), draw(st.integers(1, 4))
    row = st.lists(st.integers(-reach, reach), min_size=dim, max_size=dim)
    return draw(st.lists(row, min_size=clients, max_size=clients)), draw(st.integers(0, (clients - 1) // 2))


@pytest.mark.parametrize(("reach", "dtype"), [(1, np.int64), (32767, np.int64), (2, np.float64), (2**40, np.object_)])
@given(data=st.data())
def test_mixing_is_the_algorithm_of_the_paper(reach, dtype, data):
    """Small entries make many ties."""
    rows, f = data.draw(cases(reach))
    mixed = mixing.nearest_neighbours(geometry_of(rows, dtype), f)
    assert mixed.coefficients.dtype == np.int64
    assert mixed.coefficients.tolist() == literal_nnm(rows, f)
    assert mixed.denominator == len(rows) - f


def test_three_clients_by_hand():
    """0, 10 and 1 with f = 1: the first and the last mix with each other, the far one with its nearer neighbour."""
    mixed = mixing.nearest_neighbours(geometry_of([[0], [10], [1]]), 1)
    assert mixed.coefficients.tolist() == [[1, 0, 1], [0, 1, 1], [1, 0, 1]]
    assert mixed.denominator == 2


@given(st.permutations(range(9)))
def test_without_ties_rows_are_mixed_alike_in_any_order(order):
    """Powers of two on a line have distinct distances from each other: mixing commutes with a permutation."""
    rows = [[2**k, 3] for k in range(9)]
    mixed = mixing.nearest_neighbours(geometry_of(rows), 4).coefficients
    permuted = mixing.nearest_neighbours(geometry_of([rows[i] for i in order]), 4).coefficients
    assert permuted.tolist() == mixed[np.ix_(order, order)].tolist()


@given(cases(20), st.integers(-30000, 30000), st.integers(1, 1000))
def test_neighbours_see_neither_place_nor_scale(case, shift, factor):
    rows, f = case
    moved = [[factor * q + shift for q in row] for row in rows]
    assert (
        mixing.nearest_neighbours(geometry_of(moved), f).coefficients.tolist()
        == mixing.nearest_neighbours(geometry_of(rows), f).coefficients.tolist()
    )


@given(st.integers(1, 40), st.integers(1, 45), st.binary(max_size=40))
def test_buckets_are_means_of_the_drawn_order(clients, size, draw):
    """Every row counts in one bucket; all buckets but the last hold `size`, and their weights sum to one."""
    order = sorted(range(clients), key=lambda row: hashlib.sha256(draw + f"\n{row}".encode()).digest())
    mixed = mixing.bucketing(clients, size, draw=draw)
    assert len(mixed.coefficients) == -(-clients // size)
    for number, row in enumerate(mixed.coefficients.tolist()):
        bucket = order[number * size : (number + 1) * size]
        wanted = [Fraction(int(j in bucket), len(bucket)) for j in range(clients)]
        assert [Fraction(c, mixed.denominator) for c in row] == wanted


def test_a_draw_by_hand():
    """SHA-256 of "x", a line feed and 0 to 4 begins with 92, fd, 86, 51, d4, as sha256sum says: the order is 3 2 0 4 1."""
    mixed = mixing.bucketing(5, 2, draw=b"x")
    assert mixed.denominator == 2
    assert mixed.coefficients.tolist() == [[0, 0, 1, 1, 0], [1, 0, 0, 0, 1], [0, 2, 0, 0, 0]]


def test_another_draw_is_another_order():
    draws = {mixing.bucketing(12, 3, draw=bytes([k])).coefficients.tobytes() for k in range(20)}
    assert len(draws) == 20

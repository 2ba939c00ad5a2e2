"""Inner products and distances of mixed rows, against the rows themselves."""

import functools
import operator
from fractions import Fraction

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from aggregation import geometry, gram, mixture


def dot(x, y):
    return sum(a * b for a, b in zip(x, y, strict=True))


def squared(x, y):
    return sum((a - b) ** 2 for a, b in zip(x, y, strict=True))


def exact(rows):
    """The geometry of integer rows: int64 where all fits."""
    inner = [[dot(x, y) for y in rows] for x in rows]
    distances = [[squared(x, y) for y in rows] for x in rows]
    dtype = np.int64 if max(max(max(row) for row in m) for m in (inner, distances)) < 2**63 else np.object_
    return geometry.Geometry(inner=np.array(inner, dtype=dtype), squared=np.array(distances, dtype=dtype))


def literal_mixed(coefficients, rows):
    return [[dot(c, column) for column in zip(*rows, strict=True)] for c in coefficients]


@st.composite
def cases(draw, reach):
    clients, dim, mixed = draw(st.integers(1, 6)), draw(st.integers(1, 4)), draw(st.integers(1, 5))
    row = st.lists(st.integers(-32767, 32767), min_size=dim, max_size=dim)
    coefficient = st.lists(st.integers(0, reach), min_size=clients, max_size=clients)
    rows = draw(st.lists(row, min_size=clients, max_size=clients))
    return rows, draw(st.lists(coefficient, min_size=mixed, max_size=mixed))


@pytest.mark.parametrize("reach", [1, 2**16, 2**40])
@given(data=st.data())
def test_the_geometry_of_mixed_integers_is_that_of_the_rows_mixed_one_by_one(reach, data):
    rows, coefficients = data.draw(cases(reach))
    mix = mixture.Mixture(coefficients=np.array(coefficients), denominator=3)
    mixed, wanted = geometry.mixed(exact(rows), mix), exact(literal_mixed(coefficients, rows))
    assert geometry.exact(mixed)
    assert mixed.inner.tolist() == wanted.inner.tolist()
    assert mixed.squared.tolist() == wanted.squared.tolist()


def test_geometries_beyond_int64_come_back_to_int64_where_they_fit():
    """A mixture of a mixture whose coefficients cancel to nothing large."""
    far = geometry.mixed(exact([[2**15], [1]]), mixture.Mixture(coefficients=np.array([[2**20, 0]]), denominator=1))
    assert far.inner.dtype == np.object_
    assert far.inner.tolist() == [[2**70]]
    near = geometry.mixed(far, mixture.Mixture(coefficients=np.array([[0]]), denominator=1))
    assert near.inner.dtype == np.int64


@given(cases(4))
def test_the_geometry_of_mixed_floats_is_close_and_in_their_own_unit(case):
    rows, coefficients = case
    whole = exact(rows)
    floats = geometry.Geometry(inner=whole.inner.astype(np.float64), squared=whole.squared.astype(np.float64))
    mixed = geometry.mixed(floats, mixture.Mixture(coefficients=np.array(coefficients), denominator=4))
    wanted = exact(literal_mixed(coefficients, rows))
    assert not geometry.exact(mixed)
    scale = 16 * (1.0 + 16 * float(whole.inner.max()) * len(rows) ** 2)
    np.testing.assert_allclose(mixed.inner, wanted.inner / 16, rtol=0, atol=1e-14 * scale)
    np.testing.assert_allclose(mixed.squared, wanted.squared / 16, rtol=0, atol=1e-14 * scale)
    assert (mixed.squared >= 0).all()
    assert not mixed.squared.diagonal().any()


def test_mixed_floats_far_from_the_origin_keep_their_small_distances():
    """Three rows 1 apart at 2**40: inner products near 2**80 hold no trace of them, distances do."""
    distances = np.array([[0.0, 1.0, 4.0], [1.0, 0.0, 1.0], [4.0, 1.0, 0.0]])
    line = np.arange(3.0) + 2.0**40
    rows = geometry.Geometry(inner=line[:, np.newaxis] * line, squared=distances)
    pairs = mixture.Mixture(coefficients=np.array([[1, 1, 0], [0, 1, 1]]), denominator=2)
    assert geometry.mixed(rows, pairs).squared.tolist() == [[0.0, 1.0], [1.0, 0.0]]


def test_unmixed_rows_are_taken_as_they_are():
    rows = exact([[1, 2], [3, 4]])
    assert geometry.mixed(rows, mixture.identity(2)) is rows


@given(cases(1))
def test_the_origin_is_one_more_row_of_zeros(case):
    rows, _ = case
    with_origin, wanted = geometry.with_origin(exact(rows)), exact([*rows, [0] * len(rows[0])])
    assert with_origin.inner.tolist() == wanted.inner.tolist()
    assert with_origin.squared.tolist() == wanted.squared.tolist()


@given(cases(1), st.data())
def test_permuting_is_choosing_rows(case, data):
    rows, _ = case
    order = data.draw(st.lists(st.sampled_from(range(len(rows))), unique=True, min_size=1))
    permuted, wanted = geometry.permuted(exact(rows), order), exact([rows[i] for i in order])
    assert permuted.inner.tolist() == wanted.inner.tolist()
    assert permuted.squared.tolist() == wanted.squared.tolist()


@pytest.mark.parametrize("factor", [1, 3 * 2**15])
@given(data=st.data())
def test_centred_products_are_those_of_the_differences_rounded_once(factor, data):
    """Also where twice the product passes 2**63."""
    rows, _ = data.draw(cases(1))
    rows = [[factor * q for q in row] for row in rows]
    origin = data.draw(st.sampled_from(range(len(rows))))
    moved = [[a - b for a, b in zip(row, rows[origin], strict=True)] for row in rows]
    assert geometry.centred(exact(rows), origin).tolist() == [[float(dot(x, y)) for y in moved] for x in moved]


def test_centred_products_of_opposite_extremes_do_not_wrap():
    """Squared distances 2**62: the sum of two passes int64."""
    rows = geometry.Geometry(
        inner=np.array([[2**60, -(2**60)], [-(2**60), 2**60]]), squared=np.array([[0, 2**62], [2**62, 0]])
    )
    assert geometry.centred(rows, 0).tolist() == [[0.0, 0.0], [0.0, 2.0**62]]


def test_sums_are_added_one_after_another():
    """1e16 + 1 + ... + 1 stays 1e16 in this order; another order would see the ones."""
    values = np.array([1e16] + [1.0] * 100)
    assert geometry.total(values) == functools.reduce(operator.add, values.tolist()) == 1e16
    both = np.stack((values, values[::-1]), axis=1)
    assert geometry.total(both).tolist() == [1e16, 1e16 + 100]
    assert geometry.weighted(np.full(101, 2.0), both).tolist() == [2e16, 2e16 + 200]


@given(st.lists(st.integers(-(2**120), 2**120), min_size=1))
def test_integers_become_the_nearest_doubles(numbers):
    floats = geometry.as_floats(np.array(numbers, dtype=np.object_)).tolist()
    assert floats == [float(Fraction(q)) for q in numbers]


def test_the_clients_own_geometry_is_what_was_measured():
    inner, distances = np.array([[1, 2], [2, 5]]), np.array([[0, 2], [2, 0]])
    whole = geometry.of(gram.Products(inner=inner, squared=distances))
    assert whole.inner is inner
    assert whole.squared is distances

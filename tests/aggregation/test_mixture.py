"""Mixtures and the exact matrix product under them, against Python's integers."""

from fractions import Fraction

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from aggregation import errors, mixture


def literal_product(left, right):
    return [
        [sum(a * b for a, b in zip(row, column, strict=True)) for column in zip(*right, strict=True)] for row in left
    ]


def matrices(rows, columns, reach):
    row = st.lists(st.integers(-reach, reach), min_size=columns, max_size=columns)
    return st.lists(row, min_size=rows, max_size=rows)


@pytest.mark.parametrize("reach", [2, 2**21, 2**31, 2**62, 2**100])
@given(data=st.data())
def test_products_are_pythons_integers(reach, data):
    """Of one limb, of several, beyond int64, and with a factor that is beyond it already."""
    rows, inner, columns = (data.draw(st.integers(1, 5)) for _ in range(3))
    left, right = data.draw(matrices(rows, inner, 2**40)), data.draw(matrices(inner, columns, reach))
    dtype = np.int64 if reach < 2**63 else np.object_
    product = mixture.product(np.array(left, dtype=np.int64), np.array(right, dtype=dtype))
    assert product.tolist() == literal_product(left, right)


def test_a_product_of_extremes_over_many_columns_is_exact():
    """Every term has the largest magnitude and the same sign: the bound on partial sums is reached."""
    left = np.full((2, 1000), 2**26, dtype=np.int64)
    right = np.full((1000, 2), 2**61 - 1, dtype=np.int64)
    product = mixture.product(left, right)
    assert product.tolist() == [[1000 * 2**26 * (2**61 - 1)] * 2] * 2
    small = mixture.product(left, np.full((1000, 2), -(2**26) + 1, dtype=np.int64))
    assert small.dtype == np.int64
    assert small.tolist() == [[-1000 * 2**26 * (2**26 - 1)] * 2] * 2


@given(st.data(), st.integers(1, 4), st.integers(1, 4), st.integers(1, 4))
def test_one_mixture_after_another_mixes_the_mixed_rows(data, rows, between, clients):
    first = data.draw(matrices(between, clients, 2**16))
    second = data.draw(matrices(rows, between, 9))
    both = mixture.after(
        mixture.Mixture(coefficients=np.array(second), denominator=7),
        mixture.Mixture(coefficients=np.array(first), denominator=2**16),
    )
    assert both.denominator == 7 * 2**16
    assert both.coefficients.dtype == np.int64
    assert both.coefficients.tolist() == literal_product(second, first)


def test_real_coefficients_are_divided_before_they_meet():
    """Halves of rows, then 0.25 of one and 0.5 of the other."""
    first = mixture.Mixture(coefficients=np.array([[1, 0], [0, 1]]), denominator=2)
    second = mixture.Mixture(coefficients=np.array([[0.25, 0.5]]), denominator=1)
    for both in (mixture.after(second, first), mixture.after(second, mixture.identity(2))):
        assert both.denominator == 1
    assert mixture.after(second, first).coefficients.tolist() == [[0.125, 0.25]]
    assert mixture.as_real(first).tolist() == [[0.5, 0.0], [0.0, 0.5]]


def test_the_identity_changes_nothing():
    some = mixture.Mixture(coefficients=np.array([[1, 2, 3]]), denominator=6)
    for both in (mixture.after(some, mixture.identity(3)), mixture.after(mixture.identity(1), some)):
        assert both.coefficients.tolist() == [[1, 2, 3]]
        assert Fraction(1, both.denominator) == Fraction(1, 6)


def test_coefficients_beyond_int64_are_refused():
    some = mixture.Mixture(coefficients=np.array([[2**40]]), denominator=1)
    with pytest.raises(errors.RuleError, match=f"up to {2**80}: expected less than"):
        mixture.after(some, some)


def test_nothing_is_as_large_as_zero():
    assert mixture.largest(np.zeros((0, 3), dtype=np.int64)) == 0
    assert mixture.largest(np.array([[3, -(2**63)]])) == 2**63

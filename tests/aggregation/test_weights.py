"""Weights on mixed rows as integers on the clients: what is exact, what is rounded, and by how much."""

from fractions import Fraction

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from aggregation import mixture, weights

LIMIT = 2**37


def mix(coefficients, denominator):
    return mixture.Mixture(coefficients=np.array(coefficients, dtype=np.int64), denominator=denominator)


def mean(shares):
    numerators = np.array(shares, dtype=np.float64)
    return weights.Weights(numerators=numerators, total=float(np.add.accumulate(numerators)[-1]))


@given(st.lists(st.integers(0, 1), min_size=1, max_size=6), st.data())
def test_counts_are_composed_exactly(counts, data):
    row = st.lists(st.integers(0, 2**16), min_size=3, max_size=3)
    coefficients = data.draw(st.lists(row, min_size=len(counts), max_size=len(counts)))
    chosen = weights.Weights(numerators=np.array(counts), total=5)
    numerators, denominator = weights.settle(chosen, mix(coefficients, 2**16))
    assert denominator == 5 * 2**16
    wanted = [sum(c * a for c, a in zip(counts, column, strict=True)) for column in zip(*coefficients, strict=True)]
    assert numerators.dtype == np.int64
    assert numerators.tolist() == wanted


@given(st.lists(st.floats(0, 1e300), min_size=1, max_size=40).filter(lambda w: 0 < sum(w) < 1e300))
def test_the_weights_of_a_mean_sum_to_one_after_rounding(shares):
    """Each is within 2**-33 of the real share, before all are divided by their sum."""
    numerators, denominator = weights.settle(mean(shares), mixture.identity(len(shares)))
    assert int(numerators.sum()) == denominator
    total = sum(map(Fraction, shares))
    for numerator, share in zip(numerators.tolist(), shares, strict=True):
        assert abs(Fraction(numerator, 2**32) - Fraction(share) / total) < Fraction(1, 2**33) + Fraction(1, 2**44)


def test_halves_are_rounded_to_even():
    """Shares of 2**33: 1 is a half and goes to 0, 3 goes to 2, 5 to 2."""
    numerators = np.array([1.0, 3.0, 5.0, 2.0**33 - 9.0])
    settled, denominator = weights.settle(weights.Weights(numerators=numerators, total=2.0**33), mixture.identity(4))
    assert settled.tolist() == [0, 2, 2, 2**32 - 4]
    assert denominator == 2**32


def test_weights_that_shrink_keep_their_whole():
    """A quarter on a row and the rest on the origin: the denominator is not the sum."""
    shrunk = weights.Weights(numerators=np.array([1.0]), total=4.0)
    numerators, denominator = weights.settle(shrunk, mixture.identity(1))
    assert (numerators.tolist(), denominator) == ([2**30], 2**32)


@given(st.lists(st.floats(0.5, 2), min_size=60, max_size=60), st.integers(33, 60))
def test_weights_that_would_not_sum_exactly_are_rounded_once_more(shares, kept):
    """A mean of means of `kept` of 60 clients: 2**32 times kept is more than 2**37, and sums to one again after rounding."""
    coefficients = [[int((i + j) % 60 < kept) for j in range(60)] for i in range(60)]
    decided = mean(shares)
    numerators, denominator = weights.settle(decided, mix(coefficients, kept))
    assert sum(map(abs, numerators.tolist())) == denominator <= LIMIT
    first = np.rint(decided.numerators / decided.total * 2**32).astype(np.int64)
    composed = [
        int(sum(w * c for w, c in zip(first.tolist(), column, strict=True)))
        for column in zip(*coefficients, strict=True)
    ]
    whole = int(first.sum()) * kept
    assert numerators.tolist() == [round(Fraction(c * 2**32, whole)) for c in composed]


def test_the_second_rounding_takes_halves_to_even():
    """Denominator 3 * 2**34 and numerators of 3, 9, 15 halves of its 2**-32."""
    denominator = 3 * 2**34
    numerators = [6, 18, 30, -6, -18, denominator - 30]
    settled, whole = weights.settle(weights.Weights(numerators=np.array([4]), total=4), mix([numerators], denominator))
    assert (settled.tolist(), whole) == ([0, 2, 2, 0, -2, 2**32 - 2], 2**32)


def test_stretched_weights_lose_bits_rather_than_exactness():
    """10000 times a row is more than 2**37 in units of 2**-32; in units of 2**-23 it fits."""
    stretched = weights.Weights(numerators=np.array([10_000.0, 1.0]), total=1.0)
    numerators, denominator = weights.settle(stretched, mixture.identity(2))
    assert (numerators.tolist(), denominator) == ([10_000 * 2**23, 2**23], 2**23)
    assert 10_001 * 2**23 <= LIMIT < 10_001 * 2**24


@pytest.mark.parametrize("denominator", [1, 2**40])
def test_large_exact_weights_are_brought_down(denominator):
    chosen = weights.Weights(numerators=np.array([1, 1]), total=2)
    numerators, whole = weights.settle(chosen, mix([[2**40, 0], [0, 2**40]], 2**40 * denominator))
    assert [Fraction(int(c), whole) for c in numerators] == [Fraction(round(Fraction(2**31, denominator)), 2**32)] * 2


def test_float_weights_stay_floats():
    """A mean of 1 : 3 of half sums: 0.125 and 0.5 and 0.375, nothing rounded."""
    shares = weights.settle_floats(mean([1.0, 3.0]), mix([[1, 1, 0], [0, 1, 1]], 2))
    assert shares.tolist() == [0.125, 0.5, 0.375]
    assert weights.settle_floats(
        weights.Weights(numerators=np.array([1, 0]), total=1), mixture.identity(2)
    ).tolist() == [
        1.0,
        0.0,
    ]

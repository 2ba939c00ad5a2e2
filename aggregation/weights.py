"""Weights on rows: what a rule decides, and what remains of it as integers on the clients.

A rule that counts (Krum, minimum diameter) gives integers over their total, exact. One that computes gives float64
weights; they are rounded to multiples of 2**-32 of the whole, composed with the mixture as integers and brought to a
sum that lets every weighted sum of int16 updates be exact in any order:

    sum |numerators| <= 2**37 and |x| <= 2**15, so every partial sum is an integer below 2**53
"""

from dataclasses import dataclass

import numpy as np
from jaxtyping import Float64, Int64

from aggregation import geometry, mixture

FRACTION_BITS = 32
MAGNITUDE_BITS = 37


@dataclass(frozen=True, slots=True, kw_only=True)
class Weights:
    """Row i has the weight `numerators[i] / total`.

    Attributes:
        numerators: Exact int64, or float64; none negative.
        total: What they are parts of, > 0: their sum (floats: as `geometry.total` adds) where the weights are those of
            a mean, something else where a rule shrinks or stretches.
    """

    numerators: Int64[np.ndarray, " rows"] | Float64[np.ndarray, " rows"]
    total: int | float


def settle(weights: Weights, mix: mixture.Mixture) -> tuple[Int64[np.ndarray, " clients"], int]:
    """Returns integer weights on the clients and their denominator, for updates on the lattice.

    1. Float weights become `numerators / total * 2**32`, a double, rounded half to even.
    2. They are multiplied with the mixture, exactly.
    3. If their magnitudes sum to more than 2**37, or a double does not hold the denominator, each is rounded half to
       even to a multiple of `denominator / 2**32`; if that is still too much, of 2**-31, and so on.

    Weights that sum to one do so after each rounding too: their rounded sum is then the denominator, not 2**32. Equal
    updates are returned as they are, and the aggregate moves with a translation.

    Args:
        weights: One a row of the mixture.
        mix: From clients to rows, exact.

    Returns:
        The numerators, magnitudes of at most 2**37 in all, and the denominator.
    """
    rounded, whole = _integers(weights)
    composed = [int(c) for c in mixture.product(rounded[np.newaxis], mix.coefficients)[0]]
    denominator = whole * mix.denominator
    numerators, bits = composed, FRACTION_BITS
    while sum(map(abs, numerators)) > 1 << MAGNITUDE_BITS or int(float(denominator)) != denominator:
        numerators = [_half_even(c << bits, whole * mix.denominator) for c in composed]
        denominator = sum(numerators) if sum(composed) == whole * mix.denominator else 1 << bits
        bits -= 1
    return np.array(numerators, dtype=np.int64), denominator


def settle_floats(weights: Weights, mix: mixture.Mixture) -> Float64[np.ndarray, " clients"]:
    """Returns real weights on the clients, for updates of floats; their denominator is 1.

    Args:
        weights: One a row of the mixture.
        mix: From clients to rows.
    """
    shares = weights.numerators / np.float64(weights.total)
    return np.asarray(geometry.total(shares[:, np.newaxis] * mixture.as_real(mix)))


def _integers(weights: Weights) -> tuple[np.ndarray, int]:
    if weights.numerators.dtype == np.int64:
        return weights.numerators, int(weights.total)
    rounded = np.rint(weights.numerators / np.float64(weights.total) * 2.0**FRACTION_BITS).astype(np.int64)
    is_mean = geometry.total(weights.numerators) == weights.total
    return rounded, int(geometry.total(rounded)) if is_mean else 1 << FRACTION_BITS


def _half_even(numerator: int, denominator: int) -> int:
    """Returns the integer nearest to the quotient, halves to even."""
    quotient, rest = divmod(numerator, denominator)
    return quotient + (2 * rest > denominator or (2 * rest == denominator and quotient % 2 == 1))

"""Mixtures: linear maps of the rows, which pre-aggregations are, kept as coefficients and never formed.

    row i of the mixture = sum over clients j of coefficients[i, j] x_j / denominator

With the inner products G of the clients' updates, those of the mixed rows are A G A^T: a rule that decides by distances
needs nothing else, and its weights on mixed rows are weights on clients. Integers over one common denominator, so
nothing is rounded on the way.
"""

from dataclasses import dataclass

import numpy as np
from jaxtyping import Float64, Int64, Shaped

from aggregation.errors import RuleError

# Integers up to 2**53 are doubles.
_EXACT_BITS = 53


@dataclass(frozen=True, slots=True, kw_only=True)
class Mixture:
    """Mixed rows, by their coefficients on the clients.

    Attributes:
        coefficients: int64, exact; or float64 where a pre-aggregation of floats scales by real numbers.
        denominator: Divides every coefficient, >= 1; 1 with float64 coefficients.
    """

    coefficients: Int64[np.ndarray, "rows clients"] | Float64[np.ndarray, "rows clients"]
    denominator: int


def identity(clients: int) -> Mixture:
    """Returns the rows as they are."""
    return Mixture(coefficients=np.eye(clients, dtype=np.int64), denominator=1)


def after(second: Mixture, first: Mixture) -> Mixture:
    """Returns one mixture that does what `second` does to the rows of `first`; exact if both are.

    Args:
        second: Has as many clients as `first` has rows.
        first: Applied to the clients' updates.

    Raises:
        RuleError: If a coefficient passes int64: too many steps one after another.
    """
    if np.float64 in (second.coefficients.dtype, first.coefficients.dtype):
        return Mixture(coefficients=as_real(second) @ as_real(first), denominator=1)
    coefficients = product(second.coefficients, first.coefficients)
    if coefficients.dtype == np.object_:
        raise RuleError(
            f"mixing coefficients up to {largest(coefficients)}: expected less than 2**63, from fewer steps"
        )
    return Mixture(coefficients=coefficients, denominator=second.denominator * first.denominator)


def as_real(mixture: Mixture) -> Float64[np.ndarray, "rows clients"]:
    """Returns the coefficients divided by their denominator."""
    return mixture.coefficients / np.float64(mixture.denominator)


def product(
    left: Shaped[np.ndarray, "rows inner"], right: Shaped[np.ndarray, "inner columns"]
) -> Shaped[np.ndarray, "rows columns"]:
    """Returns a matrix product of integers, exactly: int64 where a bound proves that it fits, else Python's integers.

    Both matrices are cut into limbs so narrow that every partial sum of a product of limbs is an integer below 2**53:
    exact in float64, in whatever order and with whatever fused operations the BLAS adds.

    Args:
        left: int64 or Python's integers.
        right: Likewise.
    """
    inner = left.shape[1]
    width = (_EXACT_BITS - inner.bit_length()) // 2
    fits = largest(left) * largest(right) * inner < 2**63
    total: np.ndarray = np.zeros((len(left), right.shape[1]), dtype=np.int64 if fits else np.object_)
    right_limbs = _limbs(right, width)
    for i, high in enumerate(_limbs(left, width)):
        for j, low in enumerate(right_limbs):
            # A shifted part may wrap in int64, but modulo 2**64 the sum is right, and it fits.
            total += (high @ low).astype(np.int64).astype(total.dtype) << (i + j) * width
    return total


def largest(matrix: Shaped[np.ndarray, "rows columns"]) -> int:
    """Returns the largest magnitude of a matrix of integers; 0 if it is empty."""
    return max(int(matrix.max()), -int(matrix.min())) if matrix.size else 0


def _limbs(matrix: np.ndarray, width: int) -> list[np.ndarray]:
    """Returns float64 matrices with `matrix = sum over k of limbs[k] * 2**(k * width)`, magnitudes up to 2**width."""
    limbs = []
    while largest(matrix) > 1 << width:
        limbs.append((matrix & ((1 << width) - 1)).astype(np.float64))
        matrix = matrix >> width
    return [*limbs, matrix.astype(np.float64)]

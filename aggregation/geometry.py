"""The geometry of the rows: their inner products and squared distances, all that a distance rule needs to decide.

Geometries of lattice updates hold exact integers; those of mixed rows are in units of one denominator of the mixture:
inner products and squared distances of `denominator * row`. A rule of weights does not see the unit; a radius must be
given in it. Geometries of floats are float64, always in the unit of the data.

Where a rule needs real numbers, it starts from exact integers correctly rounded (`as_floats`), uses elementwise
`+ - * /` and square roots alone, which IEEE 754 rounds correctly everywhere, and adds in the order of the rows (`total`).
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from jaxtyping import Float64, Shaped

from aggregation import gram, mixture

# Of the terms that a float distance is the difference of.
_ROUNDING = 2.0**-48


@dataclass(frozen=True, slots=True, kw_only=True)
class Geometry:
    """Rows, as far as inner products tell.

    Attributes:
        inner: Inner products, symmetric: int64, Python's integers beyond, or float64.
        squared: Squared distances, of the same kind, the diagonal 0.
    """

    inner: Shaped[np.ndarray, "rows rows"]
    squared: Shaped[np.ndarray, "rows rows"]


def of(products: gram.Products) -> Geometry:
    """Returns the geometry of the clients' updates themselves."""
    return Geometry(inner=products.inner, squared=products.squared)


def mixed(geometry: Geometry, mix: mixture.Mixture) -> Geometry:
    """Returns the geometry of the mixed rows: `A G A^T`, exact for integers.

    Integers are not divided: the unit becomes 1 / denominator of the old one. Floats are, and keep their unit.

    Args:
        geometry: Of the rows that are mixed.
        mix: A mixture of that many clients.
    """
    if mix.denominator == 1 and np.array_equal(mix.coefficients, np.eye(len(geometry.inner))):
        return geometry
    if not exact(geometry):
        return _mixed_floats(geometry, mixture.as_real(mix))
    coefficients = mix.coefficients
    inner = mixture.product(mixture.product(coefficients, geometry.inner), coefficients.T)
    # The diagonal is the largest; no squared distance passes four times it.
    inner = inner.astype(np.int64 if 4 * int(inner.diagonal().max()) < 2**63 else np.object_)
    norms = inner.diagonal()
    return Geometry(inner=inner, squared=norms[:, np.newaxis] + norms - 2 * inner)


def with_origin(geometry: Geometry) -> Geometry:
    """Returns the geometry with one more row, the last: the zero vector."""
    rows = len(geometry.inner)
    # Zeros of the array's own kind: `np.pad` would put a 64-bit integer among Python's.
    inner, squared = (np.zeros((rows + 1, rows + 1), dtype=each.dtype) for each in (geometry.inner, geometry.squared))
    inner[:-1, :-1], squared[:-1, :-1] = geometry.inner, geometry.squared
    squared[-1, :-1] = squared[:-1, -1] = geometry.inner.diagonal()
    return Geometry(inner=inner, squared=squared)


def centred(geometry: Geometry, origin: int) -> Float64[np.ndarray, "rows rows"]:
    """Returns the inner products of the rows as seen from row `origin`, from distances alone, each rounded once.

    `<x_i - o, x_j - o> = (|x_i - o|^2 + |x_j - o|^2 - |x_i - x_j|^2) / 2`, before the division an exact integer.
    """
    squared = geometry.squared
    if squared.dtype == np.int64 and int(squared.max()) >= 2**61:
        squared = squared.astype(np.object_)
    away = squared[origin]
    return as_floats(away[:, np.newaxis] + away - squared) / 2.0


def permuted(geometry: Geometry, order: Sequence[int]) -> Geometry:
    """Returns the geometry of the rows `order`, in that order; rows may be missing."""
    chosen = np.ix_(order, order)
    return Geometry(inner=geometry.inner[chosen], squared=geometry.squared[chosen])


def exact(geometry: Geometry) -> bool:
    """Returns whether the geometry holds exact integers, not floats."""
    return geometry.inner.dtype != np.float64


def total(values: Shaped[np.ndarray, "rows ..."]) -> np.ndarray | np.float64 | np.int64:
    """Returns the sum over the first axis, added strictly one row after another.

    The one sum of real arithmetic here: `np.sum` adds in an order that depends on the machine and on numpy's version.

    Args:
        values: At least one row.
    """
    sums: np.ndarray | np.float64 | np.int64 = np.add.accumulate(values, axis=0)[-1]
    return sums


def weighted(
    weights: Float64[np.ndarray, "rows ..."], matrix: Float64[np.ndarray, "rows columns ..."]
) -> Float64[np.ndarray, "columns ..."]:
    """Returns the sum of the rows of a matrix times their weights, one after another, as `total` adds.

    Without storing all products: three times as fast for a thousand rows. For a symmetric matrix it is its product.

    Args:
        weights: One a row; of several matrices along the axes after the first.
        matrix: At least one row; several along the axes after the first two.
    """
    sums = np.asarray(matrix[0] * weights[0])
    for row, weight in zip(matrix[1:], weights[1:], strict=True):
        sums += row * weight
    return sums


def as_floats(array: Shaped[np.ndarray, "..."]) -> Float64[np.ndarray, "..."]:
    """Returns the numbers as float64, each correctly rounded."""
    return array.astype(np.float64)


def _mixed_floats(geometry: Geometry, coefficients: np.ndarray) -> Geometry:
    """Returns the geometry of the mixed rows, whose distances come from distances, so nearby rows far out stay apart.

    With c = a_i - a_j and s = sum c, norms N: `|sum c_k x_k|^2 = s <c, N> - c^T D c / 2`; row sums are mostly equal, and
    the first term is then 0.
    """
    sums = coefficients.sum(1)
    norms = coefficients @ geometry.inner.diagonal()
    spread = coefficients @ geometry.squared @ coefficients.T
    own = spread.diagonal()
    drift = (sums[:, np.newaxis] - sums) * (norms[:, np.newaxis] - norms)
    across, within = (spread + spread.T) / 2, (own[:, np.newaxis] + own) / 2
    squared = drift + across - within
    # What rounding leaves between two equal rows is no distance.
    squared[squared <= _ROUNDING * (np.abs(drift) + across + within)] = 0.0
    np.fill_diagonal(squared, 0.0)
    inner = coefficients @ geometry.inner @ coefficients.T
    return Geometry(inner=(inner + inner.T) / 2, squared=squared)

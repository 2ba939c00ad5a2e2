"""Rules that shorten what is long: centered clipping, and the pre-aggregations adaptive and static clipping.

Centered clipping works on weights, like the geometric median. Clipping as a pre-aggregation is a diagonal mixture; on
integers its factors are multiples of 2**-16, rounded down, so that no clipped row is longer than it should be.
"""

import math
from fractions import Fraction

import numpy as np

from aggregation import geometry, mixture, weights

STEPS = 5
_FACTOR_BITS = 16


def centered_clipping(
    rows: geometry.Geometry, *, start: int | None, radius: float | None = None, steps: int = STEPS
) -> weights.Weights:
    """Returns the weights of the point that is reached from `start` by clipped steps.

        v  <-  v + mean over clients i of (x_i - v) min(1, radius / |x_i - v|)

    Args:
        rows: The geometry of the clients' rows, and of the row to start from.
        start: Which row that is; it is no client. None: the origin, which is no row.
        radius: Longest difference that counts in full, in the unit of the geometry; None: at each step the median distance
            of the clients from v, of an even number the smaller one in the middle. It follows the scale, and less than
            half of the clients cannot make it larger than an honest distance.
        steps: How many.

    Returns:
        One weight a row, `start` among them. Those of a mean; from the origin their sum is less than the whole.

    Reference:
        Karimireddy, He, Jaggi 2021, "Learning from history for Byzantine robust optimization", algorithm 2.
    """
    anchored = geometry.with_origin(rows) if start is None else rows
    origin = len(anchored.inner) - 1 if start is None else start
    products = geometry.centred(anchored, origin)
    clients = np.arange(len(products)) != origin
    count = len(products) - 1
    held = (~clients).astype(np.float64)
    for _ in range(steps):
        distances = _distances(products, held)
        reach = float(np.sort(distances[clients])[(count - 1) // 2]) if radius is None else radius
        within = distances <= reach
        factors = np.where(within, 1.0, reach / np.where(within, 1.0, distances))
        factors = np.where(clients, factors, 0.0)
        # Not a sum of shares: that might pass 1 by rounding, and a weight be negative.
        left = 1.0 - float(geometry.total(factors)) / count
        held = held * left + factors / count
    return weights.Weights(numerators=held[: len(rows.inner)], total=float(geometry.total(held)))


def arc(rows: geometry.Geometry, f: int) -> mixture.Mixture:
    """Returns the mixture that shortens the `floor(2 f (n - f) / n)` longest of n rows to the length of the next.

    Args:
        rows: Their geometry.
        f: Byzantine clients to withstand, `0 <= 2 f < rows`.

    Reference:
        Allouah, Guerraoui, Gupta, Jellouli, Rizk, Stephan 2024, "Adaptive gradient clipping for robust federated learning",
        arXiv 2405.14432, section 3 (ARC).
    """
    norms = rows.inner.diagonal()
    count = len(norms)
    longest = 2 * f * (count - f) // count
    square = np.sort(norms)[count - longest - 1]
    if geometry.exact(rows):
        return _shortened(norms, Fraction(int(square)))
    return _shortened_floats(np.sqrt(norms), math.sqrt(square))


def static(rows: geometry.Geometry, radius: float) -> mixture.Mixture:
    """Returns the mixture that shortens every longer row to the length `radius`.

    Args:
        rows: Their geometry.
        radius: In the unit of the geometry, >= 0.
    """
    norms = rows.inner.diagonal()
    if geometry.exact(rows):
        return _shortened(norms, Fraction(radius) ** 2)
    return _shortened_floats(np.sqrt(norms), radius)


def _distances(products: np.ndarray, held: np.ndarray) -> np.ndarray:
    """Returns the distance of every row from the point with these weights."""
    image = geometry.weighted(held, products)
    squares = products.diagonal() - 2.0 * image + float(geometry.total(held * image))
    return np.sqrt(np.maximum(squares, 0.0))


def _shortened(norms: np.ndarray, square: Fraction) -> mixture.Mixture:
    """Returns the factors floor(2**16 sqrt(square / norm)) of the rows whose squared norm is more than `square`."""
    whole = 1 << _FACTOR_BITS
    scaled = square * whole**2
    factors = [whole if norm <= square else math.isqrt(math.floor(scaled / norm)) for norm in map(int, norms)]
    return mixture.Mixture(coefficients=np.diag(np.array(factors, dtype=np.int64)), denominator=whole)


def _shortened_floats(lengths: np.ndarray, radius: float) -> mixture.Mixture:
    longer = lengths > radius
    factors = np.where(longer, radius / np.where(longer, lengths, 1.0), 1.0)
    return mixture.Mixture(coefficients=np.diag(factors), denominator=1)

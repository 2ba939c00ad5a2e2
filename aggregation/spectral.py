"""Largest eigenvalues, to the same bits everywhere, and CAF, which fades out what stretches the covariance.

The covariance of n rows with weights w has the nonzero eigenvalues of an n x n matrix that their distances determine:

    K[i, j] = <x_i - m, x_j - m> = (r_i + r_j - D_ij - s) / 2      m = sum w x,  r_i = sum_j w_j D_ij,  s = sum_i w_i r_i

Squared distances and not inner products, since rows of weight 0 do not enter: one that was far out and is gone leaves no
rounding behind. A matrix is squared again and again, each time divided by its trace, until one eigenspace is left: p
squarings are 2**p steps of the power method, so eigenvalues that lie close together need ten steps more, not a million.
Elementwise operations and sums in the order of the rows alone: LAPACK's last bits differ from machine to machine.

References:
    Allouah, Guerraoui, Stephan 2025, "Towards trustworthy federated learning with untrusted participants", covariance
    bound-agnostic filter (CAF).
    Golub, Van Loan 2013, "Matrix computations", section 7.3 (power method), section 10.1 (Lanczos).
"""

import math

import numpy as np
from jaxtyping import Float64, Shaped

from aggregation import geometry as geometries
from aggregation import weights

# From this many rows on, the top of a Krylov space stands for the top: a squaring is n**3 operations, a step n**2.
_LARGE = 64
_KRYLOV = 32
# k**(-2**-p) > 1 - _CLOSE for all k < 2**20 at the latest then: the two bounds on the eigenvalue have met.
_SQUARINGS = 52
_CLOSE = 2.0**-46


def centred(
    squared: Float64[np.ndarray, "rows rows ..."], shares: Float64[np.ndarray, "rows ..."]
) -> Float64[np.ndarray, "rows rows ..."]:
    """Returns the inner products of the differences from a weighted mean.

    Args:
        squared: Squared distances; of several sets of rows along the axes after the first two.
        shares: Weights that sum to one; they may be the same for all sets, with axes of length 1.
    """
    towards = geometries.weighted(shares, squared)
    spread = geometries.total(shares * towards)
    return np.asarray((towards[:, np.newaxis] + towards[np.newaxis] - squared - spread) / 2.0)


def largest(matrices: Float64[np.ndarray, "rows rows sets"], bar: float = math.inf) -> Float64[np.ndarray, " sets"]:
    """Returns the largest eigenvalue of every matrix, or infinity where it is known to lie above `bar`.

    For A with trace 1 and eigenvalues >= 0 the largest lies between tr A**2 and its square root. With A = M**(2**p)
    scaled, 2**p-th roots give bounds on that of M which close in as k**(2**-p), whatever the gap between eigenvalues.

    Args:
        matrices: Symmetric, positive semidefinite up to rounding.
        bar: What still interests.

    Returns:
        Correct to about 2**-44 of itself.
    """
    upper = _trace(matrices)
    values = np.where(upper > bar * matrices.shape[0], math.inf, np.maximum(upper, 0.0))
    left = np.flatnonzero((values > 0.0) & (values < math.inf))
    upper, power = upper[left], matrices[:, :, left] / upper[left]
    for squarings in range(_SQUARINGS):
        root = _square_root(_sum_of_squares(power), times=squarings)
        lower, upper = upper * root, upper * np.sqrt(root)
        met, beyond = root > 1.0 - _CLOSE, lower > bar
        values[left] = np.where(beyond, math.inf, upper)
        open_ = ~(met | beyond)
        if not open_.any():
            break
        left, upper = left[open_], upper[open_]
        power = _squared(power[:, :, open_])
    return values


def top(matrix: Float64[np.ndarray, "rows rows"]) -> tuple[float, Float64[np.ndarray, " rows"]]:
    """Returns the largest eigenvalue and a unit eigenvector of it, the same on every machine and in every tie.

    Up to 64 rows the matrix is squared until it no longer changes; it is then a multiple of the projection onto the top
    eigenspace, and its column with the largest diagonal element (the first of them) is the vector. With more rows, the
    same is done within a Krylov space of 32 dimensions: the value is then a Rayleigh quotient that may fall short of
    the largest eigenvalue where those next to it are close. A filter needs no more than a direction in which the spread
    is nearly the largest: by how much it falls short, by that factor its bound on the covariance grows.

    Args:
        matrix: Symmetric, positive semidefinite up to rounding.

    Reference:
        Golub, Van Loan 2013, algorithm 10.1.1 with full reorthogonalisation.
    """
    if len(matrix) > _LARGE:
        basis, images = _krylov(matrix)
        inner = np.stack([geometries.weighted(image, basis.T) for image in images])
        _, coordinates = top((inner + inner.T) / 2.0)
        vector = _unit(geometries.weighted(coordinates, basis))
    else:
        vector = _dominant(matrix)
    return float(geometries.total(vector * geometries.weighted(vector, matrix))), vector


def caf(geometry: geometries.Geometry, f: int) -> weights.Weights:
    """Returns the weights under which the largest eigenvalue of the covariance was least, as rows were faded out.

    All weights c start at 1. While more than n - 2 f are left: with the top eigenvector v of the covariance and
    `tau_i = <x_i - m, v>**2`, each weight is multiplied by `1 - tau_i / max tau`. The maximum is over the rows that still
    have a weight, so one row is out after each step, and the filter ends after at most n of them. Rows that are out, however
    far, change nothing any more.

    Args:
        geometry: Of the rows.
        f: Byzantine rows to withstand, `0 <= 2 f < rows`.

    Returns:
        Weights in [0, 1]: those of the mean if f is 0.

    Reference:
        Allouah et al. 2025, CAF.
    """
    rows = len(geometry.squared)
    squared = geometries.as_floats(geometry.squared)
    best = kept = np.ones(rows)
    least = math.inf
    while (mass := geometries.total(kept)) > rows - 2 * f:
        active = np.flatnonzero(kept)
        value, deviations = stretch(squared[np.ix_(active, active)], kept[active] / mass)
        if value < least:
            best, least = kept, value
        if value <= 0.0:
            break
        kept = kept.copy()
        kept[active] *= 1.0 - deviations
    return weights.Weights(numerators=best, total=float(geometries.total(best)))


def stretch(
    squared: Float64[np.ndarray, "rows rows"], shares: Float64[np.ndarray, " rows"]
) -> tuple[float, Float64[np.ndarray, " rows"]]:
    """Returns the largest eigenvalue of the covariance, and every row's squared deviation along its eigenvector.

    With B = W K W, W = diag(sqrt w), and B u = value u, the eigenvector is `sum_i sqrt(w_i) u_i (x_i - m)` up to its
    length, and the deviations along it are K W u.

    Args:
        squared: Squared distances between the rows.
        shares: Their weights, positive, summing to one.

    Returns:
        The value, 0 if all rows are equal; and the deviations as parts of the largest, 0 to 1.
    """
    roots = np.sqrt(shares)
    inner = centred(squared, shares)
    value, vector = top(inner * roots * roots[:, np.newaxis])
    along = np.abs(geometries.weighted(roots * vector, inner))
    peak = along.max()
    # Divided first: the square of a small deviation may be no double any more.
    return (value, (along / peak) ** 2) if peak > 0.0 else (0.0, along)


def _dominant(matrix: np.ndarray) -> np.ndarray:
    trace = _trace(matrix)
    if trace <= 0.0:
        return _unit(np.ones(len(matrix)))
    power = matrix / trace
    for _ in range(_SQUARINGS):
        power, before = _squared(power), power
        if np.abs(power - before).max() < _CLOSE:
            break
    return _unit(power[:, int(np.argmax(np.diagonal(power)))])


def _krylov(matrix: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Returns orthonormal rows that span a start vector, its image, the image of that and so on; and their images."""
    # Multiples of the golden ratio modulo 1: no pattern that data would have, and never near the constant vector, which
    # a centred matrix sends to 0.
    direction = _unit(np.arange(1, len(matrix) + 1) * 0.6180339887498949 % 1.0 - 0.5)
    basis: list[np.ndarray] = []
    images: list[np.ndarray] = []
    for _ in range(_KRYLOV):
        basis.append(direction)
        images.append(geometries.weighted(direction, matrix))
        rest = images[-1]
        # Twice is enough: the second time removes what rounding left.
        for known in basis + basis:
            rest = rest - geometries.total(rest * known) * known
        if geometries.total(rest * rest) <= _CLOSE * _CLOSE * geometries.total(images[-1] * images[-1]):
            break
        direction = _unit(rest)
    return np.stack(basis), np.stack(images)


def _squared(power: Shaped[np.ndarray, "rows rows ..."]) -> np.ndarray:
    """Returns the square of every symmetric matrix, divided by its trace."""
    square = power[0][:, np.newaxis] * power[0][np.newaxis]
    for row in power[1:]:
        square += row[:, np.newaxis] * row[np.newaxis]
    return np.asarray(square / _trace(square))


def _trace(matrices: np.ndarray) -> np.ndarray:
    return np.asarray(geometries.total(np.moveaxis(np.diagonal(matrices), -1, 0)))


def _sum_of_squares(matrices: np.ndarray) -> np.ndarray:
    return np.asarray(geometries.total(np.asarray(geometries.total(matrices * matrices))))


def _square_root(roots: np.ndarray, *, times: int) -> np.ndarray:
    for _ in range(times):
        roots = np.sqrt(roots)
    return roots


def _unit(vector: np.ndarray) -> np.ndarray:
    return np.asarray(vector / np.sqrt(geometries.total(vector * vector)))

"""The geometric median: the point with the least sum of distances to the rows, found in the space of weights.

The median is a mean of the rows, so a point is its weights w, and with K the inner products of the rows seen from one
of them (the pivot)

    |x_i - z|^2 = K_ii - 2 (K w)_i + w^T K w        K_ij = (D_ip + D_jp - D_ij) / 2

from squared distances D alone. The pivot is the row with the least sum of distances: it lies among the majority, so
rows far out take part with a weight as small as they are far, and no digit of the near ones is lost to them.

References:
    Weiszfeld 1937, "Sur le point pour lequel la somme des distances de n points donnes est minimum".
    Vardi, Zhang 2000, "The multivariate L1-median and associated data depth" (a row that is the median itself).
    Anderson 1965, "Iterative procedures for nonlinear integral equations" (extrapolation).
    Pillutla, Kakade, Harchaoui 2022, "Robust aggregation for federated learning", algorithm 2 (smoothing).
"""

import math
from dataclasses import dataclass

import numpy as np

from aggregation import geometry, weights

# Distances are smoothed to sqrt(d^2 + s^2) with s this part of the pivot's median distance.
_SMOOTHING = 2.0**-30
# Converged when the mean of the unit vectors towards the rows is this short.
_TOLERANCE = 2.0**-33
_MOST_STEPS = 300
# By how much of itself rounding may raise a sum of distances.
_NOISE = 2.0**-40


@dataclass(frozen=True, slots=True, kw_only=True)
class _Point:
    """A point, or the difference of two: its weights, and `K weights`."""

    weights: np.ndarray
    image: np.ndarray

    def plus(self, other: "_Point", factor: float) -> "_Point":
        return _Point(weights=self.weights + factor * other.weights, image=self.image + factor * other.image)

    def dot(self, other: "_Point") -> float:
        return float(geometry.total(self.weights * other.image))

    def minus(self, other: "_Point") -> "_Point":
        return self.plus(other, -1.0)


@dataclass(frozen=True, slots=True, kw_only=True)
class _Step:
    """From a point to the mean of the rows under its weights."""

    start: _Point
    mean: _Point

    @property
    def move(self) -> _Point:
        return self.mean.minus(self.start)


def geometric_median(rows: geometry.Geometry) -> weights.Weights:
    """Returns the weights whose mean is the geometric median, to about 1e-9 of the rows' distances.

    A row that is the median is returned as it is; of several such at one place, the lowest. Where the median is not unique
    (an even number of rows on a line), it is the point of the segment that the descent from the mean meets.

    Args:
        rows: Their geometry.

    Reference:
        Weiszfeld 1937, smoothed as by Pillutla et al. 2022, algorithm 2, and extrapolated as by Anderson 1965.
    """
    distances = np.sqrt(geometry.as_floats(rows.squared))
    pivot = int(np.argmin(geometry.total(distances)))
    products = geometry.centred(rows, pivot)
    if _is_median(products, distances[pivot]):
        return weights.Weights(numerators=(np.arange(len(products)) == pivot).astype(np.int64), total=1)
    smoothing = _SMOOTHING * float(np.sort(distances[pivot])[len(products) // 2])
    numerators = _descend(products, smoothing * smoothing)
    return weights.Weights(numerators=numerators, total=float(geometry.total(numerators)))


def _is_median(products: np.ndarray, distances: np.ndarray) -> bool:
    """Returns whether the others pull at the pivot by less than the rows at its place hold: `|sum of units| < their number`.

    With a margin: at equality the minimum is not unique, and is left to the descent, which keeps symmetric rows alike.

    Reference:
        Vardi and Zhang 2000, theorem on a row that is the median.
    """
    there = distances == 0.0
    inverse = np.where(there, 0.0, 1.0 / np.where(there, 1.0, distances))
    pull = float(geometry.total(inverse * geometry.weighted(inverse, products)))
    return pull < int(there.sum()) ** 2 * (1.0 - 2.0**-30)


def _descend(products: np.ndarray, smoothing: float) -> np.ndarray:
    """Returns the weights after the last of Weiszfeld's steps, unscaled: one over the distance of each row.

    A step goes from z to the mean of the rows under weights 1/d_i. It is -1/W of the gradient, W = sum 1/d_i, and always
    descends, but slowly where rows crowd or lie near a line; so the next point is extrapolated from the last two means.
    Where that raises the sum of distances, the mean itself is taken.
    """
    count = len(products)
    squares = products.diagonal()
    even = inverse = np.full(count, 1.0 / count)
    point = _Point(weights=even, image=geometry.weighted(even, products))
    before: _Step | None = None
    least, growth = math.inf, 1.0
    for _ in range(_MOST_STEPS):
        distances = np.sqrt(np.maximum(squares - 2.0 * point.image + point.dot(point), 0.0) + smoothing)
        spread = float(geometry.total(distances))
        if before is not None and spread > least * (1.0 + _NOISE):
            point, before, growth = before.mean, None, 1.0
            continue
        least = spread
        inverse = 1.0 / distances
        whole = float(geometry.total(inverse))
        shares = inverse / whole
        step = _Step(start=point, mean=_Point(weights=shares, image=geometry.weighted(shares, products)))
        if whole * math.sqrt(max(step.move.dot(step.move), 0.0)) <= _TOLERANCE * count:
            break
        point = step.mean
        if before is not None:
            factor, growth = _extrapolation(step, before, growth)
            point = point.plus(step.mean.minus(before.mean), factor)
        before = step
    return inverse


def _extrapolation(step: _Step, before: _Step, growth: float) -> tuple[float, float]:
    """Returns how far beyond the last mean to go, in differences of the last two means, and the next growth.

    Reference:
        Anderson 1965, with one step remembered: the point where the step, if it were linear, would be shortest.
    """
    change = step.move.minus(before.move)
    # A step that grows tells of a valley with no minimum near by: go ten times as far each time.
    if step.start.minus(before.start).dot(change) >= 0.0:
        return 10.0 * growth, 10.0 * growth
    square = change.dot(change)
    return (-step.move.dot(change) / square if square > 0.0 else 0.0), 1.0

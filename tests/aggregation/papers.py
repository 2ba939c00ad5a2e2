"""The papers' formulas, literal and slow, in float64; and which inputs leave a choice open."""

import itertools
import math

import numpy as np


def squared_distances(matrix):
    wide = matrix.astype(np.float64)
    return np.stack([((row - wide) ** 2).sum(1) for row in wide])


def scores(matrix, f):
    """Blanchard et al. 2017: the n - f - 2 nearest others."""
    squared = squared_distances(matrix)
    np.fill_diagonal(squared, np.inf)
    return np.sort(squared, axis=1)[:, : len(matrix) - f - 2].sum(1)


def multi_krum(matrix, f):
    return matrix[np.argsort(scores(matrix, f), kind="stable")[: len(matrix) - f]].astype(np.float64).mean(0)


def mda(matrix, f):
    squared = squared_distances(matrix)
    kept = itertools.combinations(range(len(matrix)), len(matrix) - f)
    return matrix[list(min(kept, key=lambda s: squared[np.ix_(s, s)].max()))].astype(np.float64).mean(0)


def spreads(matrix, f):
    """The subsets of n - f rows in lexicographic order, and the largest eigenvalue of each one's scatter."""
    kept = list(itertools.combinations(range(len(matrix)), len(matrix) - f))
    among = matrix.astype(np.float64)[np.array(kept)]
    return kept, np.linalg.svd(among - among.mean(1, keepdims=True), compute_uv=False)[:, 0] ** 2


def beyond_float32(matrix):
    """Whether the square of an eigenvalue of the covariance is no normal float32, so that byzfl's torch half divides 0 by 0."""
    return matrix.dtype == np.float32 and not 1e-15 < spreads(matrix, 0)[1][0] < 1e18


def without_spread(matrix, f):
    """Whether the rows of some subset are equal up to rounding."""
    return spreads(matrix, f)[1].min() <= 1e-26 * np.abs(matrix.astype(np.float64)).max() ** 2


def smea(matrix, f):
    """Allouah et al. 2023: of values equal up to rounding, the first."""
    kept, values = spreads(matrix, f)
    nothing = 1e-26 * np.abs(matrix.astype(np.float64)).max() ** 2
    first = int(np.flatnonzero(values <= values.min() * (1 + 1e-11) + nothing)[0])
    return matrix[list(kept[first])].astype(np.float64).mean(0)


def meamed(matrix, f):
    """Xie et al. 2018, the smaller value first where two are equally near."""
    columns = []
    for column in matrix.astype(np.float64).T:
        middle = np.median(column)
        columns.append(np.mean(sorted(sorted(column), key=lambda x, m=middle: abs(x - m))[: len(column) - f]))
    return np.array(columns)


def nnm(matrix, f):
    nearest = np.argsort(squared_distances(matrix), axis=1, kind="stable")[:, : len(matrix) - f]
    return matrix.astype(np.float64)[nearest].mean(1)


def clipping(matrix, radius):
    wide = matrix.astype(np.float64)
    lengths = np.linalg.norm(wide, axis=1, keepdims=True)
    return wide * np.minimum(1.0, radius / np.where(lengths > 0, lengths, 1.0))


def arc(matrix, f):
    lengths = np.sort(np.linalg.norm(matrix.astype(np.float64), axis=1))
    return clipping(matrix, lengths[len(matrix) - 1 - 2 * f * (len(matrix) - f) // len(matrix)])


def centered_clipping(matrix, radius, steps):
    wide, v = matrix.astype(np.float64), np.zeros(matrix.shape[1])
    for _ in range(steps):
        v = v + clipping(wide - v, radius).mean(0)
    return v


def caf(matrix, f, *, over_removed=False):
    """Allouah et al. 2025; None if some step has two top directions, or two steps the same value: the paper is open then.

    With `over_removed` byzfl's reading: the largest deviation is that of any client, also of one without weight. None
    too if that never ends, or divides by zero because the rows left are equal.
    """
    wide = matrix.astype(np.float64)
    c, best, least = np.ones(len(wide)), wide.mean(0), math.inf
    nothing = 1e-26 * np.abs(wide).max() ** 2
    for _ in range(2 * len(wide)):
        if c.sum() <= len(wide) - 2 * f + 1e-9:
            return best
        mean = c @ wide / c.sum()
        _, values, directions = np.linalg.svd(np.sqrt(c / c.sum())[:, np.newaxis] * (wide - mean), full_matrices=False)
        values = np.append(values, 0.0) ** 2
        if values[0] <= nothing:
            return None if over_removed else mean
        if values[1] > values[0] * (1 - 1e-6) or abs(values[0] / least - 1) < 1e-9:
            return None
        if values[0] < least:
            best, least = mean, values[0]
        tau = ((wide - mean) @ directions[0]) ** 2
        peak = tau.max() if over_removed else tau[c > 0].max()
        c = np.where(tau > peak * (1 - 2**-40), 0, c * (1 - tau / peak))
    return None


def tie_at(values, count):
    """Whether the `count` smallest are not clearly fewer than those after, along the last axis."""
    ascending = np.sort(values, axis=-1)
    if not 0 < count < ascending.shape[-1]:
        return False
    return bool(np.any(ascending[..., count] - ascending[..., count - 1] <= 1e-5 * np.abs(ascending[..., count])))


def optimality(matrix, point):
    """How far a point is from the geometric median: the least gradient of the mean distance there, 0 to 1."""
    wide = matrix.astype(np.float64)
    distances = np.linalg.norm(wide - point, axis=1)
    here = distances <= 1e-9 * np.median(distances)
    units = (wide - point)[~here] / distances[~here][:, np.newaxis]
    return max(0.0, float(np.linalg.norm(units.sum(0))) - here.sum()) / len(wide)

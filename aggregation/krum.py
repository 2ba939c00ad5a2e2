"""Krum, Multi-Krum and the selection of Bulyan: the rows that lie closest to their nearest neighbours.

Scores are sums of squared distances: exact integers on the lattice, so the selection has no rounding. Equal scores go to
the lower row.

References:
    Blanchard, El Mhamdi, Guerraoui, Stainer 2017, "Machine learning with adversaries: Byzantine tolerant gradient
    descent", section 4: s(i) = sum over the n - f - 2 nearest neighbours j of i of |x_i - x_j|^2.
    El Mhamdi, Guerraoui, Rouault 2018, "The hidden vulnerability of distributed learning in Byzantium", section 4.
"""

import numpy as np

from aggregation import geometry, weights


def krum(rows: geometry.Geometry, f: int) -> weights.Weights:
    """Returns all weight on the row with the smallest score.

    Args:
        rows: Their geometry.
        f: Byzantine clients to withstand, `2 f + 2 < rows`.

    Reference:
        Blanchard et al. 2017, section 4.
    """
    return _even(len(rows.squared), _ranking(rows, f)[:1])


def multi_krum(rows: geometry.Geometry, f: int) -> weights.Weights:
    """Returns equal weights on the `rows - f` rows with the smallest scores.

    Args:
        rows: Their geometry.
        f: Byzantine clients to withstand, `2 f + 2 < rows`.

    Reference:
        Blanchard et al. 2017, section 5 (m-Krum), with m = n - f.
    """
    count = len(rows.squared)
    return _even(count, _ranking(rows, f)[: count - f])


def bulyan_selection(rows: geometry.Geometry, f: int) -> list[int]:
    """Returns the `rows - 2 f` rows, ascending, that Krum takes one after another, each time from those still left.

    Of m rows left Krum sums the m - f - 2 nearest; of so few that this is below 1, the nearest.

    Args:
        rows: Their geometry.
        f: Byzantine clients to withstand, `4 f + 3 <= rows`.

    Reference:
        El Mhamdi et al. 2018, section 4, step 1, with theta = n - 2 f.
    """
    count = len(rows.squared)
    if f == 0:
        return list(range(count))
    left = np.arange(count)
    neighbours, distances = _neighbours(rows)
    chosen = []
    for _ in range(count - 2 * f):
        best = int(np.argmin(_sums(distances[:, : max(len(left) - f - 2, 1)])))
        chosen.append(int(left[best]))
        left, neighbours, distances = (np.delete(each, best, axis=0) for each in (left, neighbours, distances))
        # Every row left has lost one neighbour.
        others = neighbours != chosen[-1]
        neighbours, distances = (each[others].reshape(len(left), -1) for each in (neighbours, distances))
    return sorted(chosen)


def _ranking(rows: geometry.Geometry, f: int) -> np.ndarray:
    """Returns the rows in ascending order of their scores, the lower row first where they are equal."""
    _, distances = _neighbours(rows)
    return np.argsort(_sums(distances[:, : len(distances) - f - 2]), kind="stable")


def _neighbours(rows: geometry.Geometry) -> tuple[np.ndarray, np.ndarray]:
    """Returns, for every row, the others in ascending order of their squared distances, and these."""
    count = len(rows.squared)
    squared = rows.squared
    # Sums of int64 distances may pass 2**63: two rows at opposite ends must not wrap round to a small score.
    if squared.dtype == np.int64 and int(squared.max()) * count >= 2**63:
        squared = squared.astype(np.object_)
    order = np.argsort(squared, axis=1, kind="stable")
    order = order[order != np.arange(count)[:, np.newaxis]].reshape(count, count - 1)
    return order, np.take_along_axis(squared, order, axis=1)


def _sums(distances: np.ndarray) -> np.ndarray:
    """Returns the sum of every row: exact on integers; floats one after another, ascending, in any order of rows the same."""
    return np.asarray(geometry.total(distances.T) if distances.dtype == np.float64 else distances.sum(1))


def _even(count: int, chosen: np.ndarray) -> weights.Weights:
    numerators = np.zeros(count, dtype=np.int64)
    numerators[chosen] = 1
    return weights.Weights(numerators=numerators, total=len(chosen))

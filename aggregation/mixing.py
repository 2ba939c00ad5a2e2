"""Pre-aggregations that average: every row, or bucket of rows, becomes a mean of some.

The means stay sums over a common denominator, so nothing is rounded before the rule.
"""

import hashlib
import math

import numpy as np

from aggregation import geometry, mixture


def nearest_neighbours(rows: geometry.Geometry, f: int) -> mixture.Mixture:
    """Returns, for every row, the mean of the `rows - f` rows nearest to it, itself among the candidates.

    Equal distances go to the lower row. It draws the honest rows together, whatever rule follows.

    Args:
        rows: Their geometry.
        f: Byzantine clients to withstand, `0 <= 2 f < rows`.

    Reference:
        Allouah, Farhadkhani, Guerraoui, Gupta, Pinot, Stephan 2023, "Fixing by mixing: a recipe for optimal Byzantine ML
        under heterogeneity", algorithm 2 (NNM).
    """
    count = len(rows.squared)
    nearest = np.argsort(rows.squared, axis=1, kind="stable")[:, : count - f]
    coefficients = np.zeros((count, count), dtype=np.int64)
    np.put_along_axis(coefficients, nearest, 1, axis=1)
    return mixture.Mixture(coefficients=coefficients, denominator=count - f)


def bucketing(clients: int, size: int, *, draw: bytes) -> mixture.Mixture:
    """Returns the means of buckets of `size` rows each, in a drawn order; the last bucket may hold fewer.

    The order is that of SHA-256 over `draw`, a line feed and the row's index in decimal: nobody who does not know `draw`
    can choose a neighbour.

    Args:
        clients: Rows to put into buckets, >= 1.
        size: Rows a bucket, >= 1.
        draw: Public bytes that nobody could know before the updates were fixed.

    Reference:
        Karimireddy, He, Jaggi 2022, "Byzantine-robust learning on heterogeneous datasets via bucketing", algorithm 1.
    """
    order = sorted(range(clients), key=lambda row: hashlib.sha256(draw + b"\n" + str(row).encode()).digest())
    buckets = [order[start : start + size] for start in range(0, clients, size)]
    denominator = math.lcm(len(buckets[0]), len(buckets[-1]))
    coefficients = np.zeros((len(buckets), clients), dtype=np.int64)
    for row, bucket in enumerate(buckets):
        coefficients[row, bucket] = denominator // len(bucket)
    return mixture.Mixture(coefficients=coefficients, denominator=denominator)

"""Krum and Multi-Krum: the updates that lie closest to their nearest neighbours.

Distances are exact integers, so the selection has no rounding; equal scores go to the lower row.

Reference:
    Blanchard, El Mhamdi, Guerraoui, Stainer 2017, "Machine learning with adversaries: Byzantine tolerant gradient
    descent", section 4: s(i) = sum over the n - f - 2 nearest neighbours j of i of |x_i - x_j|^2.
"""

from jaxtyping import Float64, Int
from torch import Tensor

from aggregation import coordinatewise, gram


def krum(matrix: Int[Tensor, "clients dim"], f: int, *, count: int = 1) -> Float64[Tensor, " dim"]:
    """Returns the update with the smallest score.

    Args:
        matrix: int16 updates, or int32 sums of `count` updates; one a row.
        f: Byzantine clients to withstand, `2 f + 2 < clients`.
        count: How many updates each row is the sum of; the result is divided by it.

    Reference:
        Blanchard et al. 2017, section 4.
    """
    return coordinatewise.mean(matrix[_ranking(matrix, f)[:1]], count=count)


def multi_krum(matrix: Int[Tensor, "clients dim"], f: int, *, count: int = 1) -> Float64[Tensor, " dim"]:
    """Returns the mean of the `clients - f` updates with the smallest scores.

    Args:
        matrix: int16 updates, or int32 sums of `count` updates; one a row.
        f: Byzantine clients to withstand, `2 f + 2 < clients`.
        count: How many updates each row is the sum of; the result is divided by it as well.

    Reference:
        Blanchard et al. 2017, section 5 (m-Krum), with m = n - f.
    """
    return coordinatewise.mean(matrix[_ranking(matrix, f)[: len(matrix) - f]], count=count)


def _ranking(matrix: Int[Tensor, "clients dim"], f: int) -> list[int]:
    """Returns the rows in ascending order of their scores, the lower row first where they are equal."""
    distances = gram.squared_distances(matrix)
    scores = []
    for i, row in enumerate(distances):
        others = sorted(row[:i] + row[i + 1 :])
        scores.append(sum(others[: len(matrix) - f - 2]))
    return sorted(range(len(matrix)), key=scores.__getitem__)

"""Nearest-neighbour mixing: every update is replaced by the mean of the n - f updates nearest to it, itself included.

A pre-aggregation: it draws the honest updates together, whatever rule follows. The means are kept as integer sums and
divided by their count once, after the rule, so nothing is rounded in between.

Reference:
    Allouah, Farhadkhani, Guerraoui, Gupta, Pinot, Stephan 2023, "Fixing by mixing: a recipe for optimal Byzantine ML
    under heterogeneity", algorithm 2 (NNM).
"""

from dataclasses import dataclass

import torch
from jaxtyping import Int, Int16
from torch import Tensor

from aggregation import gram

# Columns mixed at once: the float64 working copy stays in the cache.
_BLOCK_COLUMNS = 1 << 14


@dataclass(frozen=True, slots=True, kw_only=True)
class Mixture:
    """Mixed updates: row i stands for `sums[i] / count`.

    Attributes:
        sums: int32 sums of `count` updates each, or the int16 updates themselves where `count` is 1.
        count: How many updates each row is the sum of.
    """

    sums: Int[Tensor, "clients dim"]
    count: int


def unmixed(matrix: Int16[Tensor, "clients dim"]) -> Mixture:
    """Returns the updates as they are."""
    return Mixture(sums=matrix, count=1)


def nearest_neighbours(matrix: Int16[Tensor, "clients dim"], f: int) -> Mixture:
    """Returns, for every update, the sum of the `clients - f` updates nearest to it, itself included.

    Equal distances go to the lower row. The sums fit int32 up to 65,537 clients.

    Args:
        matrix: One update a row.
        f: Byzantine clients to withstand, `0 <= 2 f < clients`.

    Reference:
        Allouah et al. 2023, algorithm 2.
    """
    clients = len(matrix)
    weights = torch.zeros(clients, clients, dtype=torch.float64, device=matrix.device)
    for i, row in enumerate(gram.squared_distances(matrix)):
        nearest = sorted(range(clients), key=row.__getitem__)[: clients - f]
        weights[i, nearest] = 1.0
    sums = torch.empty(matrix.shape, dtype=torch.int32, device=matrix.device)
    for start in range(0, matrix.shape[1], _BLOCK_COLUMNS):
        columns = slice(start, start + _BLOCK_COLUMNS)
        # Exact in float64 in any order: integers below 2**53. In float32 a global switch to TF32 would break it.
        sums[:, columns] = weights @ matrix[:, columns].to(torch.float64)
    return Mixture(sums=sums, count=clients - f)

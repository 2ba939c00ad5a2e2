"""Credit scores: exact integers that say how well an update agrees with the aggregate of the others."""

import math

import torch
from jaxtyping import Int16, Int32
from torch import Tensor

from aggregation import gram, lattice


def gram_scores(matrix: Int16[Tensor, "clients dim"], refined: Int32[Tensor, " dim"]) -> list[int]:
    """Returns one score >= 0 a row: how far the sum of the others points along this update.

    With n updates x_j and the aggregate `a = refined / 2**8` the others' share of the aggregate is

        o_i = n a - x_i                       (for the mean: exactly the sum of the others)
        s_i = max(0, <x_i, o_i>) / |x_i|      the length of o_i along x_i
            = max(0, n <x_i, refined> - 2**8 <x_i, x_i>) / |x_i|     in 1/256 of a lattice step, rounded down

    An update's own part is taken out, so it cannot vouch for itself. Dividing by its length once gives `2 x_i` the
    score of `x_i` as long as `o_i` stays: inflating pays nothing. Zeros, and updates against the others, score 0. A
    copy of another update scores like it: copies are found by other means.

    Args:
        matrix: The accepted updates, one a row.
        refined: Their aggregate, as `lattice.refine` gives it.

    Returns:
        Integers in the order of the rows; only their proportions mean something.

    Reference:
        docs/protocol.md P14.
    """
    agreements = gram.inner(matrix, refined)
    squares = gram.squared_norms(matrix)
    return [_score(len(matrix) * a - (s << lattice.FRACTION_BITS), s) for a, s in zip(agreements, squares, strict=True)]


def shortened(matrix: Int16[Tensor, "clients dim"]) -> Int16[Tensor, "clients dim"]:
    """Returns the updates, none longer than twice the (lower) median length: what a utility is asked about.

    One that is longer is multiplied by `f / 2**16`, f = isqrt(floor(2**32 * 4 median / square)), each coordinate rounded half
    to even. So one enormous update does not bend the curve that all are judged by.

    Reference:
        docs/protocol.md P29.
    """
    squares = gram.squared_norms(matrix)
    bound = 4 * sorted(squares)[(len(squares) - 1) // 2] if squares else 0
    rows = []
    for row, square in zip(matrix, squares, strict=True):
        if square <= bound:
            rows.append(row)
            continue
        factor = math.isqrt((bound << 32) // square)
        rows.append((row.to(torch.float64) * factor / 2.0**16).round_().to(torch.int16))
    return torch.stack(rows) if rows else matrix


def _score(projection: int, square: int) -> int:
    """Returns floor(projection / sqrt(square)), or 0 where either is not positive."""
    if projection <= 0 or square == 0:
        return 0
    # floor(p / sqrt(q)) = floor(sqrt(p^2 / q)) = isqrt(floor(p^2 / q)).
    return math.isqrt(projection**2 // square)

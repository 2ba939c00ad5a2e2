"""Rules that treat every coordinate by itself: mean, median, trimmed mean.

All three average the middle of the sorted column: the mean all of it, the trimmed mean what is left without the f
smallest and the f largest, the median the one or two in the middle.

Integers are summed exactly and divided once, correctly rounded, so the result lies in the hull of the rows kept and is
the same bits in any order of the clients, on any number of threads, CPU or GPU.

References:
    Yin, Chen, Ramchandran, Bartlett 2018, "Byzantine-robust distributed learning: towards optimal statistical rates",
    definitions 1 and 2.
    Batcher 1968, "Sorting networks and their applications" (odd-even merge sort).
"""

from collections.abc import Iterator
from functools import cache

import torch
from jaxtyping import Float64, Real
from torch import Tensor

from aggregation.errors import LatticeError

# Numbers sorted at once. The network reads each row of a tile many times: the tile should stay in the cache, yet be so
# wide that the cost of a call does not count.
_TILE = 1 << 20


def mean(matrix: Real[Tensor, "clients dim"], *, count: int = 1) -> Float64[Tensor, " dim"]:
    """Returns the mean of every coordinate. One Byzantine client decides it.

    Args:
        matrix: int16 updates, int32 sums of `count` updates, or finite floats; one a row.
        count: How many updates each row is the sum of; the result is divided by it as well.

    Raises:
        LatticeError: If a float is not finite.
    """
    return _middle(matrix, range(len(matrix)), count)


def median(matrix: Real[Tensor, "clients dim"], *, count: int = 1) -> Float64[Tensor, " dim"]:
    """Returns the median of every coordinate; of an even number of clients, the mean of the two in the middle.

    Args:
        matrix: int16 updates, int32 sums of `count` updates, or finite floats; one a row.
        count: How many updates each row is the sum of; the result is divided by it as well.

    Raises:
        LatticeError: If a float is not finite.

    Reference:
        Yin et al. 2018, definition 1.
    """
    below = (len(matrix) - 1) // 2
    return _middle(matrix, range(below, len(matrix) - below), count)


def trimmed_mean(matrix: Real[Tensor, "clients dim"], f: int, *, count: int = 1) -> Float64[Tensor, " dim"]:
    """Returns the mean of every coordinate without its f smallest and f largest values.

    Args:
        matrix: int16 updates, int32 sums of `count` updates, or finite floats; one a row.
        f: Byzantine clients to withstand, `0 <= 2 f < clients`.
        count: How many updates each row is the sum of; the result is divided by it as well.

    Raises:
        LatticeError: If a float is not finite.

    Reference:
        Yin et al. 2018, definition 2, with beta = f / clients.
    """
    return _middle(matrix, range(f, len(matrix) - f), count)


def _middle(matrix: Tensor, kept: range, count: int) -> Tensor:
    """Returns the average of the order statistics `kept` of every column, divided by `count`."""
    result = torch.empty(matrix.shape[1], dtype=torch.float64, device=matrix.device)
    average = _float_average if matrix.is_floating_point() else _integer_average
    for columns in _tiles(matrix):
        result[columns] = average(matrix[:, columns], kept, count)
    return result


def _integer_average(tile: Tensor, kept: range, count: int) -> Tensor:
    # A sum of all rows is the same integer in any order.
    rows = tile if len(kept) == len(tile) else torch.stack(_order_statistics(tile, kept))
    total = rows.sum(0, dtype=torch.int64).to(torch.float64)
    # A divisor on the device: CUDA multiplies by the rounded reciprocal of a Python number, and the last bit differs.
    return total / torch.full((), len(kept) * count, dtype=torch.float64, device=tile.device)


def _float_average(tile: Tensor, kept: range, count: int) -> Tensor:
    if not bool(torch.isfinite(tile).all()):
        client = int(torch.nonzero(~torch.isfinite(tile))[0, 0])
        raise LatticeError(f"row {client} holds a NaN or an infinity: expected finite numbers")
    # Adding 0.0 turns -0.0 into 0.0: equal numbers are then equal bits, and their order cannot show.
    rows = _order_statistics(tile.to(torch.float64) + 0.0, kept)
    total = rows[0].clone()
    # One after another in ascending order: `sum` over an axis adds in an order of torch's own, another on each device.
    for row in rows[1:]:
        total += row
    average = total / torch.full((), len(kept), dtype=torch.float64, device=tile.device)
    # Rounding, or an overflow of the sum, may step out of the hull of the rows kept.
    inside = torch.clamp(average, rows[0], rows[-1])
    return inside / torch.full((), count, dtype=torch.float64, device=tile.device)


def _order_statistics(tile: Tensor, kept: range) -> list[Tensor]:
    """Returns the values of rank `kept` (0 the smallest) of every column, one tensor a rank."""
    rows = list(tile.clone().unbind(0))
    spare = torch.empty_like(rows[0])
    for i, j in _comparators(len(rows), kept):
        low, high = rows[i], rows[j]
        torch.minimum(low, high, out=spare)
        torch.maximum(low, high, out=high)
        rows[i], spare = spare, low
    return rows[kept.start : kept.stop]


@cache
def _comparators(clients: int, kept: range) -> tuple[tuple[int, int], ...]:
    """Returns the compare-exchanges (i, j), i < j, that bring the ranks `kept` to their places.

    Batcher's odd-even merge sort, without the exchanges that reach no rank kept.
    """
    network: list[tuple[int, int]] = []
    step = 1
    while step < clients:
        gap = step
        while gap >= 1:
            for start in range(gap % step, clients - gap, 2 * gap):
                lower = range(start, min(start + gap, clients - gap))
                network.extend((i, i + gap) for i in lower if i // (2 * step) == (i + gap) // (2 * step))
            gap //= 2
        step *= 2
    reached = set(kept)
    needed = []
    for i, j in reversed(network):
        if i in reached or j in reached:
            needed.append((i, j))
            reached.update((i, j))
    return tuple(reversed(needed))


def _tiles(matrix: Tensor) -> Iterator[slice]:
    clients, dim = matrix.shape
    width = max(_TILE // clients, 1)
    for start in range(0, dim, width):
        yield slice(start, min(start + width, dim))

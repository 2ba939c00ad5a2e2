"""Order statistics of the columns of a tensor, wherever it lies: what the compiled kernels do on the CPU, on torch.

The same exchanges and the same sums in the same order: on integers and on floats the same bits.
"""

import functools
from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Float64, Real
from torch import Tensor

from aggregation import network
from aggregation.errors import LatticeError
from aggregation.mixture import Mixture

# Numbers sorted at once. The network reads each row of a tile many times: the tile should stay in the cache, yet be so
# wide that the cost of a call does not count.
_TILE = 1 << 20


@dataclass(frozen=True, slots=True, kw_only=True)
class Kept:
    """Which of the sorted numbers of a column are averaged.

    Attributes:
        first: The smallest rank.
        last: The rank after the largest; with `nearest` only their number counts.
        nearest: Whether it is those nearest to the median instead.
    """

    first: int
    last: int
    nearest: bool

    @property
    def count(self) -> int:
        """How many."""
        return self.last - self.first


def largest(mixture: Mixture) -> int:
    """Returns the largest sum of magnitudes of a row's integer coefficients."""
    return max(sum(abs(int(each)) for each in row) for row in mixture.coefficients)


def on_tensors(matrix: Real[Tensor, "clients dim"], kept: Kept, mixture: Mixture | None) -> Float64[Tensor, " dim"]:
    """Returns the average of the order statistics `kept` of every column of the mixed rows.

    Raises:
        LatticeError: If a float is not finite.
    """
    result = torch.empty(matrix.shape[1], dtype=torch.float64, device=matrix.device)
    width = max(_TILE // max(len(matrix), 1), 1)
    for start in range(0, matrix.shape[1], width):
        tile = matrix[:, start : start + width]
        if matrix.is_floating_point() and not bool(torch.isfinite(tile).all()):
            client = int(torch.nonzero(~torch.isfinite(tile))[0, 0])
            raise LatticeError(f"row {client} holds a NaN or an infinity: expected finite numbers")
        result[start : start + width] = _average(tile, kept, mixture)
    return result


def _average(tile: Tensor, kept: Kept, mixture: Mixture | None) -> Tensor:
    # Adding 0.0 turns -0.0 into 0.0: equal numbers are then equal bits, and their order cannot show.
    rows = list((tile.to(torch.float64) + 0.0).unbind(0)) if mixture is None else _mixed(tile, mixture)
    if not kept.nearest and kept.count == len(rows):
        total, _, _ = _sum(rows)
        low, high = functools.reduce(torch.minimum, rows), functools.reduce(torch.maximum, rows)
    else:
        _exchange(
            rows, network.comparators(len(rows), range(len(rows)) if kept.nearest else range(kept.first, kept.last))
        )
        total, low, high = _nearest(rows, kept.count) if kept.nearest else _sum(rows[kept.first : kept.last])
    denominator = 1 if mixture is None else mixture.denominator
    # Divisors on the device: CUDA multiplies by the rounded reciprocal of a Python number, and the last bit differs.
    if not tile.is_floating_point():
        return total / torch.full((), kept.count * denominator, dtype=torch.float64, device=tile.device)
    average = total / torch.full((), kept.count, dtype=torch.float64, device=tile.device)
    # Rounding, or an overflow of the sum, may step out of the hull of the rows kept.
    inside = torch.clamp(average, low, high)
    return inside / torch.full((), denominator, dtype=torch.float64, device=tile.device)


def _mixed(tile: Tensor, mixture: Mixture) -> list[Tensor]:
    """Returns the mixed rows in float64, added client by client: integers below 2**53 in any order."""
    clients = tile.to(torch.float64)
    rows = []
    for coefficients in mixture.coefficients.astype(np.float64).tolist():
        row = torch.zeros_like(clients[0])
        for client, coefficient in zip(clients, coefficients, strict=True):
            row += client * coefficient
        rows.append(row)
    return rows


def _sum(rows: list[Tensor]) -> tuple[Tensor, Tensor, Tensor]:
    total = torch.zeros_like(rows[0])
    # One after another: `sum` over an axis adds in an order of torch's own, another on each device.
    for row in rows:
        total += row
    return total, rows[0], rows[-1]


def _nearest(rows: list[Tensor], count: int) -> tuple[Tensor, Tensor, Tensor]:
    """Returns the sum, the smallest and the largest of the `count` numbers nearest to the median.

    They stand side by side. The window moves up while the number above it is nearer to the median m than its lowest:
    s[w + count] - m < m - s[w]. Both sides are halved, so that no sum overflows.
    """
    twice = 0.5 * rows[(len(rows) - 1) // 2] + 0.5 * rows[len(rows) // 2]
    starts = torch.zeros_like(rows[0], dtype=torch.int64)
    for below, above in zip(rows, rows[count:], strict=False):
        starts += 0.5 * below + 0.5 * above < twice
    total, low, high = (torch.zeros_like(rows[0]) for _ in range(3))
    for rank, row in enumerate(rows):
        total += torch.where((starts <= rank) & (rank < starts + count), row, 0.0)
        low = torch.where(starts == rank, row, low)
        high = torch.where(starts + count - 1 == rank, row, high)
    return total, low, high


def _exchange(rows: list[Tensor], pairs: tuple[tuple[int, int], ...]) -> None:
    """Runs the comparators over all columns, in place in the list."""
    for i, j in pairs:
        rows[i], rows[j] = torch.minimum(rows[i], rows[j]), torch.maximum(rows[i], rows[j])

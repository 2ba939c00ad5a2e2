"""One weighted sum of the rows: the second and last pass over the data of every rule that decides by distances.

Integers are summed exactly and divided once: `sum |numerators| <= 2**37` keeps every partial sum of products with int16
an integer below 2**53, which float64 holds in whatever order it is reached.
"""

import numpy as np
import torch
from jaxtyping import Float64, Int64, Real
from torch import Tensor

from aggregation import spans
from aggregation.errors import LatticeError

MOST = 1 << 37
# Columns converted at once on a GPU.
_BLOCK_COLUMNS = 1 << 16


def combine(
    matrix: Real[Tensor, "clients dim"],
    numerators: Int64[np.ndarray, " clients"] | Float64[np.ndarray, " clients"],
    denominator: int,
) -> Float64[Tensor, " dim"]:
    """Returns `sum_i numerators[i] matrix[i] / denominator`.

    Rows of weight 0 are not read. Floats are added in the order of the rows.

    Args:
        matrix: int16, or finite floats; one row a client.
        numerators: Integers whose magnitudes sum to at most 2**37 where the matrix holds integers.
        denominator: Divides the sum, >= 1, a number that float64 holds exactly.

    Raises:
        ValueError: If the weights are beyond these bounds.
        LatticeError: If a float that is read is not finite; the message names the row.
    """
    if denominator < 1 or int(float(denominator)) != denominator:
        raise ValueError(f"denominator {denominator}: expected a positive number that float64 holds exactly")
    if not matrix.is_floating_point():
        magnitude = sum(abs(int(numerator)) for numerator in numerators)
        if numerators.dtype != np.int64 or magnitude > MOST:
            raise ValueError(f"{numerators.dtype} weights of {magnitude} in all: expected int64, at most {MOST}")
    chosen = np.flatnonzero(numerators)
    if matrix.device.type != "cpu":
        return on_tensors(matrix, chosen, numerators[chosen].astype(np.float64), denominator)
    if len(chosen) == 0 or matrix.shape[1] == 0:
        return torch.zeros(matrix.shape[1], dtype=torch.float64)
    from aggregation import columns  # noqa: PLC0415  compiles: 0.4 s that other commands need not wait

    numbers, stride = spans.flat(matrix)
    # numpy asks for large pages: the first touch of a result of small ones takes as long as half of the sum.
    weights, result = numerators[chosen].astype(np.float64), np.empty(matrix.shape[1])
    for _ in spans.each(
        len(result),
        lambda first, last: columns.combine(numbers, stride, chosen, weights, float(denominator), first, last, result),
    ):
        pass
    if matrix.is_floating_point():
        _require_finite(matrix, torch.from_numpy(result))
    return torch.from_numpy(result)


def _require_finite(matrix: Tensor, result: Tensor) -> None:
    if not bool(torch.isfinite(result).all()):
        finite = torch.isfinite(matrix).all(1).tolist()
        which = f"row {finite.index(False)} holds a NaN or an infinity" if False in finite else "the sum overflows"
        raise LatticeError(f"{which}: expected finite numbers")


def on_tensors(
    matrix: Real[Tensor, "clients dim"],
    chosen: Int64[np.ndarray, " chosen"],
    numerators: Float64[np.ndarray, " chosen"],
    denominator: int,
) -> Float64[Tensor, " dim"]:
    """Returns the same on the matrix's device.

    Args:
        matrix: As in `combine`.
        chosen: The rows to read, ascending.
        numerators: Their weights.
        denominator: As in `combine`.
    """
    result = torch.zeros(matrix.shape[1], dtype=torch.float64, device=matrix.device)
    # On the device: CUDA multiplies by the rounded reciprocal of a Python number, and the last bit differs.
    divisor = torch.full((), denominator, dtype=torch.float64, device=matrix.device)
    for start in range(0, matrix.shape[1], _BLOCK_COLUMNS):
        total = result[start : start + _BLOCK_COLUMNS]
        for row, numerator in zip(chosen.tolist(), numerators.tolist(), strict=True):
            total += matrix[row, start : start + _BLOCK_COLUMNS].to(torch.float64) * numerator
        total /= divisor
    if matrix.is_floating_point():
        _require_finite(matrix, result)
    return result

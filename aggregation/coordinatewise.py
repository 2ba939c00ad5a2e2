"""Rules that treat every coordinate by itself: mean, median, trimmed mean, mean around the median.

All average some of the sorted column: the mean all of it, the trimmed mean what is left without the f smallest and the f
largest, the median the one or two in the middle, the mean around the median those nearest to it. The rows may be
mixtures of the clients': these are formed a few columns at a time and never kept.

Integers are summed exactly (as far as float64 is: below 2**53) and divided once, correctly rounded, so the result is the
same bits in any order of the clients, on any number of threads, CPU or GPU. Floats are summed in ascending order, so their
order does not show either; only the mean of them all takes them as they come, and its last bits go by the order of rows.

References:
    Yin, Chen, Ramchandran, Bartlett 2018, "Byzantine-robust distributed learning: towards optimal statistical rates",
    definitions 1 and 2.
    Xie, Koyejo, Gupta 2018, "Generalized Byzantine-tolerant SGD", definition 6 (mean around the median).
"""

from collections.abc import Iterator

import numpy as np
import torch
from jaxtyping import Float64, Real
from torch import Tensor

from aggregation import combine, network, order, spans
from aggregation import mixture as mixtures
from aggregation.errors import LatticeError

# Bytes of the rows sorted at once: they are read and written again and again, and should stay in the nearest cache.
_TILE_BYTES = 1 << 16
# Columns of a tile of ever so many rows: fewer cost more in beginnings than the cache saves.
_LEAST_WIDTH = 512
_INT16 = 1 << 15
_TYPES = {torch.int16: np.int16, torch.int32: np.int32, torch.float32: np.float32, torch.float64: np.float64}


def mean(matrix: Real[Tensor, "clients dim"], *, mixture: mixtures.Mixture | None = None) -> Float64[Tensor, " dim"]:
    """Returns the mean of every coordinate. One Byzantine client decides it.

    Args:
        matrix: int16 updates or finite floats; one a row.
        mixture: What the rows are mixed to; None for themselves.

    Raises:
        LatticeError: If a float is not finite.
    """
    rows = _rows(matrix, mixture)
    return _statistic(matrix, order.Kept(first=0, last=rows, nearest=False), mixture)


def median(matrix: Real[Tensor, "clients dim"], *, mixture: mixtures.Mixture | None = None) -> Float64[Tensor, " dim"]:
    """Returns the median of every coordinate; of an even number of rows, the mean of the two in the middle.

    Args:
        matrix: int16 updates or finite floats; one a row.
        mixture: What the rows are mixed to; None for themselves.

    Raises:
        LatticeError: If a float is not finite.

    Reference:
        Yin et al. 2018, definition 1.
    """
    rows = _rows(matrix, mixture)
    return _statistic(matrix, order.Kept(first=(rows - 1) // 2, last=rows // 2 + 1, nearest=False), mixture)


def trimmed_mean(
    matrix: Real[Tensor, "clients dim"], f: int, *, mixture: mixtures.Mixture | None = None
) -> Float64[Tensor, " dim"]:
    """Returns the mean of every coordinate without its f smallest and f largest values.

    Args:
        matrix: int16 updates or finite floats; one a row.
        f: Byzantine clients to withstand, `0 <= 2 f < rows`.
        mixture: What the rows are mixed to; None for themselves.

    Raises:
        LatticeError: If a float is not finite.

    Reference:
        Yin et al. 2018, definition 2, with beta = f / rows.
    """
    rows = _rows(matrix, mixture)
    return _statistic(matrix, order.Kept(first=f, last=rows - f, nearest=False), mixture)


def meamed(
    matrix: Real[Tensor, "clients dim"], f: int, *, mixture: mixtures.Mixture | None = None
) -> Float64[Tensor, " dim"]:
    """Returns the mean of the `rows - f` values of every coordinate that are nearest to its median.

    Of two values equally far from the median the smaller is taken first.

    Args:
        matrix: int16 updates or finite floats; one a row.
        f: Byzantine clients to withstand, `0 <= 2 f < rows`.
        mixture: What the rows are mixed to; None for themselves.

    Raises:
        LatticeError: If a float is not finite.

    Reference:
        Xie et al. 2018, definition 6.
    """
    rows = _rows(matrix, mixture)
    return _statistic(matrix, order.Kept(first=0, last=rows - f, nearest=True), mixture)


def _rows(matrix: Tensor, mixture: mixtures.Mixture | None) -> int:
    return len(matrix) if mixture is None else len(mixture.coefficients)


def _statistic(matrix: Tensor, kept: order.Kept, mixture: mixtures.Mixture | None) -> Tensor:
    if matrix.dtype not in _TYPES:
        raise LatticeError(f"updates of {matrix.dtype}: expected int16, float32 or float64")
    if matrix.shape[1] == 0:
        return torch.zeros(0, dtype=torch.float64, device=matrix.device)
    plain = mixture is None and not kept.nearest and kept.count == len(matrix)
    if plain and not matrix.is_floating_point():
        return combine.combine(matrix, np.ones(len(matrix), np.int64), len(matrix))
    if matrix.device.type != "cpu":
        return order.on_tensors(matrix, kept, mixture)
    return _average(matrix) if plain else _compiled(matrix, kept, mixture)


def _average(matrix: Tensor) -> Tensor:
    from aggregation import columns  # noqa: PLC0415

    numbers, stride = spans.flat(matrix)
    result = np.empty(matrix.shape[1])
    parts = spans.each(
        len(result), lambda first, last: columns.average(numbers, stride, len(matrix), first, last, result)
    )
    _check(parts)
    return torch.from_numpy(result)


def _check(parts: Iterator[int]) -> None:
    for bad in parts:
        if bad >= 0:
            raise LatticeError(f"row {bad} holds a NaN or an infinity: expected finite numbers")


def _compiled(matrix: Tensor, kept: order.Kept, mixture: mixtures.Mixture | None) -> Tensor:
    from aggregation import columns  # noqa: PLC0415  compiles: 0.4 s that other commands need not wait

    work = _work(matrix, mixture)
    rows, clients = _rows(matrix, mixture), len(matrix)
    mixing: np.ndarray = (
        np.zeros((rows, 0), work) if mixture is None else np.ascontiguousarray(mixture.coefficients, work)
    )
    wanted = range(rows) if kept.nearest else range(kept.first, kept.last)
    unsorted = not kept.nearest and len(wanted) == rows and not matrix.is_floating_point()
    exchanges = () if unsorted else network.comparators(rows, wanted)
    pairs = np.array(exchanges, np.int64).reshape(-1, 2)
    numbers, stride = spans.flat(matrix)
    denominator = 1 if mixture is None else mixture.denominator
    divisors = (float(kept.count), float(denominator))
    if not matrix.is_floating_point():
        divisors = (float(kept.count * denominator), 1.0)
    width = max(_TILE_BYTES // (rows * np.dtype(work).itemsize), _LEAST_WIDTH) // 128 * 128
    result = np.empty(matrix.shape[1])

    def part(first: int, last: int) -> int:
        # Rows are mixed by fours.
        tile: np.ndarray = np.zeros(-(-rows // 4) * 4 * width, work)
        source = tile if mixture is None else np.zeros(-(-clients // 4) * 4 * width, work)
        bad: int = columns.order_statistics(
            numbers,
            stride,
            mixing,
            pairs,
            (kept.first, kept.last),
            kept.nearest,
            divisors,
            source,
            tile,
            matrix.is_floating_point(),
            first,
            last,
            result,
        )
        return bad

    _check(spans.each(matrix.shape[1], part))
    return torch.from_numpy(result)


def _work(matrix: Tensor, mixture: mixtures.Mixture | None) -> type:
    """Returns the narrowest type that holds every number to be sorted."""
    if mixture is None:
        return _TYPES[matrix.dtype]
    if not matrix.is_floating_point():
        most = order.largest(mixture)
        if most * _INT16 < 2**31:
            return np.int32
    return np.float64

"""Weighted sums and order statistics of columns on the CPU, compiled by numba when first called.

Numbers enter as in `kernels`.
"""

from typing import no_type_check

import numpy as np
from numba import njit

# Columns of a row read one after another: memory is slow to begin a row.
CHUNK = 8192


@no_type_check
@njit(nogil=True, cache=True)
def combine(
    flat: np.ndarray,
    stride: int,
    chosen: np.ndarray,
    numerators: np.ndarray,
    denominator: float,
    first: int,
    last: int,
    result: np.ndarray,
) -> None:
    """Writes the weighted sums of the rows `chosen` over the columns `first` to `last` to `result`."""
    begins, eights = chosen * stride, len(chosen) // 8 * 8
    for start in range(first, last, CHUNK):
        width = min(CHUNK, last - start)
        total = result[start : start + width]
        total[:] = 0.0
        for r in range(0, eights, 8):
            a, b, c, d, e, f, g, h = numerators[r : r + 8]
            s, t, u, v = _four(flat, begins[r : r + 4], start, width)
            w, x, y, z = _four(flat, begins[r + 4 : r + 8], start, width)
            for k in range(width):
                half = (((total[k] + a * s[k]) + b * t[k]) + c * u[k]) + d * v[k]
                total[k] = (((half + e * w[k]) + f * x[k]) + g * y[k]) + h * z[k]
        for r in range(eights, len(chosen)):
            x = flat[begins[r] + start : begins[r] + start + width]
            for k in range(width):
                total[k] += numerators[r] * x[k]
        if denominator != 1.0:
            for k in range(width):
                total[k] /= denominator


@no_type_check
@njit(nogil=True, cache=True)
def _four(flat: np.ndarray, begins: np.ndarray, start: int, width: int) -> tuple[np.ndarray, ...]:
    """Returns the same columns of four rows."""
    a, b, c, d = begins[0] + start, begins[1] + start, begins[2] + start, begins[3] + start
    return flat[a : a + width], flat[b : b + width], flat[c : c + width], flat[d : d + width]


# No NaN comes here, and without it a minimum is one instruction; which zero is found does not count.
@no_type_check
@njit(nogil=True, cache=True, fastmath={"nnan", "nsz"})
def _bounds(flat: np.ndarray, begins: np.ndarray, start: int, low: np.ndarray, high: np.ndarray) -> None:
    """Writes the smallest and the largest number of every column."""
    low[:] = flat[begins[0] + start : begins[0] + start + len(low)]
    high[:] = low
    for r in range(0, len(begins) // 4 * 4, 4):
        a, b, c, d = _four(flat, begins[r : r + 4], start, len(low))
        for k in range(len(low)):
            low[k] = min(low[k], a[k], b[k], c[k], d[k])
            high[k] = max(high[k], a[k], b[k], c[k], d[k])
    for begin in begins[len(begins) // 4 * 4 :]:
        row = flat[begin + start : begin + start + len(low)]
        for k in range(len(low)):
            low[k] = min(low[k], row[k])
            high[k] = max(high[k], row[k])


@no_type_check
@njit(nogil=True, cache=True)
def _finite(numbers: np.ndarray) -> bool:
    """Returns whether no number is a NaN or an infinity."""
    count = 0
    for k in range(len(numbers)):
        count += abs(numbers[k]) < np.inf
    return count == len(numbers)


@no_type_check
@njit(nogil=True, cache=True)
def average(flat: np.ndarray, stride: int, clients: int, first: int, last: int, result: np.ndarray) -> int:
    """Writes the mean of every column of floats to `result`; returns a row that is not finite, or -1."""
    rows, ones = np.arange(clients), np.ones(clients)
    for start in range(first, last, CHUNK):
        total = result[start : min(start + CHUNK, last)]
        combine(flat, stride, rows, ones, 1.0, start, start + len(total), result)
        # No sum of these is finite where a number is not. It may overflow where all are.
        if not _finite(total):
            for begin in rows * stride + start:
                if not _finite(flat[begin : begin + len(total)]):
                    return begin // stride
        low, high = np.empty(len(total), flat.dtype), np.empty(len(total), flat.dtype)
        _bounds(flat, rows * stride, start, low, high)
        for k in range(len(total)):
            inside = min(max(total[k] / clients, np.float64(low[k])), np.float64(high[k]))
            total[k] = inside + 0.0
    return -1


@no_type_check
@njit(nogil=True, cache=True)
def _load(flat: np.ndarray, stride: int, clients: int, start: int, stop: int, tile: np.ndarray, width: int) -> None:
    """Copies all rows of a tile; -0.0 becomes 0.0, so equal numbers are equal bits."""
    zero = tile.dtype.type(0)
    for r in range(clients):
        source, row = flat[r * stride + start : r * stride + stop], tile[r * width : r * width + stop - start]
        for k in range(stop - start):
            row[k] = tile.dtype.type(source[k]) + zero


@no_type_check
@njit(nogil=True, cache=True)
def _mix(source: np.ndarray, coefficients: np.ndarray, tile: np.ndarray, width: int) -> None:
    """Writes the mixtures of the rows of `source` to `tile`: four of them and of four rows at a time."""
    tile[:] = 0
    for i in range(0, len(coefficients), 4):
        p, q = tile[i * width : (i + 1) * width], tile[(i + 1) * width : (i + 2) * width]
        r, s = tile[(i + 2) * width : (i + 3) * width], tile[(i + 3) * width : (i + 4) * width]
        for j in range(0, coefficients.shape[1], 4):
            some = coefficients[i : i + 4, j : j + 4]
            if not np.any(some):
                continue
            a, b, c, d = some
            w, x = source[j * width : (j + 1) * width], source[(j + 1) * width : (j + 2) * width]
            y, z = source[(j + 2) * width : (j + 3) * width], source[(j + 3) * width : (j + 4) * width]
            for k in range(width):
                p[k] = (((p[k] + a[0] * w[k]) + a[1] * x[k]) + a[2] * y[k]) + a[3] * z[k]
                q[k] = (((q[k] + b[0] * w[k]) + b[1] * x[k]) + b[2] * y[k]) + b[3] * z[k]
                r[k] = (((r[k] + c[0] * w[k]) + c[1] * x[k]) + c[2] * y[k]) + c[3] * z[k]
                s[k] = (((s[k] + d[0] * w[k]) + d[1] * x[k]) + d[2] * y[k]) + d[3] * z[k]


# No NaN and no -0.0 come here, and without them a minimum is one instruction.
@no_type_check
@njit(nogil=True, cache=True, fastmath={"nnan", "nsz"})
def _exchange(tile: np.ndarray, pairs: np.ndarray, width: int) -> None:
    """Runs the comparators (i, j) over all columns: the smaller number goes to row i."""
    for n in range(len(pairs)):
        low = tile[pairs[n, 0] * width : (pairs[n, 0] + 1) * width]
        high = tile[pairs[n, 1] * width : (pairs[n, 1] + 1) * width]
        for k in range(width):
            x, y = low[k], high[k]
            low[k] = min(x, y)
            high[k] = max(x, y)


@no_type_check
@njit(nogil=True, cache=True)
def _sum(tile: np.ndarray, width: int, first: int, last: int, result: np.ndarray) -> None:
    """Writes the sums of the sorted rows `first` to `last`, added in ascending order."""
    result[:] = 0.0
    for r in range(first, last):
        row = tile[r * width : r * width + len(result)]
        for k in range(len(result)):
            result[k] += row[k]


@no_type_check
@njit(nogil=True, cache=True)
def _nearest(tile: np.ndarray, width: int, rows: int, kept: int, starts: np.ndarray, result: np.ndarray) -> None:
    """Writes the sums of the `kept` numbers nearest to the median, and where they start.

    They stand side by side, from s[w] on. The window moves up while the number above it is nearer to the median m than its
    lowest: s[w + kept] - m < m - s[w]. Both sides are halved, so that no sum overflows.
    """
    low, high = tile[(rows - 1) // 2 * width :], tile[rows // 2 * width :]
    starts[:] = 0
    for r in range(rows - kept):
        below, above = tile[r * width :], tile[(r + kept) * width :]
        for k in range(len(result)):
            starts[k] += 0.5 * below[k] + 0.5 * above[k] < 0.5 * low[k] + 0.5 * high[k]
    result[:] = 0.0
    for r in range(rows):
        row = tile[r * width :]
        for k in range(len(result)):
            result[k] += row[k] if starts[k] <= r < starts[k] + kept else 0.0


@no_type_check
@njit(nogil=True, cache=True)
def order_statistics(  # noqa: PLR0917
    flat: np.ndarray,
    stride: int,
    mixing: np.ndarray,
    pairs: np.ndarray,
    kept: tuple[int, int],
    nearest: bool,
    divisors: tuple[float, float],
    source: np.ndarray,
    tile: np.ndarray,
    is_float: bool,
    first: int,
    last: int,
    result: np.ndarray,
) -> int:
    """Writes an average of order statistics of every column to `result`; returns a row that is not finite, or -1.

    Args:
        flat: Numbers.
        stride: How far apart the rows begin.
        mixing: Coefficients (rows, clients), or (rows, 0) where the rows are the clients'.
        pairs: Comparators (exchanges, 2).
        kept: Ranks (first, last) that are averaged; of the nearest to the median only their number counts.
        nearest: Whether to average those nearest to the median.
        divisors: Divide the sum one after the other; floats are brought back into the hull of their rows in between.
        source: Buffer for the clients' rows, of the type of `tile`; the same where nothing is mixed.
        tile: Buffer for the rows that are sorted.
        is_float: Whether the clients' rows are of floats.
        first: First column.
        last: Column after the last.
        result: All columns.
    """
    rows, clients = len(mixing), mixing.shape[1] or len(mixing)
    fours = np.zeros(((rows + 3) // 4 * 4, (clients + 3) // 4 * 4), mixing.dtype)
    fours[:rows, : mixing.shape[1]] = mixing
    width = len(tile) // len(fours)
    count, starts = kept[1] - kept[0], np.zeros(width, np.int32)
    for start in range(first, last, width):
        stop = min(start + width, last)
        _load(flat, stride, clients, start, stop, source, width)
        if is_float:
            for r in range(clients):
                if not _finite(source[r * width : r * width + stop - start]):
                    return r
        if mixing.shape[1]:
            _mix(source, fours, tile, width)
        _exchange(tile, pairs, width)
        out = result[start:stop]
        starts[:] = kept[0]
        if nearest:
            _nearest(tile, width, rows, count, starts, out)
        else:
            _sum(tile, width, kept[0], kept[1], out)
        out /= divisors[0]
        # Integers are divided once. Rounding, or an overflow of the sum, may take floats out of the hull.
        if is_float:
            for k in range(len(out)):
                low, high = tile[starts[k] * width + k], tile[(starts[k] + count - 1) * width + k]
                out[k] = min(max(out[k], np.float64(low)), np.float64(high)) / divisors[1]
    return -1

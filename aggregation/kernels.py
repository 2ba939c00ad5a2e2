"""Inner products of rows on the CPU, compiled by numba when first called.

Numbers enter as one flat array: row r begins at `r * stride`, so a slice of columns needs no copy. Rows are multiplied run
by run of columns and tile by tile where they lie; only a run that does not end with a whole step is copied, and padded.

Integers are exact. Where a lane of `registers` might overflow, one factor is cut in two, `x = 2**8 high + low`: products
stay below 2**23, and a lane adds 64 of them.

Floats are multiplied in float32 over a run, and in float64 between runs, and within a panel where a row's squared length
shows that float32 overflowed or underflowed.
"""

from typing import no_type_check

import numpy as np
from numba import njit

from aggregation import registers
from aggregation.registers import RUN, STEP, TILE, largest_lane, multiply_tile

# Columns that are taken together: memory is slow to begin a row.
PANEL = 8 * RUN
# Rows, in whole tiles, whose runs a nearer cache holds while all others pass.
BLOCK = 10 * TILE
_LIMB_BITS = 8
_SAFE = 2**31 // registers.SQUARES_UNIT


# Not cached by itself: what calls it is, under the fingerprint of `registers`.
@no_type_check
@njit(nogil=True)
def _multiply(
    left: np.ndarray,
    left_rows: np.ndarray,
    right: np.ndarray,
    right_rows: np.ndarray,
    columns: int,
    scale: float,
    total: np.ndarray,
) -> None:
    """Adds `scale` times all inner products between rows, which begin at these places, to the upper triangle of `total`."""
    for block in range(0, len(total), BLOCK):
        following = min(block + BLOCK, len(total))
        for i in range(0, following, TILE):
            for j in range(max(i, block), following, TILE):
                multiply_tile(left, left_rows, i, right, right_rows, j, columns, scale, total)


@no_type_check
@njit(nogil=True, cache=True)
def _begins(chosen: np.ndarray, stride: int) -> np.ndarray:
    """Returns where the rows begin, in whole tiles: beyond the last they are the last again, and do not count."""
    begins = np.empty((len(chosen) + TILE - 1) // TILE * TILE, np.int64)
    for r in range(len(begins)):
        begins[r] = chosen[min(r, len(chosen) - 1)] * stride
    return begins


@no_type_check
@njit(nogil=True, cache=True)
def _pack(flat: np.ndarray, begin: int, origin: int, columns: int, row: np.ndarray) -> None:
    """Copies a row's run, less the origin's unless that is -1, and zeros up to a whole step."""
    source = flat[begin : begin + columns]
    for k in range(columns):
        row[k] = source[k]
    if origin >= 0:
        start = flat[origin : origin + columns]
        for k in range(columns):
            row[k] -= row.dtype.type(start[k])
    row[columns : (columns + STEP - 1) // STEP * STEP] = 0


@no_type_check
@njit(nogil=True)
def _add_integers(
    numbers: np.ndarray, begins: np.ndarray, columns: int, lane: int, limbs: np.ndarray, total: np.ndarray
) -> None:
    """Adds the products of a run, whose largest sum of squares in a lane is given."""
    if lane < _SAFE:
        _multiply(numbers, begins, numbers, begins, columns, 1, total)
        return
    high, low = limbs[0], limbs[1]
    own = np.arange(len(begins)) * RUN
    for begin, place in zip(begins, own):  # noqa: B905  numba knows no `strict`
        row = numbers[begin : begin + columns]
        for k in range(columns):
            high[place + k] = row[k] >> _LIMB_BITS
            low[place + k] = row[k] & ((1 << _LIMB_BITS) - 1)
    _multiply(numbers, begins, high, own, columns, 1 << _LIMB_BITS, total)
    _multiply(numbers, begins, low, own, columns, 1, total)


@no_type_check
@njit(nogil=True, cache=True)
def integer_products(
    flat: np.ndarray,
    stride: int,
    clients: int,
    first: int,
    last: int,
    fingerprint: int = registers.FINGERPRINT,  # noqa: ARG001  the cache goes by it
) -> np.ndarray:
    """Returns the inner products of int16 rows over the columns `first` to `last`; the upper triangle counts."""
    own = np.arange(clients)
    begins, copies = _begins(own, stride), _begins(own, PANEL)
    total = np.zeros((len(begins), len(begins)), np.int64)
    limbs, copied = np.empty((2, len(begins) * RUN), np.int16), np.empty(len(begins) * PANEL, np.int16)
    lanes = np.zeros(PANEL // RUN, np.int64)
    for panel in range(first, last, PANEL):
        columns, numbers, rows = min(PANEL, last - panel), flat, begins + panel
        if columns % STEP:
            for r in range(clients):
                _pack(flat, rows[r], -1, columns, copied[r * PANEL : (r + 1) * PANEL])
            columns, numbers, rows = (columns + STEP - 1) // STEP * STEP, copied, copies
        lanes[:] = 0
        for begin in rows[:clients]:
            for n, start in enumerate(range(0, columns, RUN)):
                width = min(RUN, columns - start)
                lanes[n] = max(lanes[n], largest_lane(numbers[begin + start : begin + start + width], width))
        for n, start in enumerate(range(0, columns, RUN)):
            _add_integers(numbers, rows + start, min(RUN, columns - start), lanes[n], limbs, total)
    return total


@no_type_check
@njit(nogil=True, cache=True)
def _fits(partial: np.ndarray, flat: np.ndarray, begins: np.ndarray, columns: int, bounds: tuple[float, float]) -> bool:
    """Returns whether every row's squared length lies within the bounds, or the row holds nothing but zeros."""
    for r in range(len(begins)):
        if bounds[0] <= partial[r, r] <= bounds[1]:
            continue
        if partial[r, r] != 0 or np.any(flat[begins[r] : begins[r] + columns]):
            return False
    return True


@no_type_check
@njit(nogil=True)
def _add_singles(
    numbers: np.ndarray,
    begins: np.ndarray,
    columns: int,
    bounds: tuple[float, float],
    partial: np.ndarray,
    total: np.ndarray,
) -> bool:
    """Adds the products of a panel, unless float32 could not hold them; returns whether it could."""
    partial[:] = 0.0
    for start in range(0, columns, RUN):
        _multiply(numbers, begins + start, numbers, begins + start, min(RUN, columns - start), 1.0, partial)
    if not _fits(partial, numbers, begins, columns, bounds):
        return False
    total += partial
    return True


@no_type_check
@njit(nogil=True, cache=True)
def _largest(bits: np.ndarray) -> int:
    """Returns the bits of the largest magnitude: floats without their sign are ordered like their bits, NaN last."""
    largest = np.int64(0)
    for k in range(len(bits)):
        largest = max(largest, bits[k] & np.int64(0x7FFFFFFFFFFFFFFF))
    return largest


@no_type_check
@njit(nogil=True, cache=True)
def float_products(  # noqa: PLR0917
    flat: np.ndarray,
    stride: int,
    chosen: np.ndarray,
    pivot: int,
    first: int,
    last: int,
    narrow: bool,
    bounds: tuple[float, float],
    most: int,
    total: np.ndarray,
    fingerprint: int = registers.FINGERPRINT,  # noqa: ARG001  the cache goes by it
) -> int:
    """Adds the inner products of the rows `chosen`, less row `pivot` unless that is -1; returns a bad row or -1.

    Args:
        flat: Numbers.
        stride: How far apart the rows begin.
        chosen: Rows.
        pivot: A row or -1.
        first: First column.
        last: Column after the last.
        narrow: Whether to multiply in float32 where that holds the products.
        bounds: Squared lengths of a panel that float32 holds to full precision.
        most: Bits of the largest magnitude that is not refused.
        total: In whole tiles; the upper triangle counts.
        fingerprint: What the cache goes by.
    """
    begins, partial = _begins(chosen, stride), np.empty_like(total)
    own = np.arange(len(chosen))
    singles, doubles = _begins(own, PANEL), _begins(own, RUN)
    single, double = np.empty(len(total) * PANEL * narrow, np.float32), np.empty(len(total) * RUN)
    for panel in range(first, last, PANEL):
        stop, fits = min(panel + PANEL, last), False
        if narrow and pivot < 0 and (stop - panel) % STEP == 0:
            fits = _add_singles(flat, begins + panel, stop - panel, bounds, partial, total)
        elif narrow:
            for r in range(len(chosen)):
                origin = pivot * stride + panel if pivot >= 0 else -1
                _pack(flat, begins[r] + panel, origin, stop - panel, single[r * PANEL : (r + 1) * PANEL])
            columns = (stop - panel + STEP - 1) // STEP * STEP
            fits = _add_singles(single, singles, columns, bounds, partial, total)
        if fits:
            continue
        for start in range(panel, stop, RUN):
            columns = min(RUN, stop - start)
            for r in range(len(chosen)):
                row, origin = double[r * RUN : (r + 1) * RUN], pivot * stride + start if pivot >= 0 else -1
                _pack(flat, begins[r] + start, origin, columns, row)
                if _largest(row[:columns].view(np.int64)) > most:
                    return chosen[r]
            _multiply(double, doubles, double, doubles, columns, 1.0, total)
    return -1


@no_type_check
@njit(nogil=True, cache=True)
def projections(flat: np.ndarray, stride: int, clients: int, vector: np.ndarray, first: int, last: int) -> np.ndarray:
    """Returns the inner product of every int16 row with an int32 vector over fewer than 2**17 columns."""
    total, other = np.zeros(clients, np.int64), vector[first:last]
    for r in range(clients):
        row = flat[r * stride + first : r * stride + last]
        for k in range(len(row)):
            total[r] += np.int64(row[k]) * np.int64(other[k])
    return total


@no_type_check
@njit(nogil=True, cache=True)
def squares(flat: np.ndarray, stride: int, clients: int, first: int, last: int) -> np.ndarray:
    """Returns the squared length of every int16 row over these columns."""
    total = np.zeros(clients, np.int64)
    for r in range(clients):
        row = flat[r * stride + first : r * stride + last]
        for k in range(len(row)):
            number = np.int32(row[k])
            total[r] += number * number
    return total

"""Inner products and distances between rows: the n x n numbers that decide every rule of distances.

Integers exactly. Floats so that a distance keeps about six digits, however close two rows lie for their length:
`|x - y|^2 = <x, x> + <y, y> - 2 <x, y>` loses the digits that cancel, so rows that lie close together are multiplied
once more as differences to one of them.

On the CPU by the compiled kernels, elsewhere by float64 GEMM over blocks of columns. A product of two 16-bit numbers is at
most 2**32 (2**30 for int16), so a block of 2**14 columns sums to at most 2**46 < 2**53: every partial sum is an integer
that float64 holds exactly, in whatever order it is added. Blocks are accumulated in int64, exact below 2**31 columns.
"""

import functools
from collections.abc import Callable, Iterator
from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Float64, Int16, Int32, Int64, Real, Shaped
from torch import Tensor

from aggregation import spans
from aggregation.errors import LatticeError

BLOCK_COLUMNS = 1 << 14
_LIMB_BITS = 16
# Numbers of a matrix from which on kernels pay.
_LARGE = 1 << 20
# A float's magnitude beyond which squares might overflow float64.
_MOST = 2.0**480
# Squared lengths, over some columns, of rows whose products float32 holds to full precision.
_BOUNDS = (2.0**-100, 2.0**120)
# A squared distance below this share of the squared lengths has lost digits.
_CANCELLED = 2.0**-6

# From the rows chosen and a row that is subtracted first (or none) to the inner products.
_Inner = Callable[[np.ndarray, int | None], np.ndarray]


@dataclass(frozen=True, slots=True, kw_only=True)
class Products:
    """What is known of the rows; the products of parts of the columns add up.

    Attributes:
        inner: Inner products, symmetric; exact int64 of integers, float64 of floats.
        squared: Squared Euclidean distances, likewise.
    """

    inner: Int64[np.ndarray, "clients clients"] | Float64[np.ndarray, "clients clients"]
    squared: Int64[np.ndarray, "clients clients"] | Float64[np.ndarray, "clients clients"]

    def __add__(self, other: "Products") -> "Products":
        """Returns the products over the columns of both."""
        return Products(inner=self.inner + other.inner, squared=self.squared + other.squared)


def products(matrix: Real[Tensor, "clients dim"]) -> Products:
    """Returns all inner products and squared distances between the rows.

    Args:
        matrix: int16, float32 or float64; one row a client, fewer than 2**31 columns.

    Raises:
        LatticeError: If a float is not finite or beyond 2**480, or numbers are of another type; names the row or the type.
    """
    clients, dim = matrix.shape
    exact = matrix.dtype == torch.int16
    if not exact and matrix.dtype not in (torch.float32, torch.float64):
        raise LatticeError(f"updates of {matrix.dtype}: expected int16, float32 or float64")
    if clients == 0 or dim == 0:
        nothing = np.zeros((clients, clients), np.int64 if exact else np.float64)
        return Products(inner=nothing, squared=nothing)
    on_cpu = matrix.device.type == "cpu"
    if exact:
        inner = _integers(matrix) if on_cpu else integers_on_tensors(matrix)
        return Products(inner=inner, squared=_distances(inner))
    return _sharpened(_floats(matrix) if on_cpu else floats_on_tensors(matrix), clients)


def inner(matrix: Int16[Tensor, "clients dim"], vector: Int32[Tensor, " dim"]) -> list[int]:
    """Returns the inner product of every row with one vector, exactly.

    Args:
        matrix: One update a row, fewer than 2**31 columns.
        vector: Any int32, such as a refined aggregate.
    """
    if _compiles(matrix):
        return _projections(matrix, vector)
    total = torch.zeros(len(matrix), 2, dtype=torch.int64, device=matrix.device)
    for block, part in zip(_blocks(matrix), _blocks(vector.unsqueeze(0)), strict=True):
        limbs = torch.cat((part >> _LIMB_BITS, part & ((1 << _LIMB_BITS) - 1))).to(torch.float64)
        total += (block.to(torch.float64) @ limbs.T).to(torch.int64)
    return [(high << _LIMB_BITS) + low for high, low in total.tolist()]


def squared_norms(matrix: Int16[Tensor, "clients dim"]) -> list[int]:
    """Returns the squared Euclidean length of every row, exactly."""
    if _compiles(matrix):
        return _squares(matrix)
    total = torch.zeros(len(matrix), dtype=torch.int64, device=matrix.device)
    for block in _blocks(matrix):
        columns = block.to(torch.int32)
        total += (columns * columns).sum(1, dtype=torch.int64)
    return [int(square) for square in total.tolist()]


def integers_on_tensors(matrix: Int16[Tensor, "clients dim"]) -> Int64[np.ndarray, "clients clients"]:
    """Returns all inner products between the rows, exactly, worked out on the matrix's device."""
    total = torch.zeros(len(matrix), len(matrix), dtype=torch.int64, device=matrix.device)
    for block in _blocks(matrix):
        columns = block.to(torch.float64)
        total += (columns @ columns.T).to(torch.int64)
    return total.cpu().numpy()


def floats_on_tensors(matrix: Real[Tensor, "clients dim"]) -> _Inner:
    """Returns a function that multiplies rows on the matrix's device."""

    def multiply(chosen: np.ndarray, pivot: int | None) -> np.ndarray:
        rows = torch.from_numpy(chosen).to(matrix.device)
        total = torch.zeros(len(chosen), len(chosen), dtype=torch.float64, device=matrix.device)
        for block in _blocks(matrix):
            columns = block[rows].to(torch.float64)
            # Not finite compares false as well.
            bad = torch.nonzero(~(columns.abs() <= _MOST).all(1))
            if len(bad):
                raise _refused(int(chosen[int(bad[0, 0])]))
            if pivot is not None:
                columns -= block[pivot].to(torch.float64)
            total += columns @ columns.T
        return total.cpu().numpy()

    return multiply


def _integers(matrix: Tensor) -> np.ndarray:
    from aggregation import kernels  # noqa: PLC0415  compiles: 0.4 s that other commands need not wait

    clients, dim = matrix.shape
    numbers, stride = spans.flat(matrix)
    parts = spans.each(dim, lambda first, last: kernels.integer_products(numbers, stride, clients, first, last))
    return _symmetric(functools.reduce(np.add, parts)[:clients, :clients])


def _compiles(matrix: Tensor) -> bool:
    """Returns whether a matrix is on the CPU, and so large that the kernels are worth the time it takes to load them."""
    return matrix.device.type == "cpu" and matrix.numel() >= _LARGE


def _projections(matrix: Tensor, vector: Tensor) -> list[int]:
    from aggregation import kernels  # noqa: PLC0415

    numbers, stride = spans.flat(matrix)
    other = vector.contiguous().numpy()
    # A span of columns adds up to less than 2**63, all of them may not.
    parts = spans.each(
        len(other), lambda first, last: kernels.projections(numbers, stride, len(matrix), other, first, last)
    )
    return [sum(span) for span in zip(*(part.tolist() for part in parts), strict=True)]


def _squares(matrix: Tensor) -> list[int]:
    from aggregation import kernels  # noqa: PLC0415

    numbers, stride = spans.flat(matrix)
    parts = spans.each(matrix.shape[1], lambda first, last: kernels.squares(numbers, stride, len(matrix), first, last))
    return [sum(span) for span in zip(*(part.tolist() for part in parts), strict=True)]


def _floats(matrix: Tensor) -> _Inner:
    from aggregation import kernels, registers  # noqa: PLC0415

    numbers, stride = spans.flat(matrix)
    most = int(np.float64(_MOST).view(np.int64))
    # A matrix of a single run is small enough for float64, and has too few columns for errors to even out.
    narrow = numbers.dtype == np.float32 and matrix.shape[1] > registers.RUN

    def multiply(chosen: np.ndarray, pivot: int | None) -> np.ndarray:
        rows = -(-len(chosen) // registers.TILE) * registers.TILE
        origin = -1 if pivot is None else pivot

        def part(first: int, last: int) -> np.ndarray:
            total = np.zeros((rows, rows))
            bad = kernels.float_products(numbers, stride, chosen, origin, first, last, narrow, _BOUNDS, most, total)
            if bad >= 0:
                raise _refused(bad)
            return total[: len(chosen), : len(chosen)]

        return _symmetric(functools.reduce(np.add, spans.each(matrix.shape[1], part)))

    return multiply


def _refused(row: int) -> LatticeError:
    return LatticeError(f"row {row} holds a NaN, an infinity or a number beyond {_MOST:g}: expected finite numbers")


def _sharpened(multiply: _Inner, clients: int) -> Products:
    """Returns products whose distances have not cancelled.

    Rows that lie close for their length, directly or through others, make a cluster. Its distances are worked out anew from
    differences to one of its rows. That row is then the origin, which is close to nothing for its length: what is still
    doubtful makes smaller clusters, and every one ends.
    """
    whole = multiply(np.arange(clients), None)
    squared = _distances(whole)
    waiting = [(np.arange(clients), whole)]
    while waiting:
        rows, products = waiting.pop()
        for cluster in _clusters(products):
            members = rows[cluster]
            within = np.ix_(members, members)
            # The row that half of the others are nearest to: a wild one cannot be it.
            pivot = int(members[np.argmin(np.median(squared[within], axis=1))])
            centred = multiply(members, pivot)
            squared[within] = _distances(centred)
            waiting.append((members, centred))
    return Products(inner=whole, squared=squared)


def _clusters(products: Float64[np.ndarray, "clients clients"]) -> Iterator[Int64[np.ndarray, " members"]]:
    """Yields the rows that are connected by distances which have cancelled."""
    lengths = np.diag(products)
    close = _distances(products) < _CANCELLED * (lengths[:, None] + lengths[None, :])
    np.fill_diagonal(close, val=False)
    left = set(np.flatnonzero(close.any(0)).tolist())
    while left:
        cluster, reached = set(), {min(left)}
        while reached:
            cluster |= reached
            reached = set(np.flatnonzero(close[sorted(reached)].any(0)).tolist()) - cluster
        left -= cluster
        yield np.array(sorted(cluster), dtype=np.int64)


def _distances(products: Shaped[np.ndarray, "clients clients"]) -> Shaped[np.ndarray, "clients clients"]:
    """Returns squared distances, never negative; int64 may wrap on the way, but every distance fits."""
    lengths = np.diag(products)
    squared: np.ndarray = np.maximum(lengths[:, None] + lengths[None, :] - 2 * products, 0)
    return squared


def _symmetric(upper: np.ndarray) -> np.ndarray:
    whole: np.ndarray = np.triu(upper) + np.triu(upper, 1).T
    return whole


def _blocks(matrix: Tensor) -> Iterator[Tensor]:
    for start in range(0, matrix.shape[1], BLOCK_COLUMNS):
        yield matrix[:, start : start + BLOCK_COLUMNS]

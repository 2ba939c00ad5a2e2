"""Exact inner products of integer rows: the n x n Gram matrix determines every distance between clients.

Float64 GEMM over blocks of columns. A product of two 16-bit numbers is at most 2**32 (2**30 for int16), so a block of
2**14 columns sums to at most 2**46 < 2**53: every partial sum is an integer that float64 holds exactly, in whatever
order and with whatever fused operations the BLAS adds. Blocks are accumulated in int64, exact below 2**31 columns.

A wider integer is two 16-bit limbs, `x = high * 2**16 + low` with `0 <= low < 2**16`.
"""

from collections.abc import Iterator

import torch
from jaxtyping import Int, Int16, Int32, Int64
from torch import Tensor

BLOCK_COLUMNS = 1 << 14
_LIMB_BITS = 16


def gram(matrix: Int16[Tensor, "clients dim"]) -> Int64[Tensor, "clients clients"]:
    """Returns all inner products between the rows, exactly, on the matrix's device.

    Args:
        matrix: One update a row, fewer than 2**31 columns.
    """
    total = torch.zeros(len(matrix), len(matrix), dtype=torch.int64, device=matrix.device)
    for block in _blocks(matrix):
        columns = block.to(torch.float64)
        total += (columns @ columns.T).to(torch.int64)
    return total


def squared_distances(matrix: Int[Tensor, "clients dim"]) -> list[list[int]]:
    """Returns the squared Euclidean distance between every two rows, exactly.

    `|x - y|^2 = <x, x> + <y, y> - 2 <x, y>`: in floating point this loses small distances between large vectors, in
    integers nothing. Python's integers, because sums of these distances may pass 2**63. Only the n x n result is moved
    to the CPU.

    Args:
        matrix: int16 updates, or int32 sums of them, one a row, fewer than 2**31 columns.
    """
    products = gram(matrix).tolist() if matrix.dtype == torch.int16 else _wide_gram(matrix.to(torch.int32))
    rows = range(len(products))
    return [[products[i][i] + products[j][j] - 2 * products[i][j] for j in rows] for i in rows]


def inner(matrix: Int16[Tensor, "clients dim"], vector: Int32[Tensor, " dim"]) -> list[int]:
    """Returns the inner product of every row with one vector, exactly.

    Args:
        matrix: One update a row, fewer than 2**31 columns.
        vector: Any int32, such as a refined aggregate.
    """
    total = torch.zeros(len(matrix), 2, dtype=torch.int64, device=matrix.device)
    for block, part in zip(_blocks(matrix), _blocks(vector.unsqueeze(0)), strict=True):
        total += (block.to(torch.float64) @ _limbs(part).T).to(torch.int64)
    return [(high << _LIMB_BITS) + low for high, low in total.tolist()]


def squared_norms(matrix: Int16[Tensor, "clients dim"]) -> list[int]:
    """Returns the squared Euclidean length of every row, exactly."""
    total = torch.zeros(len(matrix), dtype=torch.int64, device=matrix.device)
    for block in _blocks(matrix):
        columns = block.to(torch.int32)
        total += (columns * columns).sum(1, dtype=torch.int64)
    return [int(square) for square in total.tolist()]


def _wide_gram(matrix: Int32[Tensor, "clients dim"]) -> list[list[int]]:
    clients = len(matrix)
    total = torch.zeros(2 * clients, 2 * clients, dtype=torch.int64, device=matrix.device)
    for block in _blocks(matrix):
        limbs = _limbs(block)
        total += (limbs @ limbs.T).to(torch.int64)
    limb: list[list[int]] = total.tolist()
    high, low = range(clients), range(clients, 2 * clients)
    return [
        [
            (limb[a][c] << 2 * _LIMB_BITS) + (limb[a][d] + limb[b][c] << _LIMB_BITS) + limb[b][d]
            for c, d in zip(high, low, strict=True)
        ]
        for a, b in zip(high, low, strict=True)
    ]


def _limbs(block: Tensor) -> Tensor:
    """Returns float64 rows: the high limbs of all rows, then the low limbs."""
    return torch.cat((block >> _LIMB_BITS, block & ((1 << _LIMB_BITS) - 1))).to(torch.float64)


def _blocks(matrix: Tensor) -> Iterator[Tensor]:
    for start in range(0, matrix.shape[1], BLOCK_COLUMNS):
        yield matrix[:, start : start + BLOCK_COLUMNS]

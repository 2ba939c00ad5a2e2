"""Spans of columns: a matrix on the CPU as the kernels read it, and the threads that share its columns.

The spans depend on the number of columns alone. What is found on each comes back in their order, so no result depends
on the number of threads.
"""

from collections.abc import Callable, Iterator
from concurrent import futures
from typing import TypeVar

import numpy as np
import torch
from jaxtyping import Real, Shaped
from torch import Tensor

SPAN = 1 << 16
_Found = TypeVar("_Found")


def flat(matrix: Real[Tensor, "clients dim"]) -> tuple[Shaped[np.ndarray, " numbers"], int]:
    """Returns one array that holds all rows, and how far apart they begin; a copy only where rows are not contiguous.

    Args:
        matrix: At least one row and one column, on the CPU.
    """
    clients, dim = matrix.shape
    rows = matrix.detach()
    if dim > 1 and rows.stride(1) != 1:
        rows = rows.contiguous()
    stride = rows.stride(0) if clients > 1 else dim
    return rows.as_strided(((clients - 1) * stride + dim,), (1,)).numpy(), stride


def each(dim: int, task: Callable[[int, int], _Found]) -> Iterator[_Found]:
    """Yields what `task(first, last)` returns for every span of the columns, on as many threads as torch may use.

    Args:
        dim: Number of columns.
        task: Releases the interpreter's lock while it works.
    """
    firsts = range(0, dim, SPAN)
    lasts = [min(first + SPAN, dim) for first in firsts]
    threads = min(torch.get_num_threads(), len(firsts))
    if threads <= 1:
        yield from map(task, firsts, lasts)
        return
    with futures.ThreadPoolExecutor(threads) as pool:
        yield from pool.map(task, firsts, lasts)

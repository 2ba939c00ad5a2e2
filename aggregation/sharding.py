"""Matrices in parts: cut by columns over processes, or read from files a few columns at a time.

    shards:   every part is measured where it lies; the measurements are added; the recipe goes back to every part
    streams:  the columns pass twice through one small window; the mean needs only one running sum

The results are those of the whole matrix, bit for bit on integers.

Reference: docs/protocol.md P12.
"""

import functools
import itertools
import operator
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol, runtime_checkable

import numpy as np
import torch
from jaxtyping import Float64, Int16, Real
from torch import Tensor

from aggregation import recipe
from aggregation.errors import LatticeError

# Columns in the window of a stream.
WINDOW = 1 << 16


@runtime_checkable
class Rows(Protocol):
    """A matrix that is read by columns."""

    @property
    def clients(self) -> int:
        """Number of rows."""

    @property
    def dim(self) -> int:
        """Number of columns."""

    def columns(self, first: int, last: int) -> Tensor:
        """Columns `first` to `last` (excluded) of all rows: `(clients, last - first)`."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Files:
    """Lattice points in files, one a client: `dim` little-endian int16 from byte `offset` on.

    Attributes:
        paths: One file a client.
        dim: Coordinates of each.
        offset: Bytes before the first coordinate.
    """

    paths: Sequence[Path]
    dim: int
    offset: int = 0

    @property
    def clients(self) -> int:
        """Number of files."""
        return len(self.paths)

    def columns(self, first: int, last: int) -> Int16[Tensor, "clients width"]:
        """Columns `first` to `last` (excluded) of all files.

        Raises:
            LatticeError: If a file ends before; the message names it.
        """
        window = np.empty((len(self.paths), last - first), dtype="<i2")
        for row, path in zip(window, self.paths, strict=True):
            read = np.fromfile(path, dtype="<i2", count=last - first, offset=self.offset + 2 * first)
            if len(read) != len(row):
                raise LatticeError(f"{path.name} ends at coordinate {first + len(read)}: expected {self.dim}")
            row[:] = read
        return torch.from_numpy(window)


def split(dim: int, shards: int) -> list[tuple[int, int]]:
    """Returns (first, last) of each of `shards` parts of the columns, of sizes that differ by one at most.

    Args:
        dim: Number of columns, at least `shards`.
        shards: Number of parts, >= 1.
    """
    cuts = [dim * number // shards for number in range(shards + 1)]
    return list(itertools.pairwise(cuts))


def together(measured: Iterable[recipe.Measured]) -> recipe.Measured:
    """Returns what all parts of a matrix measure, in the order of their columns."""
    return functools.reduce(operator.add, measured)


def stream(
    rows: Rows,
    method: recipe.Method,
    write: Callable[[int, Float64[Tensor, " width"]], None],
    *,
    window: int = WINDOW,
) -> None:
    """Hands the aggregate, in order and by parts, to `write(first column, values)`.

    Memory is bounded by the window: `clients * window` numbers, however many columns there are.

    Args:
        rows: The updates.
        method: Rule and pre-aggregation.
        write: Takes each part.
        window: Columns read at once.

    Raises:
        RuleError: As `rules.check`.
        LatticeError: If an update is shorter than `dim`, or holds a float that is not finite.
    """
    method.check(rows.clients)
    parts = (recipe.measure(part, method, first=first, dim=rows.dim) for first, part in _windows(rows, window))
    # A method that reads no distances learns from the first window all it wants to know: whether the numbers are integers.
    measured = together(parts if method.measures else itertools.islice(parts, 1))
    decided = recipe.decide(measured, method)
    for first, part in _windows(rows, window):
        write(first, decided.apply(part))


class RunningMean:
    """The mean of updates that arrive one at a time; memory is one int64 a coordinate.

    Args:
        dim: Coordinates of an update.
    """

    def __init__(self, dim: int) -> None:
        self._sum = torch.zeros(dim, dtype=torch.int64)
        self._clients = 0

    def add(self, update: Int16[Tensor, " dim"]) -> None:
        """Count one more update."""
        self._sum += update
        self._clients += 1

    def result(self) -> Float64[Tensor, " dim"]:
        """Returns the mean so far, the same bits as `coordinatewise.mean` of all of them."""
        return self._sum.to(torch.float64) / self._clients


def _windows(rows: Rows, window: int) -> Iterator[tuple[int, Real[Tensor, "clients width"]]]:
    for first in range(0, rows.dim, window):
        yield first, rows.columns(first, min(first + window, rows.dim))

"""Divide and conquer (DnC): without the rows that lie farthest along the main direction of a few drawn coordinates.

Collusion that pushes all coordinates a little shows in the first singular vector, and a few thousand coordinates are
enough to see it. Which ones is drawn from public bytes that nobody knew when the updates were fixed:

    word k = the k-th 8 bytes, big-endian, of  SHA-256(draw LF iteration LF 0) || SHA-256(draw LF iteration LF 1) || ...
    coordinates = the first `size` different values of  word k mod dim,  ascending          (numbers in decimal)

References:
    Shejwalkar, Houmansadr 2021, "Manipulating the Byzantine: optimizing model poisoning attacks and defenses for
    federated learning", algorithm 2.
"""

import hashlib
import itertools
import math
from collections.abc import Iterator, Sequence

import numpy as np
from jaxtyping import Int64

from aggregation import geometry as geometries
from aggregation import spectral, weights
from aggregation.errors import RuleError

ITERATIONS = 5
SIZE = 10_000


def subset_of_coordinates(
    dim: int, size: int = SIZE, *, draw: bytes, iteration: int
) -> Int64[np.ndarray, " coordinates"]:
    """Returns the coordinates of one drawing, ascending: `size` of them, or all if there are no more.

    Args:
        dim: Coordinates of an update, >= 1.
        size: How many to draw, >= 1.
        draw: Public bytes that nobody could know before the updates were fixed.
        iteration: Number of the drawing, from 0.
    """
    if dim <= size:
        return np.arange(dim, dtype=np.int64)
    drawn: set[int] = set()
    words = _words(draw, iteration)
    while len(drawn) < size:
        drawn.add(next(words) % dim)
    return np.array(sorted(drawn), dtype=np.int64)


def dnc(geometries_: Sequence[geometries.Geometry], f: int, *, remove: float = 1.0) -> weights.Weights:
    """Returns the mean of the rows that every drawing kept.

    Each drawing removes the `remove * f` rows with the largest squared deviation from the mean along the top singular
    vector; of equal ones the lower row is kept. The paper does not say what to do if no row is kept by all drawings:
    here the rows that the most drawings kept are taken then.

    Args:
        geometries_: One a drawing, at least one, of the same rows on its coordinates alone.
        f: Byzantine rows to withstand, `0 <= 2 f < rows`.
        remove: The paper's c, > 0: rows removed per Byzantine row.

    Raises:
        RuleError: If a drawing would leave no row.

    Reference:
        Shejwalkar, Houmansadr 2021, algorithm 2.
    """
    rows = len(geometries_[0].squared)
    removed = math.floor(remove * f)
    if not 0 <= removed < rows:
        raise RuleError(f"{remove} * {f} of {rows} rows removed in each drawing: expected to keep at least one")
    times_kept = np.zeros(rows, dtype=np.int64)
    for geometry in geometries_:
        _, deviations = spectral.stretch(geometries.as_floats(geometry.squared), np.full(rows, 1.0 / rows))
        times_kept[np.argsort(deviations, kind="stable")[: rows - removed]] += 1
    numerators = (times_kept == times_kept.max()).astype(np.int64)
    return weights.Weights(numerators=numerators, total=int(numerators.sum()))


def _words(draw: bytes, iteration: int) -> Iterator[int]:
    for counter in itertools.count():
        block = hashlib.sha256(draw + f"\n{iteration}\n{counter}".encode()).digest()
        yield from (int.from_bytes(block[start : start + 8], "big") for start in range(0, len(block), 8))

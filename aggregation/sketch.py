"""Sketches: what a run remembers of each update, at most 8,192 integers whatever the size of the model.

A sketch is a count sketch of the update in the units of the weights: each coordinate falls into one bucket with one sign, both
drawn by hashing its number. Inner products of sketches are, relative to the lengths, those of the updates up to a share of
about 1 / sqrt(8192); an update of at most 8,192 coordinates is its own sketch. A sketch is scaled to fill int16: only its
direction means something.

Reference:
    Charikar, Chen, Farach-Colton 2002, "Finding frequent items in data streams".
    docs/protocol.md P29.
"""

import numpy as np
import torch
from jaxtyping import Int16, Int64
from torch import Tensor

from aggregation import lattice

BUCKETS = 8192
BOUND = 32767
# Bits that the coarsest tensor of the lattice is shifted up by, so that finer ones keep theirs.
_ROOM = 16
# Bits of the largest sum that are looked at: the product with 2**16 then fits int64.
_KEPT = 40


def width(dim: int) -> int:
    """Returns how many integers the sketch of an update of `dim` coordinates has."""
    return min(dim, BUCKETS)


def of(on: lattice.Lattice, values: Tensor, *, seed: int) -> Int16[Tensor, "rows buckets"]:
    """Returns the sketch of each row.

    Coordinates are first brought to one unit: with e the exponent of a tensor and m the largest of all, q becomes
    `q * 2**(16 - (m - e))`, rounded down. Sums are exact; where the largest magnitude of a row has more than 40 bits, all are
    shifted right until it has not. It becomes 32767, the others in proportion, rounded to the nearest, halves up. A row of
    zeros stays one.

    Args:
        on: The round's lattice.
        values: int16 updates, or int32 aggregates, one a row.
        seed: Of the run, 0 to 2**64 - 1.
    """
    coarsest = max(on.exponents)
    parts = [_shifted(part, _ROOM - (coarsest - exponent)) for part, exponent in _parts(on, values)]
    common = np.concatenate(parts, axis=1)
    sums = common if on.dim <= BUCKETS else _folded(common, *_places(on.dim, seed))
    sums = np.stack([row >> max(int(np.abs(row).max()).bit_length() - _KEPT, 0) for row in sums])
    most = np.abs(sums).max(1, keepdims=True)
    scaled = (2 * BOUND * sums + most) // np.maximum(2 * most, 1)
    return torch.from_numpy(scaled.astype(np.int16))


def _parts(on: lattice.Lattice, values: Tensor) -> list[tuple[np.ndarray, int]]:
    parts = torch.split(values.to(torch.int64), list(on.sizes), dim=1)
    return [(part.numpy(), exponent) for part, exponent in zip(parts, on.exponents, strict=True)]


def _shifted(part: np.ndarray, bits: int) -> np.ndarray:
    return part << bits if bits >= 0 else part >> min(-bits, 63)


def _folded(common: np.ndarray, buckets: np.ndarray, signs: np.ndarray) -> Int64[np.ndarray, "rows buckets"]:
    # float64 holds the sums exactly: int16 updates become less than 2**31, aggregates of such less than 2**39.
    rows = [np.bincount(buckets, weights=row * signs, minlength=BUCKETS) for row in common]
    return np.stack(rows).astype(np.int64)


def _places(dim: int, seed: int) -> tuple[np.ndarray, np.ndarray]:
    """Returns the bucket and the sign of each coordinate: bits of splitmix64 of its number."""
    with np.errstate(over="ignore"):
        z = (np.arange(1, dim + 1, dtype=np.uint64) + np.uint64(seed)) * np.uint64(0x9E3779B97F4A7C15)
        z = (z ^ (z >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
        z = (z ^ (z >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
        z ^= z >> np.uint64(31)
    return (z % np.uint64(BUCKETS)).astype(np.int64), np.where(z >> np.uint64(63), -1, 1)

"""The lattice: every coordinate of an update is an int16 times a power of two that its tensor shares.

    value = q * 2**exponent            |q| <= bound <= 32767, so -32768 is never used
    aggregate = r * 2**(exponent - 8)  r int32: the refined form, whose little-endian bytes are digested into the ledger

Sums, order statistics and inner products of integers are exact, so they are the same bits in any order, on any machine.
Multiplying by a power of two is exact as well, so encoding rounds once and decoding never.

Reference: docs/protocol.md P9.
"""

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from fractions import Fraction

import torch
from jaxtyping import Float, Float64, Int16, Int32
from torch import Tensor

from aggregation.errors import LatticeError

BOUND = 32767
FRACTION_BITS = 8
MIN_EXPONENT, MAX_EXPONENT = -60, 30

# Coordinates handled at once: the float64 working copy stays in a core's cache whatever the size of the tensor.
_BLOCK = 1 << 16


@dataclass(frozen=True, slots=True, kw_only=True)
class Lattice:
    """The grid of one round: tensor t holds the values `q * 2**exponents[t]` for integers `|q| <= bound`.

    Attributes:
        sizes: Elements of each tensor, >= 1, in the order in which they lie in the flat update.
        exponents: One power of two per tensor, -60 to 30.
        bound: Largest magnitude of an integer, 1 to 32767.

    Raises:
        LatticeError: If a size, an exponent or the bound is out of range, or the lengths differ.
    """

    sizes: tuple[int, ...]
    exponents: tuple[int, ...]
    bound: int = BOUND

    def __post_init__(self) -> None:
        if not self.sizes or min(self.sizes) < 1:
            raise LatticeError(f"sizes {str(self.sizes)[:80]}: expected one or more tensors of at least one element")
        if len(self.exponents) != len(self.sizes):
            raise LatticeError(f"{len(self.exponents)} exponents for {len(self.sizes)} tensors: expected one each")
        for exponent in self.exponents:
            if not MIN_EXPONENT <= exponent <= MAX_EXPONENT:
                raise LatticeError(f"exponent {exponent}: expected {MIN_EXPONENT} to {MAX_EXPONENT}")
        if not 1 <= self.bound <= BOUND:
            raise LatticeError(f"bound {self.bound}: expected 1 to {BOUND}")

    @property
    def dim(self) -> int:
        """Coordinates of an update: the sum of the sizes."""
        return sum(self.sizes)


@dataclass(frozen=True, slots=True, kw_only=True)
class Encoded:
    """An update on the lattice, and how many of its coordinates were cut to the bound."""

    integers: Int16[Tensor, " dim"]
    saturated: int


def initial(sizes: Sequence[int], values: Float[Tensor, " dim"], *, headroom_bits: int) -> Lattice:
    """Returns the lattice of the first round, scaled to the initial weights.

    Per tensor: the smallest exponent for which `2**headroom_bits * max|weight|` is within the bound. A tensor of zeros
    takes the exponent that the largest weight of the whole model would give; a model of zeros counts as ones.

    Args:
        sizes: Elements of each tensor, in the order of `values`.
        values: The initial weights, flat.
        headroom_bits: How many doublings above the largest weight an update may reach before it saturates.

    Returns:
        The lattice, with bound 32767 and exponents cut to -60..30.

    Raises:
        LatticeError: If `values` is not as long as `sizes` says, or not finite.
    """
    _require_length(sum(sizes), values)
    peaks = [Fraction(_peak(tensor, index)) for index, tensor in enumerate(torch.split(values, list(sizes)))]
    fallback = max(peaks) or Fraction(1)
    exponents = tuple(_exponent((peak or fallback) * 2**headroom_bits, BOUND) for peak in peaks)
    return Lattice(sizes=tuple(sizes), exponents=exponents)


def following(lattice: Lattice, refined: Int32[Tensor, " dim"], *, headroom_bits: int) -> Lattice:
    """Returns the lattice of the next round, scaled to the aggregate of this one.

    Per tensor: the smallest exponent for which `2**headroom_bits * max|aggregate|` is within the bound; a tensor whose
    aggregate is all zeros keeps its exponent. Integer arithmetic only, so every replay derives the same lattice.

    Args:
        lattice: The lattice of this round.
        refined: This round's aggregate as `refine` gives it.
        headroom_bits: How many doublings above this aggregate the next updates may reach before they saturate.

    Returns:
        The lattice, with the same sizes and bound and with exponents cut to -60..30.

    Raises:
        LatticeError: If `refined` is not as long as the lattice says.
    """
    _require_length(lattice.dim, refined)
    exponents = []
    for tensor, exponent in zip(torch.split(refined, list(lattice.sizes)), lattice.exponents, strict=True):
        low, high = torch.aminmax(tensor)
        peak = max(-int(low), int(high)) * Fraction(2) ** (exponent - FRACTION_BITS)
        exponents.append(_exponent(peak * 2**headroom_bits, lattice.bound) if peak else exponent)
    return Lattice(sizes=lattice.sizes, exponents=tuple(exponents), bound=lattice.bound)


def encode(lattice: Lattice, values: Float[Tensor, " dim"]) -> Encoded:
    """Returns the lattice point nearest to an update: halves to even, then cut to the bound.

    Args:
        lattice: The round's lattice.
        values: The update, flat, in the units of the weights.

    Returns:
        The integers, and the number of coordinates whose nearest integer lay beyond the bound.

    Raises:
        LatticeError: If `values` has the wrong length, or holds a NaN or an infinity (named by tensor and position).
    """
    _require_length(lattice.dim, values)
    integers = torch.empty(lattice.dim, dtype=torch.int16, device=values.device)
    saturated = 0
    for index, start, stop, exponent in _blocks(lattice):
        block = values[start:stop]
        block = block if block.dtype == torch.float64 else block.to(torch.float32)
        # A power of two times a float32 is exact; where it leaves float32's range the nearest integer is 0 or beyond the bound.
        nearest = (block * math.ldexp(1.0, -exponent)).round_()
        low, high = torch.aminmax(nearest)
        # Written so that a NaN fails it too.
        if not bool(low >= -lattice.bound) or not bool(high <= lattice.bound):
            _require_finite(block, index, start - sum(lattice.sizes[:index]))
            saturated += int((nearest.abs() > lattice.bound).sum())
            nearest.clamp_(-lattice.bound, lattice.bound)
        integers[start:stop] = nearest
    return Encoded(integers=integers, saturated=saturated)


def decode(lattice: Lattice, integers: Int16[Tensor, " dim"]) -> Float64[Tensor, " dim"]:
    """Returns the update that a lattice point stands for, in the units of the weights, exactly.

    Raises:
        LatticeError: If `integers` is not as long as the lattice says.
    """
    return _scaled(lattice, integers, 0)


def validate(lattice: Lattice, integers: Tensor) -> None:
    """Accepts a lattice point that came from outside: int16, one flat axis of the right length, `|q| <= bound`.

    Raises:
        LatticeError: If anything differs; the message names the first coordinate beyond the bound.
    """
    if integers.dtype != torch.int16:
        raise LatticeError(f"an update of {integers.dtype}: expected torch.int16")
    _require_length(lattice.dim, integers)
    low, high = torch.aminmax(integers)
    if int(low) < -lattice.bound or int(high) > lattice.bound:
        position = int(torch.nonzero((integers < -lattice.bound) | (integers > lattice.bound))[0, 0])
        raise LatticeError(
            f"{int(integers[position])} at coordinate {position}: expected at most {lattice.bound} each way"
        )


def refine(aggregate: Float64[Tensor, " dim"]) -> Int32[Tensor, " dim"]:
    """Returns an aggregate in 1/256 of a lattice step, halves to even: the form that is digested, scored and applied.

    Args:
        aggregate: What a rule returned, in lattice units.

    Raises:
        LatticeError: If a coordinate is not finite or, refined, does not fit an int32.
    """
    refined = torch.empty_like(aggregate, dtype=torch.int32)
    for target, part in zip(torch.split(refined, _BLOCK), torch.split(aggregate, _BLOCK), strict=True):
        nearest = (part * 2.0**FRACTION_BITS).round_()
        low, high = torch.aminmax(nearest) if len(nearest) else (nearest.new_zeros(()),) * 2
        if not bool(low > -(2.0**31)) or not bool(high < 2.0**31):  # a NaN fails it too
            raise LatticeError(f"aggregate reaches {float(aggregate.abs().max())}: expected less than 2**23 steps")
        target.copy_(nearest)
    return refined


def decode_refined(lattice: Lattice, refined: Int32[Tensor, " dim"]) -> Float64[Tensor, " dim"]:
    """Returns the step that a refined aggregate stands for, in the units of the weights, exactly.

    Raises:
        LatticeError: If `refined` is not as long as the lattice says.
    """
    return _scaled(lattice, refined, FRACTION_BITS)


def _scaled(lattice: Lattice, integers: Tensor, fraction_bits: int) -> Tensor:
    _require_length(lattice.dim, integers)
    values = integers.to(torch.float64)
    for tensor, exponent in zip(torch.split(values, list(lattice.sizes)), lattice.exponents, strict=True):
        tensor.mul_(math.ldexp(1.0, exponent - fraction_bits))
    return values


def _exponent(magnitude: Fraction, bound: int) -> int:
    """Returns the smallest e with `magnitude <= bound * 2**e`, cut to the range of exponents."""
    ratio = magnitude / bound
    # The bit lengths alone leave 2**(e-1) < ratio < 2**(e+1).
    exponent = ratio.numerator.bit_length() - ratio.denominator.bit_length()
    if ratio > Fraction(2) ** exponent:
        exponent += 1
    return min(max(exponent, MIN_EXPONENT), MAX_EXPONENT)


def _blocks(lattice: Lattice) -> Iterator[tuple[int, int, int, int]]:
    """Yields (tensor index, start, stop, exponent) of small pieces of the flat update, none across two tensors."""
    offset = 0
    for index, (size, exponent) in enumerate(zip(lattice.sizes, lattice.exponents, strict=True)):
        for start in range(offset, offset + size, _BLOCK):
            yield index, start, min(start + _BLOCK, offset + size), exponent
        offset += size


def _peak(tensor: Tensor, index: int) -> float:
    _require_finite(tensor, index, 0)
    return float(tensor.abs().max())


def _require_length(dim: int, flat: Tensor) -> None:
    if flat.shape != (dim,):
        raise LatticeError(f"an update of shape {tuple(flat.shape)}: expected ({dim},)")


def _require_finite(values: Tensor, index: int, offset: int) -> None:
    finite = torch.isfinite(values)
    if not bool(finite.all()):
        position = int(torch.nonzero(~finite)[0, 0])
        found = f"{float(values[position])} in tensor {index} at {offset + position}"
        raise LatticeError(f"{found}: expected finite numbers")

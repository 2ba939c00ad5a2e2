"""The last aggregate as a row of this round's lattice: the point from which centered clipping starts."""

import math

import torch
from jaxtyping import Int16, Int32
from torch import Tensor

from aggregation import lattice


def carried(before: lattice.Lattice, refined: Int32[Tensor, " dim"], now: lattice.Lattice) -> Int16[Tensor, " dim"]:
    """Returns the lattice point of this round nearest to the last aggregate.

    r stands for `r * 2**(before - 8)`, so q = `r * 2**(before - 8 - now)`: a double without rounding, rounded half to even,
    cut to the bound.

    Args:
        before: The lattice of the round that `refined` ended.
        refined: Its aggregate.
        now: The lattice of this round, of the same sizes.

    Reference:
        docs/protocol.md P12.
    """
    values = refined.to(torch.float64)
    exponents = zip(before.exponents, now.exponents, strict=True)
    for tensor, (old, new) in zip(torch.split(values, list(before.sizes)), exponents, strict=True):
        tensor.mul_(math.ldexp(1.0, old - lattice.FRACTION_BITS - new))
    return values.round_().clamp_(-now.bound, now.bound).to(torch.int16)

"""What a model is worth on the public test set, in whole micro-nats: the same number on every machine.

A loss in floating point differs between machines in its last bits, and a payment must not. So the model is evaluated on
grids: weights, and what each layer gives, are rounded to multiples of a power of two and cut to a range, chosen so that

    |weight| 2**w bits  +  |activation| 2**21  +  terms of a sum   fit into 53 bits

Every product and every partial sum of a linear layer, a convolution or an embedding is then an integer (times a power of two)
that float64 holds exactly, in whatever order, on whatever threads, with or without fused operations. The cross-entropy is
worked out in integers: exp from two tables of 2**30 fixed point, one logarithm of the product of all sums.

So there is no rounding edge at which two auditors could part. What is left to trust is that float64 `+` and `*` are those of
IEEE 754, and that a layer is a sum of products (no Strassen, no Winograd): true of torch's float64 on the CPU.

Reference: docs/protocol.md P29.
"""

import decimal
import functools
import math

import numpy as np
import torch
from torch import nn

from client import task

ACTIVATION_FRACTION, ACTIVATION_RANGE = 12, 9
WEIGHT_BITS, WEIGHT_RANGE = 24, 4
MANTISSA = 53
FIXED = 30
_LOW = 6
# exp(-d) is below 2**-31 beyond.
_FARTHEST = 22 << ACTIVATION_FRACTION
_CONTEXT = decimal.Context(prec=60, rounding=decimal.ROUND_HALF_EVEN)


class Appraiser:
    """Losses of models of one task on the same examples.

    Args:
        made: the task.
        examples: the public test set.
        most: of these so many at most, evenly spaced; 0 for all.
    """

    def __init__(self, made: task.Task, examples: task.Examples, *, most: int) -> None:
        count = min(most or len(examples), len(examples))
        rows = torch.arange(count) * len(examples) // count
        self._inputs = _on_grid(examples.inputs[rows].to(torch.float64), ACTIVATION_FRACTION, ACTIVATION_RANGE)
        self._labels = examples.labels[rows].numpy()
        self._model = made.model().to(torch.float64)
        for module in self._model.modules():
            if not list(module.children()):
                module.register_forward_hook(_rounded)
        self.evaluations = 0

    def loss(self, weights: torch.Tensor) -> int:
        """The mean cross-entropy in micro-nats, rounded down.

        Args:
            weights: float32 `(dim,)`, in the model's own order; finite.
        """
        self.evaluations += 1
        return cross_entropy((self.scores(weights) * 2.0**ACTIVATION_FRACTION).to(torch.int64).numpy(), self._labels)

    def scores(self, weights: torch.Tensor) -> torch.Tensor:
        """What the model says of each example, float64 `(examples, classes)`, on the grid: the same bits everywhere."""
        parameters = list(self._model.parameters())
        for parameter, part in zip(parameters, torch.split(weights, [p.numel() for p in parameters]), strict=True):
            bits = min(WEIGHT_BITS, MANTISSA - ACTIVATION_FRACTION - ACTIVATION_RANGE - _bits(_terms(parameter)))
            on_grid = _on_grid(part.to(torch.float64), bits - WEIGHT_RANGE, WEIGHT_RANGE)
            parameter.data = on_grid.view(parameter.shape)
        with torch.no_grad():
            scores: torch.Tensor = self._model(self._inputs)
        return scores


def cross_entropy(scores: np.ndarray, labels: np.ndarray) -> int:
    """The mean cross-entropy in micro-nats, rounded down, by integers alone.

    Args:
        scores: int64 `(examples, classes)`, in 1/4096.
        labels: int64 `(examples,)`.
    """
    high, low = _tables()
    below = scores.max(1, keepdims=True) - scores
    near = np.minimum(below, _FARTHEST)
    powers = high[near >> _LOW] * low[near & ((1 << _LOW) - 1)] >> FIXED
    sums = np.where(below < _FARTHEST, powers, 0).sum(1)
    behind = int(below[np.arange(len(labels)), labels].sum())
    ln = _ln(math.prod(map(int, sums)))
    total = _CONTEXT.add(_CONTEXT.divide(decimal.Decimal(behind), decimal.Decimal(1 << ACTIVATION_FRACTION)), ln)
    total = _CONTEXT.subtract(total, _CONTEXT.multiply(decimal.Decimal(FIXED * len(labels)), _ln2()))
    micro = _CONTEXT.divide(_CONTEXT.multiply(total, decimal.Decimal(1_000_000)), decimal.Decimal(len(labels)))
    return int(micro.to_integral_value(rounding=decimal.ROUND_FLOOR))


def _rounded(module: nn.Module, given: object, scores: torch.Tensor) -> torch.Tensor:  # noqa: ARG001  a hook's signature
    return _on_grid(scores, ACTIVATION_FRACTION, ACTIVATION_RANGE)


def _on_grid(values: torch.Tensor, fraction: int, reach: int) -> torch.Tensor:
    """The nearest multiples of 2**-fraction, halves to even, cut to +-2**reach."""
    most = 2.0 ** (fraction + reach)
    return (values * 2.0**fraction).round().clamp(-most, most) / 2.0**fraction


def _terms(parameter: torch.Tensor) -> int:
    """How many products a sum has at most, and the bias."""
    return (parameter[0].numel() if parameter.dim() > 1 else 1) + 1


def _bits(number: int) -> int:
    """Bits that counting to `number` takes, and one for a magnitude that is the very bound."""
    return (number - 1).bit_length() + 1


@functools.cache
def _tables() -> tuple[np.ndarray, np.ndarray]:
    """exp(-64 i / 4096) and exp(-i / 4096), in 2**-30."""
    parts = ((_FARTHEST >> _LOW) + 1, 1 << _LOW), (1 << _LOW, 1)
    return tuple(  # type: ignore[return-value]
        np.array([_fixed_exp(i * step) for i in range(count)], dtype=np.int64) for count, step in parts
    )


def _fixed_exp(below: int) -> int:
    exponent = _CONTEXT.divide(decimal.Decimal(-below), decimal.Decimal(1 << ACTIVATION_FRACTION))
    scaled = _CONTEXT.multiply(_CONTEXT.exp(exponent), decimal.Decimal(1 << FIXED))
    return int(scaled.to_integral_value(rounding=decimal.ROUND_HALF_EVEN))


def _ln(number: int) -> decimal.Decimal:
    """The natural logarithm, from the first 200 bits."""
    shift = max(number.bit_length() - 200, 0)
    top = _CONTEXT.ln(decimal.Decimal(number >> shift))
    return _CONTEXT.add(top, _CONTEXT.multiply(decimal.Decimal(shift), _ln2()))


@functools.cache
def _ln2() -> decimal.Decimal:
    return _CONTEXT.ln(decimal.Decimal(2))

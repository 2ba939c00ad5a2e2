"""The outer step: from the model of one round to the model of the next, by SGD, Nesterov's momentum, Adam or Yogi.

Every operation is elementwise and rounded by itself: a float64 product, sum, quotient or square root at a time, one cast to
float32 at the end. Never `torch.add` with `alpha`, `addcmul`, `lerp`, `torch.pow` nor a compiled expression: those may fuse a
product and a sum into one rounding (FMA), or round differently on some machines. Quotients are of two tensors: CUDA multiplies
by the rounded reciprocal of a Python number.

What a step must remember is float64: it is never rounded between rounds, and a file of `F64` tensors keeps it bit for bit.

References:
    Reddi, Charles, Zaheer, Garrett, Rush, Konecny, Kumar, McMahan 2021, "Adaptive federated optimization".
    Douillard et al. 2023, "DiLoCo: distributed low-communication training of language models".
"""

from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Float32, Float64
from torch import Tensor

# Coordinates handled at once.
_BLOCK = 1 << 16


@dataclass(frozen=True, slots=True, kw_only=True)
class Velocity:
    """What `nesterov` remembers.

    Attributes:
        velocity: Sum of all steps so far, each worth `momentum` times the next; zeros before the first.
    """

    velocity: Float64[Tensor, " dim"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Moments:
    """What `adam` and `yogi` remember.

    Attributes:
        first: Moving mean of the steps; zeros before the first.
        second: Moving mean of their squares; tau^2 before the first.
    """

    first: Float64[Tensor, " dim"]
    second: Float64[Tensor, " dim"]


def sgd(
    parameters: Float32[Tensor, " dim"], step: Float64[Tensor, " dim"], *, learning_rate: float
) -> Float32[Tensor, " dim"]:
    """Returns the parameters moved along the aggregate: `float32(parameters + learning_rate * step)`.

    Args:
        parameters: The weights of this round's checkpoint, flat.
        step: The aggregate in the units of the weights, as `lattice.decode_refined` gives it. Updates are differences
            "after minus before" training, so it is added.
        learning_rate: The server's step size; 1.0 with the mean is FedAvg.

    Reference:
        Reddi et al. 2021, algorithm 1 with SGD as the server's optimizer.
        docs/protocol.md P13.
    """
    moved = torch.empty_like(parameters)
    # A block stays in a core's cache: four passes over float64 memory of the model's size would cost three times as much.
    for target, start, each in zip(*(torch.split(whole, _BLOCK) for whole in (moved, parameters, step)), strict=True):
        target.copy_(start.to(torch.float64).add_(each * learning_rate))
    return moved


def nesterov(
    parameters: Float32[Tensor, " dim"],
    step: Float64[Tensor, " dim"],
    state: Velocity,
    *,
    learning_rate: float,
    momentum: float,
) -> tuple[Float32[Tensor, " dim"], Velocity]:
    """Returns the parameters moved along the aggregate and the velocity, and the velocity after it.

        b' = momentum b + d        x' = float32(x + learning_rate (d + momentum b'))

    Args:
        parameters: As for `sgd`.
        step: d, as for `sgd`.
        state: b, of the round before; `resting` before the first.
        learning_rate: The server's step size.
        momentum: 0 .. 1; at 0 this is `sgd`.

    Reference:
        Douillard et al. 2023, algorithm 1 with Nesterov momentum (Sutskever et al. 2013, in the form of torch.optim.SGD).
    """
    velocity = state.velocity * momentum + step
    ahead = step + velocity * momentum
    return sgd(parameters, ahead, learning_rate=learning_rate), Velocity(velocity=velocity)


def adam(
    parameters: Float32[Tensor, " dim"],
    step: Float64[Tensor, " dim"],
    state: Moments,
    *,
    learning_rate: float,
    beta1: float,
    beta2: float,
    tau: float,
) -> tuple[Float32[Tensor, " dim"], Moments]:
    """Returns the parameters moved by the mean step, shorter where steps have been large, and the moments after it.

        m' = beta1 m + (1 - beta1) d        v' = beta2 v + (1 - beta2) d^2
        x' = float32(x + learning_rate m' / (sqrt(v') + tau))

    Without the correction of m and v for their start, as in the paper.

    Args:
        parameters: As for `sgd`.
        step: d, as for `sgd`.
        state: m and v, of the round before; `fresh` before the first.
        learning_rate: The server's step size.
        beta1: 0 .. 1, weight of the mean step so far.
        beta2: 0 .. 1, weight of the mean square so far.
        tau: > 0, in the units of the weights; the larger, the more this is SGD with momentum.

    Reference:
        Reddi et al. 2021, algorithm 2 (FedAdam).
    """
    squares = step * step
    second = state.second * beta2 + squares * (1 - beta2)
    return _adaptive(parameters, step, state.first, second, learning_rate=learning_rate, beta1=beta1, tau=tau)


def yogi(
    parameters: Float32[Tensor, " dim"],
    step: Float64[Tensor, " dim"],
    state: Moments,
    *,
    learning_rate: float,
    beta1: float,
    beta2: float,
    tau: float,
) -> tuple[Float32[Tensor, " dim"], Moments]:
    """Returns as `adam`, where the mean square moves towards the new one by an amount that does not depend on its own size.

        v' = v - (1 - beta2) d^2 sign(v - d^2)

    Args:
        parameters: As for `sgd`.
        step: As for `adam`.
        state: As for `adam`.
        learning_rate: As for `adam`.
        beta1: As for `adam`.
        beta2: As for `adam`.
        tau: As for `adam`.

    Reference:
        Reddi et al. 2021, algorithm 2 (FedYogi).
    """
    squares = step * step
    second = state.second - squares * (1 - beta2) * (state.second - squares).sign()
    return _adaptive(parameters, step, state.first, second, learning_rate=learning_rate, beta1=beta1, tau=tau)


def resting(parameters: Float32[Tensor, " dim"]) -> Velocity:
    """Returns the velocity before the first round: zeros."""
    return Velocity(velocity=torch.zeros_like(parameters, dtype=torch.float64))


def fresh(parameters: Float32[Tensor, " dim"], *, tau: float) -> Moments:
    """Returns the moments before the first round: zeros, and tau^2.

    Reference:
        Reddi et al. 2021, algorithm 2: v_(-1) >= tau^2.
    """
    zeros = torch.zeros_like(parameters, dtype=torch.float64)
    return Moments(first=zeros, second=torch.full_like(zeros, tau * tau))


def _adaptive(
    parameters: Tensor, step: Tensor, first: Tensor, second: Tensor, *, learning_rate: float, beta1: float, tau: float
) -> tuple[Tensor, Moments]:
    mean = first * beta1 + step * (1 - beta1)
    root = _square_root(second) + tau
    moved = parameters.to(torch.float64) + mean * learning_rate / root
    return moved.to(torch.float32), Moments(first=mean, second=second)


def _square_root(values: Tensor) -> Tensor:
    """Returns the square roots, correctly rounded; torch's on a CPU are those of a vector library and are not (1 % are off)."""
    if values.device.type == "cpu":
        return torch.from_numpy(np.sqrt(values.numpy()))
    return values.sqrt()

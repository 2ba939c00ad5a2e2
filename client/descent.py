"""Steps of SGD: of a model's tensors all at once, and of large layers while their gradient is made.

The weights of a linear layer are most of a small network, and with ten examples a minibatch their gradient costs more to write
and to read again than to compute. Without momentum it is never made: the product that would be the gradient is added to the
weights as it is computed.
"""

import contextlib
import itertools
from collections.abc import Sequence
from typing import Any, TypeGuard

import torch
from torch import nn
from torch.nn import functional

from client import taskplan


def precision(settings: taskplan.TaskPlan, device: torch.device) -> contextlib.AbstractContextManager[object]:
    """Within, products are taken in the precision of the plan; weights, sums and losses stay float32.

    Reference: P. Micikevicius et al., "Mixed Precision Training", 2018; bfloat16 has float32's range, so no loss is scaled.
    """
    if settings.precision == "float32":
        return contextlib.nullcontext()
    # Kept casts of weights would outlive a step: weights are stepped in place.
    return torch.autocast(device.type, dtype=torch.bfloat16, cache_enabled=False)


class Descent:
    """SGD with momentum on tensors of one model, or of several side by side.

    Args:
        weights: what is stepped, in place.
        settings: learning rate and momentum.

    Reference:
        B. Polyak, "Some methods of speeding up the convergence of iteration methods", 1964: v = m v + g, w = w - lr v.
    """

    def __init__(self, weights: list[torch.Tensor], settings: taskplan.TaskPlan) -> None:
        self._weights = weights
        self._settings = settings
        # Without momentum the velocity is the gradient, and takes no memory.
        self._velocity = [torch.zeros_like(each) for each in weights] if settings.momentum else []

    @torch.no_grad()
    def step(self, gradients: Sequence[torch.Tensor]) -> None:
        """One step against `gradients`, of the weights' shapes."""
        moving = list(gradients)
        if self._velocity:
            torch._foreach_mul_(self._velocity, self._settings.momentum)
            torch._foreach_add_(self._velocity, moving)
            moving = self._velocity
        torch._foreach_add_(self._weights, moving, alpha=-self._settings.learning_rate)


class Pass:
    """A model's forward pass in training; its backward pass steps the weights of linear layers where it can.

    It can where gradients are float32 and each layer is used once: in a plain sequence of layers, no two of them the same. Else
    all is left to `Descent`.

    Args:
        module: the model.
        settings: learning rate and momentum.

    Attributes:
        left: the parameters that the backward pass does not step.
    """

    def __init__(self, module: nn.Module, settings: taskplan.TaskPlan) -> None:
        plain = not settings.momentum and settings.precision == "float32"
        layers = list(module) if type(module) is nn.Sequential and plain else []
        once = len(set(map(id, layers))) == len(layers)
        self._layers = _pooled_first(layers) if once else []
        self._module = module
        self._rate = settings.learning_rate
        own = {id(layer.weight) for layer in self._layers if _steps(layer)}
        self.left = [parameter for parameter in module.parameters() if id(parameter) not in own]

    def __call__(self, inputs: torch.Tensor) -> torch.Tensor:
        """The model's output, `(batch, classes)`, for `inputs`; to be differentiated by all of `left` once, before the next."""
        inputs = channels_last(inputs)
        if not self._layers:
            return through(self._module, inputs)
        for layer in self._layers:
            inputs = _stepping(layer, inputs, self._rate) if _steps(layer) else _shaped(layer, inputs)
        return inputs


def through(module: nn.Module, inputs: torch.Tensor) -> torch.Tensor:
    """What a model says to `inputs`, its pictures pixel by pixel, whether they come as such or a layer makes them."""
    inputs = channels_last(inputs)
    for layer in module if type(module) is nn.Sequential else [module]:
        inputs = _shaped(layer, inputs)
    return inputs


def channels_last(inputs: torch.Tensor) -> torch.Tensor:
    """`inputs` in the order in which convolutions are fastest: pictures, `(batch, channels, rows, columns)`, pixel by pixel."""
    if inputs.dim() != 4:
        return inputs
    # Not `contiguous(memory_format=...)`: of one channel it says that nothing is to do, and convolutions then see rows.
    return torch.empty_like(inputs, memory_format=torch.channels_last).copy_(inputs)


def _shaped(layer: nn.Module, inputs: torch.Tensor) -> torch.Tensor:
    """What a layer says; where it makes pictures of rows, pixel by pixel: pooling is ten times faster so."""
    output: torch.Tensor = layer(inputs)
    return channels_last(output) if inputs.dim() != 4 else output


def _pooled_first(layers: list[nn.Module]) -> list[nn.Module]:
    """The layers, each ReLU after the maximum that follows it: the same bits, forward and backward, of a quarter of the work.

    The largest of some numbers, cut at zero, is the largest of them cut at zero; the gradient goes to the first that is as
    large as it, and where none is above zero it goes nowhere.
    """
    order = list(layers)
    for place, (layer, after) in enumerate(itertools.pairwise(layers)):
        if type(layer) is nn.ReLU and type(after) is nn.MaxPool2d and not after.return_indices:
            order[place : place + 2] = [after, layer]
    return order


def _steps(layer: nn.Module) -> TypeGuard[nn.Linear]:
    # Without a bias to be differentiated, a first layer would not be gone back through.
    trained = type(layer) is nn.Linear and layer.weight.requires_grad
    return trained and layer.bias is not None and bool(layer.bias.requires_grad)


def _stepping(layer: nn.Linear, inputs: torch.Tensor, rate: float) -> torch.Tensor:
    output: torch.Tensor = _Stepping.apply(inputs, layer.weight.detach(), layer.bias, rate)  # type: ignore[no-untyped-call]
    return output


class _Stepping(torch.autograd.Function):
    """A linear layer; going backward it hands on the gradient of its inputs, then steps its weights."""

    @staticmethod
    def forward(ctx: Any, inputs: torch.Tensor, weight: torch.Tensor, bias: torch.Tensor, rate: float) -> torch.Tensor:  # noqa: ANN401
        ctx.save_for_backward(inputs)
        ctx.weight, ctx.rate = weight, rate
        return functional.linear(inputs, weight, bias)

    @staticmethod
    def backward(ctx: Any, gradient: torch.Tensor) -> tuple[torch.Tensor | None, ...]:  # noqa: ANN401
        (inputs,) = ctx.saved_tensors
        onward = gradient @ ctx.weight if ctx.needs_input_grad[0] else None
        # Rows of all leading axes are examples of the layer.
        rows, seen = gradient.flatten(0, -2), inputs.flatten(0, -2)
        ctx.weight.addmm_(rows.t(), seen, alpha=-ctx.rate)
        return onward, None, rows.sum(0) if ctx.needs_input_grad[2] else None, None

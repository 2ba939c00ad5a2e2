"""Local training: plain SGD with momentum on one flat vector, the model's tensors being views into it.

With all weights in one buffer, reading the model, stepping, and taking the difference are one operation each. The optimizer
is two lines rather than `torch.optim.SGD` because the latter imports torch's compiler: 0.9 CPU seconds a worker process.
"""

import dataclasses
import itertools
import math
from collections.abc import Callable, Iterator

import numpy as np
import torch
from torch import nn
from torch.nn import functional

from client import errors, task, taskplan


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Trained:
    """What a holder learned.

    Attributes:
        delta: float32 `(dim,)` on the CPU, the trained weights less those it started from.
        loss: mean training loss in nats over the last epoch, as far as it went.
    """

    delta: torch.Tensor
    loss: float


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Judged:
    """A model's worth on labelled examples.

    Attributes:
        correct: right predictions, of `total`.
        total: number of examples.
        loss: mean cross-entropy in nats.
    """

    correct: int
    total: int
    loss: float


class FlatModel:
    """A model whose weights are views into one vector, and whose gradients into another."""

    def __init__(self, model: nn.Module, device: torch.device) -> None:
        self.module = model.to(device)
        parameters = list(self.module.parameters())
        self.weights = torch.cat([p.detach().reshape(-1) for p in parameters])
        self.gradient = torch.zeros_like(self.weights)
        start = 0
        for parameter in parameters:
            stop = start + parameter.numel()
            parameter.data = self.weights[start:stop].view(parameter.shape)
            parameter.grad = self.gradient[start:stop].view(parameter.shape)
            start = stop

    def load(self, weights: torch.Tensor) -> None:
        """Take over `weights`, float32 `(dim,)`, by value."""
        self.weights.copy_(weights)


def initial(made: task.Task, *, seed: int) -> torch.Tensor:
    """The weights a run starts from: float32 `(dim,)`, drawn by the model's own initialisation from `seed`."""
    if made.program is not None:
        return made.program.initial()
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        return FlatModel(made.model(), torch.device("cpu")).weights


def train(
    model: FlatModel,
    start: torch.Tensor,
    examples: task.Examples,
    settings: taskplan.TaskPlan,
    batches: np.random.Generator,
) -> Trained:
    """The change that SGD on the holder's examples makes: `settings.epochs`, or `settings.batches` minibatches if not 0.

    Args:
        model: any model of the task; its weights are overwritten.
        start: float32 `(dim,)`, the checkpoint of the round.
        examples: on the model's device.
        settings: epochs or minibatches, batch size, learning rate, momentum.
        batches: draws the order of the examples, anew each epoch.

    Raises:
        TrainingError: the loss is not finite: the learning rate is too high for these data.

    Reference:
        B. Polyak, "Some methods of speeding up the convergence of iteration methods", 1964: v = m v + g, w = w - lr v.
    """
    model.load(start)
    velocity = torch.zeros_like(model.weights)
    losses: list[torch.Tensor] = []
    seen = 0
    for rows in _minibatches(len(examples), settings, batches):
        if seen == len(examples):
            losses, seen = [], 0
        model.gradient.zero_()
        on_device = rows.to(model.weights.device)
        output = model.module(examples.inputs[on_device])
        loss = functional.cross_entropy(output, examples.labels[on_device])
        loss.backward()  # type: ignore[no-untyped-call]
        velocity.mul_(settings.momentum).add_(model.gradient)
        model.weights.add_(velocity, alpha=-settings.learning_rate)
        losses.append(loss.detach() * len(rows))
        seen += len(rows)
    mean = float(torch.stack(losses).sum()) / seen if losses else 0.0
    if not math.isfinite(mean):
        raise errors.TrainingError(f"training loss is {mean}; expected a finite value: lower task.learning_rate")
    return Trained(delta=(model.weights.cpu() - start), loss=mean)


def _minibatches(examples: int, settings: taskplan.TaskPlan, draw: np.random.Generator) -> Iterator[torch.Tensor]:
    """Row numbers of one minibatch after another; every epoch is a fresh shuffle, its last minibatch what is left of it."""
    epochs = itertools.count() if settings.batches else range(settings.epochs)
    shuffles = (torch.from_numpy(draw.permutation(examples)) for _ in epochs)
    rows = itertools.chain.from_iterable(torch.split(order, settings.batch) for order in shuffles)
    return itertools.islice(rows, settings.batches or None)


def evaluate(model: FlatModel, weights: torch.Tensor, examples: task.Examples) -> Judged:
    """What `weights`, float32 `(dim,)`, are worth on `examples`."""
    model.load(weights)
    with torch.no_grad():
        output = model.module(examples.inputs)
        loss = functional.cross_entropy(output, examples.labels)
    return Judged(correct=int((output.argmax(1) == examples.labels).sum()), total=len(examples), loss=float(loss))


def judge(made: task.Task, model: FlatModel, weights: torch.Tensor, test: Callable[[], task.Examples]) -> Judged:
    """What `weights`, float32 `(dim,)`, are worth: on the public test set, or as the task's own program says."""
    if made.program is None:
        return evaluate(model, weights, test())
    correct, total, loss = made.program.judge(weights)
    return Judged(correct=correct, total=total, loss=loss)

"""Local training: plain SGD with momentum on one flat vector, the model's tensors being views into it.

With all weights in one buffer, reading the model and taking the difference are one operation each. Gradients are taken as
autograd makes them: a gradient buffer would be zeroed, added to and read once more a step, a third of the memory traffic of a
model beyond the caches. The optimizer is not `torch.optim.SGD`, which imports torch's compiler (0.9 CPU seconds a worker
process), nor torch's fused one, which on a CPU takes the elements of a gradient in channels_last order for those of a weight
that is not, and says nothing.
"""

import dataclasses
import itertools
import math
from collections.abc import Callable, Iterator

import numpy as np
import torch
from torch import nn
from torch.nn import functional

from client import descent, errors, task, taskplan

PART = 64
"""Examples judged at once."""


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Trained:
    """What a holder learned.

    Attributes:
        delta: float32 `(dim,)` on the CPU, the trained weights less those it started from.
        loss: mean training loss in nats over the last epoch, as far as it went.
        together: holders that were trained side by side, this one included.
    """

    delta: torch.Tensor
    loss: float
    together: int = 1


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Judged:
    """A model's worth on labelled examples.

    Attributes:
        correct: right predictions, of `total`.
        total: number of labels.
        loss: mean cross-entropy in nats.
    """

    correct: int
    total: int
    loss: float


class FlatModel:
    """A model whose weights are views into one vector.

    Attributes:
        module: the model.
        weights: float32 `(dim,)` on its device.
        parameters: its tensors, the views, in its own order.
    """

    def __init__(self, model: nn.Module, device: torch.device) -> None:
        self.module = model.to(device)
        self.parameters = list(self.module.parameters())
        self.weights = torch.cat([p.detach().reshape(-1) for p in self.parameters])
        for parameter, view in zip(self.parameters, self.views(self.weights), strict=True):
            parameter.data = view

    def load(self, weights: torch.Tensor) -> None:
        """Take over `weights`, float32 `(dim,)`, by value."""
        self.weights.copy_(weights)

    def views(self, flat: torch.Tensor) -> list[torch.Tensor]:
        """The model's tensors in `flat`, `(..., dim)`: views of the shape `(..., *shape)`, in the model's own order."""
        parts = torch.split(flat, [p.numel() for p in self.parameters], dim=-1)
        return [part.view(*flat.shape[:-1], *p.shape) for part, p in zip(parts, self.parameters, strict=True)]


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
        settings: epochs or minibatches, batch size, learning rate, momentum, precision.
        batches: draws the order of the examples, anew each epoch.

    Raises:
        TrainingError: the loss is not finite: the learning rate is too high for these data.
    """
    model.load(start)
    device = model.weights.device
    forward = descent.Pass(model.module, settings)
    down = descent.Descent([each.data for each in forward.left], settings)
    losses: list[torch.Tensor] = []
    seen = 0
    for rows in _minibatches(len(examples), settings, batches, device):
        if seen == len(examples):
            losses, seen = [], 0
        with descent.precision(settings, device):
            output = forward(examples.inputs[rows])
        loss = functional.cross_entropy(output.float(), examples.labels[rows])
        down.step(torch.autograd.grad(loss, forward.left, materialize_grads=True))
        losses.append(loss.detach() * len(rows))
        seen += len(rows)
    mean = float(torch.stack(losses).sum()) / seen if losses else 0.0
    return finite(Trained(delta=(model.weights.cpu() - start), loss=mean))


def finite(trained: Trained) -> Trained:
    """`trained`, if its loss is finite.

    Raises:
        TrainingError: it is not: the learning rate is too high for these data.
    """
    if not math.isfinite(trained.loss):
        message = f"training loss is {trained.loss}; expected a finite value"
        raise errors.TrainingError(f"{message}: lower task.learning_rate")
    return trained


def _minibatches(
    examples: int, settings: taskplan.TaskPlan, draw: np.random.Generator, device: torch.device
) -> Iterator[torch.Tensor]:
    """Row numbers of one minibatch after another; every epoch is a fresh shuffle, its last minibatch what is left of it.

    An epoch's order goes to the device once, so that no step waits for the host.
    """
    epochs = itertools.count() if settings.batches else range(settings.epochs)
    shuffles = (torch.from_numpy(draw.permutation(examples)).to(device) for _ in epochs)
    rows = itertools.chain.from_iterable(torch.split(order, settings.batch) for order in shuffles)
    return itertools.islice(rows, settings.batches or None)


def evaluate(model: FlatModel, weights: torch.Tensor, examples: task.Examples) -> Judged:
    """What `weights`, float32 `(dim,)`, are worth on `examples`."""
    model.load(weights)
    correct, loss = 0, 0.0
    with torch.no_grad():
        # Parts whose activations stay near the processor, whatever the size of the test set.
        for inputs, labels in zip(torch.split(examples.inputs, PART), torch.split(examples.labels, PART), strict=True):
            output = descent.through(model.module, inputs)
            loss += float(functional.cross_entropy(output, labels)) * len(labels)
            correct += int((output.argmax(1) == labels).sum())
    return Judged(correct=correct, total=examples.labels.numel(), loss=loss / len(examples))


def judge(made: task.Task, model: FlatModel, weights: torch.Tensor, test: Callable[[], task.Examples]) -> Judged:
    """What `weights`, float32 `(dim,)`, are worth: on the public test set, or as the task's own program says."""
    if made.program is None:
        return evaluate(model, weights, test())
    correct, total, loss = made.program.judge(weights)
    return Judged(correct=correct, total=total, loss=loss)

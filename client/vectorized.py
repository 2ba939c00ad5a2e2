"""Local training of several holders at once: one program steps all their models side by side.

Row k of one matrix is holder k's model. Each operation of the model runs once for all rows (torch.func), so a small model pays
the cost of starting an operation once and not once a holder. Holders trained so have as many examples as one another, hence
minibatches of the same sizes; each draws its own order, and nothing passes from row to row.

What a row ends with is what `client.training` gives that holder alone, but for the order in which a batched product adds up:
equal to some float32 roundings. So who is trained with whom is decided by the round alone (`client.groups`).
"""

from collections.abc import Iterator, Sequence

import numpy as np
import torch
from torch import func, nn
from torch.nn import functional

from client import descent, task, taskplan, training


def fits(module: nn.Module) -> bool:
    """Whether a model can be trained so.

    It keeps no state beside its weights, draws nothing in training, and no part of it says that it is to be `alone`.
    """
    drawing = (nn.Dropout, nn.Dropout1d, nn.Dropout2d, nn.Dropout3d, nn.AlphaDropout)
    parts = list(module.modules())
    unfit = any(isinstance(each, drawing) or getattr(each, "alone", False) for each in parts)
    return not unfit and not any(True for _ in module.buffers())


def train(
    model: training.FlatModel,
    start: torch.Tensor,
    holders: Sequence[task.Examples],
    settings: taskplan.TaskPlan,
    batches: Sequence[np.random.Generator],
) -> list[training.Trained]:
    """What each holder's SGD makes of `start`, as `training.train` for each alone; a loss may be infinite or no number.

    Args:
        model: any model of the task that `fits`; its weights are not touched.
        start: float32 `(dim,)`, the checkpoint of the round.
        holders: on the model's device, one or more, as many examples each.
        settings: epochs or minibatches, batch size, learning rate, momentum.
        batches: of each holder, draws the order of its examples.

    Reference: B. McMahan et al., "Communication-Efficient Learning of Deep Networks from Decentralized Data", 2017.
    """
    weights = start.to(model.weights.device).repeat(len(holders), 1)
    tensors = model.views(weights)
    names = [name for name, _ in model.module.named_parameters()]

    def loss(own: dict[str, torch.Tensor], inputs: torch.Tensor, labels: torch.Tensor) -> torch.Tensor:
        with descent.precision(settings, weights.device):
            output = func.functional_call(model.module, own, (inputs,))
        return functional.cross_entropy(output.float(), labels)

    gradients = func.vmap(func.grad_and_value(loss))
    down = descent.Descent(tensors, settings)
    losses: list[torch.Tensor] = []
    count, seen = len(holders[0]), 0
    for inputs, labels in _minibatches(holders, settings, batches):
        if seen == count:
            losses, seen = [], 0
        found, value = gradients(dict(zip(names, tensors, strict=True)), inputs, labels)
        down.step(list(found.values()))
        losses.append(value.detach() * labels.shape[1])
        seen += labels.shape[1]
    means = (torch.stack(losses).sum(0) / seen).tolist()
    deltas = weights.cpu() - start
    count = len(holders)
    return [training.Trained(delta=row, loss=mean, together=count) for row, mean in zip(deltas, means, strict=True)]


def _minibatches(
    holders: Sequence[task.Examples], settings: taskplan.TaskPlan, batches: Sequence[np.random.Generator]
) -> Iterator[tuple[torch.Tensor, torch.Tensor]]:
    """Inputs and labels, `(holders, batch, ...)`, each holder's in the order `training` visits them."""
    count, left = len(holders[0]), settings.batches
    first = holders[0].inputs
    # Reused: fresh pages for every epoch would cost more than the copy.
    inputs = first.new_empty((len(holders), *first.shape))
    labels = holders[0].labels.new_empty((len(holders), *holders[0].labels.shape))
    epoch = 0
    while left > 0 if settings.batches else epoch < settings.epochs:
        for row, (examples, draw) in enumerate(zip(holders, batches, strict=True)):
            order = torch.from_numpy(draw.permutation(count)).to(first.device)
            torch.index_select(examples.inputs, 0, order, out=inputs[row])
            torch.index_select(examples.labels, 0, order, out=labels[row])
        parts = zip(torch.split(inputs, settings.batch, 1), torch.split(labels, settings.batch, 1), strict=True)
        for part in list(parts)[: left if settings.batches else None]:
            left -= 1
            yield part
        epoch += 1

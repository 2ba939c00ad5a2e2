"""The app that the speed of Flower runs is measured with: ordinary Flower code, which imports nothing of folkmoot.

`config` says which: `logreg`, a linear model of 7,850 parameters on 50 examples a client, or `cnn`, the 1,663,370 of McMahan
et al. 2017 on 100. The data are drawn from one stream for all clients, once a process: the same bytes for every system.
"""

import functools
from typing import NamedTuple

import numpy as np
import torch
from flwr.app import ArrayRecord, Context, Message, MetricRecord, RecordDict
from flwr.clientapp import ClientApp
from torch import nn

BATCH, CLASSES, PIXELS, TESTS = 10, 10, 784, 2000


class Size(NamedTuple):
    """How many clients there are data for, and examples of each."""

    clients: int
    rows: int


SIZES = {"logreg": Size(1000, 50), "cnn": Size(100, 100)}

client = ClientApp()


@functools.cache
def network(kind: str) -> nn.Sequential:
    """The model of its kind, made once a process."""
    if kind == "logreg":
        return nn.Sequential(nn.Linear(PIXELS, CLASSES))
    return nn.Sequential(
        *(nn.Unflatten(1, (1, 28, 28)), nn.Conv2d(1, 32, 5, padding=2), nn.ReLU(), nn.MaxPool2d(2)),
        *(nn.Conv2d(32, 64, 5, padding=2), nn.ReLU(), nn.MaxPool2d(2)),
        *(nn.Flatten(), nn.Linear(3136, 512), nn.ReLU(), nn.Linear(512, CLASSES)),
    )


@functools.cache
def examples(kind: str) -> tuple[torch.Tensor, torch.Tensor]:
    """Inputs and labels of all clients, one after the other."""
    count = SIZES[kind].clients * SIZES[kind].rows
    draw = np.random.default_rng(1234)
    means = draw.normal(0, 1, (CLASSES, PIXELS)).astype(np.float32) * np.float32(0.35)
    labels = draw.integers(0, CLASSES, count + TESTS)[:count]
    inputs = np.empty((count, PIXELS), dtype=np.float32)
    for start in range(0, count, 1000):
        part = inputs[start : start + 1000]
        part[:] = means[labels[start : start + 1000]] + draw.normal(0, 1, part.shape).astype(np.float32)
    return torch.from_numpy(inputs), torch.from_numpy(labels)


def trained(kind: str, number: int, state: dict[str, torch.Tensor]) -> tuple[dict[str, torch.Tensor], float]:
    """One epoch of SGD, as a client of any system does it: new state, and the last loss."""
    torch.set_num_threads(1)
    model, rows = network(kind), SIZES[kind].rows
    model.load_state_dict(state)
    optimizer = torch.optim.SGD(model.parameters(), lr=0.05)
    inputs, labels = examples(kind)
    for start in range(number * rows, (number + 1) * rows, BATCH):
        optimizer.zero_grad()
        loss = nn.functional.cross_entropy(model(inputs[start : start + BATCH]), labels[start : start + BATCH])
        loss.backward()
        optimizer.step()
    return {name: each.clone() for name, each in model.state_dict().items()}, float(loss.detach())


@client.train()
def train(message: Message, context: Context) -> Message:
    """One epoch."""
    kind = str(message.content["config"]["kind"])
    state = message.content["arrays"].to_torch_state_dict()
    after, loss = trained(kind, int(context.node_config["partition-id"]), state)
    metrics = MetricRecord({"train_loss": loss, "num-examples": SIZES[kind].rows})
    return Message(RecordDict({"arrays": ArrayRecord(after), "metrics": metrics}), reply_to=message)

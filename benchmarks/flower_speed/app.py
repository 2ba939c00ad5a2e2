"""The app that the speed of Flower runs is measured with: ordinary Flower code, which imports nothing of folkmoot.

`config` says which model: `logreg`, 650 parameters, or `cnn`, the 1,663,370 of McMahan et al. 2017 for 28 x 28 pictures. The
data are drawn, once a process and partition: what is measured is the way of a message, not what is learned.
"""

import functools

import torch
from flwr.app import ArrayRecord, Context, Message, MetricRecord, RecordDict
from flwr.clientapp import ClientApp
from torch import nn

SHAPES = {"logreg": (64,), "cnn": (1, 28, 28)}
ROWS, BATCH, CLASSES = 60, 20, 10

client = ClientApp()


def network(kind: str) -> nn.Sequential:
    """A model of its kind."""
    if kind == "logreg":
        return nn.Sequential(nn.Linear(64, CLASSES))
    return nn.Sequential(
        *(nn.Conv2d(1, 32, 5, padding=2), nn.ReLU(), nn.MaxPool2d(2)),
        *(nn.Conv2d(32, 64, 5, padding=2), nn.ReLU(), nn.MaxPool2d(2)),
        *(nn.Flatten(), nn.Linear(3136, 512), nn.ReLU(), nn.Linear(512, CLASSES)),
    )


@functools.lru_cache(maxsize=2000)
def partition(kind: str, number: int) -> tuple[torch.Tensor, torch.Tensor]:
    """Inputs and labels of a partition."""
    draw = torch.Generator().manual_seed(number)
    return torch.randn(ROWS, *SHAPES[kind], generator=draw), torch.randint(CLASSES, (ROWS,), generator=draw)


def trained(kind: str, number: int, state: dict[str, torch.Tensor]) -> tuple[dict[str, torch.Tensor], float]:
    """One epoch of SGD, as a client of any system does it: new state, and the last loss."""
    torch.set_num_threads(1)
    model = network(kind)
    model.load_state_dict(state)
    optimizer = torch.optim.SGD(model.parameters(), lr=0.05)
    inputs, labels = partition(kind, number)
    for start in range(0, ROWS, BATCH):
        optimizer.zero_grad()
        loss = nn.functional.cross_entropy(model(inputs[start : start + BATCH]), labels[start : start + BATCH])
        loss.backward()
        optimizer.step()
    return model.state_dict(), float(loss.detach())


@client.train()
def train(message: Message, context: Context) -> Message:
    """One epoch."""
    kind = str(message.content["config"]["kind"])
    state = message.content["arrays"].to_torch_state_dict()
    after, loss = trained(kind, int(context.node_config["partition-id"]), state)
    metrics = MetricRecord({"train_loss": loss, "num-examples": ROWS})
    return Message(RecordDict({"arrays": ArrayRecord(after), "metrics": metrics}), reply_to=message)

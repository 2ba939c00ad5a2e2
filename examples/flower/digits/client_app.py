"""An ordinary Flower ClientApp: each client trains a small network on its share of scikit-learn's handwritten digits."""

import functools

import numpy as np
import torch
from flwr.app import ArrayRecord, Context, Message, MetricRecord, RecordDict
from flwr.clientapp import ClientApp
from sklearn import datasets
from torch import nn

TESTS = 360

app = ClientApp()


def network() -> nn.Module:
    """The model before training: the same on every machine."""
    with torch.random.fork_rng():
        torch.manual_seed(0)
        return nn.Sequential(nn.Linear(64, 32), nn.ReLU(), nn.Linear(32, 10))


@functools.cache
def digits() -> tuple[torch.Tensor, torch.Tensor]:
    """All 1,797 images and their labels, in one fixed order; the first TESTS are nobody's to train on."""
    bunch = datasets.load_digits()
    order = np.random.default_rng(0).permutation(len(bunch.target))
    return torch.from_numpy(bunch.data[order] / 16).float(), torch.from_numpy(bunch.target[order]).long()


def share(context: Context) -> tuple[torch.Tensor, torch.Tensor]:
    """The images and labels of one client."""
    images, labels = digits()
    mine = slice(TESTS + int(context.node_config["partition-id"]), None, int(context.node_config["num-partitions"]))
    return images[mine], labels[mine]


def judge(model: nn.Module, images: torch.Tensor, labels: torch.Tensor) -> dict[str, float]:
    """The share of images that the model names rightly, and its loss."""
    with torch.no_grad():
        output = model(images)
        accuracy, loss = (output.argmax(1) == labels).float().mean(), nn.functional.cross_entropy(output, labels)
    return {"accuracy": float(accuracy), "loss": float(loss)}


@app.train()
def train(message: Message, context: Context) -> Message:
    """Five epochs of SGD."""
    model = network()
    model.load_state_dict(message.content["arrays"].to_torch_state_dict())
    images, labels = share(context)
    optimizer = torch.optim.SGD(model.parameters(), lr=float(message.content["config"]["lr"]), momentum=0.9)
    for _ in range(5):
        for batch in torch.arange(len(labels)).split(16):
            optimizer.zero_grad()
            loss = nn.functional.cross_entropy(model(images[batch]), labels[batch])
            loss.backward()
            optimizer.step()
    metrics = MetricRecord({"loss": loss.item(), "num-examples": len(labels)})
    content = RecordDict({"arrays": ArrayRecord(model.state_dict()), "metrics": metrics})
    return Message(content=content, reply_to=message)


@app.evaluate()
def evaluate(message: Message, context: Context) -> Message:
    """What the model is worth on the client's own images."""
    model = network()
    model.load_state_dict(message.content["arrays"].to_torch_state_dict())
    images, labels = share(context)
    metrics = MetricRecord(judge(model, images, labels) | {"num-examples": len(labels)})
    return Message(content=RecordDict({"metrics": metrics}), reply_to=message)

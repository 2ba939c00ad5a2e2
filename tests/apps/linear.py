"""An ordinary Flower app on the message API: a linear model of three classes, each partition drawn around one truth.

It imports nothing of folkmoot. A client counts its rounds in its state; the partition that `train_config` names as `failing`
fails, `strange` replies an array too many, and `drawing` trains on rows it draws at random.
"""

from pathlib import Path

import torch
from flwr.app import ArrayRecord, ConfigRecord, Context, Message, MetricRecord, RecordDict
from flwr.clientapp import ClientApp
from flwr.serverapp import Grid, ServerApp
from flwr.serverapp.strategy import FedAvg
from torch import nn

FEATURES, CLASSES, ROWS = 12, 3, 48

app = ClientApp()
server = ServerApp()


def network() -> nn.Linear:
    """The model, the same each time."""
    model = nn.Linear(FEATURES, CLASSES)
    with torch.no_grad():
        model.weight.fill_(0.01)
        model.bias.fill_(0.0)
    return model


def rows(partition: int) -> tuple[torch.Tensor, torch.Tensor]:
    """Inputs and labels of a partition."""
    truth = torch.randn(FEATURES, CLASSES, generator=torch.Generator().manual_seed(7))
    inputs = torch.randn(ROWS, FEATURES, generator=torch.Generator().manual_seed(1000 + partition))
    return inputs, (inputs @ truth).argmax(1)


def place(context: Context) -> int:
    """The partition: a node's number, or what its own file says."""
    path = context.node_config.get("data-path")
    return int(context.node_config["partition-id"] if path is None else Path(str(path)).read_text())


@app.train()
def train(message: Message, context: Context) -> Message:
    """Three steps of gradient descent."""
    config, partition = message.content["config"], place(context)
    if config.get("failing") == partition:
        raise RuntimeError("the disk is full")
    seen = int(context.state["seen"]["rounds"]) + 1 if "seen" in context.state else 1
    model = network()
    model.load_state_dict(message.content["arrays"].to_torch_state_dict())
    optimizer = torch.optim.SGD(model.parameters(), lr=float(config["lr"]) / (seen if config.get("drawing") else 1))
    inputs, labels = rows(partition)
    for _ in range(3):
        chosen = torch.randperm(ROWS)[:16] if config.get("drawing") else slice(None)
        optimizer.zero_grad()
        loss = nn.functional.cross_entropy(model(inputs[chosen]), labels[chosen])
        loss.backward()
        optimizer.step()
    context.state["seen"] = MetricRecord({"rounds": seen})
    arrays = ArrayRecord(model.state_dict())
    if config.get("strange") == partition:
        arrays["extra"] = next(iter(arrays.values()))
    metrics = MetricRecord({"train_loss": float(loss.detach()), "num-examples": ROWS, "seen": seen})
    return Message(RecordDict({"arrays": arrays, "metrics": metrics}), reply_to=message)


@app.evaluate()
def evaluate(message: Message, context: Context) -> Message:
    """Accuracy and loss on the partition."""
    model = network()
    model.load_state_dict(message.content["arrays"].to_torch_state_dict())
    inputs, labels = rows(place(context))
    with torch.no_grad():
        scores = model(inputs)
    found = {"accuracy": float((scores.argmax(1) == labels).float().mean()), "num-examples": ROWS}
    found["loss"] = float(nn.functional.cross_entropy(scores, labels))
    return Message(RecordDict({"metrics": MetricRecord(found)}), reply_to=message)


@server.main()
def main(grid: Grid, context: Context) -> None:
    """FedAvg."""
    config = ConfigRecord(
        {"lr": 0.5} | {k: v for k, v in context.run_config.items() if k in ("failing", "strange", "drawing")}
    )
    FedAvg().start(grid=grid, initial_arrays=ArrayRecord(network().state_dict()), train_config=config, num_rounds=3)

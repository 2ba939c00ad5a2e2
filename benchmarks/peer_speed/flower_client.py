"""The ClientApp of the rounds on Flower's engine: ordinary Flower code. A message names whose work it is."""

import functools

import torch
import work
from flwr.app import ArrayRecord, Context, Message, MetricRecord, RecordDict
from flwr.clientapp import ClientApp
from torch import nn

client = ClientApp()


@functools.cache
def there(folder: str) -> tuple[work.Work, nn.Linear]:
    """The work and a model for it, made once a process."""
    torch.set_num_threads(1)
    given = work.Work(folder)
    return given, given.linear()


@client.train()
def train(message: Message, context: Context) -> Message:
    """One epoch of SGD."""
    asked = message.content["config"]
    given, model = there(str(asked["folder"]))
    model.load_state_dict(message.content["arrays"].to_torch_state_dict())
    settings = given.settings
    optimizer = torch.optim.SGD(model.parameters(), lr=settings["learning_rate"], momentum=settings["momentum"])
    inputs, labels = given.examples(int(asked["number"]), int(asked["place"]))
    for start in range(0, len(labels), settings["batch"]):
        optimizer.zero_grad()
        rows = slice(start, start + settings["batch"])
        loss = nn.functional.cross_entropy(model(inputs[rows]), labels[rows])
        loss.backward()
        optimizer.step()
    metrics = MetricRecord({"train_loss": float(loss.detach()), "num-examples": len(labels)})
    return Message(RecordDict({"arrays": ArrayRecord(model.state_dict()), "metrics": metrics}), reply_to=message)

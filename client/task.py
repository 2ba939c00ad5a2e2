"""A task: a model, the data each holder trains it on, and the public data it is judged by."""

import dataclasses
from collections.abc import Callable

import torch
from torch import nn

from client.data import schema
from exchange import tensors


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Examples:
    """Inputs and labels of the same length.

    Attributes:
        inputs: float32, `(examples, ...)`.
        labels: int64, `(examples,)`.
    """

    inputs: torch.Tensor
    labels: torch.Tensor

    def __len__(self) -> int:
        return len(self.labels)

    def to(self, device: torch.device) -> "Examples":
        """The same examples on `device`."""
        return Examples(inputs=self.inputs.to(device), labels=self.labels.to(device))


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Task:
    """What a run trains.

    Attributes:
        name: as in the plan.
        classes: number of labels.
        schema: what a holder's own files must hold to be examples of it.
        model: makes the model, its weights drawn from torch's global generator.
        shard: the private examples of holder number 0 .. holders-1.
        test: the public examples that no holder trains on, where every installation has them.
        own: whether there are no shards: each holder brings its own data.
        test_file: CID of a file with them in the run's store, where not; else empty.
    """

    name: str
    classes: int
    schema: schema.Schema
    model: Callable[[], nn.Module]
    shard: Callable[[int], Examples]
    test: Callable[[], Examples]
    own: bool = False
    test_file: str = ""


def specs(model: nn.Module) -> tuple[tensors.TensorSpec, ...]:
    """Names and shapes of the trained tensors, in the model's own order: the layout of every flat vector of the run."""
    return tuple(tensors.TensorSpec(name=name, shape=tuple(p.shape)) for name, p in model.named_parameters())

"""A task: a model, the data each holder trains it on, and the public data it is judged by."""

import dataclasses
from collections.abc import Callable
from pathlib import Path
from typing import Protocol

import torch
from torch import nn

from client.data import schema
from exchange import tensors
from ledger import statements


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Examples:
    """Inputs and labels of the same length.

    Attributes:
        inputs: float32, `(examples, ...)`.
        labels: int64, `(examples,)`; `(examples, places)` where each place has one.
    """

    inputs: torch.Tensor
    labels: torch.Tensor

    def __len__(self) -> int:
        return len(self.labels)

    def to(self, device: torch.device) -> "Examples":
        """The same examples on `device`."""
        return Examples(inputs=self.inputs.to(device), labels=self.labels.to(device))


class Program(Protocol):
    """Code that trains and judges in place of our own (client.training)."""

    def named(self) -> str:
        """What the code is, in words for who is to let it run.

        Raises:
            TaskError: it is not here, or is another one than was agreed on; nothing of it was run.
        """

    def initial(self) -> torch.Tensor:
        """The weights a run starts from: float32 `(dim,)`."""

    def train(
        self, start: torch.Tensor, examples: Examples, opening: statements.RoundOpen, folder: Path
    ) -> torch.Tensor:
        """What this round's training changed: float32 `(dim,)`.

        Args:
            start: float32 `(dim,)`, the checkpoint of the round.
            examples: the holder's.
            opening: the round.
            folder: the holder's own, where the code's memory is kept.

        Raises:
            RefusalError: the code failed, or what it gave is no model of this run.
            TrainingError: it gave numbers that are not finite.
        """

    def judge(self, weights: torch.Tensor) -> tuple[int, int, float]:
        """Right answers, examples, and mean loss in nats of float32 `(dim,)` weights, as the code says."""

    def own(self, path: Path) -> Examples:
        """A holder's own data."""


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Task:
    """What a run trains.

    Attributes:
        name: as in the plan.
        classes: number of labels.
        schema: what a holder's own files must hold to be examples of it.
        model: makes the model, its weights drawn from torch's global generator.
        shard: the private examples of holder number 0 .. holders-1.
        size: how many those are.
        test: the public examples that no holder trains on, where every installation has them.
        own: whether there are no shards: each holder brings its own data.
        test_file: CID of a file with them in the run's store, where not; else empty.
        program: what trains and judges in place of our own code; None for our own.
    """

    name: str
    classes: int
    schema: schema.Schema
    model: Callable[[], nn.Module]
    shard: Callable[[int], Examples]
    size: Callable[[int], int]
    test: Callable[[], Examples]
    own: bool = False
    test_file: str = ""
    program: Program | None = None


def specs(model: nn.Module) -> tuple[tensors.TensorSpec, ...]:
    """Names and shapes of the trained tensors, in the model's own order: the layout of every flat vector of the run."""
    return tuple(tensors.TensorSpec(name=name, shape=tuple(p.shape)) for name, p in model.named_parameters())

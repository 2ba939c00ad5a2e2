"""A Flower app as a task: its ClientApp trains and judges, and the plan alone says what its model looks like.

So whoever audits, or serves, such a run needs neither the app nor flwr: nothing here imports either before somebody trains.
"""

import functools
import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

import torch
from torch import nn

from client import apps, codeplan, errors, task
from client.data import schema
from exchange import errors as exchange_errors
from exchange import tensors
from ledger import statements

if TYPE_CHECKING:
    from client import flower

ARRAY = re.compile(r"(?P<name>.+) (?P<type>[<|][biuf][1-8]) (?P<shape>|[0-9]{1,10}(x[0-9]{1,10})*)")
NONE = schema.Features(
    columns=(), label="", classes=("0",), low=0.0, high=0.0, centre=(), spread=(), shape=(), picture=None
)
"""What data must be like is the app's business."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Node(task.Examples):
    """A holder's data, which only the app reads.

    Attributes:
        partition: number of the app's own partition; None for a holder's own data.
        path: of a holder's own data; empty for a partition.
        said: how many examples the app said there are, when it last trained.
    """

    partition: int | None = None
    path: str = ""
    said: list[int] = field(default_factory=list, compare=False)

    def __len__(self) -> int:
        return self.said[-1] if self.said else 1

    def to(self, device: torch.device) -> "Node":  # noqa: ARG002  the app chooses its device
        """The same."""
        return self


class Model(nn.Module):
    """Parameters of the model's names and shapes, in its order; it computes nothing."""

    def __init__(self, specs: tuple[tensors.TensorSpec, ...]) -> None:
        super().__init__()
        self._listed = [(spec.name, nn.Parameter(torch.zeros(spec.shape))) for spec in specs]

    def named_parameters(self, *_: object, **__: object) -> Iterator[tuple[str, nn.Parameter]]:
        """(name, parameter), in the order of the model."""
        return iter(self._listed)


class Program:
    """The app, loaded when it is first needed.

    Args:
        settings: the plan.
        seed: of the run.
    """

    def __init__(self, settings: codeplan.FlowerPlan, seed: int) -> None:
        self._settings = settings
        self._seed = seed

    @functools.cached_property
    def _app(self) -> "flower.Trainer":
        from client import flower  # noqa: PLC0415  half a second, which only who trains has to wait for

        return flower.Trainer(self._settings, self._seed)

    def named(self) -> str:
        """The app, in words for who is to let it run.

        Raises:
            AppError: it is not here, or is another one than was agreed on; nothing of it was run.
        """
        apps.require(self._settings.app, self._settings.code)
        return f"{self._settings.app}, source {self._settings.code}: runs here, with your rights"

    def initial(self) -> torch.Tensor:
        """The weights a run starts from: float32 `(dim,)`."""
        return self._app.initial()

    def train(
        self, start: torch.Tensor, examples: task.Examples, opening: statements.RoundOpen, folder: Path
    ) -> torch.Tensor:
        """What this round's training changed; arguments and errors as `client.task.Program.train`."""
        if not isinstance(examples, Node):
            raise errors.TaskError(f"{type(examples).__name__} for a Flower app, expected one of its partitions")
        return self._app.train(start, examples, opening, folder)

    def judge(self, weights: torch.Tensor) -> tuple[int, int, float]:
        """Right answers, examples, and mean loss of float32 `(dim,)` weights, as the app's `evaluate` says."""
        return self._app.judge(weights) if self._settings.judged else (0, 1, 0.0)

    def own(self, path: Path) -> Node:
        """A holder's own data, which the app finds as `data-path` in its node's configuration."""
        return _node(path=str(path.resolve()))

    def shard(self, number: int) -> Node:
        """One of the app's own partitions.

        Raises:
            TaskError: the run has no holder of that number.
        """
        if not 0 <= number < self._settings.holders:
            last = self._settings.holders - 1
            raise errors.TaskError(f"flower has holders 0 to {last} in this run, got {number}")
        return _node(partition=number)


def load(settings: codeplan.FlowerPlan, *, seed: int) -> task.Task:
    """The app's task, of which nothing is run yet.

    Raises:
        PlanError: an entry of `arrays` is none.
    """
    laid = specs(settings)
    program = Program(settings, seed)
    return task.Task(
        name="flower",
        classes=1,
        schema=NONE,
        model=lambda: Model(laid),
        shard=program.shard,
        size=lambda number: len(program.shard(number)),
        test=_no_test,
        program=program,
    )


def specs(settings: codeplan.FlowerPlan) -> tuple[tensors.TensorSpec, ...]:
    """Names and shapes of the model's arrays.

    Raises:
        PlanError: an entry is no array of floating-point numbers.
    """
    return tuple(spec for spec, _ in arrays(settings))


def arrays(settings: codeplan.FlowerPlan) -> tuple[tuple[tensors.TensorSpec, str], ...]:
    """Names, shapes, and numpy's short types of the model's arrays; raises as `specs`."""
    found = []
    for text in settings.arrays:
        match = ARRAY.fullmatch(text)
        if match is None or not match["type"].startswith("<f"):
            raise errors.PlanError(f"task.arrays has {text[:80]!r}, expected such as '0.weight <f4 10x64'")
        lengths = tuple(int(each) for each in match["shape"].split("x") if each)
        try:
            found.append((tensors.TensorSpec(name=match["name"], shape=lengths), match["type"]))
        except exchange_errors.TensorsError as error:
            raise errors.PlanError(f"task.arrays: {error}") from error
    if not found or len({spec.name for spec, _ in found}) != len(found):
        raise errors.PlanError(f"task.arrays has {len(found)} entries, expected at least one and no name twice")
    return tuple(found)


def _node(*, partition: int | None = None, path: str = "") -> Node:
    return Node(inputs=torch.empty(0), labels=torch.empty(0, dtype=torch.int64), partition=partition, path=path)


def _no_test() -> task.Examples:
    raise errors.TaskError("a Flower app has no test set of ours: its own `evaluate` judges, on task.judged partitions")

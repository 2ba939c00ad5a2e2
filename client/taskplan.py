"""The plan's task: what every task has, and what each has beside it.

In the record all fields stand side by side, and `name` says which there are (docs/protocol.md P7):

    {"alpha":"0.5","batch":32,"batches":0,"epochs":3,"hidden":64,"holders":10,"learning_rate":"0.1","momentum":"0.9",
     "name":"digits","update_momentum":"0.0"}
"""

import dataclasses
import math
from collections.abc import Mapping
from typing import Any, ClassVar

from client import errors, plantext, section

BUILT_IN: Mapping[str, int] = {"breast_cancer": 30, "iris": 4, "wine": 13}
"""Tables that scikit-learn brings, each with its number of columns."""
TEN = tuple("0123456789")
"""Classes of the digits."""
PICTURE = 784
"""Pixels that the network of `images` sees."""
PRECISIONS = ("float32", "bfloat16")
DIVISIONS = ("dirichlet", "iid", "shards", "quantity")
"""How public data fall to the holders of a simulation (client.tasks.partition)."""
NETWORKS = ("cnn", "resnet18")
RESIDUAL = 64
"""Channels of the first stage of a network of He et al."""


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class TaskPlan(section.Section):
    """What is trained, on whose data, and how a holder trains it.

    Attributes:
        name: of the task.
        holders: how many a simulation has.
        alpha: of the Dirichlet draw that a simulation divides the data by.
        epochs: a holder trains in a round.
        batch: examples a minibatch.
        learning_rate: of a holder's SGD.
        momentum: of a holder's SGD.
        batches: minibatches a round in place of epochs; 0 for epochs.
        update_momentum: of a holder's updates across rounds; 0 for none.
        precision: of products in training; the weights are float32, and so is every evaluation.
    """

    WHERE: ClassVar[str] = "task."

    name: str
    holders: int = section.within(1, 10_000)
    alpha: float = section.within(0.001, 1e6)
    epochs: int = section.within(1, 10_000)
    batch: int = section.within(1, 1_000_000)
    learning_rate: float = section.within(1e-9, 1e30)
    momentum: float = section.within(0.0, 0.9999)
    batches: int = section.within(0, 1_000_000)
    update_momentum: float = section.within(0.0, 0.9999)
    precision: str = section.optional("float32", PRECISIONS)

    @property
    def unappraised(self) -> str:
        """Why no model of the task can be evaluated in integers (docs/protocol.md P29); empty where it can."""
        return ""

    @classmethod
    def form(cls, record: object) -> type[Any]:
        """The kind of task plan that `record` names.

        Raises:
            TaskError: there is no task of that name; the message lists those there are.
        """
        if cls is not TaskPlan:
            return cls
        if not isinstance(record, Mapping):
            raise errors.PlanError(f"task: expected the fields of a task, got {record!r}")
        name = record.get("name")
        from client import taskkinds  # noqa: PLC0415 - its kinds are made from this one

        if not isinstance(name, str) or name not in taskkinds.KINDS:
            raise errors.TaskError(f"there is no task {name!r}; tasks are: {', '.join(taskkinds.KINDS)}")
        return taskkinds.KINDS[name]


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class DividedPlan(TaskPlan):
    """A task with public data, which fall to the holders of a simulation.

    Attributes:
        partition: how they fall, one of DIVISIONS; `dirichlet` and `quantity` read `alpha`.
    """

    partition: str = section.optional("dirichlet", DIVISIONS)


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class DigitsPlan(DividedPlan):
    """Task `digits`: `hidden` is the width of the one hidden layer."""

    hidden: int = section.within(1, 65_536)


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class TablePlan(DividedPlan):
    """Task `table`: rows of numbers, each with a class.

    Attributes:
        hidden: width of the one hidden layer.
        source: one of BUILT_IN, whose columns, classes and scaling are then known; or `own`, with all of the fields below.
        columns: names of the numbers of a row.
        label: name of the column that holds the class.
        classes: their names.
        centre: by column, what a number is reduced by.
        spread: by column, what it is then divided by; > 0.
        test: CID of the public test set of an own table (client.testset).
        column: of a built-in table, by which `partition` `column` divides it; else empty.
    """

    partition: str = section.optional("dirichlet", (*DIVISIONS, "column"))
    column: str = section.optional("")
    hidden: int = section.within(1, 65_536)
    source: str
    columns: tuple[str, ...] = section.within(0, 1_000)
    label: str
    classes: tuple[str, ...] = section.within(0, 1_000)
    centre: tuple[float, ...] = section.within(0, 1_000)
    spread: tuple[float, ...] = section.within(0, 1_000)
    test: str

    def __post_init__(self) -> None:
        section.Section.__post_init__(self)
        if (self.partition == "column") != bool(self.column):
            message = f"task.column is {self.column[:80]!r} with task.partition={self.partition}"
            raise errors.PlanError(f"{message}: expected a column of the table with column, and none without")
        given = (*self.columns, *self.classes, *self.centre, *self.spread, self.label, self.test)
        if self.source in BUILT_IN:
            if any(each != "" for each in given):
                message = f"task.source is {self.source!r}, which has its columns and its test set"
                raise errors.PlanError(f"{message}: expected none beside it")
            return
        if self.source != "own":
            raise errors.PlanError(f"task.source is {self.source!r}, expected one of: {', '.join(BUILT_IN)}, own")
        self._require_own()

    def _require_own(self) -> None:
        names = (*self.columns, self.label)
        for field, listed in (("columns and label", names), ("classes", self.classes)):
            plantext.require_names(field, listed)
        if not self.columns or len(self.classes) < 2:
            message = f"task has {len(self.columns)} columns and {len(self.classes)} classes"
            raise errors.PlanError(f"{message}, expected at least 1 and 2 for task.source=own")
        for field, numbers in (("centre", self.centre), ("spread", self.spread)):
            if len(numbers) != len(self.columns) or not all(map(math.isfinite, numbers)):
                wanted = f"a finite number for each of the {len(self.columns)} columns"
                raise errors.PlanError(f"task.{field} is {list(numbers)}, expected {wanted}")
        if min(self.spread) <= 0:
            raise errors.PlanError(f"task.spread has {min(self.spread)}, expected numbers above 0")
        plantext.require_cid(self.test)


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class ImagesPlan(DividedPlan):
    """Task `images`: greyscale pictures of 28 x 28 pixels.

    Attributes:
        network: `cnn`, two convolutions; or `resnet18`, residual blocks with group normalisation.
        channels: of the first convolution; the second, or the second of four stages of blocks, has twice as many.
        hidden: units of a linear layer between the convolutions and the scores; 0 for none.
        classes: their names.
        test: CID of the public test set (client.testset); empty for the enlarged digits, whose classes are `0` to `9`.
    """

    network: str = section.optional("cnn", NETWORKS)
    channels: int = section.within(1, 1_024)
    hidden: int = section.within(0, 65_536)
    classes: tuple[str, ...] = section.within(2, 1_000)
    test: str

    @property
    def unappraised(self) -> str:
        """As of any task."""
        return "" if self.network == "cnn" else "has layers that no integers stand for"

    def __post_init__(self) -> None:
        section.Section.__post_init__(self)
        if self.network == "resnet18":
            self._require_residual()
        plantext.require_names("classes", self.classes)
        if self.test or self.classes != TEN:
            plantext.require_cid(self.test)

    def _require_residual(self) -> None:
        if self.channels % 2 or (self.channels > RESIDUAL and self.channels % 32) or self.hidden:
            message = f"task.channels is {self.channels} and task.hidden {self.hidden} with task.network=resnet18"
            raise errors.PlanError(f"{message}: expected an even number up to 64 or a multiple of 32, and 0")


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class SyntheticPlan(TaskPlan):
    """Task `synthetic`: examples that are drawn, of any shape and number.

    Attributes:
        examples: of a holder; with a `skew`, the median over holders.
        skew: standard deviation of the logarithm of a holder's number of examples; 0 for all the same.
        tests: examples of the public test set.
        features: numbers in an example.
        classes: how many.
        signal: distance of the classes' means in standard deviations of an example around its own.
        channels: of the first convolution over pictures of 28 x 28 features; 0 for no convolution.
        hidden: units of the hidden layer; 0 for none, which without channels is logistic regression.
    """

    examples: int = section.within(1, 1_000_000)
    skew: float = section.within(0.0, 4.0)
    tests: int = section.within(1, 1_000_000)
    features: int = section.within(1, 1_000_000)
    classes: int = section.within(2, 1_000)
    signal: float = section.within(0.0, 100.0)
    channels: int = section.within(0, 1_024)
    hidden: int = section.within(0, 65_536)

    def __post_init__(self) -> None:
        section.Section.__post_init__(self)
        if self.channels and self.features != PICTURE:
            message = f"task.features is {self.features} with task.channels={self.channels}"
            raise errors.PlanError(f"{message}: expected {PICTURE}, or no channels")

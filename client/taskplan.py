"""The plan's task: what every task has, and what each has beside it.

In the record all fields stand side by side, and `name` says which there are (docs/protocol.md P7):

    {"alpha":"0.5","batch":32,"batches":0,"epochs":3,"hidden":64,"holders":10,"learning_rate":"0.1","momentum":"0.9",
     "name":"digits","update_momentum":"0.0"}
"""

import dataclasses
import math
import re
from collections.abc import Mapping
from typing import Any, ClassVar

from client import errors, plantext, section

BUILT_IN: Mapping[str, int] = {"breast_cancer": 30, "iris": 4, "wine": 13}
"""Tables that scikit-learn brings, each with its number of columns."""
TEN = tuple("0123456789")
"""Classes of the digits."""
PICTURE = 784
"""Pixels that the network of `images` sees."""


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
    """

    WHERE: ClassVar[str] = "task."
    TESTED: ClassVar[bool] = True
    """Whether there is a public test set, which models can be evaluated on."""

    name: str
    holders: int = section.within(1, 10_000)
    alpha: float = section.within(0.001, 1e6)
    epochs: int = section.within(1, 10_000)
    batch: int = section.within(1, 1_000_000)
    learning_rate: float = section.within(1e-9, 1e30)
    momentum: float = section.within(0.0, 0.9999)
    batches: int = section.within(0, 1_000_000)
    update_momentum: float = section.within(0.0, 0.9999)

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
        if not isinstance(name, str) or name not in KINDS:
            raise errors.TaskError(f"there is no task {name!r}; tasks are: {', '.join(KINDS)}")
        return KINDS[name]


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class DigitsPlan(TaskPlan):
    """Task `digits`: `hidden` is the width of the one hidden layer."""

    hidden: int = section.within(1, 65_536)


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class TablePlan(TaskPlan):
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
    """

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
class ImagesPlan(TaskPlan):
    """Task `images`: greyscale pictures of 28 x 28 pixels.

    Attributes:
        channels: of the first convolution; the second has twice as many.
        hidden: units of a linear layer between the convolutions and the scores; 0 for none.
        classes: their names.
        test: CID of the public test set (client.testset); empty for the enlarged digits, whose classes are `0` to `9`.
    """

    channels: int = section.within(1, 1_024)
    hidden: int = section.within(0, 65_536)
    classes: tuple[str, ...] = section.within(2, 1_000)
    test: str

    def __post_init__(self) -> None:
        section.Section.__post_init__(self)
        plantext.require_names("classes", self.classes)
        if self.test or self.classes != TEN:
            plantext.require_cid(self.test)


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class TextPlan(TaskPlan):
    """Task `text`: the next byte.

    Attributes:
        window: bytes that the model sees.
        stride: bytes from one example to the next.
        embedding: numbers that stand for a byte.
        hidden: width of the one hidden layer.
        corpus: hex sha256 of the public text.
    """

    window: int = section.within(1, 1_024)
    stride: int = section.within(1, 1_000_000)
    embedding: int = section.within(1, 4_096)
    hidden: int = section.within(1, 65_536)
    corpus: str

    def __post_init__(self) -> None:
        section.Section.__post_init__(self)
        if not re.fullmatch("[0-9a-f]{64}", self.corpus):
            raise errors.PlanError(f"task.corpus is {self.corpus[:80]!r}, expected 64 lower-case hex digits")


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


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class FlowerPlan(TaskPlan):
    """Task `flower`: a Flower ClientApp trains, unmodified (client.flower).

    Attributes:
        app: name of the ClientApp, as `client.apps.find` takes it.
        code: hex sha256 of its source; a holder runs no other.
        server: name of the ServerApp whose first message holds the initial model; empty for a client that gives its own.
        arrays: of the model, each as `NAME TYPE LENGTHxLENGTH`, with numpy's short type: `0.weight <f4 10x64`.
        config: what the app is told beside the round and the numbers above, each as `NAME=JSON`.
        accuracy: name of the metric of its `evaluate` that is the share of right answers; empty for none.
        loss: name of the one that is the loss; empty for none.
        judged: partitions that the coordinator judges a checkpoint on; 0 for none.
    """

    TESTED: ClassVar[bool] = False

    app: str
    code: str
    server: str
    arrays: tuple[str, ...] = section.within(0, 10_000)
    config: tuple[str, ...] = section.within(0, 1_000)
    accuracy: str
    loss: str
    judged: int = section.within(0, 10_000)


KINDS: Mapping[str, type[TaskPlan]] = {
    "digits": DigitsPlan,
    "flower": FlowerPlan,
    "images": ImagesPlan,
    "synthetic": SyntheticPlan,
    "table": TablePlan,
    "text": TextPlan,
}

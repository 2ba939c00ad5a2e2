"""Which configuration keys a task has, and of what type; values are in `conf/task/`."""

import dataclasses

from omegaconf import MISSING


@dataclasses.dataclass
class TaskSchema:
    """Keys of `task` that every task has."""

    name: str = MISSING
    holders: int = MISSING
    alpha: float = MISSING
    epochs: int = MISSING
    batch: int = MISSING
    learning_rate: float = MISSING
    momentum: float = MISSING
    batches: int = MISSING
    update_momentum: float = MISSING
    precision: str = MISSING


@dataclasses.dataclass
class DividedSchema(TaskSchema):
    """Keys of a task with public data."""

    partition: str = MISSING


@dataclasses.dataclass
class DigitsSchema(DividedSchema):
    """Keys of `task=digits`."""

    hidden: int = MISSING


@dataclasses.dataclass
class TableSchema(DividedSchema):
    """Keys of `task=table`."""

    column: str = MISSING
    hidden: int = MISSING
    source: str = MISSING
    columns: list[str] = MISSING
    label: str = MISSING
    classes: list[str] = MISSING
    centre: list[float] = MISSING
    spread: list[float] = MISSING
    test: str = MISSING


@dataclasses.dataclass
class ImagesSchema(DividedSchema):
    """Keys of `task=images`."""

    network: str = MISSING
    channels: int = MISSING
    hidden: int = MISSING
    classes: list[str] = MISSING
    test: str = MISSING


@dataclasses.dataclass
class SyntheticSchema(TaskSchema):
    """Keys of `task=synthetic`."""

    examples: int = MISSING
    skew: float = MISSING
    tests: int = MISSING
    features: int = MISSING
    classes: int = MISSING
    signal: float = MISSING
    channels: int = MISSING
    hidden: int = MISSING


@dataclasses.dataclass
class TextSchema(DividedSchema):
    """Keys of `task=text`."""

    window: int = MISSING
    stride: int = MISSING
    embedding: int = MISSING
    hidden: int = MISSING
    corpus: str = MISSING


@dataclasses.dataclass
class TransformerSchema(DividedSchema):
    """Keys of `task=transformer`."""

    context: int = MISSING
    stride: int = MISSING
    width: int = MISSING
    depth: int = MISSING
    heads: int = MISSING
    tests: int = MISSING
    corpus: str = MISSING


@dataclasses.dataclass
class FlowerSchema(TaskSchema):
    """Keys of `task=flower`."""

    app: str | None = MISSING
    code: str = MISSING
    server: str = MISSING
    arrays: list[str] = MISSING
    config: list[str] = MISSING
    accuracy: str = MISSING
    loss: str = MISSING
    judged: int = MISSING


TASKS: dict[str, type[TaskSchema]] = {
    "digits": DigitsSchema,
    "flower": FlowerSchema,
    "images": ImagesSchema,
    "synthetic": SyntheticSchema,
    "table": TableSchema,
    "text": TextSchema,
    "transformer": TransformerSchema,
}

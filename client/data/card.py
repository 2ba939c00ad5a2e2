"""The data card: what a holder's examples are, for its own eyes, before anything leaves.

    task      table
    examples  455
    inputs    30 columns: mean radius, mean texture, mean perimeter, mean area, ...
    label     class
    classes   malignant 100 to 999, benign 100 to 999

It holds no value of any example.
"""

import dataclasses

import torch

from client import task
from client.data import schema
from ledger import canonical

NAMES = 4
"""So many columns are named for people; the record has all of them."""


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Card:
    """What is known of a holder's data.

    Attributes:
        task: name of the task that they were read for.
        examples: how many; this number alone leaves, in each offer.
        columns: names of the values of an example; empty for text.
        label: name of the column that holds the class; empty for text.
        shape: of one example's inputs; empty where an app alone reads them.
        classes: name of each class, and the range that its number of examples lies in: `0`, `1 to 9`, `10 to 99` and so on.
            The exact number could be the number of the ill in a ward. Empty for text.
    """

    task: str
    examples: int
    columns: tuple[str, ...]
    label: str
    shape: tuple[int, ...]
    classes: tuple[tuple[str, str], ...]

    def to_record(self) -> dict[str, canonical.Json]:
        """The card as JSON values."""
        return {
            "task": self.task,
            "examples": self.examples,
            "columns": list(self.columns),
            "label": self.label,
            "shape": list(self.shape),
            "classes": dict(self.classes),
        }

    @property
    def text(self) -> str:
        """The card for people, a line for each thing."""
        count = f"{self.examples:,}" if self.shape else "what the app says"
        lines = [f"task      {self.task}", f"examples  {count}", f"inputs    {self._inputs()}"]
        if self.label:
            lines.append(f"label     {self.label}")
            lines.append(f"classes   {', '.join(f'{name}: {count}' for name, count in self.classes)}")
        return "\n".join(lines)

    def _inputs(self) -> str:
        if not self.shape:
            return "what the app reads"
        if not self.columns:
            return f"{self.shape[0]} bytes of text"
        more = ", ..." if len(self.columns) > NAMES else ""
        return f"{len(self.columns)} columns: {', '.join(self.columns[:NAMES])}{more}"


def describe(examples: task.Examples, made: task.Task) -> Card:
    """The card of `examples`, which were read for the task `made`."""
    wanted, shape = made.schema, tuple(examples.inputs.shape[1:])
    if made.program is not None or isinstance(wanted, schema.Text):
        return Card(task=made.name, examples=len(examples), columns=(), label="", shape=shape, classes=())
    counts = torch.bincount(examples.labels, minlength=len(wanted.classes)).tolist()
    return Card(
        task=made.name,
        examples=len(examples),
        columns=wanted.columns,
        label=wanted.label,
        shape=shape,
        classes=tuple((name, count_range(count)) for name, count in zip(wanted.classes, counts, strict=True)),
    )


def count_range(count: int) -> str:
    """The range that a number is shown as: `0`, `1 to 9`, `10 to 99` and so on."""
    if count == 0:
        return "0"
    low: int = 10 ** (len(str(count)) - 1)
    return f"{low:,} to {10 * low - 1:,}"

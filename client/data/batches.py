"""Raw rows as a format reads them, checked against the task's schema and made into examples a batch at a time.

Every format comes down to this: finite numbers by column and the name of a class by row. So the same data give the same
tensors in every format. Memory: the examples, and one batch.
"""

import dataclasses
import unicodedata
from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np
import torch

from client import errors, task
from client.data import schema

ROWS = 4096
"""Rows of a batch."""
SHOWN = 40
"""Characters of a value, or names of columns, that a message shows."""


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Batch:
    """Some rows of a file.

    Attributes:
        values: float64, `(rows, columns)`, in the schema's order.
        labels: name of the class by row.
        unit: what rows are called in the file, such as `line `.
        places: which of these each row is.
    """

    values: np.ndarray
    labels: Sequence[str]
    unit: str
    places: Sequence[object]

    def place(self, row: int) -> str:
        """What row number `row` of the batch is called in the file."""
        return f"{self.unit}{self.places[row]}"


def collect(path: Path, rows: Iterator[Batch], wanted: schema.Features, *, limit: int) -> task.Examples:
    """The examples that `rows` of the file `path` make.

    Args:
        path: for messages.
        rows: as a format reads them.
        wanted: what the task takes.
        limit: bytes of float32 inputs.

    Raises:
        DataError: a value is not finite or out of range, a class is unknown, there are no rows, or more than fit.
    """
    inputs: list[torch.Tensor] = []
    labels: list[torch.Tensor] = []
    numbers = {name: number for number, name in enumerate(wanted.classes)}
    room = limit // (4 * len(wanted.columns))
    for batch in rows:
        room -= len(batch.labels)
        if room < 0:
            raise errors.DataError(path, "", f"has more rows than fit into {limit:,} bytes of inputs")
        inputs.append(_inputs(path, batch, wanted))
        labels.append(_labels(path, batch, wanted, numbers))
    if not inputs:
        raise errors.DataError(path, "", "has no examples, expected at least one")
    return task.Examples(inputs=torch.cat(inputs), labels=torch.cat(labels))


def shown(value: object) -> str:
    """A short form of a value from a file, safe to print: no control characters, not endless."""
    text = value if isinstance(value, str) else str(value)
    cut = text[:SHOWN] + ("..." if len(text) > SHOWN else "")
    return repr("".join("?" if unicodedata.category(each)[0] == "C" else each for each in cut))


def require_columns(path: Path, found: Sequence[str], wanted: schema.Features) -> None:
    """Nothing, if `found` are the columns of the schema and its label, in any order.

    Raises:
        DataError: one is missing, unknown or there twice.
    """
    due = {*wanted.columns, wanted.label}
    for problem, names, advice in (
        ("lacks", [name for name in (*wanted.columns, wanted.label) if name not in set(found)], "the task needs it"),
        ("has", [name for name in found if name not in due], "the task does not take it: leave it out"),
        ("repeats", sorted({name for name in found if found.count(name) > 1}), "expected each column once"),
    ):
        if names:
            many = f" (and {len(names) - 1} more)" if len(names) > 1 else ""
            raise errors.DataError(path, "", f"{problem} the column {shown(names[0])}{many}: {advice}")


def _inputs(path: Path, batch: Batch, wanted: schema.Features) -> torch.Tensor:
    values = batch.values
    for wrong, expected in (
        (~np.isfinite(values), "a finite number"),
        ((values < wanted.low) | (values > wanted.high), f"a number from {wanted.low:g} to {wanted.high:g}"),
    ):
        if wrong.any():
            _refuse(path, batch, wanted, wrong, expected)
    inputs = wanted.inputs(values)
    if not bool(inputs.isfinite().all()):
        wrong = ~inputs.isfinite().reshape(values.shape).numpy()
        _refuse(path, batch, wanted, wrong, "a number that is finite as float32 after scaling")
    return inputs


def _refuse(path: Path, batch: Batch, wanted: schema.Features, wrong: np.ndarray, expected: str) -> None:
    row, column = (int(each) for each in np.argwhere(wrong)[0])
    place = f"{batch.place(row)}, column {shown(wanted.columns[column])}"
    raise errors.DataError(path, place, f"got {batch.values[row, column]:g}, expected {expected}")


def _labels(path: Path, batch: Batch, wanted: schema.Features, numbers: dict[str, int]) -> torch.Tensor:
    for row, label in enumerate(batch.labels):
        if label not in numbers:
            place = f"{batch.place(row)}, column {shown(wanted.label)}"
            some = ", ".join(wanted.classes[:SHOWN])
            raise errors.DataError(path, place, f"got the class {shown(label)}, expected one of: {some}")
    return torch.tensor([numbers[label] for label in batch.labels], dtype=torch.int64)

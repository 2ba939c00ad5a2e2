"""What a holder's files must hold to be examples of a task, and how their values become the model's inputs.

A schema is part of what all members agreed on: from the plan, or from the task's own code. No number in it is measured on
private data, so the inputs of one holder tell nothing about those of another.

    input = (value - centre) / spread        by column, in float64, then rounded to float32
"""

import dataclasses

import numpy as np
import torch

LARGEST = float(np.finfo(np.float32).max)
"""A value beyond it has no float32, so no input."""


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Features:
    """Examples that are rows of finite real numbers, each with a class.

    Attributes:
        columns: names of the values, in the order of the inputs.
        label: name of the column that holds the class.
        classes: their names; a label's number is its place here.
        low: smallest value that an example may have.
        high: largest.
        centre: what each column's value is reduced by.
        spread: what it is then divided by, > 0.
        shape: of one example's inputs; its product is the number of columns.
        picture: height and width in pixels where the values are a greyscale picture, row by row from the top left;
            None where they are no picture.
    """

    columns: tuple[str, ...]
    label: str
    classes: tuple[str, ...]
    low: float
    high: float
    centre: tuple[float, ...]
    spread: tuple[float, ...]
    shape: tuple[int, ...]
    picture: tuple[int, int] | None

    def inputs(self, values: np.ndarray) -> torch.Tensor:
        """`values`, float64 `(examples, columns)`, as float32 `(examples, ...)`; infinite where float32 has no such number."""
        with np.errstate(over="ignore"):
            scaled = ((values - np.array(self.centre)) / np.array(self.spread)).astype(np.float32)
        return torch.from_numpy(scaled).reshape(len(values), *self.shape)


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Text:
    """Examples that are a few bytes of a text, each with the byte that follows them as its class.

    Attributes:
        window: bytes that the model sees.
        stride: bytes from one example's first byte to the next one's.
        every: whether each of the bytes has the one that follows it as a class, not the last alone.
    """

    window: int
    stride: int
    every: bool = False

    @property
    def shape(self) -> tuple[int, ...]:
        """Of one example's inputs."""
        return (self.window,)


Schema = Features | Text


def pixels(height: int, width: int) -> tuple[str, ...]:
    """Column names of a picture: `pixel_ROW_COLUMN`, from 0, row by row."""
    return tuple(f"pixel_{row}_{column}" for row in range(height) for column in range(width))

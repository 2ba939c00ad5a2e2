"""The plan's task, where it is the next byte of a text."""

import dataclasses
import re

from client import errors, section, taskplan


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class TextPlan(taskplan.DividedPlan):
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
        _require_digest(self.corpus)


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class TransformerPlan(taskplan.DividedPlan):
    """Task `transformer`: the next byte at every place of a text, by attention.

    Attributes:
        context: bytes that the model sees at most.
        stride: bytes from one example to the next.
        width: numbers that stand for a byte; a multiple of `heads`.
        depth: blocks.
        heads: of each block's attention.
        tests: examples of the public test set, at most.
        corpus: hex sha256 of the public text.
    """

    context: int = section.within(1, 65_536)
    stride: int = section.within(1, 1_000_000)
    width: int = section.within(1, 65_536)
    depth: int = section.within(1, 1_000)
    heads: int = section.within(1, 1_024)
    tests: int = section.within(1, 1_000_000)
    corpus: str

    @property
    def unappraised(self) -> str:
        """As of any task."""
        return "has layers that no integers stand for"

    def __post_init__(self) -> None:
        section.Section.__post_init__(self)
        _require_digest(self.corpus)
        if self.width % self.heads:
            raise errors.PlanError(
                f"task.width is {self.width} with {self.heads} task.heads, expected a multiple of them"
            )


def _require_digest(corpus: str) -> None:
    if not re.fullmatch("[0-9a-f]{64}", corpus):
        raise errors.PlanError(f"task.corpus is {corpus[:80]!r}, expected 64 lower-case hex digits")

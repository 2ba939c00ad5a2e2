"""The next byte of a text, by a small network over the bytes before it.

The public text are modules of Python's own standard library, which every installation has; another version of Python has
another text. So the plan names the text by its digest: who has another one can train on its own files and audit, and is told
so when it asks for the public test set.

Model: Y. Bengio et al., "A Neural Probabilistic Language Model", 2003, over bytes.
"""

import functools
import hashlib
import sysconfig
from pathlib import Path

import torch
from torch import nn

from client import errors, task, taskplan
from client.data import schema, text
from client.tasks import partition

MODULES = ("argparse", "datetime", "decimal", "inspect", "pickle", "tarfile", "turtle", "typing")
BYTES = 256
TESTED = 5
"""One in so many examples is in the test set."""


class Bytes(nn.Module):
    """An embedding of each byte of the window, one hidden layer, and a score for each byte that may follow."""

    def __init__(self, settings: taskplan.TextPlan) -> None:
        super().__init__()
        self.embedding = nn.Embedding(BYTES, settings.embedding)
        self.hidden = nn.Linear(settings.window * settings.embedding, settings.hidden)
        self.following = nn.Linear(settings.hidden, BYTES)

    def forward(self, window: torch.Tensor) -> torch.Tensor:
        """Scores, `(examples, 256)`, of `window`, `(examples, window)` of bytes as float32."""
        scores: torch.Tensor = self.following(torch.relu(self.hidden(self.embedding(window.long()).flatten(1))))
        return scores


def load(settings: taskplan.TextPlan, *, seed: int) -> task.Task:
    """The next byte, from `settings.window` bytes.

    Args:
        settings: the window, and the sizes of the network.
        seed: the run's seed; another seed is another split of the public text.
    """
    wanted = schema.Text(window=settings.window, stride=settings.stride)

    def public() -> partition.Public:
        if settings.corpus != corpus():
            mine = f"the public text of this Python has digest {corpus()}, that of the plan {settings.corpus}"
            raise errors.TaskError(f"{mine}: train on your own files, or use the Python of the coordinator")
        return _public(wanted)

    return task.Task(
        name="text",
        classes=BYTES,
        schema=wanted,
        model=lambda: Bytes(settings),
        shard=lambda number: public().shard(number, settings, seed=seed),
        size=lambda number: public().size(number, settings, seed=seed),
        test=lambda: public().test(),
    )


def corpus() -> str:
    """Hex sha256 of this machine's public text."""
    return hashlib.sha256(_text()).hexdigest()


@functools.cache
def _text() -> bytes:
    folder = Path(sysconfig.get_path("stdlib"))
    return b"".join((folder / f"{name}.py").read_bytes() for name in MODULES)


@functools.cache
def _public(wanted: schema.Text) -> partition.Public:
    examples = text.cut(_text(), wanted)
    return partition.Public(inputs=examples.inputs, labels=examples.labels, tests=len(examples) // TESTED)

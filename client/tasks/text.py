"""The next byte of a text, by a small network over the bytes before it.

The public text are modules of Python's own standard library with their documentation strings, which every installation has;
another version of Python has another text. So the plan names the text by its digest: who has another one can train on its own
files and audit, and is told so when it asks for the public test set.

Model: Y. Bengio et al., "A Neural Probabilistic Language Model", 2003, over bytes.
"""

import functools
import hashlib
import sys
import sysconfig
from pathlib import Path

import torch
from torch import nn

from client import errors, task, textplan
from client.data import schema, text
from client.tasks import partition

AUTO, LIBRARY = "auto", "library"
CORPORA = (AUTO, LIBRARY)
"""In a configuration: of this machine's Python, a few modules (0.75 MB), or all that every distribution has (8 MB)."""
MODULES = ("argparse", "datetime", "decimal", "inspect", "pickle", "tarfile", "turtle", "typing")
PACKAGES = (
    *("asyncio", "collections", "concurrent", "email", "html", "http", "importlib", "json", "logging"),
    *("multiprocessing", "pydoc_data", "unittest", "urllib", "wsgiref", "xml", "xmlrpc", "zoneinfo"),
)
BYTES = 256
TESTED = 5
"""One in so many examples is in the test set."""


class Bytes(nn.Module):
    """An embedding of each byte of the window, one hidden layer, and a score for each byte that may follow."""

    def __init__(self, settings: textplan.TextPlan) -> None:
        super().__init__()
        self.embedding = nn.Embedding(BYTES, settings.embedding)
        self.hidden = nn.Linear(settings.window * settings.embedding, settings.hidden)
        self.following = nn.Linear(settings.hidden, BYTES)

    def forward(self, window: torch.Tensor) -> torch.Tensor:
        """Scores, `(examples, 256)`, of `window`, `(examples, window)` of bytes as float32."""
        scores: torch.Tensor = self.following(torch.relu(self.hidden(self.embedding(window.long()).flatten(1))))
        return scores


def load(settings: textplan.TextPlan, *, seed: int) -> task.Task:
    """The next byte, from `settings.window` bytes.

    Args:
        settings: the window, and the sizes of the network.
        seed: the run's seed; another seed is another split of the public text.
    """
    wanted = schema.Text(window=settings.window, stride=settings.stride)

    def public() -> partition.Public:
        return _public(wanted, settings.corpus)

    return task.Task(
        name="text",
        classes=BYTES,
        schema=wanted,
        model=lambda: Bytes(settings),
        shard=lambda number: public().shard(number, settings, seed=seed),
        size=lambda number: public().size(number, settings, seed=seed),
        test=lambda: public().test(),
    )


def corpus(name: str = AUTO) -> str:
    """Hex sha256 of one of this machine's public texts: AUTO or LIBRARY."""
    return hashlib.sha256(b"".join(_texts(name))).hexdigest()


def documents(digest: str) -> tuple[bytes, ...]:
    """The public text of that digest, a module each.

    Raises:
        TaskError: this machine has another text.
    """
    for name in CORPORA:
        if corpus(name) == digest:
            return _texts(name)
    mine = f"the public text of this Python has digest {corpus()}, that of the plan {digest}"
    raise errors.TaskError(f"{mine}: train on your own files, or use the Python of the coordinator")


@functools.cache
def _texts(name: str) -> tuple[bytes, ...]:
    folder = Path(sysconfig.get_path("stdlib"))
    if name == AUTO:
        return tuple((folder / f"{module}.py").read_bytes() for module in MODULES)
    single = [folder / f"{module}.py" for module in sys.stdlib_module_names if not module.startswith("_")]
    nested = [file for package in PACKAGES for file in (folder / package).rglob("*.py")]
    known = sorted({file for file in (*single, *nested) if file.is_file() and "test" not in file.parts})
    return tuple(file.read_bytes() for file in known)


@functools.cache
def _public(wanted: schema.Text, digest: str) -> partition.Public:
    examples = text.cut(b"".join(documents(digest)), wanted)
    return partition.Public(inputs=examples.inputs, labels=examples.labels, tests=len(examples) // TESTED)

"""Tasks by name, and the digest of the code that a holder lets run on its data."""

import functools
import hashlib
import importlib
import importlib.resources
import inspect
from collections.abc import Callable, Mapping
from pathlib import Path
from types import ModuleType
from typing import Any

from client import descent, errors, momentum, privacy, seeds, task, taskplan, testset, training, vectorized
from client.tasks import digits, flower, images, partition, residual, synthetic, table, text, transformer
from exchange import unixfs
from ledger import canonical

PROBE = str(unixfs.of(b""))
"""Stands for a test set that is still to be read."""
TASKS: dict[str, tuple[ModuleType, Callable[..., task.Task]]] = {
    "digits": (digits, digits.load),
    "flower": (flower, flower.load),
    "images": (images, images.load),
    "synthetic": (synthetic, synthetic.load),
    "table": (table, table.load),
    "text": (text, text.load),
    "transformer": (transformer, transformer.load),
}
PARTS: dict[str, tuple[ModuleType, ...]] = {"images": (residual,), "transformer": (text,)}
"""Other modules of a task's own, which examples pass through."""

PATH = ("aggregation.lattice", "client.holder", "client.update")
"""Modules between a trained update and what leaves, by name: the holder's own imports this one."""
READING = tuple(
    f"client.data.{name}" for name in ("batches", "delimited", "files", "npz", "parquet", "pictures", "schema", "text")
)
"""Modules that read a holder's files, by name: one of them needs an optional extra, and none is run for its digest."""
FLOWER = tuple(
    f"client.{name}"
    for name in (
        "apps",
        "appstate",
        "arrays",
        "clientapp",
        "draws",
        "flower",
        "flower_compat",
        "origin",
        "records",
    )
)
"""Modules between a Flower app and the update, by name: they import flwr."""


def configured(values: Mapping[str, Any]) -> tuple[taskplan.TaskPlan, bytes]:
    """The task plan that configuration values describe, and the file that its `test` names; empty for none.

    Raises:
        TaskError: there is no task of that name.
        AppError: a Flower app that is not here, or that gives nothing to train.
        DataError: `test` is a path, and what lies there is no data of the task.
        PlanError: a value outside its range; the message names the key.
    """
    plain = {key: tuple(value) if isinstance(value, list) else value for key, value in values.items()}
    kind, file = taskplan.TaskPlan.form(plain), b""
    if plain.get("corpus") in text.CORPORA:
        plain["corpus"] = text.corpus(str(plain["corpus"]))
    if plain.get("name") == "flower":
        from client import origin  # noqa: PLC0415 - only who trains a Flower app needs flwr

        plain = origin.settled(plain, seed=0)
    if plain.get("test"):
        from client.data import files  # noqa: PLC0415 - only who has a file of its own needs the formats

        path, plain["test"] = Path(str(plain["test"])), PROBE
        file = testset.encode(files.read(path, load(kind(**plain), seed=0)))
        plain["test"] = str(unixfs.of(file))
    return kind(**plain), file


def load(settings: taskplan.TaskPlan, *, seed: int) -> task.Task:
    """The task that the plan names.

    Raises:
        TaskError: there is no task of that name; the message lists those there are.
    """
    return _find(settings.name)[1](settings, seed=seed)


def digest(settings: taskplan.TaskPlan) -> str:
    """Hex sha256 over the task's settings and the source of the code that reads private data (docs/protocol.md P8).

    A holder's policy admits this digest, not a name: other code, or other settings, is another task.
    """
    path = map(importlib.import_module, PATH)
    own = (_find(settings.name)[0], *PARTS.get(settings.name, ()))
    sources = (*own, partition, training, descent, vectorized, momentum, privacy, seeds, *path)
    others = READING + FLOWER if settings.name == "flower" else READING
    texts = {m.__name__: inspect.getsource(m) for m in sources} | {name: _source(name) for name in others}
    code = {name: hashlib.sha256(source.encode()).hexdigest() for name, source in texts.items()}
    return hashlib.sha256(canonical.encode({"code": code, "settings": settings.to_record()})).hexdigest()


@functools.cache
def _source(name: str) -> str:
    """The text of a module, which is not run."""
    package, _, module = name.rpartition(".")
    return Path(str(importlib.resources.files(package) / f"{module}.py")).read_text()


def _find(name: str) -> tuple[ModuleType, Callable[..., task.Task]]:
    if name not in TASKS:
        raise errors.TaskError(f"there is no task {name!r}; tasks are: {', '.join(sorted(TASKS))}")
    return TASKS[name]

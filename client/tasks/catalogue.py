"""Tasks by name, and the digest of the code that a holder lets run on its data."""

import hashlib
import inspect
from collections.abc import Callable
from types import ModuleType

from client import errors, momentum, plan, privacy, seeds, task, training
from client.tasks import digits
from ledger import canonical

TASKS: dict[str, tuple[ModuleType, Callable[..., task.Task]]] = {"digits": (digits, digits.load)}


def load(settings: plan.TaskPlan, *, seed: int) -> task.Task:
    """The task that the plan names.

    Raises:
        TaskError: there is no task of that name; the message lists those there are.
    """
    return _find(settings.name)[1](settings, seed=seed)


def digest(settings: plan.TaskPlan) -> str:
    """Hex sha256 over the task's settings and the source of the code that reads private data (docs/protocol.md P8).

    A holder's policy admits this digest, not a name: other code, or other settings, is another task.
    """
    sources = (_find(settings.name)[0], training, momentum, privacy, seeds)
    code = {m.__name__: hashlib.sha256(inspect.getsource(m).encode()).hexdigest() for m in sources}
    return hashlib.sha256(canonical.encode({"code": code, "settings": settings.to_record()})).hexdigest()


def _find(name: str) -> tuple[ModuleType, Callable[..., task.Task]]:
    if name not in TASKS:
        raise errors.TaskError(f"there is no task {name!r}; tasks are: {', '.join(sorted(TASKS))}")
    return TASKS[name]

"""What flwr 1.40 to 1.42 has no public way for: all of its private state that folkmoot touches stands here.

1. Since 1.38 a `Message` can be made only in a process that knows which task it works for (`TaskIdentity`).
2. A message gets its id from the transport, and there is no public setter.
3. A `ClientApp` does not say whether it speaks the message API or wraps a client of the older one.
"""

import os
from types import SimpleNamespace

os.environ.setdefault("FLWR_TELEMETRY_ENABLED", "0")  # read when flwr is imported
from flwr import app, clientapp
from flwr.supercore import task_identity

SERVER = 1
"""Node id of the coordinator."""


def transport(run: int, message: app.Message | None = None, name: str = "") -> SimpleNamespace:
    """The run as Flower names it, this process made ready for messages of it; one process is of one run at a time.

    Args:
        run: its number for Flower.
        message: one that is on its way now.
        name: the id that it gets.
    """
    identity = task_identity.TaskIdentity
    identity.task_id, identity.run_id, identity.node_id = 1, run, SERVER
    if message is not None:
        message.metadata.__dict__["_message_id"] = name
    return SimpleNamespace(run_id=run)


def legacy(made: clientapp.ClientApp) -> bool:
    """Whether an app wraps a `Client` or `NumPyClient`, so that its messages have the older contents."""
    return made._call is not None  # noqa: SLF001  there is no public way to know

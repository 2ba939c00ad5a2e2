"""A Flower ClientApp, loaded and asked: whatever it does, what comes of it is a reply or a reason."""

import os

from client import apps, errors, flower_compat

os.environ.setdefault("FLWR_TELEMETRY_ENABLED", "0")  # read when flwr is imported
from flwr import app, clientapp

FAILED = "app-failed"


def load(name: str, agreed: str) -> clientapp.ClientApp:
    """The app, imported.

    Args:
        name: as `client.apps.find` takes it.
        agreed: digest of the source that may run.

    Raises:
        AppError: it is not here, its source is another one, it cannot be imported, or it is no ClientApp.
    """
    made = apps.load(name, agreed)
    if not isinstance(made, clientapp.ClientApp):
        raise errors.AppError(f"the app {name} is of type {type(made).__name__}, expected a flwr ClientApp")
    return made


def ask(made: clientapp.ClientApp, message: app.Message, context: app.Context) -> app.Message:
    """The app's reply.

    Raises:
        RefusalError: it raised, left the process, replied with an error, or with no message at all.
    """
    try:
        reply = made(message, context)
    except (Exception, SystemExit) as error:
        raise errors.RefusalError(FAILED, f"{type(error).__name__}: {error}") from error
    if not isinstance(reply, app.Message):
        raise errors.RefusalError(FAILED, f"it replied {type(reply).__name__}, expected a Message")
    if reply.has_error():
        raise errors.RefusalError(FAILED, str(reply.error.reason))
    return reply


class Roll:
    """The nodes there are; and an end to waiting for more, for there will be none.

    Args:
        nodes: how many.
    """

    MOST = 8
    """Times that a strategy may ask for the nodes without sending anything; Flower's ask again every few seconds."""

    def __init__(self, nodes: int) -> None:
        self._nodes = nodes
        self._asked = 0

    def call(self) -> list[int]:
        """Ids of all nodes.

        Raises:
            AppError: it was asked again and again: who asks waits for more of them.
        """
        self._asked += 1
        if self._asked > self.MOST:
            message = f"the strategy waits for more nodes than the {self._nodes} that there are"
            raise errors.AppError(f"{message}: lower its min_available_nodes, or add holders")
        return [flower_compat.SERVER + 1 + number for number in range(self._nodes)]

    def answer(self) -> None:
        """Note that something was sent."""
        self._asked = 0

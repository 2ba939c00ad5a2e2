"""Flower's grid as a plain loop: each message is handed to the ClientApp in this process, one after the other.

What an app and a strategy do is then Flower's code and theirs, and nothing of an engine's.
"""

import logging
import os
import uuid
from collections.abc import Callable, Iterable
from typing import Any

from client import flower_compat

os.environ.setdefault("FLWR_TELEMETRY_ENABLED", "0")  # read when flwr is imported
from flwr import app, serverapp

FIRST = 100
"""Number of the first node; each node's partition is its distance from it."""


class LoopGrid(serverapp.Grid):  # type: ignore[misc]  # Flower's class is untyped to us
    """A grid of nodes in this process.

    Args:
        answer: the ClientApp, or what answers as one does.
        nodes: how many.
    """

    def __init__(self, answer: Callable[[app.Message, app.Context], app.Message], nodes: int) -> None:
        self._answer = answer
        self._run: Any = flower_compat.transport(1)
        self._replies: dict[str, app.Message] = {}
        self._contexts = {
            FIRST + partition: app.Context(
                run_id=1,
                node_id=FIRST + partition,
                node_config={"partition-id": partition, "num-partitions": nodes},
                state=app.RecordDict(),
                run_config={},
            )
            for partition in range(nodes)
        }

    def set_run(self, run: Any) -> None:  # noqa: ANN401  Flower's Run is private
        """Take the run."""
        self._run = run

    @property
    def run(self) -> Any:  # noqa: ANN401
        """The run."""
        return self._run

    def create_message(
        self, content: app.RecordDict, message_type: str, dst_node_id: int, group_id: str, ttl: float | None = None
    ) -> app.Message:
        """A message, as older apps make it."""
        return app.Message(content, dst_node_id, message_type, ttl=ttl, group_id=group_id)

    def get_node_ids(self) -> Iterable[int]:
        """Ids of the nodes."""
        return list(self._contexts)

    def push_messages(self, messages: Iterable[app.Message]) -> Iterable[str]:
        """Have each message answered; a client's failure is its reply."""
        names = []
        for message in messages:
            names.append(uuid.uuid4().hex)
            flower_compat.transport(1, message, names[-1])
            try:
                reply = self._answer(message, self._contexts[message.metadata.dst_node_id])
            except Exception as error:  # noqa: BLE001  whatever the app's author let happen
                reply = app.Message(app.Error(code=0, reason=repr(error)), reply_to=message)
            self._replies[names[-1]] = reply
        return names

    def pull_messages(self, message_ids: Iterable[str]) -> Iterable[app.Message]:
        """The replies to these messages, each once."""
        return [self._replies.pop(name) for name in message_ids if name in self._replies]

    def send_and_receive(
        self,
        messages: Iterable[app.Message],
        *,
        timeout: float | None = None,  # noqa: ARG002  it waits for nobody
    ) -> Iterable[app.Message]:
        """Replies to these messages."""
        return self.pull_messages(self.push_messages(messages))


def serve(made: serverapp.ServerApp, grid: serverapp.Grid) -> None:
    """Run a ServerApp to its end, without Flower's account of it.

    Raises:
        Exception: whatever ends it.
    """
    logging.getLogger("flwr").setLevel(logging.CRITICAL)
    made(grid, app.Context(run_id=1, node_id=0, node_config={}, state=app.RecordDict(), run_config={}))

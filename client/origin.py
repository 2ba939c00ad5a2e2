"""What a Flower app starts from: its initial arrays, and what its clients are told.

Of a ServerApp it is the first `train` message that it sends: the app's own code makes the model, as in Flower. It is run with a
grid that takes that message and goes no further. A client that wraps a `NumPyClient` may give its own parameters instead.
"""

import json
import logging
import os
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from client import apps, arrays, clientapp, draws, errors, flower_compat
from exchange import errors as exchange_errors

os.environ.setdefault("FLWR_TELEMETRY_ENABLED", "0")  # read when flwr is imported
from flwr import app, serverapp

TOLD = ("server-round", "server_round")
"""What each message says anew, so that no plan does."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Origin:
    """The beginning of an app.

    Attributes:
        arrays: its initial ones.
        config: what its clients are told, by name.
    """

    arrays: app.ArrayRecord
    config: dict[str, Any]


class Taken(BaseException):
    """The first message was sent: the ServerApp is needed no longer."""


class FirstMessage(serverapp.Grid):  # type: ignore[misc]  # Flower's class is untyped to us
    """A grid of `nodes` nodes that takes the first message with arrays, and ends the ServerApp.

    Attributes:
        content: of that message; None before.
    """

    def __init__(self, nodes: int) -> None:
        self._roll = clientapp.Roll(nodes)
        self._run: Any = flower_compat.transport(1)
        self.content: app.RecordDict | None = None

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
        return self._roll.call()

    def push_messages(self, messages: Iterable[app.Message]) -> Iterable[str]:
        """Never returns: the first message is taken."""
        for message in messages:
            if message.content.array_records and self.content is None:
                self.content = message.content
        raise Taken

    def pull_messages(self, message_ids: Iterable[str]) -> Iterable[app.Message]:  # noqa: ARG002
        """Nothing, for nothing was sent."""
        return []

    def send_and_receive(
        self,
        messages: Iterable[app.Message],
        *,
        timeout: float | None = None,  # noqa: ARG002
    ) -> Iterable[app.Message]:
        """Never returns: the first message is taken."""
        self.push_messages(messages)
        return []


def find(values: Mapping[str, Any], code: str, *, seed: int) -> Origin:
    """What an app starts from.

    Args:
        values: `app`, `server`, `holders` and the numbers of a plan of task `flower`.
        code: digest of the app's source that may run.
        seed: of the run.

    Raises:
        AppError: it gives nothing that can be trained.
    """
    run_config = numbers(values) | told(values["config"])
    with draws.seeded(seed):
        content = (
            _first_message(values["server"], code, values["holders"], run_config)
            if values["server"]
            else _own_parameters(values["app"], code, values["holders"], run_config)
        )
    found = list(content.array_records.values())
    if len(found) != 1:
        raise errors.AppError(f"the app starts from {len(found)} ArrayRecords, expected one")
    said = {name: value for each in content.config_records.values() for name, value in each.items()}
    return Origin(arrays=found[0], config={name: value for name, value in said.items() if name not in TOLD})


def settled(values: Mapping[str, Any], *, seed: int) -> dict[str, Any]:
    """The values of a plan of task `flower`, with all that only the app can tell.

    Raises:
        AppError: the app is not here, or gives nothing that can be trained.
    """
    if not values["app"]:
        raise errors.AppError("task=flower trains a Flower app: name it with app=FILE.py:OBJECT or app=MODULE:OBJECT")
    code = apps.digest(apps.find(values["app"]))
    start = find(values, code, seed=seed)
    try:
        laid = arrays.layout(start.arrays)
    except exchange_errors.TensorsError as error:
        raise errors.AppError(f"the app {values['app']} starts from no model: {error}") from error
    if laid.others:
        named = ", ".join(spec.name for spec in laid.others[:3])
        raise errors.AppError(f"the app's model has arrays of integers ({named}), expected floating-point ones only")
    given = {entry.partition("=")[0] for entry in values["config"]}
    more = [f"{name}={_json(name, value)}" for name, value in sorted(start.config.items()) if name not in given]
    shown = [
        f"{spec.name} {dtype.str} {'x'.join(map(str, spec.shape))}"
        for spec, dtype in zip(laid.specs, laid.dtypes, strict=True)
    ]
    return {**values, "code": code, "arrays": tuple(shown), "config": (*values["config"], *more)}


def told(entries: Iterable[str]) -> dict[str, Any]:
    """What a plan tells the app beside its numbers, by name.

    Raises:
        PlanError: an entry is not NAME=JSON.
    """
    found: dict[str, Any] = {}
    for entry in entries:
        name, _, text = entry.partition("=")
        try:
            found[name] = json.loads(text)
        except ValueError as error:
            raise errors.PlanError(f"task.config has {entry[:80]!r}, expected NAME=JSON such as lr=0.5") from error
    return found


def numbers(values: Mapping[str, Any]) -> dict[str, Any]:
    """The numbers of a plan, by the names that Flower's own examples have for them."""
    return {
        "batch-size": values["batch"],
        "learning-rate": values["learning_rate"],
        "local-epochs": values["epochs"],
        "num-server-rounds": 1,
        "fraction-fit": 1.0,
        "fraction-train": 1.0,
        "fraction-evaluate": 1.0,
    }


def _first_message(server: str, code: str, nodes: int, run_config: dict[str, Any]) -> app.RecordDict:
    made, grid = apps.load(server, code), FirstMessage(nodes)
    context = app.Context(run_id=1, node_id=0, node_config={}, state=app.RecordDict(), run_config=run_config)
    quiet = logging.getLogger("flwr")
    level, quiet.level = quiet.level, logging.ERROR
    try:
        made(grid, context)
    except Taken:
        pass
    except Exception as error:
        if grid.content is None:
            raise errors.AppError(f"the ServerApp {server} failed: {type(error).__name__}: {error}") from error
    finally:
        quiet.setLevel(level)
    if grid.content is None:
        raise errors.AppError(f"the ServerApp {server} sent no message with arrays, so there is no model to start from")
    return grid.content


def _own_parameters(name: str, code: str, nodes: int, run_config: dict[str, Any]) -> app.RecordDict:
    made = clientapp.load(name, code)
    if not flower_compat.legacy(made):
        message = f"the app {name} does not say what model it starts from"
        raise errors.AppError(f"{message}: name its ServerApp with task.server=FILE.py:OBJECT")
    node = flower_compat.SERVER + 1
    config: dict[str, Any] = {"partition-id": 0, "num-partitions": nodes}
    context = app.Context(run_id=1, node_id=node, node_config=config, state=app.RecordDict(), run_config=run_config)
    content = app.RecordDict({"getparametersins.config": app.ConfigRecord({})})
    flower_compat.transport(1)
    try:
        reply = made(app.Message(content, node, "get_parameters"), context)
    except Exception as error:
        message = f"the client of {name} gives no parameters: {type(error).__name__}: {error}"
        raise errors.AppError(f"{message}; name its ServerApp with task.server=FILE.py:OBJECT") from error
    kept = list(reply.content.array_records.values())
    return app.RecordDict({"arrays": kept[0]}) if kept else app.RecordDict()


def _json(name: str, value: Any) -> str:  # noqa: ANN401  what a ConfigRecord may hold
    try:
        return json.dumps(value)
    except TypeError as error:
        raise errors.AppError(
            f"the app's clients are told {name}={value!r}, expected numbers, texts, or lists"
        ) from error

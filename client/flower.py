"""Flower's ClientApp as a holder's trainer: one round is one `train` message, and what its reply changed is the update.

    checkpoint, float32 (dim,) -> ArrayRecord, each array in the app's own type -> app(message, context) -> ArrayRecord
    -> float64 (dim,) -> less the checkpoint -> float32 (dim,), and on as any holder's update

The app is unmodified: it speaks the message API, or wraps a `NumPyClient`. Python's, numpy's and torch's generators are seeded
before each message, so an app that draws from them gives the same update when the round is asked for again.
"""

import dataclasses
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import torch

from aggregation import errors as aggregation_errors
from client import appstate, arrays, clientapp, codeplan, draws, errors, flower_compat, origin, records, seeds
from client.tasks import flower as flower_task
from exchange import errors as exchange_errors
from ledger import statements

os.environ.setdefault("FLWR_TELEMETRY_ENABLED", "0")  # read when flwr is imported
from flwr import app

NUMBERS = ("num-examples", "num_examples")
"""Names that a number of examples has, in the message API and in the older one."""
MOST_EXAMPLES = 2**53 - 1


class Trainer:
    """One app of one run.

    Args:
        settings: the plan.
        seed: of the run.

    Raises:
        AppError: the app is not here, or is another one than was agreed on.
    """

    def __init__(self, settings: codeplan.FlowerPlan, seed: int) -> None:
        self._settings = settings
        self._seed = seed
        self._app = clientapp.load(settings.app, settings.code)
        self._legacy = flower_compat.legacy(self._app)
        found = flower_task.arrays(settings)
        self._layout = arrays.Layout(
            specs=tuple(spec for spec, _ in found), dtypes=tuple(np.dtype(kind) for _, kind in found)
        )
        self._run = int(settings.code[:15], 16)
        self._values = dataclasses.asdict(settings)
        self._config = origin.told(settings.config)

    def initial(self) -> torch.Tensor:
        """The weights that the app starts from: float32 `(dim,)`.

        Raises:
            AppError: it gives none, or others than the plan has.
        """
        start = origin.find(self._values, self._settings.code, seed=self._seed)
        try:
            flat = arrays.flat(arrays.read(start.arrays, self._layout), self._layout)
        except (exchange_errors.TensorsError, aggregation_errors.LatticeError) as error:
            raise errors.AppError(f"the app {self._settings.app} starts from another model: {error}") from error
        return flat.to(torch.float32)

    def train(
        self, start: torch.Tensor, node: flower_task.Node, opening: statements.RoundOpen, folder: Path
    ) -> torch.Tensor:
        """What one `train` message changed; arguments and errors as `client.task.Program.train`."""
        memory = appstate.Memory(folder)
        state = memory.before(opening)
        before = records.encode(state)
        drawn = seeds.derive(self._seed, round_number=opening.round, member=folder.name, purpose="app")
        content, context = self._content("fitins", start, opening.round), self._context(node, state)
        reply = self._asked("train", content, context, drawn)
        found = list(reply.array_records.values())
        if len(found) != 1:
            raise errors.RefusalError("app-reply", f"the app replied {len(found)} ArrayRecords, expected one")
        try:
            flat = arrays.flat(arrays.read(found[0], self._layout), self._layout)
        except exchange_errors.TensorsError as error:
            raise errors.RefusalError("app-reply", f"the app's arrays are not the model's: {error}") from error
        except aggregation_errors.LatticeError as error:
            raise errors.TrainingError(str(error)) from error
        node.said[:] = [examples(metrics(reply))]
        memory.keep(opening, before=before, after=context.state)
        return (flat - start).to(torch.float32)

    def judge(self, weights: torch.Tensor) -> tuple[int, int, float]:
        """Right answers, examples and mean loss of float32 `(dim,)` weights, on the first partitions.

        Raises:
            AppError: `evaluate` fails, or has not the metrics that the plan names.
        """
        correct, total, loss = 0, 0, 0.0
        for number in range(min(self._settings.judged, self._settings.holders)):
            node = flower_task.Node(inputs=torch.empty(0), labels=torch.empty(0), partition=number)
            content, context = self._content("evaluateins", weights, 0), self._context(node, app.RecordDict())
            try:
                found = metrics(self._asked("evaluate", content, context, self._seed))
            except errors.RefusalError as error:
                raise errors.AppError(f"evaluate: {error}; task.judged=0 goes without") from error
            count = examples(found)
            share, cost = self._metric(found, self._settings.accuracy), self._metric(found, self._settings.loss)
            correct, total, loss = (
                correct + round(min(1.0, max(0.0, share)) * count),
                total + count,
                loss + cost * count,
            )
        return correct, total, loss / total

    def _metric(self, found: Mapping[str, Any], name: str) -> float:
        if not name:
            return 0.0
        value = found.get(name)
        if not isinstance(value, int | float) or not np.isfinite(value):
            message = f"evaluate of {self._settings.app} gives {name}={value!r}, expected a finite number; it has"
            raise errors.AppError(f"{message} {', '.join(sorted(found))}: choose with task.accuracy and task.loss")
        return float(value)

    def _content(self, kind: str, weights: torch.Tensor, number: int) -> app.RecordDict:
        made = arrays.record(self._layout, weights, {})
        told = app.ConfigRecord({"server-round": number, "lr": self._settings.learning_rate} | self._config)
        if self._legacy:
            told["server_round"] = number
            return app.RecordDict({f"{kind}.parameters": made, f"{kind}.config": told})
        return app.RecordDict({"arrays": made, "config": told})

    def _context(self, node: flower_task.Node, state: app.RecordDict) -> app.Context:
        partition = 0 if node.partition is None else node.partition
        own: dict[str, Any] = {"partition-id": partition, "num-partitions": self._settings.holders}
        return app.Context(
            run_id=self._run,
            node_id=flower_compat.SERVER + 1 + partition,
            node_config={"data-path": node.path} if node.path else own,
            state=state,
            run_config=origin.numbers(self._values) | self._config,
        )

    def _asked(self, kind: str, content: app.RecordDict, context: app.Context, drawn: int) -> app.RecordDict:
        """The content of the app's reply."""
        flower_compat.transport(self._run)
        message = app.Message(content, context.node_id, kind)
        flower_compat.transport(self._run, message, kind)
        with draws.seeded(drawn):
            reply = clientapp.ask(self._app, message, context)
        return reply.content


def metrics(content: app.RecordDict) -> dict[str, Any]:
    """All that a reply says beside arrays, by name."""
    said = [*content.metric_records.values(), *content.config_records.values()]
    return {name: value for each in said for name, value in each.items()}


def examples(found: Mapping[str, Any]) -> int:
    """How many examples a reply says it is about; 1 where it says nothing that can be."""
    said = next((found[name] for name in NUMBERS if name in found), 1)
    return int(said) if isinstance(said, int | float) and 1 <= said <= MOST_EXAMPLES else 1

"""Our rules as a strategy of Flower's: any ServerApp can start it, on Flower's own grid or on ours, with or without a ledger.

    replies --vet--> updates --lattice--> int16 --rule--> aggregate --> arrays of the next round

    strategy = strategies.RobustStrategy(byzantine=2)
    strategy.start(grid=grid, initial_arrays=arrays, num_rounds=3)
    strategy.dropped        what was left out, of whom, and why

Each client counts once, whatever number of examples it declares. The arithmetic is that of a run of ours (`aggregation`), so
the same replies give the same bits anywhere.
"""

import hashlib
import itertools
import logging
import os
import secrets
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import numpy as np
import torch

from aggregation import errors as aggregation_errors
from aggregation import guidance, lattice, memory, recipe, rules, standing
from client import arrays
from orchestrator import vetting

os.environ.setdefault("FLWR_TELEMETRY_ENABLED", "0")  # read when flwr is imported
from flwr import app
from flwr.serverapp import strategy

DRAW = "folkmoot/flower-draw/v1"
LOG = logging.getLogger(__name__)


class RobustStrategy(strategy.FedAvg):  # type: ignore[misc]  # Flower's class is untyped to us
    """FedAvg's way of asking clients; a robust rule in place of its average, and no reply that can end the run.

    Where too few replies can be used for the rule to hold its promise, the model stays as it is for that round.

    Args:
        byzantine: f, how many clients may be hostile.
        rule: a name in `aggregation.rules.RULES`; `auto` for what suits the numbers of clients.
        pre: a pre-aggregation as in a plan, such as `standing+arc+nnm`; `auto` with `rule="auto"`.
        headroom_bits: doublings that an update may exceed the last aggregate by before it is cut.
        seed: of what a rule draws at random; None for bytes that nobody could know before.
        **options: those of FedAvg. `min_train_nodes` and `min_available_nodes` are at least what the rule needs.

    Attributes:
        dropped: what was left out so far, oldest first.

    Raises:
        RuleError: there is no such rule, or it can work with no number of clients.
    """

    def __init__(
        self,
        *,
        byzantine: int,
        rule: str = guidance.AUTO,
        pre: str = guidance.AUTO,
        headroom_bits: int = 6,
        seed: int | None = None,
        **options: Any,  # noqa: ANN401  FedAvg's own
    ) -> None:
        if (rule == guidance.AUTO) != (pre == guidance.AUTO):
            given = f"rule={rule!r} with pre={pre!r}"
            raise aggregation_errors.RuleError(f"{given}: expected both to be {guidance.AUTO!r}, or none")
        least = _least(rule, pre, byzantine)
        for name in ("min_train_nodes", "min_available_nodes"):
            options[name] = max(options.get(name, 2), least)
        super().__init__(**options)
        self.dropped: list[vetting.Dropped] = []
        self._byzantine, self._headroom_bits = byzantine, headroom_bits
        self._rule, self._pre = rule, pre
        self._secret = secrets.token_bytes(32) if seed is None else str(seed).encode()
        self._course: _Course | None = None
        self._model: vetting.Model | None = None
        self._asked: dict[str, frozenset[int]] = {}

    def summary(self) -> None:
        """Log what the strategy was made of."""
        super().summary()
        LOG.info("rule %s, pre-aggregation %s, %d Byzantine", self._rule, self._pre, self._byzantine)

    def configure_train(
        self,
        server_round: int,
        arrays: app.ArrayRecord,
        config: app.ConfigRecord,
        grid: Any,  # noqa: ANN401
    ) -> Iterable[Any]:
        """The messages of a round of training; what they send is kept, to judge the replies by."""
        messages = list(super().configure_train(server_round, arrays, config, grid))
        self._asked["train"] = frozenset(each.metadata.dst_node_id for each in messages)
        self._model = vetting.Model.of(arrays)
        if server_round == 1 or self._course is None:
            self._course = self._begun(len(messages))
        return messages

    def aggregate_train(
        self, server_round: int, replies: Iterable[Any]
    ) -> tuple[app.ArrayRecord | None, app.MetricRecord | None]:
        """The next arrays and the round's metrics; None where there is nothing to make them of."""
        model, course, asked = self._model, self._course, self._asked.get("train", frozenset())
        if model is None or course is None or not asked:
            return None, None
        phase = vetting.Round(
            number=server_round, phase="train", asked=asked, counted=self.weighted_by_key, model=model
        )
        kept, dropped = vetting.vet(replies, phase)
        self._report(dropped)
        metrics = self._metrics(kept, phase, self.train_metrics_aggr_fn)
        draw = hashlib.sha256(f"{DRAW}\n{server_round}\n".encode() + self._secret).digest()
        step = course.step(model, kept, draw)
        if step is None:
            LOG.warning(
                "round %d: %d replies are too few for the rule: the model stays as it is", server_round, len(kept)
            )
            return None, metrics
        return arrays.record(model.layout, model.weights + step, _medians(model.layout, kept)), metrics

    def configure_evaluate(
        self,
        server_round: int,
        arrays: app.ArrayRecord,
        config: app.ConfigRecord,
        grid: Any,  # noqa: ANN401
    ) -> Iterable[Any]:
        """The messages of a round of evaluation."""
        messages = list(super().configure_evaluate(server_round, arrays, config, grid))
        self._asked["evaluate"] = frozenset(each.metadata.dst_node_id for each in messages)
        return messages

    def aggregate_evaluate(self, server_round: int, replies: Iterable[Any]) -> app.MetricRecord | None:
        """The round's metrics, of the replies that can be used."""
        asked = self._asked.get("evaluate", frozenset())
        phase = vetting.Round(number=server_round, phase="evaluate", asked=asked, counted=self.weighted_by_key)
        kept, dropped = vetting.vet(replies, phase)
        self._report(dropped)
        return self._metrics(kept, phase, self.evaluate_metrics_aggr_fn)

    def _begun(self, clients: int) -> "_Course":
        """A new run's course, its rule chosen for so many clients a round."""
        rule, pre = self._rule, self._pre
        if rule == guidance.AUTO and clients:
            choice = guidance.choose(clients, self._byzantine)
            rule, pre = choice.rule, choice.pre
            LOG.info("for %d clients of whom %d may be hostile: %s, %s", clients, self._byzantine, rule, pre)
        return _Course(rule=rule, pre=pre, byzantine=self._byzantine, headroom_bits=self._headroom_bits)

    def _metrics(self, kept: Sequence[vetting.Vetted], phase: vetting.Round, average: Any) -> Any:  # noqa: ANN401
        contents, dropped = vetting.metrics(kept, phase)
        self._report(dropped)
        return average(contents, self.weighted_by_key) if contents else None

    def _report(self, dropped: Sequence[vetting.Dropped]) -> None:
        self.dropped.extend(dropped)
        for each in dropped:
            LOG.warning(
                "round %d, %s: node %d, %s left out (%s): %s",
                each.round, each.phase, each.node, each.part, each.code, each.reason,
            )  # fmt: skip


class _Course:
    """What a rule remembers from round to round: the lattice, the last aggregate, the clients' standing."""

    def __init__(self, *, rule: str, pre: str, byzantine: int, headroom_bits: int) -> None:
        self._rule, self._pre, self._byzantine = rule, pre, byzantine
        self._headroom_bits = headroom_bits
        self._before: tuple[lattice.Lattice, torch.Tensor] | None = None
        self._standings: Mapping[str, standing.Standing] = {}

    def step(self, model: vetting.Model, kept: Sequence[vetting.Vetted], draw: bytes) -> torch.Tensor | None:
        """How the rule moves the flat vector, float64 `(dim,)`; None where too few replies are left."""
        on = self._lattice(model)
        updates = torch.empty(len(kept), on.dim, dtype=torch.int16)
        for row, each in zip(updates, kept, strict=True):
            row[:] = lattice.encode(on, each.update).integers
        past = memory.none(on) if self._before is None else memory.left(*self._before, self._standings, on)
        method = recipe.Method(rule=self._rule, pre=self._pre, byzantine=self._byzantine, draw=draw)
        remembered = past if memory.remembers(self._rule, self._pre) else None
        combined = memory.combine([_name(each.node) for each in kept], updates, method, remembered)
        if not combined.enough:
            return None
        self._before, self._standings = (on, combined.values), combined.standings or {}
        return lattice.decode_refined(on, combined.values)

    def _lattice(self, model: vetting.Model) -> lattice.Lattice:
        sizes = [spec.size for spec in model.layout.floating]
        if self._before is None:
            return lattice.initial(sizes, model.weights, headroom_bits=self._headroom_bits)
        return lattice.following(*self._before, headroom_bits=self._headroom_bits)


def _least(rule: str, pre: str, byzantine: int) -> int:
    """The least number of clients that the rule works with."""
    return next(clients for clients in itertools.count(1) if _works(rule, pre, byzantine, clients))


def _works(rule: str, pre: str, byzantine: int, clients: int) -> bool:
    try:
        if rule == guidance.AUTO:
            guidance.choose(clients, byzantine)
        else:
            rules.check(rule, pre, clients, byzantine)
    except aggregation_errors.TooFewError:
        return False
    return True


def _medians(layout: arrays.Layout, kept: Sequence[vetting.Vetted]) -> dict[str, np.ndarray]:
    """Of what is no part of the flat vector, such as counters: the lower median, which f of 2 f + 1 cannot move at will."""
    return {
        spec.name: np.sort([each.others[spec.name] for each in kept], axis=0)[(len(kept) - 1) // 2]
        for spec in layout.others
    }


def _name(node: int) -> str:
    """A node's number as an id that sorts as the numbers do."""
    return f"{node:020d}"

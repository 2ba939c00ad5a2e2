"""RobustStrategy in plain Flower: no reply ends the run, and what is left out leaves no trace in the model."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from aggregation import errors as aggregation_errors
from aggregation import lattice, recipe
from benchmarks import flower_loop, peers
from orchestrator import strategies

from flwr import app  # isort: skip  client.arrays comes first

START = {"w": np.array([[1.0, -2.0], [0.5, 4.0]], dtype=np.float32), "seen": np.array(10, dtype=np.int64)}
ROOT = Path(__file__).parents[2]
Answer = Callable[[app.Message, app.Context], app.Message]


def record(arrays: dict[str, Any]) -> app.ArrayRecord:
    return app.ArrayRecord({n: a if isinstance(a, app.Array) else app.Array(a) for n, a in arrays.items()})


def moved(message: app.Message, by: float) -> dict[str, Any]:
    """What an honest client makes of the arrays it was sent."""
    sent = {name: array.numpy() for name, array in message.content["arrays"].items()}
    return {"w": sent["w"] + np.float32(by), "seen": np.asarray(sent["seen"] + 1)}


def reply(
    message: app.Message, arrays: dict[str, Any] | None, metrics: dict[str, Any] | None = None, **more: Any
) -> app.Message:
    measured = {"loss": 1.0, "num-examples": 100} if metrics is None else metrics
    content = {"metrics": app.MetricRecord(measured)} | more
    if arrays is not None:
        content["arrays"] = record(arrays)
    return app.Message(app.RecordDict(content), reply_to=message)


def honest(number: int) -> Answer:
    """A client whose update is 0.01 times its number everywhere."""
    return lambda message, _: reply(
        message, moved(message, number / 100) if message.metadata.message_type == "train" else None
    )


def fails(message: app.Message, context: app.Context) -> app.Message:
    raise RuntimeError("out of memory")


def lying(arrays: Callable[[app.Message], dict[str, Any]] | None = None, **metrics: Any) -> Answer:
    """A client that trains honestly but for what is given."""

    def answer(message: app.Message, _: app.Context) -> app.Message:
        measured = {"loss": 1.0, "num-examples": 100} | {
            name.replace("_", "-"): value for name, value in metrics.items()
        }
        if message.metadata.message_type != "train":
            return reply(message, None, measured)
        return reply(message, arrays(message) if arrays else moved(message, 0.01), measured)

    return answer


def run(answers: dict[int, Answer], rounds: int = 1, **options: Any) -> tuple[Any, strategies.RobustStrategy]:
    """The result of a run of these clients, by partition."""
    options = {"byzantine": 1, "rule": "trimmed_mean", "pre": "none"} | options
    made = strategies.RobustStrategy(min_train_nodes=len(answers), **options)
    partitions = list(answers)
    grid = flower_loop.LoopGrid(
        lambda message, context: answers[partitions[context.node_config["partition-id"]]](message, context),
        len(answers),
    )
    return made.start(grid=grid, initial_arrays=record(START), num_rounds=rounds), made


def arrays_of(result: Any) -> dict[str, np.ndarray]:
    return {name: array.numpy() for name, array in result.arrays.items()}


CROWD = {number: honest(number) for number in range(1, 6)}
LIES = {
    "extra array": (lying(lambda m: moved(m, 0.01) | {"extra": np.zeros(1)}), "tensors-names"),
    "array missing": (lying(lambda m: {"w": moved(m, 0.01)["w"]}), "tensors-names"),
    "other shape": (lying(lambda m: moved(m, 0.01) | {"w": np.zeros(4, dtype=np.float32)}), "tensors-shape"),
    "other type": (lying(lambda m: moved(m, 0.01) | {"w": np.zeros((2, 2))}), "tensors-dtype"),
    "garbage": (
        lying(lambda m: moved(m, 0.01) | {"w": app.Array("float32", (2, 2), "numpy.ndarray", b"x" * 99)}),
        "tensors-garbage",
    ),
    "nan": (lying(lambda m: moved(m, float("nan"))), "off-lattice"),
    "infinity": (lying(lambda m: moved(m, float("inf"))), "off-lattice"),
    "nan examples": (lying(num_examples=float("nan")), "reply-examples"),
    "negative examples": (lying(num_examples=-576), "reply-examples"),
    "endless examples": (lying(num_examples=float("inf")), "reply-examples"),
    "listed examples": (lying(num_examples=[100]), "reply-examples"),
    "no examples": (lambda m, c: reply(m, moved(m, 0.01), {"loss": 1.0}), "reply-examples"),
    "two array records": (lambda m, c: reply(m, moved(m, 0.01), more=record(START)), "reply-records"),
    "no arrays": (lambda m, c: reply(m, None), "reply-records"),
    "two metric records": (lambda m, c: reply(m, moved(m, 0.01), more=app.MetricRecord({"a": 1})), "reply-records"),
    "an error": (fails, "client-error"),
}


@pytest.mark.parametrize("lie", LIES)
def test_a_reply_that_cannot_be_used_is_as_if_it_had_not_come(lie: str) -> None:
    """The client is named with its reason, and model and metrics are bit for bit those of the others alone (attacks.md)."""
    answer, code = LIES[lie]
    without, _ = run(CROWD, rounds=2)
    result, made = run(CROWD | {6: answer}, rounds=2)
    found = [(each.round, each.node, each.part, each.code) for each in made.dropped if each.phase == "train"]
    assert found == [(number, flower_loop.FIRST + 5, "update", code) for number in (1, 2)]
    for name, array in arrays_of(without).items():
        assert arrays_of(result)[name].tobytes() == array.tobytes()
    assert result.train_metrics_clientapp == without.train_metrics_clientapp


def test_the_model_moves_by_the_rule() -> None:
    """As the rule moves the updates on the lattice; an array of integers takes the lower median; types stay."""
    result, made = run(CROWD)
    weights = torch.from_numpy(START["w"].reshape(-1)).to(torch.float64)
    on = lattice.initial([4], weights, headroom_bits=6)
    rows = [lattice.encode(on, torch.from_numpy(START["w"] + np.float32(n / 100)).reshape(-1) - weights) for n in CROWD]
    method = recipe.Method(rule="trimmed_mean", pre="none", byzantine=1)
    aggregate = lattice.refine(recipe.aggregate(torch.stack([row.integers for row in rows]), method))
    expected = (weights + lattice.decode_refined(on, aggregate)).to(torch.float32).reshape(2, 2).numpy()
    assert arrays_of(result)["w"].tobytes() == expected.tobytes()
    assert arrays_of(result)["seen"] == 11
    assert arrays_of(result)["seen"].dtype == np.int64
    assert made.dropped == []


@pytest.mark.parametrize("rule", ["auto", "median", "krum", "geometric_median", "centered_clipping", "dnc"])
def test_a_hundredfold_flip_moves_nothing_far(rule: str) -> None:
    """Whatever the rule, four rounds of honest steps of 0.01 to 0.05 end within what honest clients would reach."""
    flipped = lying(lambda m: moved(m, -100.0))
    options = {"rule": rule, "pre": "auto" if rule == "auto" else "arc+nnm", "seed": 1}
    result, _ = run(CROWD | {6: flipped}, rounds=4, **options)
    gone = arrays_of(result)["w"] - START["w"]
    assert (gone > 4 * 0.005).all()
    assert (gone <= 4 * 0.05 + 1e-3).all()
    again, _ = run(CROWD | {6: flipped}, rounds=4, **options)
    assert arrays_of(again)["w"].tobytes() == arrays_of(result)["w"].tobytes()


@pytest.mark.parametrize("seen", [10**9, -(10**9)])
def test_a_counter_goes_by_the_many(seen: int) -> None:
    """An array of integers is no part of what the rule sees; one client cannot move it beyond the others (attacks.md)."""
    result, _ = run(CROWD | {6: lying(lambda m: moved(m, 0.01) | {"seen": np.array(seen)})})
    assert arrays_of(result)["seen"] == 11


def test_a_strategy_that_is_started_again_remembers_nothing() -> None:
    """Two runs of one object give the same bits, though the rule remembers within each."""
    made = strategies.RobustStrategy(byzantine=1, rule="centered_clipping", pre="none")
    found = []
    for _ in range(2):
        grid = flower_loop.LoopGrid(lambda m, c: honest(c.node_config["partition-id"])(m, c), 5)
        found.append(arrays_of(made.start(grid=grid, initial_arrays=record(START), num_rounds=3))["w"].tobytes())
    assert found[0] == found[1]


def test_too_few_replies_leave_the_model_as_it_is() -> None:
    """The run goes on, and nobody's update is taken on trust."""
    result, made = run({1: honest(1), 2: honest(2), 3: fails, 4: fails, 5: fails}, byzantine=2)
    assert not result.arrays
    assert len([each for each in made.dropped if each.phase == "train"]) == 3


def test_no_client_owns_the_metrics() -> None:
    """A count of a thousand million weighs as twice the median; other names, NaN and infinity are left out, updates kept."""
    crowd = {number: lying(loss=1.0) for number in range(5)}
    result, made = run(crowd | {5: lying(loss=8.0, num_examples=10**9)})
    assert dict(result.train_metrics_clientapp[1]) == pytest.approx({"loss": (5 * 1.0 + 2 * 8.0) / 7})
    assert made.dropped == []
    for wrong in ({"loss": float("nan")}, {"loss": float("inf")}, {"loss": [1.0]}, {"other": 1.0}, {"loss": 10**400}):
        result, made = run(crowd | {5: lying(**wrong)})
        assert dict(result.train_metrics_clientapp[1]) == pytest.approx({"loss": 1.0})
        assert dict(result.evaluate_metrics_clientapp[1]) == pytest.approx({"loss": 1.0})
        found = [(each.phase, each.node, each.part, each.code) for each in made.dropped]
        node = flower_loop.FIRST + 5
        assert found == [(phase, node, "metrics", "reply-metrics") for phase in ("train", "evaluate")]
        assert arrays_of(result)["seen"] == 11


def test_it_waits_for_as_many_clients_as_the_rule_needs() -> None:
    """Flower starts before its nodes are there; a round of two would be too few for any rule."""
    for options, least in (({"rule": "krum", "pre": "none"}, 9), ({}, 7), ({"min_train_nodes": 20}, 20)):
        made = strategies.RobustStrategy(byzantine=3, **options)
        assert made.min_train_nodes == least
        assert made.min_available_nodes == max(9 if options.get("rule") else 7, 2)


@pytest.mark.parametrize(
    "options",
    [
        {"rule": "best", "pre": "none"},
        {"rule": "mean", "pre": "none"},
        {"rule": "median"},
        {"pre": "magic", "rule": "median"},
    ],
)
def test_a_rule_that_cannot_work_is_refused_at_once(options: dict[str, str]) -> None:
    """Before any client is asked."""
    with pytest.raises(aggregation_errors.RuleError):
        strategies.RobustStrategy(byzantine=1, **options)


@pytest.fixture(scope="module")
def here() -> dict[str, Any]:
    """What the script answers with the flwr of this environment."""
    return peers.answered(ROOT / "tests" / "flower_minor.py")


def test_it_needs_no_ledger_no_ray_and_no_hydra(here: dict[str, Any]) -> None:
    """It is loaded in plain Flower, whose own Ray may be of another version."""
    assert here["loaded"] == []


@pytest.mark.parametrize("minor", peers.FLOWERS)
def test_it_runs_on_each_minor_of_flower(minor: str, here: dict[str, Any]) -> None:
    """One hostile client of six, three rounds, in a process that has this flwr: the same bits on all of them."""
    answer = peers.answered(ROOT / "tests" / "flower_minor.py", minor)
    assert answer["version"] == peers.BESIDE[minor].partition("==")[2]
    assert answer["dropped"] == [[number, 105, "tensors-names"] for number in (1, 2, 3)]
    assert answer["weights"] == here["weights"]

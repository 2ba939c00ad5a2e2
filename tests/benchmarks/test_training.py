"""The benchmark of training: equal work, and figures of every system."""

import json
from pathlib import Path

import pytest

from benchmarks import report, training

SMALL = training.Workload(
    name="small",
    overrides=("task.holders=9", "task.examples=12", "task.features=6", "task.classes=3", "task.tests=30"),
    cohort=8,
    rounds=3,
    warm=1,
)


def test_all_systems_do_the_same_work() -> None:
    """The plain loop, one by one and side by side end with the same model, but for roundings."""
    losses = {name: training.measured(name, SMALL)["loss"] for name in training.TRAINED}
    for name in ("alone", "together"):
        assert losses[name] == pytest.approx(losses["loop"], rel=1e-5)


def test_a_report_has_every_system(tmp_path: Path) -> None:
    """Seconds, memory and loss of each, ratios to the loop, and what is beside the training."""
    wanted = training.Config(workloads=(SMALL,), systems=("loop", "everything"), repeats=1)
    told: list[str] = []
    record = json.loads(report.write(training.run(wanted, told.append), tmp_path).read_text())
    assert told == ["small loop, turn 1 of 1", "small everything, turn 1 of 1"]
    found = record["metrics"]
    for system in wanted.systems:
        for name in ("cpu_seconds", "wall_seconds", "peak_mib", "loss"):
            assert found[f"small.{system}.{name}"]["median"] > 0
    for name in ("cpu_seconds.ratio", "wall_seconds.ratio", "train.cpu_seconds", "seal.cpu_seconds"):
        assert found[f"small.everything.{name}"]["median"] > 0
    assert 0 < found["small.everything.beside_training"]["median"] < 1

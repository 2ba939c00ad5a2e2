"""The benchmark of growth, and docs/speed.md."""

import json
from pathlib import Path

import pytest

from benchmarks import growth, page, report, speed_page, training, training_peers

TINY = training.Workload(
    name="w2",
    overrides=("task.holders=9", "task.examples=12", "task.features=6", "task.classes=3", "task.tests=30"),
    cohort=8,
    rounds=2,
    warm=1,
    early=1,
)


def test_a_law_is_found_again() -> None:
    """Three times the size to the power of 1.5, exactly; and a constant, of which nothing is left to explain."""
    told = growth.law([10, 100, 1000], [3 * size**1.5 for size in (10, 100, 1000)])
    assert told == pytest.approx({"exponent": 1.5, "r2": 1.0, "exponent_last": 1.5})
    assert growth.law([10, 100], [2.0, 2.0]) == pytest.approx({"exponent": 0.0, "r2": 1.0, "exponent_last": 0.0})
    bent = growth.law([10, 100, 1000], [1.0, 1.0, 10.0])
    assert bent["exponent_last"] == pytest.approx(1.0)
    assert bent["exponent"] == pytest.approx(0.5)
    assert bent["r2"] == pytest.approx(0.75)


@pytest.mark.parametrize("size", [100_000, 1_000_000, 10_000_000])
def test_models_have_the_size_that_is_named(size: int) -> None:
    chosen = dict(each.split("=") for each in growth.overrides("parameters", size, 3))
    hidden, features, classes = (int(chosen[f"task.{name}"]) for name in ("hidden", "features", "classes"))
    assert hidden * (features + 1 + classes) + classes == pytest.approx(size, rel=0.02)


def test_the_page_shows_every_figure(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Tables and plots of tiny results: all systems that were measured, why a peer is missing, both axes with their laws."""
    monkeypatch.setattr(page, "RESULTS", tmp_path)
    page.result.cache_clear()

    def missing(name: str) -> Path:
        raise training_peers.errors.PeerError(f"no {name} today")

    monkeypatch.setattr(training_peers.peers, "install", missing)
    for suite in (growth, training):  # here: a process for each would take half a minute
        monkeypatch.setattr(suite, "_apart", suite.measured)
    wanted = training.Config(workloads=(TINY,), systems=("loop", "everything"), repeats=1)
    report.write(training.run(wanted, lambda _: None), tmp_path)
    report.write(
        growth.run(growth.Config(holders=(2, 4), parameters=(4_000, 8_000), rounds=2), lambda _: None), tmp_path
    )
    try:
        made = speed_page.made(speed_page.PAGE.read_text())
        drawn = speed_page.draw(tmp_path)
    finally:
        page.result.cache_clear()
    for said in ("| plain loop |", "| everything on |", "flower is left out: no engine today", "| 8,000 |", "| R² |"):
        assert said in made, said
    assert [path.name for path in drawn] == ["speed.svg", "growth.svg"]


@pytest.mark.skipif(
    not all((page.RESULTS / f"{name}.json").exists() for name in ("growth", "training")),
    reason="no results of bench training and bench growth are committed yet",
)
def test_the_tables_are_those_of_the_results() -> None:
    """`python -m benchmarks.speed_page` would change nothing."""
    text = speed_page.PAGE.read_text()
    assert speed_page.made(text) == text


@pytest.mark.chaos
@pytest.mark.parametrize("peer", list(training_peers.ENVIRONMENTS))
def test_peers_do_the_same_work(peer: str) -> None:
    """Given the same examples, cohorts, orders and weights, they end with the plain loop's loss, but for roundings."""
    if not (training_peers.peers.FOLDER / training_peers.ENVIRONMENTS[peer]).is_dir():
        pytest.skip(f"{peer} is not set up: folkmoot bench training does that")
    same = training.dataclasses.replace(TINY, rounds=5, early=4)
    theirs = training_peers.measured(peer, training._overrides(same), same.cohort, same.early)
    assert theirs["loss"] == pytest.approx(training.measured("loop", same)["early_loss"], rel=1e-5)
    assert json.dumps(theirs)
    assert min(theirs.values()) >= 0

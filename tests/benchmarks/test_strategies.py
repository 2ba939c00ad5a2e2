"""benchmarks.strategies: Flower's strategies come to the same on its engine and on our grid, and the record audits."""

import pytest

from benchmarks import page, strategies


def _compare(metrics: dict[str, float], names: tuple[str, ...], rounds: int) -> None:
    for name in names:
        # Flower adds up replies as they come: a last bit, and with it an image in 360, may differ.
        assert abs(metrics[f"{name}.grid"] - metrics[f"{name}.engine"]) < 0.6, name
        assert metrics[f"{name}.replies"] == 2 * rounds * 10


def test_the_committed_table_holds_the_promise() -> None:
    """Six strategies; each learns, and is as accurate on one as on the other."""
    found = page.result("strategies")
    metrics = {name: value["median"] for name, value in found["metrics"].items()}
    assert tuple(found["config"]["strategies"]) == strategies.STRATEGIES
    _compare(metrics, strategies.STRATEGIES, found["config"]["rounds"])
    assert min(metrics[f"{name}.grid"] for name in strategies.STRATEGIES) > 90


@pytest.mark.chaos
def test_strategies_come_to_the_same_on_flowers_engine_and_on_ours() -> None:
    """Two of them, run here and now: minutes, for the engine has an environment and a Ray of its own."""
    report = strategies.run(strategies.QUICK, lambda _: None)
    metrics = {name: value.median for name, value in report.metrics.items()}
    _compare(metrics, strategies.QUICK.strategies, strategies.QUICK.rounds)

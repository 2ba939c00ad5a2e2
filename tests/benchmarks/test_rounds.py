"""The benchmark measures both systems, and says on what."""

import json
from pathlib import Path

import pytest
from click.testing import CliRunner

from benchmarks import clock, report, rounds
from orchestrator import cli


def test_a_report_has_what_a_reader_needs(tmp_path: Path) -> None:
    """Each system's CPU and wall seconds, their ratio, spread and n; machine, versions and configuration beside."""
    told: list[str] = []
    made = rounds.run(rounds.Config(rounds=3, repeats=2, cases=()), told.append)
    record = json.loads(report.write(made, tmp_path).read_text())
    assert told == ["repetition 1 of 2 done", "repetition 2 of 2 done"]
    assert record["config"] == {"cases": [], "network_rounds": 7, "repeats": 2, "rounds": 3}
    assert set(record["metrics"]) == {
        "floor.cpu_seconds",
        "floor.wall_seconds",
        "folkmoot.cpu_seconds",
        "folkmoot.wall_seconds",
        "ratio.cpu",
    }
    for metric in record["metrics"].values():
        assert metric["n"] == 2
        assert 0 < metric["low"] <= metric["median"] <= metric["high"]
    assert record["versions"]["torch"].startswith("2.13")
    assert record["machine"]["cores"] >= 1


def test_a_metric_is_a_median_with_its_spread() -> None:
    """Of 3, 1, 2 the median is 2, between 1 and 3."""
    assert report.Metric.of([3.0, 1.0, 2.0]) == report.Metric(median=2.0, mean=2.0, low=1.0, high=3.0, n=3)


def test_the_clock_leaves_the_first_round_out() -> None:
    """Marks at 0, 10 and 14 CPU seconds are two rounds of seven."""
    ticks = clock.Clock()
    ticks.marks = [(0.0, 1.0), (10.0, 2.0), (14.0, 9.0)]
    assert ticks.per_round() == (7.0, 4.0)
    assert ticks.walls() == [1.0, 7.0]


@pytest.mark.parametrize("flags", [[], ["--json"]])
def test_the_command_writes_its_result(tmp_path: Path, flags: list[str]) -> None:
    """`folkmoot bench rounds --quick` ends with the figures and a file of JSON."""
    result = CliRunner().invoke(cli.cli, ["bench", "rounds", "--quick", "--out", str(tmp_path), *flags])
    assert result.exit_code == 0, result.output
    written = json.loads((tmp_path / "rounds.json").read_text())
    assert "ratio.cpu" in result.stdout
    if flags:
        assert json.loads(result.stdout) == written

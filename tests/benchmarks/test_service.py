"""The benchmark of the service offers what it says, counts what came of it, and tells when the service breaks its word."""

import json
from pathlib import Path

import pytest
from click.testing import CliRunner

from benchmarks import errors, load, service
from orchestrator import cli


def test_the_command_writes_what_the_service_bore(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Offered at the rate, all acknowledged, none lost, each on every tail; memory by second (issue 6, must show 5)."""
    monkeypatch.chdir(tmp_path)
    result = CliRunner().invoke(cli.cli, ["bench", "service", "--quick", "--out", str(tmp_path)])
    assert result.exit_code == 0, result.output
    found = json.loads((tmp_path / "service.json").read_text())["metrics"]
    wanted = service.QUICK
    assert found["statements.acknowledged"]["median"] == wanted.seconds * wanted.rate
    assert found["statements.offered_per_second"]["median"] == pytest.approx(wanted.rate, rel=0.2)
    assert (
        found["statements.lost"]["high"] == found["tails.missing"]["high"] == found["statements.refused"]["high"] == 0
    )
    assert found["answer.milliseconds"]["n"] == wanted.seconds * wanted.rate
    assert found["service.mebibytes"]["high"] <= found["service.peak_mebibytes"]["high"]


def test_a_statement_that_is_not_in_its_place_is_counted(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Acknowledged for a position where the log has another one, or none: the benchmark fails, and says how many."""
    monkeypatch.chdir(tmp_path)
    real = service._loaded

    def lying(*asked):
        offered, heard = real(*asked)
        first, second, *_ = sorted(offered.places)
        offered.places[first], offered.places[second] = offered.places[second], offered.places[first]
        offered.places[10**6] = (0, 0)
        return offered, heard

    monkeypatch.setattr(service, "_loaded", lying)
    small = service.Config(seconds=1, rate=20, tails=2, members=10)
    with pytest.raises(errors.BenchmarkError, match="3 statements lost"):
        service.run(small, lambda _: None)


def test_statements_are_due_by_the_clock_and_not_by_the_answers_before_them() -> None:
    """A member's next is due a round of all members later, whatever was answered."""
    offering = load._Offering(("127.0.0.1", 1), [[b"a", b"b"], [b"c", b"d"]], 10)
    assert [offering._at(member) for member in (0, 1)] == pytest.approx([0.0, 0.1])
    offering._next = [1, 1]
    assert [offering._at(member) for member in (0, 1)] == pytest.approx([0.2, 0.3])

"""The credit benchmark measures what its page says."""

import json
from pathlib import Path

import pytest

from benchmarks import cheats, contribution, credit, credit_page, report


def test_a_report_has_each_method_and_cheat(tmp_path: Path) -> None:
    """Correlation, cost and pay, by task; a cheater that is screened gets nothing, one that is not gets something."""
    wanted = credit.Config(
        tasks=("table",),
        seeds=(0,),
        cheats=("last_delta",),
        methods=("gram",),
        thorough=(),
        rare=(),
        rounds=3,
        examples=50,
    )
    told: list[str] = []
    made = credit.run(wanted, told.append)
    record = json.loads(report.write(made, tmp_path).read_text())["metrics"]
    assert told == ["1 of 2: table, seed 0, none", "2 of 2: table, seed 0, last_delta"]
    assert record["table/exact_shapley/rho"]["median"] == pytest.approx(1.0)
    assert record["table/gram/evaluations"]["median"] == 0
    assert record["table/gram/last_delta"]["median"] == 0
    assert record["table/gram/last_delta.bare"]["median"] > 0.1


def test_ranks_are_shared_by_equals() -> None:
    """Of 5, 1, 5, 9 the ranks are 1.5, 0, 1.5, 3; against its opposite the correlation is -1."""
    assert credit._ranks([5, 1, 5, 9]).tolist() == [1.5, 0.0, 1.5, 3.0]
    assert credit.rho([5, 1, 5, 9], [-5, -1, -5, -9]) == -1.0


def test_every_cheat_sends_something(tmp_path: Path) -> None:
    """Each behaves on the first round, without any past, and on a later one."""
    for name in cheats.CHEATS:
        asked = contribution.Contribution(task="table", seed=0, cheat=name, methods=("gram",), rounds=2, examples=20)
        found = contribution.run(asked)
        assert len(found.paid["gram"].totals) > asked.holders


def test_the_page_is_that_of_the_result() -> None:
    """`python -m benchmarks.credit_page` would change nothing."""
    text = credit_page.PAGE.read_text()
    assert credit_page.made(text) == text

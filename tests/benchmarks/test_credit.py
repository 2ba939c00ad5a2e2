"""The credit benchmark measures what its page says."""

import dataclasses
import json
from pathlib import Path

import pytest

from benchmarks import cheats, contribution, contribution_fedml, credit, credit_page, errors, page, peers, report


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
        peer=False,
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


ASKED = contribution.Contribution(task="table", seed=0, cheat="none", methods=("exact_shapley",), rounds=2, examples=30)


def test_a_peer_that_cannot_be_installed_is_no_end(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """The benchmark goes on without FedML, and its report says why; the page has the reason for a table."""

    def refuse(*_: object) -> None:
        raise errors.PeerError("pip install benchmarks/fedml.txt failed: no network")

    monkeypatch.setattr(peers, "install", refuse)
    wanted = dataclasses.replace(credit.QUICK, cheats=(), rounds=2, examples=30, peer=True)
    record = json.loads(report.write(credit.run(wanted, lambda _: None), tmp_path).read_text())
    why = "pip install benchmarks/fedml.txt failed: no network"
    assert record["notes"] == dict.fromkeys(contribution_fedml.METHODS, why)
    assert not [name for name in record["metrics"] if "fedml" in name]
    monkeypatch.setattr(page, "result", lambda _: record)
    assert credit_page.TABLES["fedml"]().splitlines() == [f"- `{name}`: {why}" for name in contribution_fedml.METHODS]


def test_fedml_judges_the_game_that_exact_values_judge(tmp_path: Path) -> None:
    """Where its environment is set up: published it fails; mended, GTG's values sum to what the round is worth."""
    if not (peers.FOLDER / "fedml").exists():
        pytest.skip("FedML's module is not in .peers/fedml: `python -m benchmarks.peers fedml` fetches it")
    found = contribution.run(ASKED)
    beside = contribution_fedml.credited(ASKED, found.paid["exact_shapley"])
    assert beside.notes == dict.fromkeys(contribution_fedml.METHODS, "as published: KeyError: 0")
    exact, gtg = found.paid["exact_shapley"], beside.paid["fedml_gtg"]
    for mine, theirs in zip(exact.scores, gtg.scores, strict=True):
        # Efficiency; GTG leaves off a permutation when 0.001 nats are left.
        assert sum(theirs) == pytest.approx(sum(mine), abs=0.001 * contribution_fedml.UNITS)
        assert credit._rho(theirs, mine) > 0.8
    assert sum(gtg.totals) == 2 * contribution.POOL
    assert set(beside.paid["fedml_leave_one_out"].totals) == {0}


def test_what_is_handed_over_is_the_game(tmp_path: Path) -> None:
    """Of every coalition the worth of its mean, of the players that the screen leaves; of all of them the exact values' sum."""
    [first, _] = contribution_fedml._rounds(ASKED)
    exact = contribution.run(ASKED).paid["exact_shapley"]
    count = len(first.judged.players)
    assert (first.updates.shape[0], first.utility.shape) == (count, (2**count,))
    assert first.utility[0] == 0
    assert sum(exact.scores[0]) == pytest.approx(first.utility[-1] * contribution_fedml.UNITS, abs=count)

"""A Flower ClientApp, unmodified, as the trainer of a run: it trains, survives a crash, and audits without flwr."""

import contextlib
import dataclasses
import json
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from rich.console import Console

from client import holder
from orchestrator import config, errors, folder, progress, replay, summary
from orchestrator import run as main_job
from tests import moot

ROOT = Path(__file__).parent.parent.parent
MESSAGES = ("task=flower", "app=tests/apps/linear.py:app", "task.server=tests/apps/linear.py:server")
OLDER = ("task=flower", "app=tests/apps/older.py:app", "task.learning_rate=0.5")
SHORT = (
    "pool=inprocess",
    "rounds=3",
    "task.holders=5",
    "rule=mean",
    "rule.byzantine=0",
    "privacy=none",
    "task.judged=5",
)


@pytest.fixture(autouse=True)
def _here(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(ROOT)


def _ran(root: Path, *overrides: str) -> summary.Summary:
    chosen = config.compose([*SHORT, *overrides, f"dir={root}"])
    with progress.Progress(Console(quiet=True), {}) as show:
        return main_job.execute(chosen, show)[0]


@pytest.mark.parametrize("app", [MESSAGES, OLDER], ids=["messages", "older"])
def test_an_app_trains_and_whoever_audits_needs_neither_it_nor_flwr(app: tuple[str, ...], tmp_path: Path) -> None:
    """Accuracy is what the app's own evaluate says; the audit recomputes all from the plan, with flwr not importable."""
    came_to = _ran(tmp_path, *app)
    assert came_to.rounds == 3
    last = json.loads((tmp_path / "metrics.jsonl").read_text().splitlines()[-1])
    assert last["accuracy"] > 0.8
    assert last["accuracy"] * 5 * 48 == pytest.approx(round(last["accuracy"] * 5 * 48))
    script = "import sys; sys.modules['flwr'] = None; from orchestrator import cli; cli.main()"
    audited = subprocess.run(
        [sys.executable, "-c", script, "audit", str(tmp_path), "--no-memory", "--json"],
        capture_output=True, text=True, check=True, cwd=tmp_path, env={"PYTHONPATH": str(ROOT), "PATH": ""},
    )  # fmt: skip
    assert json.loads(audited.stdout)["recomputed"] == 3


def test_a_run_that_was_cut_off_ends_in_the_same_bits(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """An app that draws at random and counts its rounds in its state: stopped after any holder, the same checkpoint CID."""
    drawing = (*MESSAGES, "task.config=['drawing=true']")
    whole = _ran(tmp_path / "whole", *drawing)
    honest, calls = holder.Holder._file, iter(range(1000))

    def cut(self: holder.Holder, *arguments: object) -> object:
        if next(calls) % 5 == 3:  # trained, the app's state kept, and nothing offered yet
            raise KeyboardInterrupt
        return honest(self, *arguments)

    monkeypatch.setattr(holder.Holder, "_file", cut)
    for _ in range(8):
        try:
            again = _ran(tmp_path / "cut", *drawing)
            break
        except KeyboardInterrupt:
            continue
    assert again.checkpoint == whole.checkpoint


def test_a_client_that_fails_or_replies_another_model_declines_with_a_reason(tmp_path: Path) -> None:
    """One app raises, one adds an array: both say so on the ledger, and the others' round goes on."""
    came_to = _ran(tmp_path, *MESSAGES, "task.config=['failing=1','strange=2']", "cohort.minimum=1")
    lines = [json.loads(line) for line in (tmp_path / "metrics.jsonl").read_text().splitlines()]
    assert came_to.rounds == 3
    assert all(line["accepted"] == 3 for line in lines)
    assert replay.Replay(folder.RunFolder(root=tmp_path), lambda *_: None).audit().recomputed == 3


@pytest.mark.parametrize(
    ("overrides", "said"),
    [
        (("task=flower",), "name it with app="),
        (("task=flower", "app=tests/apps/linear.py:app"), "name its ServerApp"),
        ((*MESSAGES, "attack=two_hostile"), "change examples"),
        ((*MESSAGES, "task.config=['lr']"), "expected NAME=JSON"),
    ],
)
def test_a_configuration_that_cannot_train_says_what_would(overrides: tuple[str, ...], said: str) -> None:
    """One sentence, before anything is written."""
    with pytest.raises(errors.ConfigError, match=said):
        config.compose([*overrides])


def test_another_app_than_agreed_on_stops_the_run(tmp_path: Path) -> None:
    """The digest of the app's source is in the plan: with other source the folder holds a run with another plan."""
    plan = config.compose([*SHORT, *MESSAGES, f"dir={tmp_path}"]).plan
    assert plan.to_record()["task"]["code"] == plan.task.code
    assert plan.task.arrays == ("weight <f4 3x12", "bias <f4 3")
    assert dataclasses.replace(plan.task, code="0" * 64).digest() != plan.task.digest()


def test_a_holder_joins_with_the_app_and_without_it_is_refused_before_anything_is_sent(tmp_path: Path) -> None:
    """Over HTTP, one with the app's own partition, one with a file of its own that only the app reads; and the run audits.

    Who does not have the app, or has another one, is told so in one sentence, and keeps its place.
    """
    here, elsewhere = tmp_path / "here", tmp_path / "elsewhere"
    for each in (here, elsewhere):
        each.mkdir()
    shutil.copy(ROOT / "tests/apps/linear.py", here)
    (here / "mine.txt").write_text("7")
    app = ("task=flower", "app=linear.py:app", "task.server=linear.py:server", "privacy=none", "rounds=2")
    run = moot.Moot(here, ["ann", "bo"], *app, "task.holders=2", "cohort.minimum=2", "task.judged=0")
    try:
        invited = ("join", run.url, "--invite", run.invitation("bo"), "--data", "shard:1", "--accept")
        for source, said in (
            (None, "there is no file linear.py here"),
            ("print()", "was agreed on: nothing of it was run"),
        ):
            if source is not None:
                (elsewhere / "linear.py").write_text(source)
            without = moot.Process(elsewhere, f"without-{source is None}", *invited)
            with contextlib.ExitStack() as last:
                last.callback(without.kill)
                assert without.ends() == 2, without.said
            assert said in without.said
            assert "Traceback" not in without.said
        holders = [run.join("ann", "--accept"), run.join("bo", "--accept", "--data", "mine.txt")]
        assert [each.ends() for each in (*holders, run.coordinator)] == [0, 0, 0], run.coordinator.said
        assert "linear.py:app, source" in holders[0].said
    finally:
        run.stop()
    report = replay.Replay(folder.RunFolder(root=run.root), lambda *_: None).audit()
    assert report.recomputed == 2
    assert "2 accepted, 0 not" in holders[1].said

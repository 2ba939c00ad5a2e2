"""Trials of the robustness benchmark are runs without their envelopes."""

import dataclasses
from pathlib import Path

import pytest
import torch
from rich.console import Console

from benchmarks import robustness, trial
from client import checkpoint, task
from client.tasks import catalogue
from exchange import blocks
from orchestrator import config, folder, progress, replay
from orchestrator import run as main_job


def whole_run(root: Path, wanted: trial.Trial, rule: str, pre: str) -> torch.Tensor:
    """The final weights of `folkmoot run` with the plan of a trial that nobody attacks."""
    settings = wanted.task()
    chosen = config.compose(
        [
            "pool=inprocess",
            "attack=none",
            "privacy=none",
            f"dir={root}",
            f"rounds={wanted.rounds}",
            f"seed={wanted.seed}",
            f"lattice.headroom_bits={trial.HEADROOM_BITS}",
            f"rule.name={rule}",
            f"rule.pre={pre}",
            f"rule.byzantine={wanted.byzantine}",
            *(f"task.{each.name}={getattr(settings, each.name)}" for each in dataclasses.fields(settings)),
        ]
    )
    with progress.Progress(Console(quiet=True), {}) as show:
        main_job.execute(chosen, show)
    final = replay.Replay(folder.RunFolder(root=root), lambda *_: None).audit().checkpoint
    specs = task.specs(catalogue.load(settings, seed=wanted.seed).model())
    file = blocks.BlockStore(folder.RunFolder(root=root).store).get(final, limit=2**20)
    return checkpoint.decode(file, final, specs).weights


@pytest.mark.parametrize(("rule", "pre"), [("trimmed_mean", "standing+arc+nnm"), ("centered_clipping", "none")])
def test_a_trial_ends_with_the_weights_of_a_whole_run(tmp_path: Path, rule: str, pre: str) -> None:
    """Sealing, store and ledger change nothing: the same float32 weights, all bits, with momentum, standing and start row."""
    name = f"{pre}+{rule}".removeprefix("none+")
    wanted = trial.Trial(rule=name, attack="none", alpha=0.5, seed=3, momentum=0.9, rounds=3, honest=14, byzantine=3)
    ours = trial.train(wanted, catalogue.load(wanted.task(), seed=3))
    assert torch.equal(ours, whole_run(tmp_path / "run", wanted, rule, pre))


def test_attackers_make_a_difference_and_robust_rules_take_it_back() -> None:
    """IPM with factor 100: chance for the mean, near the honest accuracy for the default."""
    scores = {
        rule: trial.accuracy(trial.Trial(rule=rule, attack="ipm_100", alpha=1.0, seed=5, momentum=0.9, rounds=60))
        for rule in ("mean", robustness.RULES[0])
    }
    assert scores["mean"] < 30
    assert scores[robustness.RULES[0]] > 80


@pytest.mark.parametrize("attack", ["label_flip", "mimic_learned", "rop", "alie_fitted"])
def test_attackers_that_need_data_history_or_the_rule_run(attack: str) -> None:
    """And two trials with one seed are one."""
    wanted = trial.Trial(rule="median", attack=attack, alpha=1.0, seed=5, momentum=0.9, rounds=3)
    assert trial.accuracy(wanted) == trial.accuracy(wanted)

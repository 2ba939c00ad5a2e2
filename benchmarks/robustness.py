"""How accurate a model is that attackers worked against: rules x attacks x heterogeneity x seeds (`benchmarks.trial`).

16 honest holders and 4 Byzantine. Trials run on Ray, one a process; what is done is kept, so that a command goes on.
"""

import dataclasses
import hashlib
import inspect
import json
import os
from collections.abc import Callable, Sequence
from pathlib import Path

from aggregation import attacks, lattice, outer, recipe, standing
from benchmarks import report
from benchmarks import trial as trials
from client import training
from orchestrator import pool

ATTACKS = (
    "none",
    "sign_flip",
    "ipm_0.1",
    "ipm_2",
    "ipm_100",
    "alie_1.5",
    "alie_fitted",
    "mimic",
    "label_flip",
    "min_max",
)
# Beyond the protocol: attacks that know the rule, or were made against rules of its kind.
BEYOND = ("ipm_fitted", "min_max_sign", "min_max_unit", "min_sum", "mimic_learned", "sybil", "on_off", "delayed", "rop")
# The default first.
RULES = (
    "standing+arc+nnm+trimmed_mean",
    "arc+nnm+trimmed_mean",
    "arc+nnm+caf",
    "arc+caf",
    "caf",
    "centered_clipping",
    "geometric_median",
    "nnm+trimmed_mean",
    "trimmed_mean",
    "median",
    "multi_krum",
    "krum",
    "dnc",
    "mean",
)
# Those that are also measured without the holders' momentum, and under the attacks of `BEYOND`.
PLAIN = ("standing+arc+nnm+trimmed_mean", "arc+nnm+trimmed_mean", "arc+caf")


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Config:
    """Which trials.

    Attributes:
        rules: names as in `Trial`.
        attacks: likewise.
        alphas: likewise; the first is the one that tables are sorted by.
        momenta: likewise.
        seeds: likewise.
        rounds: likewise.
        beyond: further attacks, on `PLAIN` rules at the first alpha and momentum.
    """

    rules: tuple[str, ...] = RULES
    attacks: tuple[str, ...] = ATTACKS
    alphas: tuple[float, ...] = (0.1, 1.0)
    momenta: tuple[float, ...] = (0.9, 0.0)
    seeds: tuple[int, ...] = (5, 6, 7)
    beyond: tuple[str, ...] = BEYOND
    rounds: int = 150

    def trials(self) -> list[trials.Trial]:
        """All of them, all attacks on one rule before the next."""
        return [
            trials.Trial(rule=rule, attack=attack, alpha=alpha, seed=seed, momentum=momentum, rounds=self.rounds)
            for momentum in self.momenta
            for rule in self.rules
            if momentum == self.momenta[0] or rule in PLAIN
            for alpha in self.alphas
            for attack in self.attacks
            for seed in self.seeds
        ] + [
            trials.Trial(
                rule=rule, attack=attack, alpha=self.alphas[0], seed=seed, momentum=self.momenta[0], rounds=self.rounds
            )
            for rule in self.rules
            if rule in PLAIN
            for attack in self.beyond
            for seed in self.seeds
        ]


QUICK = Config(
    rules=("mean", "arc+nnm+trimmed_mean"),
    attacks=("none", "sign_flip", "ipm_100"),
    alphas=(1.0,),
    momenta=(0.9,),
    seeds=(5,),
    beyond=(),
    rounds=40,
)


def run(wanted: Config, folder: Path, workers: int, progress: Callable[[str], None]) -> report.Report:
    """Accuracy in percent by rule, heterogeneity, momentum and attack, over the seeds.

    Args:
        wanted: which trials.
        folder: finished trials are kept here, so that an interrupted command goes on where it was.
        workers: processes on Ray.
        progress: is told how many trials are done.
    """
    load = os.getloadavg()[0]
    folder.mkdir(parents=True, exist_ok=True)
    kept = folder / "robustness.partial.jsonl"
    done = _read(kept)
    asked = wanted.trials()
    missing = [trial for trial in asked if _key(trial) not in done]
    if missing:
        with pool.Cluster(workers) as cluster, kept.open("a") as file:
            for count, (position, score) in enumerate(cluster.map(trials.accuracy, [(trial,) for trial in missing]), 1):
                done[_key(missing[position])] = score
                file.write(json.dumps([_key(missing[position]), score]) + "\n")
                file.flush()
                progress(f"{len(asked) - len(missing) + count} of {len(asked)} trials")
    values: dict[str, list[float]] = {}
    for trial in asked:
        values.setdefault(trial.name, []).append(done[_key(trial)])
    kept.unlink()
    return report.make("robustness", dataclasses.asdict(wanted), values, load=load)


def only(wanted: Config, rules: Sequence[str]) -> Config:
    """The same trials for other rules."""
    return dataclasses.replace(wanted, rules=tuple(rules))


def _key(trial: trials.Trial) -> str:
    """The trial and the code it runs: a change of either makes old results void."""
    modules = (attacks, lattice, outer, recipe, standing, training, trials)
    sources = [inspect.getsource(module) for module in modules]
    code = hashlib.sha256("".join(sources).encode()).hexdigest()
    return json.dumps([dataclasses.asdict(trial), code], sort_keys=True)


def _read(kept: Path) -> dict[str, float]:
    """The trials that an interrupted command has finished; a torn last line is none."""
    done: dict[str, float] = {}
    for line in kept.read_text().splitlines() if kept.exists() else []:
        try:
            key, score = json.loads(line)
        except json.JSONDecodeError:
            continue
        done[key] = score
    return done

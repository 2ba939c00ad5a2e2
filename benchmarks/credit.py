"""What credit is worth: rank correlation to exact Shapley values, cost, and pay to every kind of cheater, by method.

Over tasks and seeds (`benchmarks.contribution`):

    TASK/METHOD/rho            Spearman's correlation of what was paid over the run to what exact Shapley values would have paid
    TASK/METHOD/rho_round      of the scores of a round, on average over rounds
    TASK/METHOD/evaluations    of models a round, the parent's among them; cpu_seconds likewise
    TASK/METHOD/CHEAT          pay to a cheater as a share of an honest holder's, screened; CHEAT.bare: without the screen
    TASK/METHOD/keys_*         what a holder's party gains by two keys more, as a share of an honest holder's
    TASK/METHOD/rare           pay to the one holder that has a class, as a share of the others'
    TASK/fedml_*/...           likewise, of FedML's contribution module; `notes` say how it fails as published
    TASK/screen/echo, twin     share of honest updates that the screen took for an echo, or for another key of a party
"""

import dataclasses
import math
import os
import statistics
from collections.abc import Callable, Sequence

import numpy as np

from benchmarks import cheats, contribution, contribution_fedml, report
from client import plan

EXACT = "exact_shapley"


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Config:
    """Which trainings.

    Attributes:
        tasks: of `contribution.TASKS`.
        seeds: of each.
        cheats: of `cheats.CHEATS`.
        methods: that are measured against cheats.
        thorough: tasks on whose first seed every method is.
        rare: tasks with enough classes for one to be rare.
        rounds: of a training.
        examples: of the public test set.
        peer: whether FedML's contribution module is measured beside (`benchmarks.contribution_fedml`).
    """

    tasks: tuple[str, ...] = contribution.TASKS
    seeds: tuple[int, ...] = (0, 1, 2, 3, 4)
    cheats: tuple[str, ...] = tuple(cheats.CHEATS)
    methods: tuple[str, ...] = ("gram", "quadratic_shapley", "single_add", "leave_one_out")
    thorough: tuple[str, ...] = ("digits", "table")
    rare: tuple[str, ...] = ("digits",)
    rounds: int = 10
    examples: int = 500
    peer: bool = True


QUICK = Config(
    tasks=("table",),
    seeds=(0,),
    cheats=("zero", "last_delta", "sign_flip", "keys_exact"),
    methods=("gram", "quadratic_shapley"),
    thorough=(),
    rare=(),
    rounds=4,
    examples=100,
    peer=False,
)


def run(wanted: Config, progress: Callable[[str], None]) -> report.Report:
    """The figures named above.

    Args:
        wanted: which trainings.
        progress: is told which one runs.
    """
    load = os.getloadavg()[0]
    values: dict[str, list[float]] = {}
    notes: dict[str, str] = {}

    def note(name: str, value: float) -> None:
        if not math.isnan(value):
            values.setdefault(name, []).append(value)

    for name in wanted.tasks:
        for seed in wanted.seeds:
            progress(f"{name}, seed {seed}: nobody cheats")
            honest = contribution.run(_asked(wanted, name, seed, "none", plan.METHODS))
            if wanted.peer:
                progress(f"{name}, seed {seed}: FedML's contribution module")
                beside = contribution_fedml.credited(_asked(wanted, name, seed, "none", ()), honest.paid[EXACT])
                honest = dataclasses.replace(honest, paid={**honest.paid, **beside.paid})
                notes |= beside.notes
            _note_honest(name, honest, note)
            if name in wanted.rare:
                progress(f"{name}, seed {seed}: a rare class")
                _note_rare(name, contribution.run(_asked(wanted, name, seed, "rare", plan.METHODS)), note)
            every = plan.METHODS if name in wanted.thorough and seed == wanted.seeds[0] else wanted.methods
            for cheat in wanted.cheats:
                progress(f"{name}, seed {seed}: {cheat}")
                asked = _asked(wanted, name, seed, cheat, every)
                _note_cheat(name, cheat, contribution.run(asked), honest, note)
                bare = contribution.run(dataclasses.replace(asked, screened=False))
                _note_cheat(name, f"{cheat}.bare", bare, honest, note)
    return report.make("credit", dataclasses.asdict(wanted), values, load=load, notes=notes)


def _asked(wanted: Config, name: str, seed: int, cheat: str, methods: Sequence[str]) -> contribution.Contribution:
    return contribution.Contribution(
        task=name, seed=seed, cheat=cheat, methods=tuple(methods), rounds=wanted.rounds, examples=wanted.examples
    )


Note = Callable[[str, float], None]


def _note_honest(name: str, found: contribution.Outcome, note: Note) -> None:
    exact = found.paid[EXACT]
    for method, paid in found.paid.items():
        rounds = [_rho(mine, theirs) for mine, theirs in zip(paid.scores, exact.scores, strict=True)]
        known = [value for value in rounds if not math.isnan(value)]
        note(f"{name}/{method}/rho", _rho(paid.totals, exact.totals))
        note(f"{name}/{method}/rho_round", statistics.fmean(known) if known else math.nan)
        note(f"{name}/{method}/evaluations", paid.evaluations)
        note(f"{name}/{method}/cpu_seconds", paid.seconds)
    for ruling in ("echo", "twin"):
        note(f"{name}/screen/{ruling}", found.rulings.get(ruling, 0) / found.updates)
    note(f"{name}/screen/cpu_seconds", found.screening)


def _note_rare(name: str, found: contribution.Outcome, note: Note) -> None:
    for method, paid in found.paid.items():
        note(f"{name}/{method}/rare", paid.totals[-1] / _mean(paid.totals[:-1]))


def _note_cheat(name: str, cheat: str, found: contribution.Outcome, honest: contribution.Outcome, note: Note) -> None:
    for method, paid in found.paid.items():
        count = len(honest.paid[method].totals)
        others, cheating = _mean(paid.totals[1:count]), paid.totals[count:]
        if cheat.startswith("keys"):
            alone = honest.paid[method].totals
            note(f"{name}/{method}/{cheat}", (paid.totals[0] + sum(cheating)) / others - alone[0] / _mean(alone[1:]))
        else:
            note(f"{name}/{method}/{cheat}", statistics.fmean(cheating) / _mean(paid.totals[:count]))


def _mean(totals: Sequence[int]) -> float:
    return max(statistics.fmean(totals), 1e-9)


def _rho(mine: Sequence[int], theirs: Sequence[int]) -> float:
    """Spearman's rank correlation; not a number where one side does not rank at all."""
    if len(set(mine)) < 2 or len(set(theirs)) < 2:
        return math.nan
    return float(np.corrcoef(_ranks(mine), _ranks(theirs))[0, 1])


def _ranks(values: Sequence[int]) -> np.ndarray:
    """The rank of each value, equal ones sharing the mean of theirs."""
    exact = np.array(values, dtype=object)
    return np.array([(exact < each).sum() + ((exact == each).sum() - 1) / 2 for each in exact], dtype=np.float64)

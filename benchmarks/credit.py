"""What credit is worth: rank correlation to exact Shapley values, cost, and pay to every kind of cheater, by method.

Over tasks and seeds (`benchmarks.contribution`):

    TASK/METHOD/rho            Spearman's correlation of what was paid over the run to what exact Shapley values would have paid
    TASK/METHOD/rho_round      of the scores of a round, on average over rounds
    TASK/METHOD/evaluations    of models a round; cpu_seconds likewise
    TASK/METHOD/CHEAT          pay to a cheater as a share of an honest holder's, screened; CHEAT.bare: without the screen
    TASK/METHOD/keys_*         what a holder's party gains by two keys more, as a share of an honest holder's
    TASK/METHOD/rare           pay to the one holder that has a class, as a share of the others'
    TASK/fedml_*/...           likewise, of FedML's contribution module; `notes` say how it fails as published
    TASK/screen/echo, twin     share of honest updates that the screen took for an echo, or for another key of a party

Trainings run side by side, one a core; what they come to depends on neither their order nor their number.
"""

import concurrent.futures
import dataclasses
import math
import multiprocessing
import os
import statistics
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any, TypeAlias, TypeVar

import numpy as np

from benchmarks import cheats, contribution, contribution_fedml, errors, judge, peers, report
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
        thorough: tasks on whose first seed every method is, but for exact Shapley values.
        rare: tasks with enough classes for one to be rare.
        rounds: of a training.
        examples: of the public test set.
        peer: whether FedML's contribution module is measured beside (`benchmarks.contribution_fedml`).
    """

    tasks: tuple[str, ...] = contribution.TASKS
    seeds: tuple[int, ...] = (0, 1, 2, 3, 4)
    cheats: tuple[str, ...] = tuple(cheats.CHEATS)
    methods: tuple[str, ...] = ("gram", "secant_shapley", "single_add", "leave_one_out")
    thorough: tuple[str, ...] = ("digits", "table")
    rare: tuple[str, ...] = ("digits",)
    rounds: int = 10
    examples: int = 500
    peer: bool = True


QUICK = Config(
    tasks=("table",),
    seeds=(0,),
    cheats=("zero", "last_delta", "sign_flip", "keys_exact"),
    methods=("gram", "secant_shapley"),
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

    found = _outcomes(list(_trainings(wanted)), progress)
    beside, notes = _beside(found, progress) if wanted.peer else ({}, {})
    for asked, outcome in found.items():
        if asked.cheat == "none":
            honest = dataclasses.replace(outcome, paid={**outcome.paid, **beside.get(asked, {})})
            _note_honest(asked.task, honest, note)
        elif asked.cheat == "rare":
            _note_rare(asked.task, outcome, note)
        else:
            _note_cheat(asked.task, asked.cheat, outcome.paid, honest.paid, note)
            _note_cheat(asked.task, f"{asked.cheat}.bare", outcome.bare, honest.paid, note)
    return report.make("credit", dataclasses.asdict(wanted), values, load=load, notes=notes)


def _trainings(wanted: Config) -> Iterator[contribution.Contribution]:
    """In the order in which they are noted: that of nobody cheating first of its seed."""
    for name in wanted.tasks:
        for seed in wanted.seeds:
            yield _asked(wanted, name, seed, "none", plan.METHODS)
            if name in wanted.rare:
                yield _asked(wanted, name, seed, "rare", plan.METHODS)
            thorough = name in wanted.thorough and seed == wanted.seeds[0]
            methods = [each for each in plan.METHODS if each != EXACT] if thorough else wanted.methods
            for cheat in wanted.cheats:
                yield _asked(wanted, name, seed, cheat, methods)


def _outcomes(
    trainings: Sequence[contribution.Contribution], progress: Callable[[str], None]
) -> dict[contribution.Contribution, contribution.Outcome]:
    said = [f"{asked.task}, seed {asked.seed}, {asked.cheat}" for asked in trainings]
    made = _side_by_side(contribution.run, [(asked,) for asked in trainings], said, progress)
    return dict(zip(trainings, made, strict=True))


Beside: TypeAlias = tuple[dict[contribution.Contribution, Mapping[str, judge.Paid]], dict[str, str]]
"""What FedML's classes paid by training, and notes on them."""


def _beside(found: Mapping[contribution.Contribution, contribution.Outcome], progress: Callable[[str], None]) -> Beside:
    try:
        progress("FedML's contribution module is set up")
        peers.install("fedml")  # before the long work, and once
    except errors.PeerError as error:
        return {}, dict.fromkeys(contribution_fedml.METHODS, str(error))
    honest = [asked for asked in found if asked.cheat == "none"]
    calls = [(dataclasses.replace(asked, methods=()), found[asked].paid[EXACT]) for asked in honest]
    said = [f"{asked.task}, seed {asked.seed}, FedML's contribution module" for asked in honest]
    made = _side_by_side(contribution_fedml.credited, calls, said, progress)
    paid = {asked: each.paid for asked, each in zip(honest, made, strict=True)}
    return paid, {name: note for each in made for name, note in each.notes.items()}


Made = TypeVar("Made")


def _side_by_side(
    function: Callable[..., Made],
    calls: Sequence[tuple[Any, ...]],
    said: Sequence[str],
    progress: Callable[[str], None],
) -> list[Made]:
    """What the function makes of each call, in their order; one a core at a time."""
    cores, spawn = os.cpu_count() or 1, multiprocessing.get_context("spawn")
    with concurrent.futures.ProcessPoolExecutor(cores, mp_context=spawn) as pool:
        running = [pool.submit(function, *call) for call in calls]
        made = []
        try:
            for place, (each, name) in enumerate(zip(running, said, strict=True), 1):
                progress(f"{place} of {len(calls)}: {name}")
                made.append(each.result())
        except BaseException:
            pool.shutdown(cancel_futures=True)
            raise
    return made


def _asked(wanted: Config, name: str, seed: int, cheat: str, methods: Sequence[str]) -> contribution.Contribution:
    return contribution.Contribution(
        task=name, seed=seed, cheat=cheat, methods=tuple(methods), rounds=wanted.rounds, examples=wanted.examples
    )


Note: TypeAlias = Callable[[str, float], None]
Payments: TypeAlias = Mapping[str, judge.Paid]


def _note_honest(name: str, found: contribution.Outcome, note: Note) -> None:
    exact = found.paid[EXACT]
    for method, paid in found.paid.items():
        rounds = [rho(mine, theirs) for mine, theirs in zip(paid.scores, exact.scores, strict=True)]
        known = [value for value in rounds if not math.isnan(value)]
        note(f"{name}/{method}/rho", rho(paid.totals, exact.totals))
        note(f"{name}/{method}/rho_round", statistics.fmean(known) if known else math.nan)
        note(f"{name}/{method}/evaluations", paid.evaluations)
        note(f"{name}/{method}/cpu_seconds", paid.seconds)
    for ruling in ("echo", "twin"):
        note(f"{name}/screen/{ruling}", found.rulings.get(ruling, 0) / found.updates)
    note(f"{name}/screen/cpu_seconds", found.screening)


def _note_rare(name: str, found: contribution.Outcome, note: Note) -> None:
    for method, paid in found.paid.items():
        note(f"{name}/{method}/rare", paid.totals[-1] / _mean(paid.totals[:-1]))


def _note_cheat(name: str, cheat: str, found: Payments, honest: Payments, note: Note) -> None:
    for method, paid in found.items():
        alone = honest[method].totals
        count = len(alone)
        others, cheating = _mean(paid.totals[1:count]), paid.totals[count:]
        if cheat.startswith("keys"):
            note(f"{name}/{method}/{cheat}", (paid.totals[0] + sum(cheating)) / others - alone[0] / _mean(alone[1:]))
        else:
            note(f"{name}/{method}/{cheat}", statistics.fmean(cheating) / _mean(paid.totals[:count]))


def _mean(totals: Sequence[int]) -> float:
    return max(statistics.fmean(totals), 1e-9)


def rho(mine: Sequence[int], theirs: Sequence[int]) -> float:
    """Spearman's rank correlation; not a number where one side does not rank at all."""
    if len(set(mine)) < 2 or len(set(theirs)) < 2:
        return math.nan
    return float(np.corrcoef(_ranks(mine), _ranks(theirs))[0, 1])


def _ranks(values: Sequence[int]) -> np.ndarray:
    """The rank of each value, equal ones sharing the mean of theirs."""
    exact = np.array(values, dtype=object)
    return np.array([(exact < each).sum() + ((exact == each).sum() - 1) / 2 for each in exact], dtype=np.float64)

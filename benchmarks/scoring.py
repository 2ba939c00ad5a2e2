"""What f lying scorers of n can move, beside what theory says they can: values, and pay to whom they favour or sink.

Over tasks and seeds, ten holders who each hold a fifth of their rows out score every update of each round (`client.appraisal`,
as in a run); then f of them lie, in each of these ways, and the round is combined and paid again:

    inflate    a friend's update, the holder that honest scorers pay least, is worth a thousand nats
    sink       a rival's, the one that they pay most, costs as much
    random     all gains are drawn at random, as large as the honest ones
    copy       what one honest scorer revealed the round before, as somebody says who does no work

    TASK/LIE.F/inside    share of values within theory's bounds h_q .. h_(q-f); 1 always
    TASK/LIE.F/moved     how far values are from those of n honest scorers, on average, as a share of their mean magnitude
    TASK/LIE.F/bound     the width of theory's bounds, likewise
    TASK/LIE.F/friend, rival    pay, as a share of the mean holder's; plain_friend, plain_rival: if gains were just averaged
    TASK/rho             Spearman's correlation of pay by honest scorers to pay by the public test set
"""

import dataclasses
import os
import statistics
from collections.abc import Callable, Mapping, Sequence

import numpy as np
import torch

from aggregation import lattice, scorers
from benchmarks import contribution, credit, judge, report
from client import appraisal, task
from client.tasks import catalogue
from ledger import payout
from orchestrator import game

METHOD = "secant_shapley"
LIES = ("inflate", "sink", "random", "copy")
SHARE = 5
MOST = 10**9


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Config:
    """Which trainings: tasks of `contribution.TASKS`, seeds of each, rounds of a training, holders, all of whom score."""

    tasks: tuple[str, ...] = ("digits", "table")
    seeds: tuple[int, ...] = (0, 1, 2)
    rounds: int = 10
    holders: int = 10


QUICK = Config(tasks=("table",), seeds=(0,), rounds=3)


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Round:
    """A round whose candidates were scored.

    Attributes:
        play: the scores of all players, thousandths of a micro-nat, by the values of the candidates.
        gains: by scorer, of each candidate, the single updates first, in micro-nats.
        tested: likewise, of the public test set.
    """

    play: Callable[[Sequence[int]], list[int]]
    gains: tuple[tuple[int, ...], ...]
    tested: tuple[int, ...]


class Field(contribution.Field):
    """Holders that keep a fifth of their rows to score by."""

    def __init__(self, asked: contribution.Contribution, made: task.Task) -> None:
        super().__init__(asked, made)
        self.held = [_rows(shard, slice(None, None, SHARE)) for shard in self._shards]
        kept = [torch.arange(len(shard)) % SHARE > 0 for shard in self._shards]
        self._shards = [_rows(shard, rows) for shard, rows in zip(self._shards, kept, strict=True)]


def run(wanted: Config, progress: Callable[[str], None]) -> report.Report:
    """The figures named above.

    Args:
        wanted: which trainings.
        progress: is told which one runs.
    """
    load, values = os.getloadavg()[0], dict[str, list[float]]()
    for name in wanted.tasks:
        for seed in wanted.seeds:
            progress(f"{name}, seed {seed}")
            for metric, value in measured(wanted, name, seed).items():
                values.setdefault(f"{name}/{metric}", []).append(value)
    return report.make("scoring", dataclasses.asdict(wanted), values, load=load)


def measured(wanted: Config, name: str, seed: int) -> dict[str, float]:
    """The figures of one training, by metric."""
    rounds = scored(wanted, name, seed)
    n = wanted.holders
    honest = _totals(rounds, [_median(each.gains) for each in rounds], n)
    tested = _totals(rounds, [each.tested for each in rounds], n)
    rho = credit.rho([int(each) for each in honest], [int(each) for each in tested])
    found = {"rho": rho}
    friend, rival = int(np.argmin(honest)), int(np.argmax(honest))
    for lie in LIES:
        for f in range((n + 1) // 2):
            told = [
                _told(lie, f, each, before, friend=friend, rival=rival, seed=seed)
                for each, before in zip(rounds, [None, *rounds[:-1]], strict=True)
            ]
            said = {"": _totals(rounds, [_median(each) for each in told], n)}
            said["plain_"] = _totals(rounds, [_mean(each) for each in told], n)
            for how, totals in said.items():
                found[f"{lie}.{f}/{how}friend"] = totals[friend] / statistics.fmean(totals)
                found[f"{lie}.{f}/{how}rival"] = totals[rival] / statistics.fmean(totals)
            found |= {f"{lie}.{f}/{what}": value for what, value in _moved(rounds, told, f).items()}
    return found


def scored(wanted: Config, name: str, seed: int) -> list[Round]:
    """A training without liars, each round scored by every holder and by the public test set."""
    torch.set_num_threads(1)
    asked = contribution.Contribution(
        task=name, seed=seed, cheat="none", methods=(METHOD,), holders=wanted.holders, rounds=wanted.rounds
    )
    made = catalogue.load(asked.settings(), seed=seed)
    field = Field(asked, made)
    judges = [appraisal.Appraiser(made, held, most=asked.examples) for held in [*field.held, made.test()]]
    rounds = []
    for number in range(1, wanted.rounds + 1):
        rows, on, parent = field.updates(number)
        refined = field.aggregate(rows, on)
        rounds.append(_scored(judges, rows, on, parent, refined))
        field.move(on, refined)
    return rounds


def _scored(
    judges: Sequence[appraisal.Appraiser],
    rows: torch.Tensor,
    on: lattice.Lattice,
    parent: torch.Tensor,
    refined: torch.Tensor,
) -> Round:
    models: list[torch.Tensor] = []

    def noted(weights: torch.Tensor) -> int:
        models.append(weights)
        return 0

    def play(values: Sequence[int]) -> list[int]:
        losses = iter((0, *(-value for value in values)))
        return game.Game(lambda _: next(losses), on, parent, rows, refined).scores(METHOD, b"")

    game.Game(noted, on, parent, rows, refined).scores(METHOD, b"")
    losses = [[one.loss(each) for each in models] for one in judges]
    *gains, tested = (tuple(each[0] - loss for loss in each[1:]) for each in losses)
    return Round(play=play, gains=tuple(gains), tested=tested)


def _told(
    lie: str, f: int, each: Round, before: Round | None, *, friend: int, rival: int, seed: int
) -> tuple[tuple[int, ...], ...]:
    """What all scorers say, the last f of them lying."""
    told, draw = list(each.gains), np.random.default_rng(seed)
    most = max(abs(gain) for row in each.gains for gain in row)
    for liar in range(len(told) - f, len(told)):
        said = list(told[liar])
        match lie:
            case "inflate":
                said[friend] = MOST
            case "sink":
                said[rival] = -MOST
            case "random":
                said = draw.integers(-most, most, len(said), endpoint=True).tolist()
            case _:
                said = list(said if before is None else before.gains[0])
        told[liar] = tuple(said)
    return tuple(told)


def _moved(rounds: Sequence[Round], told: Sequence[tuple[tuple[int, ...], ...]], f: int) -> Mapping[str, float]:
    """Share of values inside theory's bounds; how far they moved and how wide the bounds are, by the values' magnitude."""
    inside, moved, width, size = [], [], [], []
    for each, said in zip(rounds, told, strict=True):
        columns = zip(
            zip(*each.gains[: len(each.gains) - f], strict=True), _median(each.gains), _median(said), strict=True
        )
        for column, honest, value in columns:
            low, high = scorers.bounds(column, f)
            inside.append(float(low <= value <= high))
            moved.append(abs(value - honest))
            width.append(high - low)
            size.append(abs(honest))
    whole = max(statistics.fmean(size), 1e-9)
    return {
        "inside": statistics.fmean(inside),
        "moved": statistics.fmean(moved) / whole,
        "bound": statistics.fmean(width) / whole,
    }


def _totals(rounds: Sequence[Round], values: Sequence[Sequence[int]], n: int) -> list[float]:
    """What each holder is paid over all rounds, by these values of the candidates."""
    totals = [0.0] * n
    for each, worth in zip(rounds, values, strict=True):
        due = {f"{row:04}": score for row, score in enumerate(each.play(worth))}
        amounts = payout.payout(due, pool=judge.POOL, schedule="proportional")
        totals = [total + amount for total, amount in zip(totals, amounts.values(), strict=True)]
    return totals


def _median(gains: Sequence[Sequence[int]]) -> tuple[int, ...]:
    return scorers.combine(gains, [1] * len(gains)).medians


def _mean(gains: Sequence[Sequence[int]]) -> tuple[int, ...]:
    return tuple(sum(column) // len(column) for column in zip(*gains, strict=True))


def _rows(examples: task.Examples, chosen: slice | torch.Tensor) -> task.Examples:
    return task.Examples(inputs=examples.inputs[chosen], labels=examples.labels[chosen])

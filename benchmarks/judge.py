"""One method of credit over the rounds of a training: what it pays, and what it costs."""

import dataclasses
import hashlib
import time
from collections.abc import Callable, Sequence
from typing import TypeAlias

import torch

from aggregation import credit, lattice
from ledger import payout
from orchestrator import game, screening

POOL = 1_000_000

Loss: TypeAlias = Callable[[torch.Tensor], int]


def remembered(loss: Loss) -> Loss:
    """The same, each model evaluated once."""
    known: dict[str, int] = {}

    def again(weights: torch.Tensor) -> int:
        named = game.digest(weights)
        if named not in known:
            known[named] = loss(weights)
        return known[named]

    return again


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Paid:
    """What a method paid in a training.

    Attributes:
        totals: micro-credits over all rounds, by holder, cheaters last.
        scores: by round, one a holder.
        evaluations: of models a round, on average, the parent's among them where it took one.
        seconds: CPU seconds a round, on average.
    """

    totals: Sequence[int]
    scores: Sequence[Sequence[int]]
    evaluations: float
    seconds: float


def amounts(judged: screening.Screened, scores: Sequence[int]) -> list[int]:
    """What a round pays for these scores, by row."""
    keys = [list(judged.parties).count(party) for party in judged.parties]
    scored = [ruling == "scored" for ruling in judged.rulings]
    due = {f"{row:04}": scores[judged.parties[row]] // keys[row] if scored[row] else 0 for row in range(len(keys))}
    return list(payout.payout(due, pool=POOL, schedule="proportional").values())


class Judge:
    """One method over all rounds."""

    def __init__(self, method: str, loss: Loss, *, seed: int) -> None:
        self._method, self._loss, self._seed = method, loss, seed
        self._reached: game.Reached | None = None
        self._scores: list[list[int]] = []
        self._totals: list[int] = []
        self._evaluations, self._seconds = 0, 0.0

    def round(
        self,
        number: int,
        rows: torch.Tensor,
        refined: torch.Tensor,
        on: lattice.Lattice,
        parent: torch.Tensor,
        judged: screening.Screened,
    ) -> None:
        """Score and pay a round."""
        start = time.process_time()
        players, scores = judged.players, [0] * len(rows)
        if self._method == "gram":
            every = credit.gram_scores(rows, refined)
            found = [every[row] for row in players]
        else:
            played = game.Game(self._loss, on, parent, rows[players], refined, self._reached)
            draw = hashlib.sha256(f"{self._seed}\n{number}".encode()).digest()
            found = played.scores(self._method, draw)
            self._evaluations, self._reached = self._evaluations + played.evaluations, played.reached
        for row, score in zip(players, found, strict=True):
            scores[row] = score
        self._seconds += time.process_time() - start
        paid = amounts(judged, scores)
        self._totals = [a + b for a, b in zip(self._totals or [0] * len(rows), paid, strict=True)]
        self._scores.append(scores)

    def paid(self) -> Paid:
        """What came of it."""
        rounds = len(self._scores)
        return Paid(
            totals=self._totals,
            scores=self._scores,
            evaluations=self._evaluations / rounds,
            seconds=self._seconds / rounds,
        )

"""What a game is worth by the word of scorers: the weighted median of the gains that those who count revealed.

    candidates the method asks for -> statements of the scorers -> who counts -> medians -> the game, played by them

The coordinator hears the statements while it settles a round, an auditor reads them from the log: the rest is the same.
"""

import dataclasses
from collections.abc import Callable, Mapping

import torch

from aggregation import scorers
from client import agreement, scoringplan
from ledger import scoring
from orchestrator import game

Ask = Callable[[torch.Tensor], scoring.Scoring]
"""ask(models): what scorers say of float32 `(candidates, dim)` models, the parent's weights first."""


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Heard:
    """What scorers' word came to.

    Attributes:
        verdicts: one of `aggregation.scorers.VERDICTS` by scorer of the plan.
        values: combined gain of each candidate, in micro-nats, in the order in which the method asked; zeros without a quorum.
    """

    verdicts: Mapping[str, str]
    values: tuple[int, ...]


NOBODY = Heard(verdicts={}, values=())


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Played:
    """A game that was played by scorers' word: the players' scores, the candidates, and what was heard of them."""

    scores: list[int]
    evaluations: int
    heard: Heard


def nobody(models: torch.Tensor) -> scoring.Scoring:  # noqa: ARG001  an Ask
    """What is said where nobody is asked."""
    return scoring.NONE


def play(
    agreed: agreement.Agreement,
    credit: scoringplan.HoldersCreditPlan,
    number: int,
    made: Callable[[Callable[[torch.Tensor], int]], game.Game],
    draw: bytes,
    ask: Ask,
) -> Played:
    """The scores of a round's players.

    Args:
        agreed: the run.
        credit: of its plan.
        number: of the round.
        made: the game, of a loss.
        draw: for what is drawn at random.
        ask: is called once.

    Reference: docs/protocol.md P30.
    """
    models: list[torch.Tensor] = []

    def noted(weights: torch.Tensor) -> int:
        models.append(weights)
        return 0

    made(noted).scores(credit.method, draw)  # its candidates do not depend on what they are worth
    matrix = torch.stack(models)
    found = heard(agreed.run, number, credit.scorers, matrix, ask(matrix))
    losses = iter((0, *(-value for value in found.values)))
    played = made(lambda _: next(losses))
    return Played(scores=played.scores(credit.method, draw), evaluations=played.evaluations, heard=found)


def heard(run: str, number: int, named: tuple[str, ...], models: torch.Tensor, said: scoring.Scoring) -> Heard:
    """Who of the scorers `named` counts, and what those come to; the first of the models is what others are compared with."""
    candidates, count = scorers.digest(models), len(models) - 1
    verdicts = {name: _verdict(run, number, name, said, candidates, count) for name in named}
    rows = [said.revealed[name].scores for name in named if verdicts[name] == "counted"]
    if not scorers.quorate(len(rows), len(named)):
        return Heard(verdicts=verdicts, values=(0,) * count)
    return Heard(verdicts=verdicts, values=scorers.combine(rows, [1] * len(rows)).medians)


def _verdict(run: str, number: int, name: str, said: scoring.Scoring, candidates: str, count: int) -> str:
    bound, shown = said.committed.get(name), said.revealed.get(name)
    reveal = None if shown is None else scorers.Reveal(salt=bytes.fromhex(shown.salt), scores=shown.scores)
    found = scorers.verdict(run, number, name, None if bound is None else bound.commitment, reveal, count)
    return "misfit" if found == "counted" and bound is not None and bound.candidates != candidates else found

"""FedML's contribution module beside our methods: the same updates, and of each coalition the same worth.

`peer_fedml` says what runs there. Here the rounds of a training are written into a file of arrays: the updates that the screen
leaves to be scored, and what every coalition of them is worth (`orchestrator.game`), so that FedML's classes and exact Shapley
values judge the same game. What comes back is paid as our scores are.
"""

import dataclasses
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch

from aggregation import lattice
from benchmarks import contribution, errors, judge, peers
from client import appraisal
from client.tasks import catalogue
from orchestrator import game, screening

SCRIPT = Path(__file__).parent / "peer_fedml.py"
METHODS: Mapping[str, str] = {"fedml_gtg": "GTG", "fedml_leave_one_out": "LOO"}
"""FedML's names of them."""
UNITS = 1_000_000_000
"""Of a nat: a thousandth of a micro-nat, as a score has it."""


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Beside:
    """What FedML's classes came to in a training.

    Attributes:
        paid: by method; empty where the module cannot be installed. CPU seconds are the module's own, and what as many
            evaluations cost us.
        notes: by method, how it fails as published; or why it could not be had.
    """

    paid: Mapping[str, judge.Paid]
    notes: Mapping[str, str]


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Round:
    """A round that is handed over.

    Attributes:
        judged: what the screen says.
        updates: of the players, float64 `(players, dim)`.
        utility: nats, float64 `(2**players,)`; player i is bit i.
    """

    judged: screening.Screened
    updates: np.ndarray
    utility: np.ndarray


def credited(asked: contribution.Contribution, exact: judge.Paid) -> Beside:
    """The training, credited by FedML's classes.

    Args:
        asked: the training; nobody cheats.
        exact: what exact Shapley values paid in it, for the cost of an evaluation.
    """
    try:
        rounds = list(_rounds(asked))
        answer = _answer([each for each in rounds if len(each.updates)], asked.seed)
    except errors.PeerError as error:
        return Beside(paid={}, notes=dict.fromkeys(METHODS, str(error)))
    each = exact.seconds / exact.evaluations
    return Beside(
        paid={name: _paid(rounds, answer["rounds"][theirs], each) for name, theirs in METHODS.items()},
        notes={name: f"as published: {answer['published'].get(theirs, 'runs')}" for name, theirs in METHODS.items()},
    )


def _rounds(asked: contribution.Contribution) -> Iterator[Round]:
    torch.set_num_threads(1)
    made = catalogue.load(asked.settings(), seed=asked.seed)
    appraiser = appraisal.Appraiser(made, made.test(), most=asked.examples)
    field = contribution.Field(asked, made)
    for number in range(1, asked.rounds + 1):
        rows, on, parent = field.updates(number)
        refined = field.aggregate(rows, on)
        judged = field.ruled(rows, on, refined)
        count = len(judged.players)
        played = game.Game(appraiser.loss, on, parent, rows[judged.players], refined)
        coalitions = ([i for i in range(count) if mask >> i & 1] for mask in range(1, 1 << count))
        worth = [0, *(played.utility(coalition) for coalition in coalitions)]
        yield Round(
            judged=judged,
            updates=np.array([lattice.decode(on, row).numpy() for row in played.rows]),
            utility=np.array(worth) / 1e6,
        )
        field.move(on, refined)


def _answer(rounds: Sequence[Round], seed: int) -> dict[str, Any]:
    with tempfile.TemporaryDirectory(prefix="folkmoot-bench-") as folder:
        path = Path(folder) / "rounds.npz"
        arrays: dict[str, Any] = {f"updates_{number}": each.updates for number, each in enumerate(rounds)}
        arrays |= {f"utility_{number}": each.utility for number, each in enumerate(rounds)}
        np.savez(path, **arrays)
        return peers.timed(SCRIPT, {"file": str(path), "rounds": len(rounds), "seed": seed}, peer="fedml")


def _paid(rounds: Sequence[Round], answers: Sequence[Mapping[str, Any]], each: float) -> judge.Paid:
    """What a method of FedML's pays, with `each` CPU seconds for an evaluation."""
    left = iter(answers)
    every: list[list[int]] = []
    totals = [0] * len(rounds[0].judged.rulings)
    for one in rounds:
        scores = [0] * len(totals)
        values = next(left)["values"] if len(one.updates) else []
        for row, value in zip(one.judged.players, values, strict=True):
            scores[row] = round(value * UNITS)
        totals = [a + b for a, b in zip(totals, judge.amounts(one.judged, scores), strict=True)]
        every.append(scores)
    evaluations = sum(answer["evaluations"] for answer in answers) / len(rounds)
    own = sum(answer["cpu_seconds"] for answer in answers) / len(rounds)
    return judge.Paid(totals=totals, scores=every, evaluations=evaluations, seconds=own + evaluations * each)

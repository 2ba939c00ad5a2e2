"""One training whose updates are credited by every method, with a cheater in it or without: what `bench credit` measures.

As in `benchmarks.trial` these are a run's numbers without its envelopes: `client.training` trains, updates go onto the lattice,
the default rule aggregates, the outer step moves the model. `orchestrator.crediting.screen` and `orchestrator.game` judge each
round exactly as a settlement does; a test compares both.
"""

import dataclasses
import hashlib
import time
from collections.abc import Mapping, Sequence
from importlib import resources

import torch
import yaml

from aggregation import credit, lattice, outer, recipe, sketch
from benchmarks import cheats
from client import appraisal, seeds, task, taskplan, training
from client.tasks import catalogue
from ledger import payout
from orchestrator import crediting, game, scorebook

HEADROOM_BITS = 6
BYZANTINE = 2
POOL = 1_000_000
TASKS = ("digits", "table", "text")


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Contribution:
    """One training.

    Attributes:
        task: one of TASKS.
        seed: of everything.
        cheat: a name in `cheats.CHEATS`, `none`, or `rare`: nobody cheats, and one holder alone has a class.
        methods: names in `client.plan.METHODS`.
        screened: whether updates are screened before they are scored.
        holders: honest ones.
        rounds: to train.
        examples: of the public test set, at most.
    """

    task: str
    seed: int
    cheat: str
    methods: tuple[str, ...]
    screened: bool = True
    holders: int = 10
    rounds: int = 10
    examples: int = 500

    def settings(self) -> taskplan.TaskPlan:
        """The task, as a plan has it."""
        changes = {"holders": self.holders, "alpha": 0.5 if self.task == "digits" else 1.0}
        smaller = {"hidden": 32} if self.task == "text" else {}
        with resources.files("conf").joinpath(f"task/{self.task}.yaml").open() as file:
            values = {key: value for key, value in yaml.safe_load(file).items() if key != "defaults"}
        return catalogue.configured(values | changes | smaller)[0]


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Paid:
    """What a method paid in a training.

    Attributes:
        totals: micro-credits over all rounds, by holder, cheaters last.
        scores: by round, one a holder.
        evaluations: of models a round, the parent's among them, on average.
        seconds: CPU seconds a round, on average.
    """

    totals: Sequence[int]
    scores: Sequence[Sequence[int]]
    evaluations: float
    seconds: float


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Outcome:
    """A training, credited.

    Attributes:
        paid: by method.
        rulings: how often the screen ruled so on honest updates, by ruling.
        updates: honest updates in all.
        screening: CPU seconds of a round's screen, on average.
    """

    paid: Mapping[str, Paid]
    rulings: Mapping[str, int]
    updates: int
    screening: float


def run(asked: Contribution) -> Outcome:
    """The training, credited by every method."""
    torch.set_num_threads(1)
    made = catalogue.load(asked.settings(), seed=asked.seed)
    judges = {name: Judge(asked, name, made) for name in asked.methods}
    field = Field(asked, made)
    rulings: dict[str, int] = {}
    spent = 0.0
    for number in range(1, asked.rounds + 1):
        rows, on, parent = field.updates(number)
        refined = field.aggregate(rows, on)
        start = time.process_time()
        judged = field.ruled(rows, on, refined)
        spent += time.process_time() - start
        for row, ruling in enumerate(judged.rulings[: asked.holders]):
            said = ruling if judged.parties[row] == row else "twin"
            rulings[said] = rulings.get(said, 0) + 1
        for judge in judges.values():
            judge.round(number, rows, refined, on, parent, judged)
        field.move(on, refined)
    return Outcome(
        paid={name: judge.paid() for name, judge in judges.items()},
        rulings=rulings,
        updates=asked.holders * asked.rounds,
        screening=spent / asked.rounds,
    )


class Field:
    """Holders, cheaters, and the model they train."""

    def __init__(self, asked: Contribution, made: task.Task) -> None:
        self._asked, self._made = asked, made
        self._weights = training.initial(made, seed=asked.seed)
        sizes = [spec.size for spec in task.specs(made.model())]
        self._on = lattice.initial(sizes, self._weights, headroom_bits=HEADROOM_BITS)
        self._model = training.FlatModel(made.model(), torch.device("cpu"))
        parts = [made.shard(number) for number in range(asked.holders)]
        self._shards = cheats.rare(parts, made.classes - 1) if asked.cheat == "rare" else parts
        self._history: list[cheats.Past] = []
        self._aggregates: list[torch.Tensor] = []
        self._sketches: list[torch.Tensor] = []
        self._chances: list[Sequence[int]] = []

    def updates(self, number: int) -> tuple[torch.Tensor, lattice.Lattice, torch.Tensor]:
        """What holders and cheaters send in a round: int16 `(clients, dim)`; its lattice; the weights it starts from."""
        asked = self._asked
        deltas = [self._trained(place, shard, number) for place, shard in enumerate(self._shards)]
        if asked.cheat in cheats.CHEATS:
            draw = seeds.generator(asked.seed, round_number=number, member="cheat", purpose="cheat")
            flipped = dataclasses.replace(self._shards[0], labels=self._made.classes - 1 - self._shards[0].labels)
            scene = cheats.Scene(
                honest=torch.stack(deltas),
                history=self._history,
                flipped=lambda: self._trained(asked.holders, flipped, number),
                draw=draw,
            )
            deltas += list(cheats.CHEATS[asked.cheat](scene))
        rows = torch.stack([lattice.encode(self._on, delta.to(torch.float32)).integers for delta in deltas])
        self._sent = torch.stack([lattice.decode(self._on, row) for row in rows])
        return rows, self._on, self._weights

    def aggregate(self, rows: torch.Tensor, on: lattice.Lattice) -> torch.Tensor:  # noqa: ARG002  of that lattice
        """The round's aggregate, by the rule that `rule=auto` takes, without standing."""
        method = recipe.Method(rule="trimmed_mean", pre="arc+nnm", byzantine=BYZANTINE)
        return lattice.refine(recipe.aggregate(rows, method))

    def ruled(self, rows: torch.Tensor, on: lattice.Lattice, refined: torch.Tensor) -> crediting.Screened:
        """What the screen says of a round's updates; the round is remembered."""
        own = sketch.of(on, rows, seed=self._asked.seed)
        judged = crediting.unscreened(len(rows))
        if self._asked.screened:
            past = scorebook.Past(
                latest="",
                aggregates=torch.cat([*self._aggregates[-scorebook.ROUNDS :], own[:0]]),
                updates=tuple(self._sketches[: -scorebook.ROUNDS - 1 : -1]),
                chances={},
            )
            before = [
                [each[row] for each in self._chances[-scorebook.JUDGED :] if each[row] >= 0] for row in range(len(rows))
            ]
            judged = crediting.screen(rows, own, past.vectors, before, BYZANTINE, noisy=False)
        self._aggregates.append(sketch.of(on, refined.unsqueeze(0), seed=self._asked.seed))
        self._sketches.append(own)
        self._chances.append(judged.chances)
        return judged

    def move(self, on: lattice.Lattice, refined: torch.Tensor) -> None:
        """Take the outer step, and leave what cheaters may re-send."""
        step = lattice.decode_refined(on, refined)
        self._history.append(cheats.Past(aggregate=step, updates=self._sent))
        self._weights = outer.sgd(self._weights, step, learning_rate=1.0)
        self._on = lattice.following(on, refined, headroom_bits=HEADROOM_BITS)

    def _trained(self, place: int, shard: task.Examples, number: int) -> torch.Tensor:
        draw = seeds.generator(self._asked.seed, round_number=number, member=f"holder-{place:02}", purpose="batches")
        return training.train(self._model, self._weights, shard, self._asked.settings(), draw).delta


def amounts(judged: crediting.Screened, scores: Sequence[int]) -> list[int]:
    """What a round pays for these scores, by row."""
    keys = [list(judged.parties).count(party) for party in judged.parties]
    scored = [ruling == "scored" for ruling in judged.rulings]
    due = {f"{row:04}": scores[judged.parties[row]] // keys[row] if scored[row] else 0 for row in range(len(keys))}
    return list(payout.payout(due, pool=POOL, schedule="proportional").values())


class Judge:
    """One method over all rounds."""

    def __init__(self, asked: Contribution, method: str, made: task.Task) -> None:
        self._asked, self._method = asked, method
        self._appraiser = appraisal.Appraiser(made, made.test(), most=asked.examples)
        self._appraiser.loss(training.initial(made, seed=asked.seed))  # the tables are made once
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
        judged: crediting.Screened,
    ) -> None:
        """Score and pay a round."""
        start = time.process_time()
        players, scores = judged.players, [0] * len(rows)
        if self._method == "gram":
            every = credit.gram_scores(rows, refined)
            found = [every[row] for row in players]
        else:
            played = game.Game(self._appraiser.loss, on, parent, rows[players], refined)
            draw = hashlib.sha256(f"{self._asked.seed}\n{number}".encode()).digest()
            found = played.scores(self._method, draw)
            self._evaluations += played.evaluations
        for row, score in zip(players, found, strict=True):
            scores[row] = score
        self._seconds += time.process_time() - start
        paid = amounts(judged, scores)
        self._totals = [a + b for a, b in zip(self._totals or [0] * len(rows), paid, strict=True)]
        self._scores.append(scores)

    def paid(self) -> Paid:
        """What came of it."""
        rounds = self._asked.rounds
        return Paid(
            totals=self._totals,
            scores=self._scores,
            evaluations=self._evaluations / rounds,
            seconds=self._seconds / rounds,
        )

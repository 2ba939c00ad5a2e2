"""One training that attackers work against: a run's numbers without its envelopes.

`client.training` trains, the update goes onto the lattice, attackers who see all honest updates and know the rule answer on the
lattice, `aggregation.recipe` aggregates, the aggregate is refined, and the outer step makes the next model. Sealing, store and
ledger carry these integers without changing them; a test compares a trial with a whole run, weight by weight.

scikit-learn's digits, an MLP 64-32-10, honest holders with Dirichlet(alpha) shares of the training images; a round is one batch
of 32 a holder, at a learning rate that is a tenth of itself in the last quarter of the rounds.
"""

import dataclasses
import hashlib

import torch

from aggregation import attacks, carry, disguises, knowledge, lattice, outer, preaggregation, recipe, standing
from benchmarks import aggregation as speed
from client import momentum, seeds, task, taskplan, training
from client.tasks import catalogue
from orchestrator import founding

HEADROOM_BITS = 6
# Of one batch, before momentum. The mean then reaches 96 % where nobody attacks: what the protocol gives for it.
LEARNING_RATE = 1.5
LATE = 0.1


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Trial:
    """One training under one attack.

    Attributes:
        rule: `pre+rule`, as `arc+nnm+trimmed_mean`.
        attack: a name in `ATTACKS` or `aggregation.attacks`; with `none` only the honest holders take part.
        alpha: of the Dirichlet shares.
        seed: of everything.
        momentum: of a holder's updates, 0 for none.
        rounds: to train.
        honest: holders that are.
        byzantine: attackers, and f of the rule.
    """

    rule: str
    attack: str
    alpha: float
    seed: int
    momentum: float
    rounds: int = 150
    honest: int = 16
    byzantine: int = 4

    @property
    def name(self) -> str:
        """What the trial's accuracy is reported under, the seed apart."""
        return f"{self.rule}/{self.alpha}/{self.momentum}/{self.attack}"

    def task(self) -> taskplan.TaskPlan:
        """The task, as a plan has it."""
        return taskplan.DigitsPlan(
            name="digits",
            holders=self.honest,
            alpha=self.alpha,
            hidden=32,
            epochs=1,
            batch=32,
            batches=1,
            learning_rate=LEARNING_RATE,
            momentum=0.0,
            update_momentum=self.momentum,
        )


def accuracy(trial: Trial) -> float:
    """Accuracy on the public test set after the last round, in percent."""
    torch.set_num_threads(1)
    made = catalogue.load(trial.task(), seed=trial.seed)
    judged = training.evaluate(training.FlatModel(made.model(), torch.device("cpu")), train(trial, made), made.test())
    return 100 * judged.correct / judged.total


def train(trial: Trial, made: task.Task) -> torch.Tensor:
    """The weights after the last round, float32 `(dim,)`."""
    weights = training.initial(made, seed=trial.seed)
    specs = task.specs(made.model())
    on = lattice.initial([spec.size for spec in specs], weights, headroom_bits=HEADROOM_BITS)
    holders = Holders(trial, made)
    defence = Defence(trial)
    attackers = Attackers(trial, made, defence)
    for number in range(1, trial.rounds + 1):
        rows = holders.updates(weights, on, number)
        if trial.attack != "none":
            rows = torch.cat((rows, attackers.updates(rows, weights, on, number)))
        refined = lattice.refine(defence.aggregate(rows, on, number))
        defence.ended(on, refined)
        late = number > trial.rounds - trial.rounds // 4
        weights = outer.sgd(weights, lattice.decode_refined(on, refined), learning_rate=LATE if late else 1.0)
        on = lattice.following(on, refined, headroom_bits=HEADROOM_BITS)
    return weights


class Defence:
    """The rule of a trial, with what it remembers: `orchestrator.fold` without files."""

    def __init__(self, trial: Trial) -> None:
        self._seed = trial.seed
        self._rule, pre = speed.split(trial.rule)
        self._screened, self._pre = preaggregation.screened(pre)
        self._byzantine = 0 if self._rule == "mean" else trial.byzantine
        self._standings = [standing.Standing()] * (trial.honest + trial.byzantine * (trial.attack != "none"))
        self._last: tuple[lattice.Lattice, torch.Tensor] | None = None

    def aggregate(self, rows: torch.Tensor, on: lattice.Lattice, number: int) -> torch.Tensor:
        """The aggregate of `rows`, int16 `(clients, dim)`, in lattice units; nothing is remembered yet."""
        last = self.last(on).unsqueeze(0)
        if self._screened:
            self._judged = standing.judge(torch.cat((rows, last)), self._before(on), self._byzantine)
            rows = rows[list(self._judged.kept)]
        anchored = self._rule == "centered_clipping"
        draw = hashlib.sha256(f"{self._seed}\n{number}".encode()).digest()
        method = recipe.Method(rule=self._rule, pre=self._pre, byzantine=self._byzantine, draw=draw, anchored=anchored)
        return recipe.aggregate(torch.cat((rows, last)) if anchored else rows, method)

    def ended(self, on: lattice.Lattice, refined: torch.Tensor) -> None:
        """Remember the round that the last call of `aggregate` was about."""
        if self._screened:
            self._standings = list(self._judged.standings)
        self._last = on, refined

    def last(self, on: lattice.Lattice) -> torch.Tensor:
        """The last aggregate on this round's lattice, int16 `(dim,)`."""
        return torch.zeros(on.dim, dtype=torch.int16) if self._last is None else carry.carried(*self._last, on)

    def _before(self, on: lattice.Lattice) -> list[standing.Standing]:
        bits = 0 if self._last is None else standing.moved_by(self._last[0], on)
        return [each.moved(bits) for each in self._standings]


class Holders:
    """The honest holders of a trial, each with its momentum."""

    def __init__(self, trial: Trial, made: task.Task) -> None:
        self._trial = trial
        self._shards = [made.shard(number) for number in range(trial.honest)]
        self._names = founding.member_names(trial.honest)
        self._model = training.FlatModel(made.model(), torch.device("cpu"))
        self._velocities = [torch.zeros_like(self._model.weights) for _ in self._shards]

    def updates(self, weights: torch.Tensor, on: lattice.Lattice, number: int) -> torch.Tensor:
        """What they send in round `number`: int16 `(honest, dim)`."""
        rows = []
        for place, (name, shard) in enumerate(zip(self._names, self._shards, strict=True)):
            draw = seeds.generator(self._trial.seed, round_number=number, member=name, purpose="batches")
            trained = training.train(self._model, weights, shard, self._trial.task(), draw)
            self._velocities[place] = momentum.advance(self._velocities[place], trained.delta, self._trial.momentum)
            rows.append(lattice.encode(on, self._velocities[place]).integers)
        return torch.stack(rows)


class Attackers:
    """The attackers of a trial: they see every honest update before they answer."""

    def __init__(self, trial: Trial, made: task.Task, defence: Defence) -> None:
        self._trial, self._defence = trial, defence
        shards = [made.shard(number) for number in range(trial.honest)]
        inputs, labels = torch.cat([each.inputs for each in shards]), torch.cat([each.labels for each in shards])
        self._flipped = task.Examples(inputs=inputs, labels=made.classes - 1 - labels)
        self._model = training.FlatModel(made.model(), torch.device("cpu"))
        self._velocities = [torch.zeros_like(self._model.weights) for _ in range(trial.byzantine)]
        self._direction: knowledge.Direction | None = None

    def updates(self, honest: torch.Tensor, weights: torch.Tensor, on: lattice.Lattice, number: int) -> torch.Tensor:
        """What they send in round `number`, seeing `honest`, int16 `(honest, dim)`: int16 `(byzantine, dim)`."""
        if self._trial.attack == "label_flip":
            return self._flips(weights, on, number)
        known = self._known(honest, on, number)
        self._direction = disguises.learn(known)
        sent = -attacks.ATTACKS[self._trial.attack].function(known)
        return sent.round_().clamp_(-lattice.BOUND, lattice.BOUND).to(torch.int16)

    def _known(self, honest: torch.Tensor, on: lattice.Lattice, number: int) -> knowledge.Knowledge:
        """The round as attackers see it. The literature attacks gradients; updates point the other way."""

        def defence(rows: torch.Tensor) -> torch.Tensor:
            points = (-rows).round_().clamp_(-lattice.BOUND, lattice.BOUND).to(torch.int16)
            return -self._defence.aggregate(points, on, number)

        return knowledge.Knowledge(
            honest=-honest.to(torch.float64),
            byzantine=self._trial.byzantine,
            round=number,
            seed=self._trial.seed,
            previous=-self._defence.last(on).to(torch.float64),
            defence=defence,
            direction=self._direction,
        )

    def _flips(self, weights: torch.Tensor, on: lattice.Lattice, number: int) -> torch.Tensor:
        """Updates trained on images of all classes, drawn anew each round, whose labels are turned round."""
        rows = []
        for place in range(self._trial.byzantine):
            draw = seeds.generator(self._trial.seed, round_number=number, member=f"attacker-{place}", purpose="batches")
            trained = training.train(self._model, weights, self._flipped, self._trial.task(), draw)
            self._velocities[place] = momentum.advance(self._velocities[place], trained.delta, self._trial.momentum)
            rows.append(lattice.encode(on, self._velocities[place]).integers)
        return torch.stack(rows)

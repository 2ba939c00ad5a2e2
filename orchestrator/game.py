"""The game that a round's updates play: what coalitions of them do for the model, as a credit score asks it.

    v(S) = loss(parent) - loss(parent + mean of the updates in S)     micro-nats on the public test set (`client.appraisal`)

Whatever the plan's outer optimizer does, a candidate is one plain step: credit judges updates, not the optimizer.
"""

import dataclasses
import hashlib
from collections.abc import Callable, Collection
from fractions import Fraction

import torch

from aggregation import credit, gram, lattice, shapley

UNITS = 1000
"""A score is in thousandths of a micro-nat, rounded down."""


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Reached:
    """A model that was evaluated.

    Attributes:
        model: `digest` of its weights.
        loss: in micro-nats.
    """

    model: str
    loss: int


def digest(weights: torch.Tensor) -> str:
    """The hex sha256 of weights, as little-endian float32."""
    return hashlib.sha256(weights.numpy().astype("<f4", copy=False).tobytes()).hexdigest()


class Game:
    """The game of some updates.

    Args:
        loss: of weights, float32 `(dim,)`, in micro-nats.
        on: the round's lattice.
        parent: float32 `(dim,)`, the weights the round started from.
        rows: the players' updates, int16 `(players, dim)`.
        refined: the round's aggregate, int32 `(dim,)`.
        known: a model whose loss the round before left; it is not evaluated again if it is the parent.

    Attributes:
        evaluations: of models, the parent's among them if it took one.
        reached: the model that the aggregate leads to; None where it was not evaluated.
    """

    def __init__(
        self,
        loss: Callable[[torch.Tensor], int],
        on: lattice.Lattice,
        parent: torch.Tensor,
        rows: torch.Tensor,
        refined: torch.Tensor,
        known: Reached | None = None,
    ) -> None:
        self._loss, self._on, self._refined = loss, on, refined
        self._parent = parent.to(torch.float64)
        self.rows = credit.shortened(rows)
        self._known: dict[tuple[int, ...], int] = {}
        self.reached: Reached | None = None
        again = known is not None and known.model == digest(parent)
        self.start = known.loss if known is not None and again else loss(parent)
        self.evaluations = int(not again)

    def utility(self, members: Collection[int]) -> int:
        """What the coalition is worth."""
        chosen = tuple(sorted(members))
        if chosen not in self._known:
            # Integers times one power of two in each tensor: float64 adds them exactly, in any order.
            total = torch.stack([lattice.decode(self._on, self.rows[row]) for row in chosen]).sum(0)
            self._known[chosen] = self._worth(total / torch.full((), len(chosen), dtype=torch.float64))
        return self._known[chosen]

    def scores(self, method: str, draw: bytes) -> list[int]:
        """The score of each player, which may be negative.

        Args:
            method: one of `client.plan.METHODS`, but for `gram`.
            draw: for what is drawn at random.

        Reference: docs/protocol.md P29.
        """
        players = len(self.rows)
        if players == 0:
            return []
        match method:
            case "leave_one_out":
                values = shapley.leave_one_out(players, self.utility) if players > 1 else self._alone()
            case "single_add":
                values = self._alone()
            case "gtg_shapley":
                values = shapley.gtg(players, self.utility, unit=self.start, draw=draw)
            case "exact_shapley":
                values = shapley.exact(players, self.utility)
            case _:
                values = self._secant()
        return [value * UNITS // 1 for value in values]

    def _alone(self) -> list[Fraction]:
        return shapley.single_add(len(self.rows), self.utility)

    def _secant(self) -> list[Fraction]:
        aggregate, own = lattice.decode_refined(self._on, self._refined), shapley.OWN
        parts = torch.full((), own.denominator, dtype=torch.float64)
        # Integers times a power of two, up to the division: the same bits in any order.
        rest = (own.denominator - own.numerator) * aggregate
        steps = [own.numerator * lattice.decode(self._on, row) + rest for row in self.rows]
        points, reached = [self._worth(step / parts) for step in steps], self._worth(aggregate)
        self.reached = Reached(model=digest(self._moved(aggregate)), loss=self.start - reached)
        found = shapley.secant(points, reached=reached)
        # Beside a poison any update is worth something, for it dilutes it: those against the aggregate are not paid for that.
        along = gram.inner(self.rows, self._refined)
        return [value if toward > 0 else min(value, Fraction(0)) for value, toward in zip(found, along, strict=True)]

    def _moved(self, step: torch.Tensor) -> torch.Tensor:
        return (self._parent + step).to(torch.float32)

    def _worth(self, step: torch.Tensor) -> int:
        self.evaluations += 1
        return self.start - self._loss(self._moved(step))

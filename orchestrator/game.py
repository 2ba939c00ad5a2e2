"""The game that a round's updates play: what coalitions of them do for the model, as a credit score asks it.

    v(S) = loss(parent) - loss(parent + mean of the updates in S)     micro-nats on the public test set (`client.appraisal`)

Whatever the plan's outer optimizer does, a candidate is one plain step: credit judges updates, not the optimizer.
"""

from collections.abc import Callable, Collection, Sequence
from fractions import Fraction

import torch

from aggregation import credit, gram, lattice, shapley

UNITS = 1000
"""A score is in thousandths of a micro-nat, rounded down."""


class Game:
    """The game of some updates.

    Args:
        loss: of weights, float32 `(dim,)`, in micro-nats.
        on: the round's lattice.
        parent: float32 `(dim,)`, the weights the round started from.
        rows: the players' updates, int16 `(players, dim)`.
        refined: the round's aggregate, int32 `(dim,)`.

    Attributes:
        evaluations: of models, the parent's among them.
    """

    def __init__(
        self,
        loss: Callable[[torch.Tensor], int],
        on: lattice.Lattice,
        parent: torch.Tensor,
        rows: torch.Tensor,
        refined: torch.Tensor,
    ) -> None:
        self._loss, self._on, self._refined = loss, on, refined
        self._parent = parent.to(torch.float64)
        self.rows = credit.shortened(rows)
        self._known: dict[tuple[int, ...], int] = {}
        self.start = loss(parent)
        self.evaluations = 1

    def utility(self, members: Collection[int]) -> int:
        """What the coalition is worth."""
        chosen = tuple(sorted(members))
        if chosen not in self._known:
            # Integers times one power of two in each tensor: float64 adds them exactly, in any order.
            total = torch.stack([lattice.decode(self._on, self.rows[row]) for row in chosen]).sum(0)
            self._known[chosen] = self._worth(total / torch.full((), len(chosen), dtype=torch.float64))
        return self._known[chosen]

    def reached(self) -> int:
        """What the round's aggregate is worth."""
        return self._worth(lattice.decode_refined(self._on, self._refined))

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
                values = self._quadratic()
        return [value * UNITS // 1 for value in values]

    def _alone(self) -> list[Fraction]:
        return shapley.single_add(len(self.rows), self.utility)

    def _quadratic(self) -> list[Fraction]:
        along = gram.inner(self.rows, self._refined)
        square = sum(int(each) * int(each) for each in self._refined.tolist())
        inner: Sequence[Sequence[int]] = gram.products(self.rows).inner.tolist()
        return shapley.quadratic(
            [int(value) for value in self._alone()],
            inner,
            reached=self.reached(),
            agreeing=[i for i, product in enumerate(along) if product > 0],
            square=Fraction(square, 1 << 2 * lattice.FRACTION_BITS),
        )

    def _worth(self, step: torch.Tensor) -> int:
        self.evaluations += 1
        return self.start - self._loss((self._parent + step).to(torch.float32))

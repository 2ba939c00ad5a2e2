"""Standing: what a client's updates did over the rounds, and who is set aside for it.

A client that works for the model moves with the aggregate in the long run; one that works against it moves against it, or,
to hide, claims far more agreement than the others. No single round of heterogeneous data shows the difference; many do.
With x a client's update cut to the median length, and a the last aggregate, both on this round's lattice, every client has
moving means, old rounds fading by 0.98:

    gain = mean <x, a>      length = mean |x|^2      reach = mean |a|^2      c = gain / sqrt(length reach), -1 to 1

Set aside, at most f of them and the clearest first, are

    where the median gain is positive:    c < -0.2, or a gain of more than 2.5 times the median
    where it is not:                      c > 0.2: the few for whom the aggregate goes well while it goes against the many

They are judged anew each round. What remains goes to a pre-aggregation and a rule that withstand f themselves: standing makes
attacks that last expensive, and is no defence alone.

Real arithmetic as in `geometry`: doubles that start from exact integers, elementwise operations, no sums.

References:
    Karimireddy, He, Jaggi 2021, "Learning from history for Byzantine robust optimization" (why history is needed).
    Xie, Koyejo, Gupta 2019, "Zeno" (a score of agreement with progress).
    The rule itself is ours; docs/aggregation.md has the measurements.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from jaxtyping import Int16
from torch import Tensor

from aggregation import geometry, gram, lattice

KEPT, NEW = 0.98, 0.02
AGAINST, CLAIMED = 0.2, 2.5


@dataclass(frozen=True, slots=True, kw_only=True)
class Standing:
    """One client's moving means, in squared steps of the round's lattice, and of how many rounds they are."""

    gain: float = 0.0
    length: float = 0.0
    reach: float = 0.0
    rounds: int = 0

    @property
    def cosine(self) -> float:
        """Agreement with the aggregates, -1 to 1; 0 without any."""
        scale = math.sqrt(self.length) * math.sqrt(self.reach)
        return self.gain / scale if scale > 0.0 else 0.0

    def moved(self, bits: int) -> "Standing":
        """Returns the same where one old lattice step is 2**bits new ones."""
        factor = math.ldexp(1.0, 2 * bits)
        return Standing(
            gain=self.gain * factor, length=self.length * factor, reach=self.reach * factor, rounds=self.rounds
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class Judgement:
    """What a round says of its clients.

    Attributes:
        standings: One a row, with this round.
        kept: The rows that are not set aside, ascending.
    """

    standings: tuple[Standing, ...]
    kept: tuple[int, ...]


def judge(matrix: Int16[Tensor, "rows dim"], before: Sequence[Standing], f: int) -> Judgement:
    """Returns the standings after a round, and the rows to aggregate.

    Args:
        matrix: The clients' updates in ascending order of their ids, then the last aggregate (`carry.carried`). If that is
            all zeros, as in a first round, nobody's standing changes and nobody is set aside.
        before: One a client, on this round's lattice.
        f: Byzantine clients to withstand.

    Reference:
        docs/protocol.md P12.
    """
    inner = geometry.as_floats(geometry.of(gram.products(matrix)).inner)
    clients, reach = len(before), float(inner[-1, -1])
    if reach == 0.0:
        return Judgement(standings=tuple(before), kept=tuple(range(clients)))
    lengths = np.sqrt(inner.diagonal()[:clients])
    bound = float(np.sort(lengths)[(clients - 1) // 2])
    after = []
    for old, length, product in zip(before, lengths.tolist(), inner[:clients, -1].tolist(), strict=True):
        cut = min(length, bound)
        gain = product * (cut / length) if length > 0.0 else 0.0
        after.append(
            Standing(
                gain=KEPT * old.gain + NEW * gain,
                length=KEPT * old.length + NEW * (cut * cut),
                reach=KEPT * old.reach + NEW * reach,
                rounds=old.rounds + 1,
            )
        )
    aside = set(_suspects(after)[:f])
    return Judgement(standings=tuple(after), kept=tuple(row for row in range(clients) if row not in aside))


def moved_by(before: lattice.Lattice, now: lattice.Lattice) -> int:
    """Returns b where a step of the one lattice is 2**b of the other, by their largest tensor (the first of them)."""
    largest = max(range(len(now.sizes)), key=now.sizes.__getitem__)
    return before.exponents[largest] - now.exponents[largest]


def _suspects(standings: Sequence[Standing]) -> list[int]:
    """Returns the rows that may be set aside, the clearest first; equal ones by their row."""
    median = sorted(each.gain for each in standings)[(len(standings) - 1) // 2]
    rows = list(enumerate(standings))
    if median <= 0.0:
        winning = [(row, each) for row, each in rows if each.cosine > AGAINST]
        return [row for row, _ in sorted(winning, key=lambda pair: -pair[1].cosine)]
    against = [(row, each) for row, each in rows if each.cosine < -AGAINST]
    claiming = [(row, each) for row, each in rows if each.gain > CLAIMED * median]
    return [row for row, _ in sorted(against, key=lambda pair: pair[1].cosine)] + [
        row for row, _ in sorted(claiming, key=lambda pair: -pair[1].gain)
    ]

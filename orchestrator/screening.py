"""Which of a round's updates are scored, and which of them are one party's: echoes, silence, and several keys of one holder.

Reference: docs/protocol.md P29.
"""

import dataclasses
from collections.abc import Sequence

import numpy as np
import torch

from aggregation import gram, novelty


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Screened:
    """A round's updates before they are scored.

    Attributes:
        rulings: `silent`, `echo` or `scored`, one a row.
        chances: T in thousandths, one a row; -1 where it was not worked out.
        parties: of each row, the first row of its party.
    """

    rulings: Sequence[str]
    chances: Sequence[int]
    parties: Sequence[int]

    @property
    def players(self) -> list[int]:
        """The rows that are scored: of each party the first."""
        return [
            row
            for row, (ruling, party) in enumerate(zip(self.rulings, self.parties, strict=True))
            if ruling == "scored" and party == row
        ]


def unscreened(rows: int) -> Screened:
    """So many rows that are taken as they are."""
    return Screened(rulings=("scored",) * rows, chances=(-1,) * rows, parties=range(rows))


def screen(
    updates: torch.Tensor,
    own: torch.Tensor,
    past: torch.Tensor,
    before: Sequence[Sequence[int]],
    f: int,
    *,
    noisy: bool,
) -> Screened:
    """The rulings on updates, and who is one party.

    Args:
        updates: int16 `(clients, dim)`.
        own: their sketches.
        past: sketches of what was public before.
        before: T of each one's last rounds, in thousandths.
        f: Byzantine clients to withstand.
        noisy: whether honest updates are mostly noise, by the plan: then nobody can tell an echo by its noise.
    """
    rulings = ["silent" if quiet else "scored" for quiet in novelty.silent(gram.squared_norms(updates))]
    chances, parties = [-1] * len(rulings), list(range(len(rulings)))
    heard = [row for row, ruling in enumerate(rulings) if ruling == "scored"]
    if not heard:
        return Screened(rulings=rulings, chances=chances, parties=parties)
    left = novelty.innovations(past, own[heard])
    freedom = 0 if noisy else own.shape[1] - len(past)
    found = novelty.chances(left, freedom, f)
    for row, chance in zip(heard, found or (), strict=found is not None):
        chances[row] = chance
        rulings[row] = "echo" if novelty.echo(chance, before[row]) else "scored"
    kept = [place for place, row in enumerate(heard) if rulings[row] == "scored"]
    rows = [heard[place] for place in kept]
    inner, sketched = (gram.products(each[rows]).inner for each in (updates, own))
    together = novelty.parties(inner, left[np.ix_(kept, kept)], sketched, freedom, f)
    for row, party in zip(rows, together, strict=True):
        parties[row] = rows[party]
    return Screened(rulings=rulings, chances=chances, parties=parties)

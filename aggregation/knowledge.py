"""What attackers know when they choose their updates: everything honest of the round, and what they learned before."""

import hashlib
from collections.abc import Callable
from dataclasses import dataclass

import torch
from jaxtyping import Float64
from torch import Tensor

from aggregation.errors import RuleError


@dataclass(frozen=True, slots=True, kw_only=True)
class Direction:
    """Where the honest updates have differed most so far; `disguises.learn` makes the next one.

    Attributes:
        rounds: Rounds it was learned from, at least 1.
        mean: Mean of the honest updates over these rounds.
        vector: Unit vector, an estimate of the direction of their largest variance.
    """

    rounds: int
    mean: Float64[Tensor, " dim"]
    vector: Float64[Tensor, " dim"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Knowledge:
    """One round, as colluding attackers see it before they answer.

    Attributes:
        honest: This round's honest updates, one a row.
        byzantine: f, how many updates the attackers send; at least 1.
        round: Number of the round, 1 the first.
        seed: Of the attackers' draws.
        previous: The last aggregate, None in the first round.
        defence: The rule the attackers expect, from all updates (honest first) to the aggregate; None if they do not know.
        own: An update that the attackers trained themselves, such as one with a backdoor; None if they have none.
        direction: What they learned in earlier rounds, None before the first.

    Raises:
        RuleError: If there is no honest update or no attacker.
    """

    honest: Float64[Tensor, "honest dim"]
    byzantine: int
    round: int
    seed: int
    previous: Float64[Tensor, " dim"] | None = None
    defence: Callable[[Tensor], Tensor] | None = None
    own: Float64[Tensor, " dim"] | None = None
    direction: Direction | None = None

    def __post_init__(self) -> None:
        if len(self.honest) < 1 or self.byzantine < 1:
            raise RuleError(
                f"{len(self.honest)} honest and {self.byzantine} Byzantine updates: expected at least 1 of each"
            )


def copies(known: Knowledge, vector: Float64[Tensor, " dim"]) -> Float64[Tensor, "byzantine dim"]:
    """Returns `vector` once for each attacker."""
    return vector.repeat(known.byzantine, 1)


def unit(vector: Float64[Tensor, " dim"]) -> Float64[Tensor, " dim"]:
    """Returns `vector` at length 1; zero stays zero."""
    norm = float(vector.norm())
    return vector / norm if norm > 0 else vector


def noise(known: Knowledge, purpose: str, rows: int) -> Float64[Tensor, "rows dim"]:
    """Returns independent draws from N(0, 1): the same for the same seed, round and purpose, on any device."""
    drawn = torch.randn(rows, known.honest.shape[1], generator=_generator(known, purpose), dtype=torch.float64)
    return drawn.to(known.honest.device)


def uniform(known: Knowledge, purpose: str) -> Float64[Tensor, "byzantine dim"]:
    """Returns independent draws from [0, 1), a row for each attacker; as `noise` otherwise."""
    shape = known.byzantine, known.honest.shape[1]
    drawn = torch.rand(shape, generator=_generator(known, purpose), dtype=torch.float64)
    return drawn.to(known.honest.device)


def _generator(known: Knowledge, purpose: str) -> torch.Generator:
    # Always the CPU's: the GPU's generator draws other numbers.
    digest = hashlib.sha256(f"{known.seed}\n{known.round}\n{purpose}".encode()).digest()
    return torch.Generator().manual_seed(int.from_bytes(digest[:8], "big", signed=True))

"""Rules that remember: what the rounds before left, and the aggregate of the round that follows them.

Two things are remembered, each only where rule or pre-aggregation read it: the last aggregate (centered clipping starts from
it, standing compares with it) and the clients' standing. Both are public once the updates are.

Reference: docs/protocol.md P12.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from types import MappingProxyType

import torch
from jaxtyping import Int16, Int32
from torch import Tensor

from aggregation import carry, lattice, preaggregation, recipe, rules, standing
from aggregation.errors import TooFewError

STARTING = "centered_clipping"


@dataclass(frozen=True, slots=True, kw_only=True)
class Past:
    """What is left of the rounds before, on this round's lattice.

    Attributes:
        last: The last aggregate, int16 `(dim,)`; zeros in the first round.
        standings: Of the clients that have taken part.
    """

    last: Int16[Tensor, " dim"]
    standings: Mapping[str, standing.Standing]


@dataclass(frozen=True, slots=True, kw_only=True)
class Combined:
    """A round's aggregate.

    Attributes:
        values: In 1/256 of a lattice step; zeros where too few updates were left for the rule to hold its promise.
        standings: Of the clients after the round; None if the rule keeps none.
        enough: Whether there were enough.
    """

    values: Int32[Tensor, " dim"]
    standings: Mapping[str, standing.Standing] | None
    enough: bool


def none(on: lattice.Lattice) -> Past:
    """Returns what a first round starts from."""
    return Past(last=torch.zeros(on.dim, dtype=torch.int16), standings=MappingProxyType({}))


def left(
    before: lattice.Lattice,
    refined: Int32[Tensor, " dim"],
    standings: Mapping[str, standing.Standing],
    now: lattice.Lattice,
) -> Past:
    """Returns what a round left, moved to the lattice of the next.

    Args:
        before: The lattice of the round that `refined` ended.
        refined: Its aggregate.
        standings: As it left them.
        now: The lattice of the next round, of the same sizes.
    """
    bits = standing.moved_by(before, now)
    return Past(
        last=carry.carried(before, refined, now),
        standings={name: each.moved(bits) for name, each in standings.items()},
    )


def remembers(rule: str, pre: str) -> bool:
    """Returns whether the two read anything of the rounds before."""
    return preaggregation.screened(pre)[0] or rule == STARTING


def combine(
    clients: Sequence[str], updates: Int16[Tensor, "clients dim"], method: recipe.Method, before: Past | None
) -> Combined:
    """Returns the aggregate of a round by a rule that may remember.

    Args:
        clients: Ids, ascending.
        updates: Theirs, a row each.
        method: Its `pre` may begin with standing; `anchored` is not read.
        before: What the rounds before left; None where the rule does not remember.

    Raises:
        RuleError: If the rule is not one of ours, or cannot work.
    """
    screened, pre = preaggregation.screened(method.pre)
    standings = dict(before.standings) if before is not None and screened else None
    try:
        rules.check(method.rule, method.pre, len(updates), method.byzantine)
    except TooFewError:
        nothing = torch.zeros(updates.shape[1], dtype=torch.int32)
        return Combined(values=nothing, standings=standings, enough=False)
    if before is not None and standings is not None:
        joined = torch.cat((updates, before.last.unsqueeze(0)))
        known = [standings.get(name, standing.Standing()) for name in clients]
        judged = standing.judge(joined, known, method.byzantine)
        standings |= dict(zip(clients, judged.standings, strict=True))
        updates = updates[list(judged.kept)]
    anchored = before is not None and method.rule == STARTING
    chosen = recipe.Method(rule=method.rule, pre=pre, byzantine=method.byzantine, draw=method.draw, anchored=anchored)
    matrix = torch.cat((updates, before.last.unsqueeze(0))) if before is not None and anchored else updates
    return Combined(values=lattice.refine(recipe.aggregate(matrix, chosen)), standings=standings, enough=True)

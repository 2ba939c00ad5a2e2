"""The numbers of a round: accepted updates become one aggregate, by the plan's rule.

What the rule draws at random follows from the round's identity, which no holder knows before the updates are sealed. What it
remembers is the last aggregate and the members' standing, both in files that the last commit fixes. All of it is public once
the round is disclosed, so an auditor folds the same.
"""

import dataclasses
import hashlib
from collections.abc import Callable, Mapping, Sequence
from types import MappingProxyType

import torch

from aggregation import carry, lattice, preaggregation, recipe, rules, standing
from aggregation import errors as aggregation_errors
from client import agreement
from ledger import rounds
from orchestrator import aggregate

DRAW = "folkmoot/draw/v1"
STARTING = "centered_clipping"


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Past:
    """What is left of the rounds before, on this round's lattice.

    Attributes:
        last: the last aggregate, int16 `(dim,)`; zeros in the first round.
        standings: of the members that have taken part.
    """

    last: torch.Tensor
    standings: Mapping[str, standing.Standing]


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Folded:
    """A round's numbers.

    Attributes:
        values: int32 `(dim,)`.
        standing_file: of the members' standing; None if the rule keeps none.
    """

    values: torch.Tensor
    standing_file: bytes | None


def fold(
    agreed: agreement.Agreement,
    members: Sequence[str],
    updates: torch.Tensor,
    on: lattice.Lattice,
    identity: str,
    past: Callable[[], Past],
) -> Folded:
    """The aggregate; zero where too few updates are left for the rule to hold its promise.

    Args:
        agreed: the run.
        members: who is accepted, ascending.
        updates: theirs, a row each; int16 `(clients, dim)`.
        on: the round's lattice.
        identity: text of the round's age identity.
        past: called if the rule remembers.

    Raises:
        RuleError: the plan's rule is not one of ours, or cannot work.

    Reference: docs/protocol.md P12.
    """
    rule = agreed.plan.rule
    screened, pre = preaggregation.screened(rule.pre)
    before = past() if screened or rule.name == STARTING else None
    standings = dict(before.standings) if before is not None and screened else None
    try:
        rules.check(rule.name, rule.pre, len(updates), rule.byzantine)
    except aggregation_errors.TooFewError:
        return _folded(torch.zeros(on.dim, dtype=torch.int32), standings)
    if before is not None and standings is not None:
        joined = torch.cat((updates, before.last.unsqueeze(0)))
        known = [standings.get(name, standing.Standing()) for name in members]
        judged = standing.judge(joined, known, rule.byzantine)
        standings |= dict(zip(members, judged.standings, strict=True))
        updates = updates[list(judged.kept)]
    anchored = before is not None and rule.name == STARTING
    method = recipe.Method(
        rule=rule.name,
        pre=pre,
        byzantine=rule.byzantine,
        draw=hashlib.sha256(f"{DRAW}\n{identity}".encode()).digest(),
        anchored=anchored,
    )
    matrix = torch.cat((updates, before.last.unsqueeze(0))) if before is not None and anchored else updates
    return _folded(lattice.refine(recipe.aggregate(matrix, method)), standings)


def past(
    agreed: agreement.Agreement,
    on: lattice.Lattice,
    finished: rounds.RoundRecord | None,
    read: Callable[[str], bytes],
) -> Past:
    """What the round before left, moved to this round's lattice.

    Args:
        agreed: the run.
        on: the round's lattice.
        finished: the round before, None in the first.
        read: the bytes of a CID.
    """
    if finished is None or finished.commit is None:
        return Past(last=torch.zeros(on.dim, dtype=torch.int16), standings=MappingProxyType({}))
    before = lattice.Lattice(sizes=on.sizes, exponents=finished.open.exponents)
    left = aggregate.decode(read(finished.commit.aggregate), agreed.specs)
    members = aggregate.decode_standings(read(left.standing)) if left.standing else {}
    bits = standing.moved_by(before, on)
    return Past(
        last=carry.carried(before, left.values, on),
        standings={name: each.moved(bits) for name, each in members.items()},
    )


def _folded(values: torch.Tensor, standings: Mapping[str, standing.Standing] | None) -> Folded:
    return Folded(values=values, standing_file=None if standings is None else aggregate.encode_standings(standings))

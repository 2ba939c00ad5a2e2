"""The numbers of a round: accepted updates become one aggregate, by the plan's rule.

What the rule draws at random follows from the round's identity, which no holder knows before the updates are sealed. What it
remembers is the last aggregate and the members' standing, both in files that the last commit fixes. All of it is public once
the round is disclosed, so an auditor folds the same.
"""

import dataclasses
import hashlib
from collections.abc import Callable, Sequence

import torch

from aggregation import lattice, memory, recipe
from client import agreement
from ledger import rounds
from orchestrator import aggregate

DRAW = "folkmoot/draw/v1"


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
    identity: str,
    past: Callable[[], memory.Past],
) -> Folded:
    """The aggregate; zero where too few updates are left for the rule to hold its promise.

    Args:
        agreed: the run.
        members: who is accepted, ascending.
        updates: theirs, a row each; int16 `(clients, dim)`.
        identity: text of the round's age identity.
        past: called if the rule remembers.

    Raises:
        RuleError: the plan's rule is not one of ours, or cannot work.

    Reference: docs/protocol.md P12.
    """
    rule = agreed.plan.rule
    method = recipe.Method(
        rule=rule.name,
        pre=rule.pre,
        byzantine=rule.byzantine,
        draw=hashlib.sha256(f"{DRAW}\n{identity}".encode()).digest(),
    )
    combined = memory.combine(members, updates, method, past() if memory.remembers(rule.name, rule.pre) else None)
    standing_file = None if combined.standings is None else aggregate.encode_standings(combined.standings)
    return Folded(values=combined.values, standing_file=standing_file)


def past(
    agreed: agreement.Agreement,
    on: lattice.Lattice,
    finished: rounds.RoundRecord | None,
    read: Callable[[str], bytes],
) -> memory.Past:
    """What the round before left, moved to this round's lattice.

    Args:
        agreed: the run.
        on: the round's lattice.
        finished: the round before, None in the first.
        read: the bytes of a CID.
    """
    if finished is None or finished.commit is None:
        return memory.none(on)
    before = lattice.Lattice(sizes=on.sizes, exponents=finished.open.exponents)
    left = aggregate.decode(read(finished.commit.aggregate), agreed.specs)
    members = aggregate.decode_standings(read(left.standing)) if left.standing else {}
    return memory.left(before, left.values, members, on)

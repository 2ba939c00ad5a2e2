"""The rows that a scorer sets aside before the first round: it never trains on them, and judges candidates by them."""

import dataclasses

import torch

from client import plan, scoringplan, seeds, task


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Parted:
    """A holder's examples, in two parts.

    Attributes:
        trained: what it trains on.
        held: what it never trains on; none where it does not score.
    """

    trained: task.Examples
    held: task.Examples


def count(agreed: plan.Plan, member: str, examples: int) -> int:
    """How many of its examples a member sets aside; 0 for one that does not score, or that has too few."""
    credit = scoringplan.scored(agreed)
    return int(examples * credit.held_out) if credit is not None and member in credit.scorers else 0


def part(agreed: plan.Plan, member: str, examples: task.Examples) -> Parted:
    """A member's examples parted by one draw that is the same in every round, and after every restart.

    The draw follows from the plan's seed; the rows, which nobody else has, it says nothing of.
    """
    held = count(agreed, member, len(examples))
    if not held:
        return Parted(trained=examples, held=task.Examples(inputs=examples.inputs[:0], labels=examples.labels[:0]))
    draw = seeds.generator(agreed.seed, round_number=0, member=member, purpose="held-out")
    aside = torch.zeros(len(examples), dtype=torch.bool)
    aside[torch.from_numpy(draw.permutation(len(examples))[:held])] = True
    return Parted(trained=_rows(examples, ~aside), held=_rows(examples, aside))


def _rows(examples: task.Examples, chosen: torch.Tensor) -> task.Examples:
    return task.Examples(inputs=examples.inputs[chosen], labels=examples.labels[chosen])

"""Which holders of a cohort train side by side (`client.vectorized`).

The bits of training may depend on who trains beside whom, so a group follows from the round and the run's settings alone: from
the cohort in its order, its members' numbers of examples, and the size of the model. Never from the number of workers, from
what this machine has of memory, or from who has answered already.
"""

import dataclasses
import itertools
from collections.abc import Callable, Collection, Mapping, Sequence

from torch import nn

from client import agreement, holdout, vectorized
from ledger import dsse

BYTES = 1 << 23
"""Of the weights of a group: beyond what a core's cache holds, side by side is no faster than one by one."""
MOST = 64
LEAST = 8
"""Holders for whom side by side pays: torch.func costs about as much a step as so many small models one by one."""
AUTO = 0


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Group:
    """Holders that train side by side, or one that trains alone.

    Attributes:
        members: their names, in the cohort's order.
        asked: those of them whose answer is wanted; the others have answered before.
        home: number of the worker, modulo how many there are, that has what the group needs; None for any.
    """

    members: tuple[str, ...]
    asked: tuple[str, ...]
    home: int | None = None


class Division:
    """How the cohorts of one run fall into groups.

    Args:
        agreed: the run.
        members: number of the shard by member name; no other member is in a group.
        alone: members that train alone.
        together: as for `most`.
    """

    def __init__(
        self, agreed: agreement.Agreement, members: Mapping[str, int], *, alone: Collection[str], together: int
    ) -> None:
        self._agreed = agreed
        self._members = members
        self._alone = alone
        # A program of the task's own trains one holder.
        self._most = 1 if agreed.task.program is not None else most(agreed.task.model(), together)

    def of(self, asked: Sequence[str], opening: bytes) -> tuple[Group, ...]:
        """The groups, in the round that `opening` (a signed envelope) opens, in which somebody is `asked`."""
        cohort = self._agreed.opening(dsse.Envelope.parse(opening)).cohort
        played = [name for name in cohort if name in self._members]
        return divide(played, asked, self._size, alone=self._alone, most=self._most)

    def _size(self, name: str) -> int:
        size = self._agreed.task.size(self._members[name])
        return size - holdout.count(self._agreed.plan, name, size)


class OneByOne:
    """Each member by itself, and always at the same worker.

    Args:
        members: number of each by name.
    """

    def __init__(self, members: Mapping[str, int]) -> None:
        self._members = members

    def of(self, asked: Sequence[str], opening: bytes) -> tuple[Group, ...]:  # noqa: ARG002  a division's signature
        """A group for each who is `asked`."""
        return tuple(Group(members=(name,), asked=(name,), home=self._members[name]) for name in asked)


def most(model: nn.Module, together: int) -> int:
    """How many holders of a model may train side by side.

    Args:
        model: any model of the task.
        together: as configured; 1 for one by one, AUTO for what its size suggests.
    """
    if not vectorized.fits(model):
        return 1
    if together != AUTO:
        return together
    fitting = min(MOST, BYTES // (4 * sum(p.numel() for p in model.parameters())))
    return fitting if fitting >= LEAST else 1


def divide(
    cohort: Sequence[str], asked: Collection[str], size: Callable[[str], int], *, alone: Collection[str], most: int
) -> tuple[Group, ...]:
    """The groups of a round that have somebody to ask, each member of the cohort in one of the groups at most.

    Args:
        cohort: of the round, in its order.
        asked: members whose answers are wanted.
        size: number of a member's examples.
        alone: members that train alone whatever their examples.
        most: members of a group.
    """
    alike: dict[object, list[str]] = {}
    for name in cohort:
        # Alone are those of a kind of their own.
        kind: object = name if most == 1 or name in alone else size(name)
        alike.setdefault(kind, []).append(name)
    groups = (Group(members=part, asked=tuple(n for n in part if n in asked)) for part in _parts(alike, most))
    return tuple(group for group in groups if group.asked)


def _parts(alike: dict[object, list[str]], most: int) -> list[tuple[str, ...]]:
    """The members of each kind in as few parts as may be, and those as equal as may be, so that workers end together."""
    parts = []
    for names in alike.values():
        count = -(-len(names) // most)
        cuts = [len(names) * number // count for number in range(count + 1)]
        parts += [tuple(names[low:high]) for low, high in itertools.pairwise(cuts)]
    return parts

"""How public data fall to the holders of a simulation.

    dirichlet   class by class, in shares drawn from Dirichlet(alpha): the smaller alpha, the less alike the holders
    iid         alike, and as many each
    shards      two classes or so each, and as many
    quantity    alike, in numbers drawn from Dirichlet(alpha)
    column      by a column of a table, in ascending order: ages, sites, years

A fixed part of the data is the public test set, whatever the seed and the way. Each example falls to one holder, and nobody
goes empty.

Reference: T.-M. H. Hsu, H. Qi, M. Brown, "Measuring the Effects of Non-Identical Data Distribution", arXiv 1909.06335.
"""

import dataclasses
import functools
from collections.abc import Callable, Mapping

import numpy as np
import torch

from client import errors, seeds, task, taskplan

PIECES = 2
"""Of sorted data, that each holder gets with `shards`."""
Division = Callable[[np.ndarray, np.ndarray, taskplan.DividedPlan, np.random.Generator], list[np.ndarray]]


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Public:
    """Data that every installation has.

    Attributes:
        inputs: float32, `(examples, ...)`.
        labels: int64, `(examples, ...)`.
        tests: so many examples are the test set.
        kinds: int64, `(examples,)`, what a division by class goes by; None for the labels.
        columns: by name, `(examples,)`, what one by column may go by.
    """

    inputs: torch.Tensor
    labels: torch.Tensor
    tests: int
    kinds: torch.Tensor | None = None
    columns: Mapping[str, torch.Tensor] = dataclasses.field(default_factory=dict)

    def test(self) -> task.Examples:
        """The public test set: the same in every run."""
        return self._examples(self.order()[: self.tests])

    def shard(self, number: int, settings: taskplan.DividedPlan, *, seed: int) -> task.Examples:
        """The examples of simulated holder `number`.

        Raises:
            TaskError: the run has no holder of that number.
        """
        return self._examples(self._rows(number, settings, seed))

    def size(self, number: int, settings: taskplan.DividedPlan, *, seed: int) -> int:
        """How many examples simulated holder `number` has; raises as `shard`."""
        return len(self._rows(number, settings, seed))

    def _rows(self, number: int, settings: taskplan.DividedPlan, seed: int) -> np.ndarray:
        if not 0 <= number < settings.holders:
            last = settings.holders - 1
            raise errors.TaskError(f"{settings.name} has holders 0 to {last} in this run, got {number}")
        return _shares(self, settings, seed)[number]

    def order(self) -> np.ndarray:
        """One fixed shuffle of all examples; the test set is the first of them."""
        return np.random.default_rng(0).permutation(len(self.labels))

    def _examples(self, rows: np.ndarray) -> task.Examples:
        return task.Examples(inputs=self.inputs[rows], labels=self.labels[rows])


@functools.cache
def _shares(public: Public, settings: taskplan.DividedPlan, seed: int) -> tuple[np.ndarray, ...]:
    """Row numbers of each holder, ascending; nobody goes empty."""
    draw = seeds.generator(seed, round_number=0, member="", purpose="partition")
    rows = public.order()[public.tests :]
    if len(rows) < settings.holders:
        message = f"{settings.name} has {len(rows)} public examples beside its test set"
        raise errors.TaskError(f"{message}, and {settings.holders} holders: expected at most as many")
    kinds = public.labels if public.kinds is None else public.kinds
    if isinstance(settings, taskplan.TablePlan) and settings.partition == "column":
        parts = by_value(public.columns[settings.column].numpy()[rows], rows, settings.holders)
    else:
        parts = DIVISIONS[settings.partition](kinds.numpy()[rows], rows, settings, draw)
    return tuple(np.sort(part) for part in _filled(parts))


def dirichlet(
    kinds: np.ndarray, rows: np.ndarray, settings: taskplan.DividedPlan, draw: np.random.Generator
) -> list[np.ndarray]:
    """Each class shuffled, and cut by a draw from Dirichlet(alpha).

    Args:
        kinds: class of each row.
        rows: what is divided.
        settings: holders and alpha.
        draw: of the run.

    Reference: T.-M. H. Hsu et al., 2019.
    """
    parts: list[list[int]] = [[] for _ in range(settings.holders)]
    for label in range(int(kinds.max()) + 1):
        members = draw.permutation(rows[kinds == label])
        cuts = _cuts(draw.dirichlet([settings.alpha] * settings.holders), len(members))
        for part, piece in zip(parts, np.split(members, cuts), strict=True):
            part.extend(piece.tolist())
    return [np.array(part, dtype=np.int64) for part in parts]


def iid(
    kinds: np.ndarray,  # noqa: ARG001  as the others
    rows: np.ndarray,
    settings: taskplan.DividedPlan,
    draw: np.random.Generator,
) -> list[np.ndarray]:
    """All shuffled, and cut into parts that differ by one example at most; arguments as of `dirichlet`."""
    return np.array_split(draw.permutation(rows), settings.holders)


def shards(
    kinds: np.ndarray, rows: np.ndarray, settings: taskplan.DividedPlan, draw: np.random.Generator
) -> list[np.ndarray]:
    """Sorted by class, cut into two pieces a holder, and each dealt two of them; arguments as of `dirichlet`.

    Reference: B. McMahan et al., "Communication-Efficient Learning of Deep Networks from Decentralized Data", 2017, section 3.
    """
    shuffled = draw.permutation(len(rows))
    ordered = rows[shuffled[np.argsort(kinds[shuffled], kind="stable")]]
    pieces = np.array_split(ordered, PIECES * settings.holders)
    dealt = draw.permutation(len(pieces)).reshape(settings.holders, PIECES)
    return [np.concatenate([pieces[number] for number in own]) for own in dealt]


def quantity(
    kinds: np.ndarray,  # noqa: ARG001  as the others
    rows: np.ndarray,
    settings: taskplan.DividedPlan,
    draw: np.random.Generator,
) -> list[np.ndarray]:
    """All shuffled, and cut by one draw from Dirichlet(alpha): alike but for their number; arguments as of `dirichlet`.

    Reference: Q. Li et al., "Federated Learning on Non-IID Data Silos: An Experimental Study", 2022, section IV.
    """
    members = draw.permutation(rows)
    return np.split(members, _cuts(draw.dirichlet([settings.alpha] * settings.holders), len(members)))


def by_value(values: np.ndarray, rows: np.ndarray, holders: int) -> list[np.ndarray]:
    """Sorted by a value that each row has, and cut into parts as equal as may be; rows of one value stay together.

    Args:
        values: of each row.
        rows: what is divided.
        holders: parts.

    Raises:
        TaskError: there are fewer values than holders.
    """
    known, counts = np.unique(values, return_counts=True)
    if len(known) < holders:
        raise errors.TaskError(f"task.column has {len(known)} values, expected one for each of the {holders} holders")
    ends = np.cumsum(counts)
    firsts, taken = [], 0
    for number in range(1, holders):
        # As near to its share as may be, but one value more than the last, and one for each that is still to come.
        near = int(np.searchsorted(ends, len(rows) * number / holders)) + 1
        taken = min(max(near, taken + 1), len(known) - holders + number)
        firsts.append(ends[taken - 1])
    return np.split(rows[np.argsort(values, kind="stable")], firsts)


DIVISIONS: Mapping[str, Division] = {"dirichlet": dirichlet, "iid": iid, "shards": shards, "quantity": quantity}


def _cuts(shares: np.ndarray, count: int) -> np.ndarray:
    return (np.cumsum(shares)[:-1] * count).astype(int)


def _filled(parts: list[np.ndarray]) -> list[np.ndarray]:
    """The parts, each empty one given the last example of the greatest."""
    filled = [part.tolist() for part in parts]
    for part in filled:
        if not part:
            part.append(max(filled, key=len).pop())
    return [np.array(part) for part in filled]

"""How public data fall to the holders of a simulation: class by class, in shares drawn from Dirichlet(alpha).

The smaller alpha, the less alike the holders. A fixed part of the data is the public test set, whatever the seed.

Reference: T.-M. H. Hsu, H. Qi, M. Brown, "Measuring the Effects of Non-Identical Data Distribution", arXiv 1909.06335.
"""

import dataclasses
import functools

import numpy as np
import torch

from client import errors, seeds, task, taskplan


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Public:
    """Data that every installation has.

    Attributes:
        inputs: float32, `(examples, ...)`.
        labels: int64, `(examples,)`.
        tests: so many examples are the test set.
    """

    inputs: torch.Tensor
    labels: torch.Tensor
    tests: int

    def test(self) -> task.Examples:
        """The public test set: the same in every run."""
        return self._examples(self.order()[: self.tests])

    def shard(self, number: int, settings: taskplan.TaskPlan, *, seed: int) -> task.Examples:
        """The examples of simulated holder `number`.

        Raises:
            TaskError: the run has no holder of that number.
        """
        return self._examples(self._rows(number, settings, seed))

    def size(self, number: int, settings: taskplan.TaskPlan, *, seed: int) -> int:
        """How many examples simulated holder `number` has; raises as `shard`."""
        return len(self._rows(number, settings, seed))

    def _rows(self, number: int, settings: taskplan.TaskPlan, seed: int) -> np.ndarray:
        if not 0 <= number < settings.holders:
            last = settings.holders - 1
            raise errors.TaskError(f"{settings.name} has holders 0 to {last} in this run, got {number}")
        return _shares(self, settings.holders, settings.alpha, seed)[number]

    def order(self) -> np.ndarray:
        """One fixed shuffle of all examples; the test set is the first of them."""
        return np.random.default_rng(0).permutation(len(self.labels))

    def _examples(self, rows: np.ndarray) -> task.Examples:
        return task.Examples(inputs=self.inputs[rows], labels=self.labels[rows])


@functools.cache
def _shares(public: Public, holders: int, alpha: float, seed: int) -> tuple[np.ndarray, ...]:
    """Row numbers of each holder: each class shuffled and cut by one Dirichlet draw; nobody goes empty."""
    draw = seeds.generator(seed, round_number=0, member="", purpose="partition")
    rows = public.order()[public.tests :]
    labels = public.labels.numpy()[rows]
    parts: list[list[int]] = [[] for _ in range(holders)]
    for label in range(int(public.labels.max()) + 1):
        members = draw.permutation(rows[labels == label])
        cuts = (np.cumsum(draw.dirichlet([alpha] * holders))[:-1] * len(members)).astype(int)
        for part, piece in zip(parts, np.split(members, cuts), strict=True):
            part.extend(piece.tolist())
    for part in parts:
        if not part:
            part.append(max(parts, key=len).pop())
    return tuple(np.sort(np.array(part)) for part in parts)

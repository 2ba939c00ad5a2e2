"""scikit-learn's handwritten digits: 1,797 real 8 x 8 images, ten classes, in the package itself.

A fixed fifth (360 images) is the public test set whatever the seed; the rest falls to the holders class by class, in shares
drawn from Dirichlet(alpha): the smaller alpha, the less alike the holders.

Data: E. Alpaydin, C. Kaynak, "Optical Recognition of Handwritten Digits", UCI, 1998.
Partition: T.-M. H. Hsu, H. Qi, M. Brown, "Measuring the Effects of Non-Identical Data Distribution", arXiv 1909.06335.
"""

import functools

import numpy as np
import torch
from sklearn import datasets
from torch import nn

from client import errors, plan, seeds, task

TEST_EXAMPLES = 360
CLASSES = 10
PIXELS = 64


def load(settings: plan.TaskPlan, *, seed: int) -> task.Task:
    """The digits, split over `settings.holders` holders.

    Args:
        settings: `hidden` is the width of the one hidden layer, `alpha` > 0 the concentration of the Dirichlet draw.
        seed: the run's seed; another seed is another split.
    """

    def model() -> nn.Module:
        return nn.Sequential(nn.Linear(PIXELS, settings.hidden), nn.ReLU(), nn.Linear(settings.hidden, CLASSES))

    def shard(number: int) -> task.Examples:
        parts = _partition(settings.holders, settings.alpha, seed)
        if not 0 <= number < len(parts):
            raise errors.TaskError(f"digits has holders 0 to {len(parts) - 1} in this run, got {number}")
        return _examples(parts[number])

    return task.Task(
        name="digits", classes=CLASSES, model=model, shard=shard, test=lambda: _examples(_order()[:TEST_EXAMPLES])
    )


@functools.cache
def _images() -> tuple[np.ndarray, np.ndarray]:
    bunch = datasets.load_digits()
    return (bunch.data / 16).astype(np.float32), bunch.target.astype(np.int64)


def _order() -> np.ndarray:
    """One fixed shuffle of all images, so that the test set is the same in every run."""
    return np.random.default_rng(0).permutation(len(_images()[1]))


def _examples(rows: np.ndarray) -> task.Examples:
    inputs, labels = _images()
    return task.Examples(inputs=torch.from_numpy(inputs[rows]), labels=torch.from_numpy(labels[rows]))


@functools.cache
def _partition(holders: int, alpha: float, seed: int) -> tuple[np.ndarray, ...]:
    """Row numbers of each holder: each class shuffled and cut by one Dirichlet draw; nobody goes empty."""
    draw = seeds.generator(seed, round_number=0, member="", purpose="partition")
    rows = _order()[TEST_EXAMPLES:]
    labels = _images()[1][rows]
    parts: list[list[int]] = [[] for _ in range(holders)]
    for label in range(CLASSES):
        members = draw.permutation(rows[labels == label])
        cuts = (np.cumsum(draw.dirichlet([alpha] * holders))[:-1] * len(members)).astype(int)
        for part, piece in zip(parts, np.split(members, cuts), strict=True):
            part.extend(piece.tolist())
    for part in parts:
        if not part:
            part.append(max(parts, key=len).pop())
    return tuple(np.sort(np.array(part)) for part in parts)

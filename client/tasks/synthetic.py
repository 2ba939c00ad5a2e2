"""Examples that are drawn, of any shape and number, by logistic regression, a hidden layer, or the network of `images`.

    x = mean of its class + standard normal noise          the means: `signal` times standard normal

The means and the test set are the same whatever the seed. A holder's examples follow from the run's seed and its own number, so
a process makes those of the holders it plays and no others, whatever the number of holders. The classes a holder sees are drawn
in shares from Dirichlet(alpha), its number of examples from a log-normal.

Reference: T.-M. H. Hsu, H. Qi, M. Brown, "Measuring the Effects of Non-Identical Data Distribution", arXiv 1909.06335.
"""

import functools

import numpy as np
import torch
from torch import nn

from client import errors, seeds, task, taskplan
from client.data import schema
from client.tasks import images


def load(settings: taskplan.SyntheticPlan, *, seed: int) -> task.Task:
    """Drawn examples.

    Args:
        settings: sizes of the data and of the network.
        seed: the run's seed; another seed is other examples of the holders.
    """

    def model() -> nn.Module:
        if settings.channels:
            shaped = nn.Unflatten(1, (1, images.SIDE, images.SIDE))
            return nn.Sequential(shaped, *images.network(settings.channels, settings.hidden, settings.classes))
        if not settings.hidden:
            return nn.Sequential(nn.Linear(settings.features, settings.classes))
        first = nn.Linear(settings.features, settings.hidden)
        return nn.Sequential(first, nn.ReLU(), nn.Linear(settings.hidden, settings.classes))

    return task.Task(
        name="synthetic",
        classes=settings.classes,
        schema=_schema(settings),
        model=model,
        shard=lambda number: _shard(settings, number, seed),
        size=lambda number: size(settings, number, seed),
        test=lambda: _test(settings),
    )


def size(settings: taskplan.SyntheticPlan, number: int, seed: int) -> int:
    """Examples of holder `number`.

    Raises:
        TaskError: the run has no holder of that number.
    """
    if not 0 <= number < settings.holders:
        raise errors.TaskError(f"synthetic has holders 0 to {settings.holders - 1} in this run, got {number}")
    if not settings.skew:
        return settings.examples
    drawn = _draw(seed, "size", number).standard_normal()
    return max(1, round(settings.examples * float(np.exp(settings.skew * drawn))))


def _shard(settings: taskplan.SyntheticPlan, number: int, seed: int) -> task.Examples:
    count, draw = size(settings, number, seed), _draw(seed, "examples", number)
    shares = draw.dirichlet([settings.alpha] * settings.classes)
    return _examples(settings, draw.choice(settings.classes, count, p=shares), draw)


def _test(settings: taskplan.SyntheticPlan) -> task.Examples:
    draw = _draw(0, "tests")
    return _examples(settings, draw.integers(0, settings.classes, settings.tests), draw)


def _examples(settings: taskplan.SyntheticPlan, labels: np.ndarray, draw: np.random.Generator) -> task.Examples:
    inputs = draw.standard_normal((len(labels), settings.features), dtype=np.float32)
    inputs += _means(settings.classes, settings.features, settings.signal)[labels]
    return task.Examples(inputs=torch.from_numpy(inputs), labels=torch.from_numpy(labels.astype(np.int64)))


@functools.cache
def _means(classes: int, features: int, signal: float) -> np.ndarray:
    drawn = _draw(0, "means").standard_normal((classes, features), dtype=np.float32)
    return drawn * np.float32(signal)


def _draw(seed: int, what: str, number: int | None = None) -> np.random.Generator:
    member = "" if number is None else str(number)
    return seeds.generator(seed, round_number=0, member=member, purpose=f"synthetic-{what}")


@functools.cache
def _schema(settings: taskplan.SyntheticPlan) -> schema.Features:
    """What a holder's own files may hold in place of drawn examples: as many numbers, and a class by its number."""
    return schema.Features(
        columns=tuple(f"x{number}" for number in range(settings.features)),
        label="class",
        classes=tuple(map(str, range(settings.classes))),
        low=-schema.LARGEST,
        high=schema.LARGEST,
        centre=(0.0,) * settings.features,
        spread=(1.0,) * settings.features,
        shape=(settings.features,),
        picture=None,
    )

"""scikit-learn's handwritten digits: 1,797 real 8 x 8 images, ten classes, in the package itself.

A fixed fifth (360 images) is the public test set whatever the seed; the rest falls to the holders of a simulation. A holder's
own digits are tables of 64 pixels from 0 (black) to 16 (white), or pictures; docs/data.md.

Data: E. Alpaydin, C. Kaynak, "Optical Recognition of Handwritten Digits", UCI, 1998.
"""

import functools

import numpy as np
import torch
from sklearn import datasets
from torch import nn

from client import task, taskplan
from client.data import schema
from client.tasks import partition

TEST_EXAMPLES = 360
CLASSES = 10
PIXELS = 64
WHITE = 16.0
SCHEMA = schema.Features(
    columns=schema.pixels(8, 8),
    label="digit",
    classes=tuple(map(str, range(CLASSES))),
    low=0.0,
    high=WHITE,
    centre=(0.0,) * PIXELS,
    spread=(WHITE,) * PIXELS,
    shape=(PIXELS,),
    picture=(8, 8),
)


def load(settings: taskplan.DigitsPlan, *, seed: int) -> task.Task:
    """The digits, split over `settings.holders` holders.

    Args:
        settings: `hidden` is the width of the one hidden layer, `alpha` > 0 the concentration of the Dirichlet draw.
        seed: the run's seed; another seed is another split.
    """

    def model() -> nn.Module:
        return nn.Sequential(nn.Linear(PIXELS, settings.hidden), nn.ReLU(), nn.Linear(settings.hidden, CLASSES))

    return task.Task(
        name="digits",
        classes=CLASSES,
        schema=SCHEMA,
        model=model,
        shard=lambda number: public().shard(number, settings, seed=seed),
        size=lambda number: public().size(number, settings, seed=seed),
        test=lambda: public().test(),
    )


@functools.cache
def public() -> partition.Public:
    """All 1,797 images."""
    bunch = datasets.load_digits()
    labels = torch.from_numpy(bunch.target.astype(np.int64))
    return partition.Public(inputs=SCHEMA.inputs(bunch.data), labels=labels, tests=TEST_EXAMPLES)

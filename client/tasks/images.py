"""Greyscale pictures of 28 x 28 pixels, by a small convolutional network, or a residual one (client.tasks.residual).

The public data are scikit-learn's digits, each pixel enlarged and the border left black, so that a run needs no download. They
serve a plan whose classes are the ten digits; with others each holder brings its own pictures, and there is no public test.

Models: Y. LeCun et al., "Gradient-Based Learning Applied to Document Recognition", 1998, made small; with 32 channels and 512
hidden units that of B. McMahan et al., "Communication-Efficient Learning of Deep Networks from Decentralized Data", 2017:
1,663,370 parameters over ten classes.
"""

import functools

from torch import nn
from torch.nn import functional

from client import errors, task, taskplan
from client.data import schema
from client.tasks import digits, partition, residual

SIDE = 28
WHITE = 255.0


def load(settings: taskplan.ImagesPlan, *, seed: int) -> task.Task:
    """Two convolutions and one or two linear layers over pictures, or a residual network.

    Args:
        settings: the network; channels of its first convolution; hidden units; names of the classes.
        seed: the run's seed; another seed is another split of the public pictures.
    """
    wanted = _schema(settings.classes)

    def public() -> partition.Public:
        if settings.classes != digits.SCHEMA.classes:
            expected = f"the public pictures are of {', '.join(digits.SCHEMA.classes)}"
            raise errors.TaskError(
                f"task.classes are {', '.join(settings.classes)}, but {expected}: holders bring theirs"
            )
        return _public()

    def model() -> nn.Module:
        if settings.network == "resnet18":
            return residual.network(1, settings.channels, len(settings.classes))
        return network(settings.channels, settings.hidden, len(settings.classes))

    return task.Task(
        name="images",
        classes=len(settings.classes),
        schema=wanted,
        model=model,
        shard=lambda number: public().shard(number, settings, seed=seed),
        size=lambda number: public().size(number, settings, seed=seed),
        test=lambda: public().test(),
        own=settings.classes != digits.SCHEMA.classes,
        test_file=settings.test,
    )


def network(channels: int, hidden: int, classes: int) -> nn.Sequential:
    """The model: convolutions of `channels` and twice as many, then `hidden` units, if not 0, then one score a class."""
    pictures = (
        nn.Conv2d(1, channels, 5, padding=2),
        nn.ReLU(),
        nn.MaxPool2d(2),
        nn.Conv2d(channels, 2 * channels, 5, padding=2),
        nn.ReLU(),
        nn.MaxPool2d(2),
        nn.Flatten(),
    )
    seen = 2 * channels * (SIDE // 4) ** 2
    if not hidden:
        return nn.Sequential(*pictures, nn.Linear(seen, classes))
    return nn.Sequential(*pictures, nn.Linear(seen, hidden), nn.ReLU(), nn.Linear(hidden, classes))


def _schema(classes: tuple[str, ...]) -> schema.Features:
    return schema.Features(
        columns=schema.pixels(SIDE, SIDE),
        label="class",
        classes=classes,
        low=0.0,
        high=WHITE,
        centre=(0.0,) * SIDE**2,
        spread=(WHITE,) * SIDE**2,
        shape=(1, SIDE, SIDE),
        picture=(SIDE, SIDE),
    )


@functools.cache
def _public() -> partition.Public:
    known = digits.public()
    enlarged = known.inputs.reshape(-1, 1, 8, 8).repeat_interleave(3, 2).repeat_interleave(3, 3)
    return partition.Public(inputs=functional.pad(enlarged, (2, 2, 2, 2)), labels=known.labels, tests=known.tests)

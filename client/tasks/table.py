"""Rows of numbers, each with a class: one of scikit-learn's real tables, or one of the members' own.

A fixed quarter of a built-in table is the public test set whatever the seed; the rest falls to the holders of a simulation.
Its scaling is the mean and the standard deviation of the whole public table. The scaling of an own table is in the plan: it is
never measured on what a holder brings. An own table has no public test set and no shards: each holder brings its own.

Data: W. Wolberg, O. Mangasarian, N. Street, "Breast Cancer Wisconsin (Diagnostic)", UCI, 1995; R. Fisher, "Iris", 1936;
M. Forina, "Wine", UCI, 1991.
"""

import functools
from typing import Any

import numpy as np
import torch
from sklearn import datasets
from torch import nn

from client import errors, task, taskplan
from client.data import schema
from client.tasks import partition

TESTED = 4
"""One in so many rows of a built-in table is in the test set."""


def load(settings: taskplan.TablePlan, *, seed: int) -> task.Task:
    """A network with one hidden layer over the columns of the plan's table.

    Args:
        settings: the table, and the width of the hidden layer.
        seed: the run's seed; another seed is another split of a built-in table.

    Raises:
        TaskError: `settings.column` is no column of it.
    """
    wanted = _own(settings) if settings.source == "own" else built_in(settings.source)[0]
    if settings.column and (settings.source == "own" or settings.column not in wanted.columns):
        message = f"task.column is {settings.column[:80]!r}, expected a column of a built-in table"
        raise errors.TaskError(f"{message}: {', '.join(wanted.columns)}")

    def model() -> nn.Module:
        return nn.Sequential(
            nn.Linear(len(wanted.columns), settings.hidden),
            nn.ReLU(),
            nn.Linear(settings.hidden, len(wanted.classes)),
        )

    def public() -> partition.Public:
        if settings.source == "own":
            raise errors.TaskError(
                "task.source=own has no public rows: holders bring theirs, folkmoot join URL --data FILE"
            )
        return built_in(settings.source)[1]

    return task.Task(
        name="table",
        classes=len(wanted.classes),
        schema=wanted,
        model=model,
        shard=lambda number: public().shard(number, settings, seed=seed),
        size=lambda number: public().size(number, settings, seed=seed),
        test=lambda: public().test(),
        own=settings.source == "own",
        test_file=settings.test,
    )


@functools.cache
def built_in(source: str) -> tuple[schema.Features, partition.Public]:
    """One of scikit-learn's tables: its schema, and its rows."""
    bunch: Any = getattr(datasets, f"load_{source}")()
    wanted = _features(
        tuple(map(str, bunch.feature_names)),
        "class",
        tuple(map(str, bunch.target_names)),
        tuple(bunch.data.mean(axis=0).tolist()),
        tuple(bunch.data.std(axis=0).tolist()),
    )
    inputs, labels = wanted.inputs(bunch.data), torch.from_numpy(bunch.target.astype(np.int64))
    columns = {name: inputs[:, number] for number, name in enumerate(wanted.columns)}
    return wanted, partition.Public(inputs=inputs, labels=labels, tests=len(labels) // TESTED, columns=columns)


def _own(settings: taskplan.TablePlan) -> schema.Features:
    return _features(settings.columns, settings.label, settings.classes, settings.centre, settings.spread)


def _features(
    columns: tuple[str, ...],
    label: str,
    classes: tuple[str, ...],
    centre: tuple[float, ...],
    spread: tuple[float, ...],
) -> schema.Features:
    return schema.Features(
        columns=columns,
        label=label,
        classes=classes,
        low=-schema.LARGEST,
        high=schema.LARGEST,
        centre=centre,
        spread=spread,
        shape=(len(columns),),
        picture=None,
    )

"""How a run's costs grow: with its holders, a tenth of them a round, and with the parameters of its model, two holders a round.

Everything is on, in one process: sealing, store, ledger, mean, credit by `gram`. Of each size, in a process of its own:

    cpu_seconds, wall_seconds    of a round, a mean over those after the first
    start_seconds, start_cpu     from the beginning of the process to the opening of the first round: keys, enrolments, model
    peak_mib                     of its memory

and over the sizes of an axis, for each: `exponent` and `r2` of cost = c size^exponent, by least squares of the logarithms, and
`exponent_last`, the slope between the two greatest sizes, where constant costs hide least.
"""

import dataclasses
import itertools
import multiprocessing
import os
import resource
import tempfile
import time
from collections.abc import Callable, Mapping, Sequence
from concurrent import futures

import numpy as np
import torch
from rich.console import Console

from benchmarks import clock, report
from orchestrator import config, progress
from orchestrator import run as main_job

FIXED = ("task=synthetic", "attack=none", "rule=mean", "rule.byzantine=0", "credit=gram", "credit.screened=false")
FEATURES, CLASSES = 2000, 10
SHARE = 10
"""Of the holders, one in so many is asked each round."""


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Config:
    """What to measure.

    Attributes:
        holders: numbers of them, ascending, at about a thousand parameters.
        parameters: numbers of them, ascending, about.
        rounds: of each run, two or more; the first is warm-up.
        repeats: of each run.
    """

    holders: tuple[int, ...] = (10, 100, 1_000, 10_000)
    parameters: tuple[int, ...] = (100_000, 1_000_000, 10_000_000, 100_000_000)
    rounds: int = 3
    repeats: int = 1


QUICK = Config(holders=(10, 100), parameters=(100_000, 1_000_000), rounds=2)


def run(wanted: Config, say: Callable[[str], None]) -> report.Report:
    """Costs at each size, and the laws by which they grow."""
    load = os.getloadavg()[0]
    values: dict[str, list[float]] = {}
    for repeat in range(wanted.repeats):
        for axis, sizes in (("holders", wanted.holders), ("parameters", wanted.parameters)):
            taken = []
            for size in sizes:
                say(f"{size:,} {axis}, turn {repeat + 1} of {wanted.repeats}")
                taken.append(_apart(overrides(axis, size, wanted.rounds)))
            found = {
                f"{axis}.{size}.{name}": v for size, each in zip(sizes, taken, strict=True) for name, v in each.items()
            }
            for name in taken[0]:
                told = law(sizes, [each[name] for each in taken])
                found |= {f"{axis}.{name}.{what}": value for what, value in told.items()}
            for name, value in found.items():
                values.setdefault(name, []).append(value)
    return report.make("growth", dataclasses.asdict(wanted), values, load=load)


def overrides(axis: str, size: int, rounds: int) -> list[str]:
    """Of the main job's configuration, for a run of this size."""
    if axis == "holders":
        shape = [
            f"task.holders={size}",
            f"cohort.size={max(1, size // SHARE)}",
            "task.features=100",
            "task.examples=10",
        ]
    else:  # weights and biases of a hidden layer and of the scores
        hidden = max(1, round((size - CLASSES) / (FEATURES + 1 + CLASSES)))
        shape = [
            "task.holders=4",
            "cohort.size=2",
            f"task.features={FEATURES}",
            f"task.hidden={hidden}",
            "task.examples=10",
        ]
    return [*FIXED, *shape, "task.tests=10", f"task.classes={CLASSES}", f"rounds={rounds}", "pool=inprocess"]


def law(sizes: Sequence[int], costs: Sequence[float]) -> dict[str, float]:
    """Exponent and fit of cost = c size^exponent, and the exponent between the last two sizes.

    Args:
        sizes: two or more, ascending.
        costs: greater than zero.
    """
    x, y = np.log(np.array(sizes, dtype=float)), np.log(np.maximum(np.array(costs, dtype=float), 1e-9))
    exponent, constant = np.polyfit(x, y, 1)
    spread = float(((y - y.mean()) ** 2).sum())
    left = float(((y - (exponent * x + constant)) ** 2).sum())
    return {
        "exponent": float(exponent),
        "r2": 1 - left / spread if spread else 1.0,
        "exponent_last": float((y[-1] - y[-2]) / (x[-1] - x[-2])),
    }


def _apart(chosen: list[str]) -> Mapping[str, float]:
    with futures.ProcessPoolExecutor(1, mp_context=multiprocessing.get_context("spawn")) as process:
        return process.submit(measured, chosen).result()


class _Opening(clock.Clock):
    """A clock that notes when the first round opened too."""

    start: tuple[float, float] | None = None

    def opened(self, number: int, total: int) -> None:  # noqa: ARG002  a listener's signature
        """Note it once."""
        self.start = self.start or (time.process_time(), clock.age())


def measured(chosen: list[str]) -> dict[str, float]:
    """Costs of one run, taken in this process."""
    torch.set_num_threads(1)
    ticks = _Opening()
    with tempfile.TemporaryDirectory(prefix="folkmoot-bench-") as folder:
        made = config.compose([*chosen, f"dir={folder}/run"])
        with progress.Progress(Console(quiet=True), {}) as show:
            main_job.execute(made, show, [ticks])
    start_cpu, start = ticks.start or (0.0, 0.0)
    steps = [(b[0] - a[0], b[1] - a[1]) for a, b in itertools.pairwise(ticks.marks)]
    cpu, wall = np.mean(steps, axis=0).tolist()
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    return {"cpu_seconds": cpu, "wall_seconds": wall, "start_seconds": start, "start_cpu": start_cpu, "peak_mib": peak}

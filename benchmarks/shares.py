"""What sealing, store, ledger and aggregation take of a round's CPU seconds, by the size of the model.

    m25      task=transformer_medium    25.5 million parameters
    m125     task=transformer_125m     125.9 million

Three holders, two rounds, everything on and in one process; a holder trains one minibatch of 1,024 (256) bytes a round, so that
a share can be worked out for any number of them: with s the CPU seconds of a step and b those of a holder's update beside its
training, the share of a round of n steps a holder is b / (b + n s). `steps_for_a_tenth` is the n from which it is at most a
tenth. What a process does once, in the first round, is left out.
"""

import dataclasses
import json
import multiprocessing
import os
import resource
import tempfile
from collections.abc import Callable
from concurrent import futures
from pathlib import Path

import torch
from rich.console import Console

from benchmarks import clock, report
from orchestrator import config, progress
from orchestrator import run as main_job

TENTH = 0.1
WARM = 1
PARTS = ("admit", "train", "encode", "seal", "ledger", "publish", "aggregate")
"""Phases of a round, but for judging its model."""
FIXED = (
    *("attack=none", "rule=median", "rule.byzantine=1", "pool=inprocess", "rounds=2", "task.holders=3", "task.tests=1"),
    *("task.batches=1", "task.momentum=0", "task.learning_rate=0.05"),
)


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Workload:
    """What is trained.

    Attributes:
        name: in the metrics.
        task: of the configuration.
        batch: examples of 256 bytes in a holder's one minibatch.
    """

    name: str
    task: str
    batch: int


M25 = Workload(name="m25", task="transformer_medium", batch=4)
M125 = Workload(name="m125", task="transformer_125m", batch=1)


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Config:
    """What to measure.

    Attributes:
        workloads: each of them.
        repeats: turns of each.
    """

    workloads: tuple[Workload, ...] = (M25, M125)
    repeats: int = 5


QUICK = Config(workloads=(M25,), repeats=1)


def run(wanted: Config, say: Callable[[str], None]) -> report.Report:
    """CPU seconds a round of each part, the share of all but the training, and peak memory in MiB."""
    load, values = os.getloadavg()[0], dict[str, list[float]]()
    for repeat in range(wanted.repeats):
        for workload in wanted.workloads:
            say(f"{workload.name}, turn {repeat + 1} of {wanted.repeats}")
            # Its memory is its own, and nothing is warm from another.
            with futures.ProcessPoolExecutor(1, mp_context=multiprocessing.get_context("spawn")) as process:
                for name, value in process.submit(measured, workload).result().items():
                    values.setdefault(f"{workload.name}.{name}", []).append(value)
    return report.make("shares", dataclasses.asdict(wanted), values, load=load)


def measured(workload: Workload) -> dict[str, float]:
    """Figures of one workload, taken in this process."""
    torch.set_num_threads(1)
    ticks = clock.Clock()
    with tempfile.TemporaryDirectory() as folder:
        chosen = config.compose(
            [
                f"task={workload.task}",
                f"task.batch={workload.batch}",
                *FIXED,
                "credit.screened=false",
                f"dir={folder}/run",
            ]
        )
        with progress.Progress(Console(quiet=True), {}) as show:
            _, where = main_job.execute(chosen, show, [ticks])
        last = json.loads((Path(where) / "metrics.jsonl").read_text().splitlines()[-1])["cpu_seconds"]
    ticks.marks = ticks.marks[WARM - 1 :]
    spent = ticks.per_round()[0] - last["evaluate"]
    beside = spent - last["train"]
    return {f"{phase}.cpu_seconds": float(last.get(phase, 0.0)) for phase in PARTS} | {
        "cpu_seconds": spent,
        "beside_training": beside / spent,
        "steps_for_a_tenth": beside * (1 / TENTH - 1) / last["train"],
        "peak_mib": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024,
    }

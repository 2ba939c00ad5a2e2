"""What a round costs beside its training: the main job, everything on, against a plain FedAvg loop on the same data.

The floor does the same local SGD with `torch.optim` and averages in place: no sealing, no store, no ledger, no robust rule.
Both run in one process with one torch thread, interleaved; a figure is the median over repetitions of the mean over rounds
after the first.
"""

import dataclasses
import os
import tempfile
import time
from collections.abc import Callable

import numpy as np
import torch
from rich.console import Console

from benchmarks import report
from client import seeds, task, training
from client.tasks import catalogue
from orchestrator import config, founding, listener, progress
from orchestrator import run as main_job


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Config:
    """What to measure.

    Attributes:
        rounds: of each repetition, two or more; the first is warm-up.
        repeats: of both systems.
    """

    rounds: int = 10
    repeats: int = 5


def run(wanted: Config, progress_of: Callable[[int], None]) -> report.Report:
    """CPU and wall seconds a round of the floor and of folkmoot, and their ratio."""
    load = os.getloadavg()[0]
    torch.set_num_threads(1)
    values: dict[str, list[float]] = {}
    for repeat in range(wanted.repeats):
        floor, ours = _floor(wanted.rounds), _folkmoot(wanted.rounds)
        for name, (cpu, wall) in (("floor", floor), ("folkmoot", ours)):
            values.setdefault(f"{name}.cpu_seconds", []).append(cpu)
            values.setdefault(f"{name}.wall_seconds", []).append(wall)
        values.setdefault("ratio.cpu", []).append(ours[0] / floor[0])
        progress_of(repeat + 1)
    return report.make("rounds", dataclasses.asdict(wanted), values, load=load)


class Clock:
    """A listener that notes CPU and wall time at each commit."""

    def __init__(self) -> None:
        self.marks: list[tuple[float, float]] = []

    def opened(self, number: int, total: int) -> None:
        """Nothing to note."""

    def answered(self, reply: object) -> None:
        """Nothing to note."""

    def committed(self, report: listener.RoundReport) -> None:  # noqa: ARG002  a listener's signature
        """Note the time."""
        self.mark()

    def mark(self) -> None:
        """Note the time."""
        self.marks.append((time.process_time(), time.perf_counter()))

    def per_round(self) -> tuple[float, float]:
        """CPU and wall seconds between the first mark and the last, by round."""
        (cpu, wall), (last_cpu, last_wall) = self.marks[0], self.marks[-1]
        rounds = len(self.marks) - 1
        return (last_cpu - cpu) / rounds, (last_wall - wall) / rounds


def _folkmoot(rounds: int) -> tuple[float, float]:
    clock = Clock()
    with tempfile.TemporaryDirectory() as folder:
        chosen = config.compose([f"rounds={rounds}", "pool=inprocess", f"dir={folder}/run", "attack=none"])
        with progress.Progress(Console(quiet=True), {}) as show:
            main_job.execute(chosen, show, [clock])
    return clock.per_round()


def _floor(rounds: int) -> tuple[float, float]:
    plan = config.compose(["attack=none"]).plan
    made = catalogue.load(plan.task, seed=plan.seed)
    weights = training.initial(made, seed=plan.seed)
    shards = [made.shard(number) for number in range(plan.task.holders)]
    model, clock = made.model(), Clock()
    for number in range(1, rounds + 1):
        total = torch.zeros_like(weights)
        for member, examples in zip(founding.member_names(len(shards)), shards, strict=True):
            batches = seeds.generator(plan.seed, round_number=number, member=member, purpose="batches")
            torch.nn.utils.vector_to_parameters(weights.clone(), model.parameters())
            optimizer = torch.optim.SGD(model.parameters(), lr=plan.task.learning_rate, momentum=plan.task.momentum)
            _train(model, optimizer, examples, plan.task.epochs, plan.task.batch, batches)
            total += torch.nn.utils.parameters_to_vector(model.parameters()).detach() - weights
        weights = weights + total / len(shards)
        clock.mark()
    return clock.per_round()


def _train(
    model: torch.nn.Module,
    optimizer: torch.optim.Optimizer,
    examples: task.Examples,
    epochs: int,
    batch: int,
    batches: np.random.Generator,
) -> None:
    for _ in range(epochs):
        order = torch.from_numpy(batches.permutation(len(examples)))
        for rows in torch.split(order, batch):
            optimizer.zero_grad()
            loss = torch.nn.functional.cross_entropy(model(examples.inputs[rows]), examples.labels[rows])
            loss.backward()  # type: ignore[no-untyped-call]
            optimizer.step()

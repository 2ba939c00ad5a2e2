"""What a round costs beside its training: the main job, everything on, against a plain FedAvg loop on the same data.

The floor does the same local SGD with `torch.optim` and averages in place: no sealing, no store, no ledger, no robust rule.
Both run in one process with one torch thread, interleaved; a figure is the median over repetitions of the mean over rounds
after the first. Then the same rounds with holders over a network, beside rounds in one process (`network`).
"""

import dataclasses
import os
import tempfile
from collections.abc import Callable

import numpy as np
import torch
from rich.console import Console

from benchmarks import clock, network, report
from client import seeds, task, training
from client.tasks import catalogue
from orchestrator import config, founding, progress
from orchestrator import run as main_job


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Config:
    """What to measure.

    Attributes:
        rounds: of each repetition, two or more; the first is warm-up.
        repeats: of both systems.
        cases: of the way over a network.
        network_rounds: of each case; the first is warm-up.
    """

    rounds: int = 10
    repeats: int = 5
    cases: tuple[network.Case, ...] = (
        network.Case(holders=10, hidden=64),
        network.Case(holders=100, hidden=64),
        network.Case(holders=10, hidden=8192),
    )
    network_rounds: int = 7


QUICK = Config(rounds=5, repeats=2, cases=(network.Case(holders=2, hidden=64),), network_rounds=3)


def run(wanted: Config, say: Callable[[str], None]) -> report.Report:
    """CPU and wall seconds a round of the floor and of folkmoot, and their ratio; then over a network."""
    load = os.getloadavg()[0]
    torch.set_num_threads(1)
    values: dict[str, list[float]] = {}
    for repeat in range(wanted.repeats):
        floor, ours = _floor(wanted.rounds), _folkmoot(wanted.rounds)
        for name, (cpu, wall) in (("floor", floor), ("folkmoot", ours)):
            values.setdefault(f"{name}.cpu_seconds", []).append(cpu)
            values.setdefault(f"{name}.wall_seconds", []).append(wall)
        values.setdefault("ratio.cpu", []).append(ours[0] / floor[0])
        say(f"repetition {repeat + 1} of {wanted.repeats} done")
    for case in wanted.cases:
        say(f"{case.holders} holders over HTTP, {case.hidden} hidden units")
        values |= network.measure(case, wanted.network_rounds)
    return report.make("rounds", dataclasses.asdict(wanted), values, load=load)


def _folkmoot(rounds: int) -> tuple[float, float]:
    ticks = clock.Clock()
    with tempfile.TemporaryDirectory() as folder:
        chosen = config.compose([f"rounds={rounds}", "pool=inprocess", f"dir={folder}/run", "attack=none"])
        with progress.Progress(Console(quiet=True), {}) as show:
            main_job.execute(chosen, show, [ticks])
    return ticks.per_round()


def _floor(rounds: int) -> tuple[float, float]:
    plan = config.compose(["attack=none"]).plan
    made = catalogue.load(plan.task, seed=plan.seed)
    weights = training.initial(made, seed=plan.seed)
    shards = [made.shard(number) for number in range(plan.task.holders)]
    model, ticks = made.model(), clock.Clock()
    for number in range(1, rounds + 1):
        total = torch.zeros_like(weights)
        for member, examples in zip(founding.member_names(len(shards)), shards, strict=True):
            batches = seeds.generator(plan.seed, round_number=number, member=member, purpose="batches")
            torch.nn.utils.vector_to_parameters(weights.clone(), model.parameters())
            optimizer = torch.optim.SGD(model.parameters(), lr=plan.task.learning_rate, momentum=plan.task.momentum)
            _train(model, optimizer, examples, plan.task.epochs, plan.task.batch, batches)
            total += torch.nn.utils.parameters_to_vector(model.parameters()).detach() - weights
        weights = weights + total / len(shards)
        ticks.mark()
    return ticks.per_round()


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

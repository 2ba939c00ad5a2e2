"""What a round costs beside its training: two workloads, from a plain loop to everything on, each system in its own process.

    loop         plain FedAvg: torch.optim.SGD, holder by holder, averaged in place
    alone        our training, holder by holder: no sealing, store, ledger or rule
    together     the same with holders side by side, where their model is small enough
    everything   the main job in one process: sealing, store, ledger, a robust rule
    ray          the main job on two workers, for its wall time

W1 is 100 holders of 100 examples, 10 a round, on the network of McMahan et al.; W2 1,000 holders of 50, 100 a round, logistic
regression: one epoch, minibatches of 10. Systems take turns; a figure is the median over turns of the mean over a turn's last
rounds. Judging models on the test set is left out of all of them, for credit too (which is `gram`): the plain loop does not do
it, and what credit costs `folkmoot bench credit` measures. Equal work shows as equal loss: `loop`, `alone` and `together` train
the same cohorts, and end with the same loss on the test set but for roundings.
"""

import dataclasses
import json
import multiprocessing
import os
import resource
import tempfile
from collections.abc import Callable, Mapping
from concurrent import futures
from pathlib import Path

import numpy as np
import torch
from rich.console import Console
from torch.nn import functional

from benchmarks import clock, report
from client import groups, seeds, task, taskplan, training, vectorized
from client.tasks import catalogue
from orchestrator import config, progress
from orchestrator import run as main_job

SYSTEMS = ("loop", "alone", "together", "everything", "ray")
PARTS = ("admit", "train", "encode", "seal", "ledger", "publish", "aggregate")
"""Phases of a round, but for judging its model."""


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Workload:
    """What is trained.

    Attributes:
        name: in the metrics.
        overrides: of the main job's configuration.
        cohort: holders a round.
        rounds: of a turn.
        warm: of these, rounds before those that are measured: each holder reads its key and its data when first asked.
    """

    name: str
    overrides: tuple[str, ...]
    cohort: int
    rounds: int
    warm: int


W1 = Workload(
    name="w1",
    overrides=("task.holders=100", "task.examples=100", "task.channels=32", "task.hidden=512"),
    cohort=10,
    rounds=10,
    warm=2,
)
W2 = Workload(name="w2", overrides=("task.holders=1000", "task.examples=50"), cohort=100, rounds=40, warm=30)


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Config:
    """What to measure.

    Attributes:
        workloads: each of them.
        systems: of SYSTEMS.
        repeats: turns of each system.
    """

    workloads: tuple[Workload, ...] = (W1, W2)
    systems: tuple[str, ...] = SYSTEMS
    repeats: int = 5


QUICK = Config(
    workloads=(dataclasses.replace(W1, rounds=3, warm=1), dataclasses.replace(W2, rounds=4, warm=2)),
    systems=SYSTEMS[:4],
    repeats=2,
)


def run(wanted: Config, say: Callable[[str], None]) -> report.Report:
    """CPU and wall seconds a round, peak memory and final loss of every system, and their ratios to the plain loop's."""
    load = os.getloadavg()[0]
    values: dict[str, list[float]] = {}
    for repeat in range(wanted.repeats):
        for load_of in wanted.workloads:
            taken: dict[str, Mapping[str, float]] = {}
            for system in wanted.systems:
                say(f"{load_of.name} {system}, turn {repeat + 1} of {wanted.repeats}")
                taken[system] = _apart(system, load_of)
                for name, value in taken[system].items():
                    values.setdefault(f"{load_of.name}.{system}.{name}", []).append(value)
            for system, found in taken.items():
                for name in ("cpu_seconds", "wall_seconds"):
                    if system != "loop" and name in found:
                        ratio = found[name] / taken["loop"][name]
                        values.setdefault(f"{load_of.name}.{system}.{name}.ratio", []).append(ratio)
    return report.make("training", dataclasses.asdict(wanted), values, load=load)


def _apart(system: str, workload: Workload) -> Mapping[str, float]:
    """The figures of one turn, in a process of its own: its memory is the system's alone, and nothing is warm from another."""
    with futures.ProcessPoolExecutor(1, mp_context=multiprocessing.get_context("spawn")) as process:
        return process.submit(measured, system, workload).result()


def measured(system: str, workload: Workload) -> dict[str, float]:
    """Figures of one system on one workload, taken in this process."""
    torch.set_num_threads(1)
    found = _job(system, workload) if system in {"everything", "ray"} else _bare(system, workload)
    return found | {"peak_mib": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024}


def _job(system: str, workload: Workload) -> dict[str, float]:
    ticks = clock.Clock()
    pool = ("pool=ray", "pool.workers=2") if system == "ray" else ("pool=inprocess",)
    with tempfile.TemporaryDirectory() as folder:
        chosen = config.compose([*_overrides(workload), *pool, f"dir={folder}/run"])
        with progress.Progress(Console(quiet=True), {}) as show:
            ended, where = main_job.execute(chosen, show, [ticks])
        lines = [json.loads(line) for line in (Path(where) / "metrics.jsonl").read_text().splitlines()]
    ticks.marks = ticks.marks[workload.warm - 1 :]
    cpu, wall = ticks.per_round()
    lines = lines[workload.warm :]
    judged = {unit: float(np.mean([line[unit]["evaluate"] for line in lines])) for unit in ("cpu_seconds", "seconds")}
    found = {"wall_seconds": wall - judged["seconds"], "loss": ended.loss[-1]}
    for phase in PARTS:
        found[f"{phase}.cpu_seconds"] = float(np.mean([line["cpu_seconds"].get(phase, 0.0) for line in lines]))
    if system == "everything":  # elsewhere most of it is that of other processes
        spent = cpu - judged["cpu_seconds"]
        beside = 1 - found["train.cpu_seconds"] / spent
        found |= {"cpu_seconds": spent, "beside_training": beside}
    return found


def _bare(system: str, workload: Workload) -> dict[str, float]:
    plan = config.compose(_overrides(workload)).plan
    settings = plan.task
    made = catalogue.load(settings, seed=plan.seed)
    model = training.FlatModel(made.model(), torch.device("cpu"))
    weights = training.initial(made, seed=plan.seed)
    draw, ticks = np.random.default_rng(77), clock.Clock()
    shards: dict[int, task.Examples] = {}
    for number in range(1, workload.rounds + 1):
        cohort = sorted(draw.choice(settings.holders, workload.cohort, replace=False).tolist())
        shards |= {holder: made.shard(holder) for holder in cohort if holder not in shards}
        batches = [_order(plan.seed, number, holder) for holder in cohort]
        ticks.mark()
        total = TRAINED[system](model, weights, [shards[holder] for holder in cohort], settings, batches)
        weights = weights + total / len(cohort)
        ticks.mark()
    spent = [(after[0] - before[0], after[1] - before[1]) for before, after in _pairs(ticks.marks)[workload.warm :]]
    cpu, wall = np.mean(spent, axis=0).tolist()
    judged = training.evaluate(training.FlatModel(made.model(), torch.device("cpu")), weights, made.test())
    return {"cpu_seconds": cpu, "wall_seconds": wall, "loss": judged.loss}


def _pairs(marks: list[tuple[float, float]]) -> list[tuple[tuple[float, float], tuple[float, float]]]:
    return list(zip(marks[::2], marks[1::2], strict=True))


def _loop(
    model: training.FlatModel,
    weights: torch.Tensor,
    holders: list[task.Examples],
    settings: taskplan.TaskPlan,
    batches: list[np.random.Generator],
) -> torch.Tensor:
    """The plain loop; its model is as any user of torch would write it."""
    module = model.module
    total = torch.zeros_like(weights)
    for examples, draw in zip(holders, batches, strict=True):
        torch.nn.utils.vector_to_parameters(weights.clone(), module.parameters())
        optimizer = torch.optim.SGD(module.parameters(), lr=settings.learning_rate, momentum=settings.momentum)
        for _ in range(settings.epochs):
            for rows in torch.split(torch.from_numpy(draw.permutation(len(examples))), settings.batch):
                optimizer.zero_grad()
                functional.cross_entropy(module(examples.inputs[rows]), examples.labels[rows]).backward()  # type: ignore[no-untyped-call]
                optimizer.step()
        total += torch.nn.utils.parameters_to_vector(module.parameters()).detach() - weights
    return total


def _alone(
    model: training.FlatModel,
    weights: torch.Tensor,
    holders: list[task.Examples],
    settings: taskplan.TaskPlan,
    batches: list[np.random.Generator],
) -> torch.Tensor:
    total = torch.zeros_like(weights)
    for examples, draw in zip(holders, batches, strict=True):
        total += training.train(model, weights, examples, settings, draw).delta
    return total


def _together(
    model: training.FlatModel,
    weights: torch.Tensor,
    holders: list[task.Examples],
    settings: taskplan.TaskPlan,
    batches: list[np.random.Generator],
) -> torch.Tensor:
    most = groups.most(model.module, groups.AUTO)
    if most == 1:
        return _alone(model, weights, holders, settings, batches)
    names = tuple(map(str, range(len(holders))))
    total = torch.zeros_like(weights)
    for group in groups.divide(names, names, lambda name: len(holders[int(name)]), alone=(), most=most):
        rows = [int(name) for name in group.members]
        mine = [holders[row] for row in rows], [batches[row] for row in rows]
        for each in vectorized.train(model, weights, mine[0], settings, mine[1]):
            total += each.delta
    return total


TRAINED = {"loop": _loop, "alone": _alone, "together": _together}


def _order(seed: int, number: int, holder: int) -> np.random.Generator:
    return seeds.generator(seed, round_number=number, member=str(holder), purpose="batches")


def _overrides(workload: Workload) -> list[str]:
    fixed = ["task=synthetic", "attack=none", "rule=median", "rule.byzantine=2", "credit=gram", "credit.screened=false"]
    return [*fixed, *workload.overrides, f"cohort.size={workload.cohort}", f"rounds={workload.rounds}"]

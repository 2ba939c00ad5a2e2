"""What a round costs beside its training: two workloads, from a plain loop to everything on, each system in its own process.

    loop         plain FedAvg: torch.optim.SGD, holder by holder, averaged in place
    alone        our training, holder by holder: no sealing, store, ledger or rule
    together     the same with holders side by side, where their model is small enough
    everything   the main job in one process: sealing, store, ledger, a robust rule
    ray          the main job on two workers, for its wall time
    pfl, flower  other simulators' own rounds, of W2 alone, each in an environment of its own (`training_peers`)

W1 is 100 holders of 100 examples, 10 a round, on the network of McMahan et al.; W2 1,000 holders of 50, 100 a round, logistic
regression: one epoch, minibatches of 10. Systems take turns; a figure is the median over turns of the mean over a turn's last
rounds. Judging models on the test set is left out of all of them, for credit too (which is `gram`): the plain loop does not do
it, and what credit costs `folkmoot bench credit` measures. Equal work shows as equal loss: `loop`, `alone` and `together` train
the same cohorts, and end with the same loss on the test set but for roundings; `early_loss` is that after the rounds that peers
are given, and theirs. `start_seconds` go from the beginning of a process to the end of its first round.
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

from benchmarks import clock, drawn, errors, report, training_peers
from client import groups, task, taskplan, training, vectorized
from client.tasks import catalogue
from orchestrator import config, progress
from orchestrator import run as main_job

SYSTEMS = ("loop", "alone", "together", "everything", "ray")
FIXED = ("task=synthetic", "attack=none", "rule=median", "rule.byzantine=2", "credit=gram", "credit.screened=false")
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
        early: of these, rounds that peers are given; 0 for no peers.
    """

    name: str
    overrides: tuple[str, ...]
    cohort: int
    rounds: int
    warm: int
    early: int = 0


W1 = Workload(
    name="w1",
    overrides=("task.holders=100", "task.examples=100", "task.channels=32", "task.hidden=512"),
    cohort=10,
    rounds=10,
    warm=2,
)
W2 = Workload(name="w2", overrides=("task.holders=1000", "task.examples=50"), cohort=100, rounds=40, warm=30, early=10)


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Config:
    """What to measure.

    Attributes:
        workloads: each of them.
        systems: of SYSTEMS.
        peers: of those of `training_peers`.
        repeats: turns of each system.
    """

    workloads: tuple[Workload, ...] = (W1, W2)
    systems: tuple[str, ...] = SYSTEMS
    peers: tuple[str, ...] = tuple(training_peers.ENVIRONMENTS)
    repeats: int = 5


QUICK = Config(
    workloads=(dataclasses.replace(W1, rounds=3, warm=1), dataclasses.replace(W2, rounds=4, warm=2, early=0)),
    systems=SYSTEMS[:4],
    peers=(),
    repeats=2,
)


def run(wanted: Config, say: Callable[[str], None]) -> report.Report:
    """Figures of every system, and ratios to the plain loop's; a peer that fails is left out, and `left_out` says why."""
    load = os.getloadavg()[0]
    values: dict[str, list[float]] = {}
    missing: dict[str, str] = {}
    for repeat in range(wanted.repeats):
        for load_of in wanted.workloads:
            taken: dict[str, Mapping[str, float]] = {}
            for system in wanted.systems:
                say(f"{load_of.name} {system}, turn {repeat + 1} of {wanted.repeats}")
                taken[system] = _apart(system, load_of)
            found = training_peers.named(load_of.name, taken)
            for peer in (each for each in wanted.peers if load_of.early and each not in missing):
                say(f"{load_of.name} {peer}, turn {repeat + 1} of {wanted.repeats}; at first its environment is set up")
                try:
                    theirs = training_peers.measured(peer, _overrides(load_of), load_of.cohort, load_of.early)
                except errors.PeerError as error:
                    missing[peer] = str(error)
                    continue
                found |= training_peers.beside(load_of.name, peer, theirs, taken)
            for name, value in found.items():
                values.setdefault(name, []).append(value)
    return report.make("training", dataclasses.asdict(wanted) | {"left_out": missing}, values, load=load)


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
    found = {"wall_seconds": wall - judged["seconds"], "loss": ended.loss[-1], "start_seconds": ticks.ages[0]}
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
    weights = early = training.initial(made, seed=plan.seed)
    ticks = clock.Clock()
    shards: dict[int, task.Examples] = {}
    for number, cohort in enumerate(drawn.cohorts(settings.holders, workload.cohort, workload.rounds), 1):
        shards |= {holder: made.shard(holder) for holder in cohort if holder not in shards}
        batches = [drawn.order(plan.seed, number, holder) for holder in cohort]
        ticks.mark()
        total = TRAINED[system](model, weights, [shards[holder] for holder in cohort], settings, batches)
        weights = weights + total / len(cohort)
        ticks.mark()
        early = weights if number == workload.early else early
    spent = [(after[0] - before[0], after[1] - before[1]) for before, after in _pairs(ticks.marks)[workload.warm :]]
    cpu, wall = np.mean(spent, axis=0).tolist()
    found = {"cpu_seconds": cpu, "wall_seconds": wall, "start_seconds": ticks.ages[1]}
    judged = {"loss": weights} | ({"early_loss": early} if workload.early else {})
    model = training.FlatModel(made.model(), torch.device("cpu"))  # the plain loop's is none any more
    return found | {name: training.evaluate(model, each, made.test()).loss for name, each in judged.items()}


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


def _overrides(workload: Workload) -> list[str]:
    return [*FIXED, *workload.overrides, f"cohort.size={workload.cohort}", f"rounds={workload.rounds}"]

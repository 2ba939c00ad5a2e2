"""The rounds of `benchmarks.training` on other simulators: pfl 0.6 and Flower's engine, each in an environment of its own.

They are given the same examples, cohorts, orders and first weights, of logistic regression, as arrays in a folder: equal work
shows as equal loss. pfl runs in one process, as `alone` does; Flower's engine has two actors of one CPU, as `ray` has workers.
"""

import json
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks import drawn, errors, peers
from client import plan, training
from client.tasks import catalogue
from orchestrator import config

SCRIPTS = Path(__file__).parent / "peer_speed"
ENVIRONMENTS: Mapping[str, str] = {"pfl": "pfl", "flower": "engine"}
"""Peer by system."""
WARM = 2
"""Of their rounds, those that are not measured: processes start, examples are first read."""
WORKERS = 2
UNITS = ("wall_seconds", "cpu_seconds")


def write(folder: Path, agreed: plan.Plan, cohort: int, rounds: int) -> None:
    """The work of the first rounds, as `peer_speed/work.py` reads it.

    Raises:
        PeerError: it is not one epoch of logistic regression on as many examples each, which is what the scripts do.
    """
    settings: Any = agreed.task
    made = catalogue.load(settings, seed=agreed.seed)
    shards = [made.shard(holder) for holder in range(settings.holders)]
    named = dict(made.model().named_parameters())
    if settings.epochs != 1 or settings.batches or len({len(each) for each in shards}) > 1 or len(named) != 2:
        raise errors.PeerError("peers train one epoch of logistic regression, on as many examples each")
    whole = drawn.cohorts(settings.holders, cohort, rounds)
    orders = [
        [drawn.order(agreed.seed, number, holder).permutation(len(shards[holder])) for holder in each]
        for number, each in enumerate(whole, 1)
    ]
    classes, features = next(iter(named.values())).shape
    start, tests = training.initial(made, seed=agreed.seed).numpy(), made.test()
    arrays = {
        "inputs": np.stack([each.inputs.numpy() for each in shards]),
        "labels": np.stack([each.labels.numpy() for each in shards]),
        "cohorts": np.array(whole),
        "orders": np.array(orders),
        "weights": start[: classes * features].reshape(classes, features),
        "biases": start[classes * features :],
        "tests": tests.inputs.numpy(),
        "classes": tests.labels.numpy(),
    }
    for name, array in arrays.items():
        np.save(folder / f"{name}.npy", array)
    told = {"batch": settings.batch, "learning_rate": settings.learning_rate, "momentum": settings.momentum}
    (folder / "settings.json").write_text(json.dumps(told))


def measured(system: str, overrides: Sequence[str], cohort: int, rounds: int) -> dict[str, float]:
    """Figures of a peer on the first rounds of the run that `overrides` make, in processes of its own.

    Raises:
        PeerError: it cannot be installed, or fails; the message ends with what it said.
    """
    with tempfile.TemporaryDirectory(prefix="folkmoot-bench-") as folder:
        write(Path(folder), config.compose(overrides).plan, cohort, rounds)
        request = {"folder": folder, "warm": WARM, "workers": WORKERS}
        return peers.timed(SCRIPTS / f"{system}_rounds.py", request, peer=ENVIRONMENTS[system])


def named(workload: str, taken: Mapping[str, Mapping[str, float]]) -> dict[str, float]:
    """The figures of a turn by metric, seconds also as ratios to the plain loop's."""
    found = {f"{workload}.{system}.{name}": value for system, each in taken.items() for name, value in each.items()}
    for system, each in taken.items():
        for name in UNITS:
            if system != "loop" and "loop" in taken and name in each:
                found[f"{workload}.{system}.{name}.ratio"] = each[name] / taken["loop"][name]
    return found


def beside(
    workload: str, peer: str, theirs: Mapping[str, float], ours: Mapping[str, Mapping[str, float]]
) -> dict[str, float]:
    """A peer's figures in a turn by metric, and how many times each of our systems' seconds its seconds are."""
    loop = {"loop": ours["loop"]} if "loop" in ours else {}
    found = named(workload, loop | {peer: theirs})
    for system, mine in ours.items():
        for name in UNITS:
            if name in mine:
                found[f"{workload}.{peer}.{name}.over_{system}"] = theirs[name] / mine[name]
    return found

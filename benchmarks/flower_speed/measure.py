"""Rounds of one system, timed in a process of their own: prints JSON. Run by benchmarks.flower, here or where Flower is.

    python measure.py '{"system":"engine","kind":"logreg","clients":100,"sample":10,"rounds":6,"folder":""}'

`loop`: no Flower; `engine`: Flower's simulation engine; `grid`: FolkmootGrid; `grid_full`: the same, sealed and recorded.
"""

import json
import logging
import os
import random
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

os.environ |= {"FLWR_TELEMETRY_ENABLED": "0", "RAY_USAGE_STATS_ENABLED": "0"}
sys.path.insert(0, str(Path(__file__).parent))

import app
import clock
import torch
from flwr.app import ArrayRecord, ConfigRecord, Context
from flwr.serverapp import ServerApp
from flwr.serverapp.strategy import FedAvg

WARM = 1
"""Rounds that are not counted: processes start, files are made."""


Measured = tuple[list[tuple[float, float]], float]
"""CPU and wall seconds at the beginning of each round, and the greatest memory in MB."""


class Marked(FedAvg):
    """FedAvg that notes when each round begins."""

    def __init__(self, wanted: dict[str, Any]) -> None:
        share = wanted["sample"] / wanted["clients"]
        super().__init__(fraction_train=share, fraction_evaluate=0.0, min_available_nodes=wanted["clients"])
        self.marks: list[tuple[float, float]] = []
        self.peak = 0.0

    def configure_train(self, *arguments: Any, **named: Any) -> Any:
        """As FedAvg."""
        self.marks.append(clock.now())
        return super().configure_train(*arguments, **named)

    def lead(self, grid: Any, wanted: dict[str, Any]) -> None:
        """All rounds, and one more that only ends the last."""
        torch.manual_seed(0)
        start, told = ArrayRecord(app.network(wanted["kind"]).state_dict()), ConfigRecord({"kind": wanted["kind"]})
        self.start(grid=grid, initial_arrays=start, train_config=told, num_rounds=wanted["rounds"] + WARM + 1)
        self.peak = clock.peak()  # while all that was started is there


def loop(wanted: dict[str, Any]) -> Measured:
    """The floor: the same training and a mean, in one process."""
    torch.manual_seed(0)
    state, marks = {name: each.clone() for name, each in app.network(wanted["kind"]).state_dict().items()}, []
    for _ in range(wanted["rounds"] + WARM + 1):
        marks.append(clock.now())
        chosen = random.sample(range(wanted["clients"]), wanted["sample"])
        replies = [app.trained(wanted["kind"], number, state)[0] for number in chosen]
        state = {name: torch.stack([each[name] for each in replies]).mean(0) for name in state}
    return marks, clock.peak()


def engine(wanted: dict[str, Any]) -> Measured:
    """Flower's own."""
    from flwr.simulation import run_simulation

    strategy, server = Marked(wanted), ServerApp()

    @server.main()
    def main(grid: Any, context: Context) -> None:
        strategy.lead(grid, wanted)

    backend = {"client_resources": {"num_cpus": 1}, "init_args": {"num_cpus": wanted["workers"]}}
    run_simulation(server, app.client, num_supernodes=wanted["clients"], backend_config=backend)
    return strategy.marks, strategy.peak


def ours(wanted: dict[str, Any]) -> Measured:
    """FolkmootGrid, in this process or on Ray."""
    from orchestrator import grid

    strategy, path = Marked(wanted), str(Path(__file__).parent / "app.py")
    folder = wanted["folder"] if wanted["system"] == "grid_full" else None
    with grid.FolkmootGrid(
        f"{path}:client", nodes=wanted["clients"], folder=folder, workers=wanted["ours"], server="FedAvg"
    ) as made:
        strategy.lead(made, wanted)
    return strategy.marks, strategy.peak


SYSTEMS: dict[str, Callable[[dict[str, Any]], Measured]] = {
    "engine": engine,
    "grid": ours,
    "grid_full": ours,
    "loop": loop,
}


def main() -> None:
    """Measure what the command line asks for."""
    logging.getLogger("flwr").setLevel(logging.ERROR)
    torch.set_num_threads(1)
    wanted = json.loads(sys.argv[1])
    marks, peak = SYSTEMS[wanted["system"]](wanted)
    (cpu, wall), (last_cpu, last_wall) = marks[WARM], marks[-1]
    rounds = len(marks) - 1 - WARM
    found = {"cpu_seconds": (last_cpu - cpu) / rounds, "wall_seconds": (last_wall - wall) / rounds, "peak_mb": peak}
    print(json.dumps(found))  # noqa: T201  its output


if __name__ == "__main__":
    main()

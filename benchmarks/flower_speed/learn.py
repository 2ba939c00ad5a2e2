"""Strategies of Flower's with the app of examples/flower, one after the other: prints the accuracy that each comes to as JSON.

    python learn.py '{"system":"engine","strategies":["FedAvg","Krum"],"rounds":3,"folder":""}'

`engine`: on Flower's simulation engine, in its environment; `grid`: on FolkmootGrid, sealed, recorded and audited. Run by
benchmarks.strategies.
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
EXAMPLE = Path(__file__).parents[2] / "examples" / "flower"
sys.path.insert(0, str(EXAMPLE))
os.environ["PYTHONPATH"] = os.pathsep.join([str(EXAMPLE), os.environ.get("PYTHONPATH", "")])  # for Ray's workers

import numpy as np
import torch
from digits import client_app, server_app
from flwr.app import ArrayRecord, ConfigRecord, Context
from flwr.serverapp import ServerApp, strategy

CLIENTS = 10
ALL = {"min_train_nodes": CLIENTS, "min_evaluate_nodes": CLIENTS, "min_available_nodes": CLIENTS}
STRATEGIES: dict[str, Callable[[], Any]] = {
    "FedAvg": lambda: strategy.FedAvg(**ALL),
    "FedAdam": lambda: strategy.FedAdam(**ALL),
    "FedProx": lambda: strategy.FedProx(proximal_mu=0.1, **ALL),
    "Krum": lambda: strategy.Krum(num_malicious_nodes=1, **ALL),
    "FedTrimmedAvg": lambda: strategy.FedTrimmedAvg(**ALL),
    "DP": lambda: strategy.DifferentialPrivacyServerSideFixedClipping(strategy.FedAvg(**ALL), 0.01, 5.0, CLIENTS),
}


def accuracy(name: str, over: Any, rounds: int) -> float:
    """Of the model that a strategy ends with, on images that no client has."""
    random.seed(0)
    np.random.seed(0)
    torch.manual_seed(0)
    found = STRATEGIES[name]().start(
        grid=over,
        initial_arrays=ArrayRecord(client_app.network().state_dict()),
        train_config=ConfigRecord({"lr": 0.05}),
        num_rounds=rounds,
        evaluate_fn=server_app.judge,
    )
    return float(found.evaluate_metrics_serverapp[rounds]["accuracy"])


def engine(wanted: dict[str, Any]) -> dict[str, Any]:
    """Flower's own: one start of it for all."""
    from flwr.simulation import run_simulation

    server, found = ServerApp(), {}

    @server.main()
    def main(grid: Any, context: Context) -> None:
        for name in wanted["strategies"]:
            found[name] = {"accuracy": accuracy(name, grid, wanted["rounds"])}

    backend = {"client_resources": {"num_cpus": 1}, "init_args": {"num_cpus": 2}}
    run_simulation(server, client_app.app, num_supernodes=CLIENTS, backend_config=backend)
    return found


def ours(wanted: dict[str, Any]) -> dict[str, Any]:
    """FolkmootGrid; each record is audited, which raises where it finds a difference."""
    from orchestrator import folder, grid, gridaudit

    found = {}
    for name in wanted["strategies"]:
        root = Path(wanted["folder"]) / name
        with grid.FolkmootGrid("digits.client_app:app", nodes=CLIENTS, folder=root, server=name) as made:
            reached = accuracy(name, made, wanted["rounds"])
        report = gridaudit.GridAudit(folder.RunFolder(root=root), lambda *_: None).audit()
        found[name] = {"accuracy": reached, "phases": report.opened, "replies": report.checked["replies"]}
    return found


def main() -> None:
    """Run what the command line asks for."""
    logging.getLogger("flwr").setLevel(logging.ERROR)
    torch.set_num_threads(1)
    wanted = json.loads(sys.argv[1])
    os.chdir(EXAMPLE)
    print(json.dumps({"engine": engine, "grid": ours}[wanted["system"]](wanted)))  # noqa: T201  its output


if __name__ == "__main__":
    main()

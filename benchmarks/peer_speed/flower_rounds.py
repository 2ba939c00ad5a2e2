"""Rounds on Flower's simulation engine, timed: `python flower_rounds.py '{"folder":...,"warm":2,"workers":2}'` prints JSON.

Whom Flower draws cannot be told before, so each message names the holder whose examples are trained on: the work is that of
every other system.
"""

import json
import logging
import os
import sys
from pathlib import Path
from typing import Any

os.environ |= {"FLWR_TELEMETRY_ENABLED": "0", "RAY_USAGE_STATS_ENABLED": "0"}
sys.path[:0] = [str(Path(__file__).parent), str(Path(__file__).parents[1] / "flower_speed")]
os.environ["PYTHONPATH"] = str(Path(__file__).parent)  # for Ray's workers

import clock
import flower_client
import torch
import work
from flwr.app import ArrayRecord, ConfigRecord, Context, Message, RecordDict
from flwr.serverapp import ServerApp
from flwr.serverapp.strategy import FedAvg
from flwr.simulation import run_simulation


class Marked(FedAvg):
    """FedAvg that notes when each round begins and ends, and says whose work is whose."""

    def __init__(self, wanted: dict[str, Any], given: work.Work) -> None:
        holders, cohort = len(given.inputs), given.cohorts.shape[1]
        super().__init__(fraction_train=cohort / holders, fraction_evaluate=0.0, min_available_nodes=holders)
        self.min_train_nodes = cohort  # a fraction may round down
        self.wanted, self.given = wanted, given
        self.marks: list[tuple[float, float]] = []
        self.peak = self.start_seconds = self.loss = 0.0

    def configure_train(self, server_round: int, arrays: Any, config: Any, grid: Any) -> Any:
        """As FedAvg, each message with a number of its own."""
        if not self.marks:
            self.marks.append(clock.now())
        messages = []
        for place, made in enumerate(super().configure_train(server_round, arrays, config, grid)):
            asked = {"folder": str(self.given.folder), "number": server_round - 1, "place": place}
            content = RecordDict({"arrays": arrays, "config": ConfigRecord(asked)})
            messages.append(Message(content=content, message_type="train", dst_node_id=made.metadata.dst_node_id))
        return messages

    def aggregate_train(self, server_round: int, replies: Any) -> Any:
        """As FedAvg; the round ends here."""
        given = super().aggregate_train(server_round, replies)
        self.marks.append(clock.now())
        self.start_seconds = self.start_seconds or work.age()
        return given

    def lead(self, grid: Any) -> None:
        """All rounds."""
        start = ArrayRecord(self.given.linear().state_dict())
        ended = self.start(grid=grid, initial_arrays=start, num_rounds=len(self.given.cohorts), timeout=600)
        self.peak = clock.peak()  # while all that was started is there
        model = self.given.linear()
        model.load_state_dict(ended.arrays.to_torch_state_dict())
        self.loss = self.given.loss(model)


def main() -> None:
    """Measure what the command line asks for."""
    logging.getLogger("flwr").setLevel(logging.ERROR)
    torch.set_num_threads(1)
    wanted = json.loads(sys.argv[1])
    strategy, server = Marked(wanted, work.Work(wanted["folder"])), ServerApp()

    @server.main()
    def lead(grid: Any, context: Context) -> None:
        strategy.lead(grid)

    backend = {"client_resources": {"num_cpus": 1}, "init_args": {"num_cpus": wanted["workers"]}}
    run_simulation(server, flower_client.client, num_supernodes=len(strategy.given.inputs), backend_config=backend)
    found = work.found(strategy.marks, wanted["warm"], strategy.start_seconds, strategy.peak, strategy.loss)
    print(found)


if __name__ == "__main__":
    main()

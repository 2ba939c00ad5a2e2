"""A run of RobustStrategy with the flwr that this process finds; tests start it with one minor after the other.

{"version":"1.40.0","weights":"<hex of float32>","dropped":[[1,105,"tensors-names"],...],"loaded":[]}

`loaded` are what it took of Ray, Hydra and the ledger: none, for it runs in plain Flower.
"""

import json
import sys

import numpy as np

from benchmarks import flower_loop
from orchestrator import strategies

import flwr  # isort: skip  the loop comes first
from flwr import app, clientapp  # isort: skip

client = clientapp.ClientApp()


@client.train()
def train(message: app.Message, context: app.Context) -> app.Message:
    partition = int(context.node_config["partition-id"])
    trained = message.content["arrays"].to_numpy_ndarrays()[0] + np.float32(partition / 100)
    arrays = {"w": app.Array(trained)} | ({"extra": app.Array(trained)} if partition == 5 else {})
    metrics = app.MetricRecord({"num-examples": 10, "loss": 1.0})
    return app.Message(app.RecordDict({"arrays": app.ArrayRecord(arrays), "metrics": metrics}), reply_to=message)


@client.evaluate()
def evaluate(message: app.Message, context: app.Context) -> app.Message:
    metrics = app.MetricRecord({"num-examples": 10, "partition": int(context.node_config["partition-id"])})
    return app.Message(app.RecordDict({"metrics": metrics}), reply_to=message)


def main() -> None:
    strategy = strategies.RobustStrategy(byzantine=1)
    start = app.ArrayRecord({"w": app.Array(np.linspace(-1, 1, 10, dtype=np.float32))})
    result = strategy.start(grid=flower_loop.LoopGrid(client, 6), initial_arrays=start, num_rounds=3)
    answer = {
        "version": flwr.__version__,
        "weights": result.arrays["w"].numpy().tobytes().hex(),
        "loaded": [name for name in ("ray", "hydra", "psycopg", "ledger.log", "client.holder") if name in sys.modules],
        "dropped": [[each.round, each.node, each.code] for each in strategy.dropped],
    }
    print(json.dumps(answer))


if __name__ == "__main__":
    main()

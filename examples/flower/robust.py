"""Second way: the same app, on Flower's own engine, with a robust strategy in place of FedAvg. No ledger, nothing else of ours.

python robust.py sign_flip
"""

import logging
import os
import sys

os.environ |= {"FLWR_TELEMETRY_ENABLED": "0", "RAY_USAGE_STATS_ENABLED": "0"}

import hostile
from digits import server_app
from flwr.simulation import run_simulation

from orchestrator import strategies

if __name__ == "__main__":
    logging.getLogger("flwr").setLevel(logging.ERROR)
    attack = sys.argv[1] if len(sys.argv) > 1 else "none"
    strategy = strategies.RobustStrategy(byzantine=1, min_available_nodes=10)
    run_simulation(
        server_app=server_app.serving(strategy),
        client_app=hostile.app(attack),
        num_supernodes=10,
        backend_config={"client_resources": {"num_cpus": 1}},
    )
    for each in strategy.dropped:
        print(f"round {each.round}: left out node {each.node}: {each.code}")

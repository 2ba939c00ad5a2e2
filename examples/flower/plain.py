"""First way: the app as it is, on Flower's own engine; with the name of an attack, one of its ten clients lies.

python plain.py
python plain.py sign_flip
"""

import logging
import os
import sys

os.environ |= {"FLWR_TELEMETRY_ENABLED": "0", "RAY_USAGE_STATS_ENABLED": "0"}

import hostile
from digits import server_app
from flwr.simulation import run_simulation

if __name__ == "__main__":
    logging.getLogger("flwr").setLevel(logging.ERROR)
    attack = sys.argv[1] if len(sys.argv) > 1 else "none"
    run_simulation(
        server_app=server_app.app,
        client_app=hostile.app(attack),
        num_supernodes=10,
        backend_config={"client_resources": {"num_cpus": 1}},
    )

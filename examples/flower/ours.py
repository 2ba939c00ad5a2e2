"""Third way: the same app, unmodified, on folkmoot's grid: replies are sealed, kept by their content, and on a ledger.

python ours.py runs/flower
"""

import logging
import os
import sys

os.environ |= {"FLWR_TELEMETRY_ENABLED": "0", "RAY_USAGE_STATS_ENABLED": "0"}

from digits import server_app
from flwr.app import Context, RecordDict

from orchestrator import grid

if __name__ == "__main__":
    logging.getLogger("flwr").setLevel(logging.ERROR)
    with grid.FolkmootGrid("digits.client_app:app", nodes=10, folder=sys.argv[1]) as ours:
        server_app.app(ours, Context(run_id=1, node_id=0, node_config={}, state=RecordDict(), run_config={}))

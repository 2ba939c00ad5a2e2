"""Times byzfl's rules; runs beside torch and numpy with nothing of ours. Request and answer are JSON.

{"clients":25,"byzantine":5,"dim":1000000,"repeats":5,"rules":["median"],"budget":60}  ->  {"median":[[cpu_ms,wall_ms],...]}
"""

import importlib.machinery
import json
import os
import sys
import time
import types
from typing import Any

import numpy as np
import torch

# `import byzfl` would need torchvision, for data sets that are not wanted here.
package = types.ModuleType("byzfl")
package.__path__ = [os.environ["FOLKMOOT_PEER"] + "/byzfl"]
package.__spec__ = importlib.machinery.ModuleSpec("byzfl", None, is_package=True)
sys.modules["byzfl"] = package
from byzfl.aggregators import aggregators, preaggregators  # noqa: E402


def rules(f: int) -> dict[str, Any]:
    """The peer's rules under our names."""
    nnm = preaggregators.NNM(f)
    plain = {
        "mean": aggregators.Average(),
        "median": aggregators.Median(),
        "trimmed_mean": aggregators.TrMean(f),
        "meamed": aggregators.Meamed(f),
        "krum": aggregators.Krum(f),
        "multi_krum": aggregators.MultiKrum(f),
        "geometric_median": aggregators.GeometricMedian(),
        "centered_clipping": aggregators.CenteredClipping(L=5, tau=1000.0),
        "caf": aggregators.CAF(f),
    }
    return plain | {f"nnm+{name}": lambda x, rule=rule: rule(nnm(x)) for name, rule in plain.items()}


def main() -> None:
    """Answer the request on the command line."""
    request = json.loads(sys.argv[1])
    torch.set_num_threads(1)
    generator = np.random.default_rng(request["seed"])
    rows = generator.standard_normal((request["clients"], request["dim"]), dtype=np.float32)
    matrix = torch.from_numpy(rows)
    table, answer = rules(request["byzantine"]), {}
    for name in request["rules"]:
        started, marks = time.perf_counter(), []
        for repeat in range(request["repeats"] + 1):
            cpu, wall = time.process_time(), time.perf_counter()
            table[name](matrix)
            mark = [1e3 * (time.process_time() - cpu), 1e3 * (time.perf_counter() - wall)]
            marks += [mark] if repeat or time.perf_counter() - started > request["budget"] else []
            if time.perf_counter() - started > request["budget"]:
                break
        answer[name] = marks
    print(json.dumps(answer))


if __name__ == "__main__":
    main()

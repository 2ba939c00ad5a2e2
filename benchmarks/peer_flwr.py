"""Times Flower's aggregation functions; runs in its environment with nothing of ours. Request and answer: `peer_byzfl`."""

import json
import sys
import time
import warnings
from typing import Any

import numpy as np
from flwr.server.strategy import aggregate


def rules(f: int) -> dict[str, Any]:
    """Flower's functions under our names; a result is (list of arrays, number of examples)."""
    return {
        "mean": aggregate.aggregate,
        "median": aggregate.aggregate_median,
        "trimmed_mean": lambda results: aggregate.aggregate_trimmed_avg(results, f / len(results)),
        "krum": lambda results: aggregate.aggregate_krum(results, f, 0),
        "multi_krum": lambda results: aggregate.aggregate_krum(results, f, len(results) - f),
    }


def main() -> None:
    """Answer the request on the command line."""
    warnings.simplefilter("ignore")
    request = json.loads(sys.argv[1])
    generator = np.random.default_rng(request["seed"])
    rows = generator.standard_normal((request["clients"], request["dim"]), dtype=np.float32)
    results = [([row], 1) for row in rows]
    table, answer = rules(request["byzantine"]), {}
    for name in request["rules"]:
        started, marks = time.perf_counter(), []
        for repeat in range(request["repeats"] + 1):
            cpu, wall = time.process_time(), time.perf_counter()
            table[name](results)
            mark = [1e3 * (time.process_time() - cpu), 1e3 * (time.perf_counter() - wall)]
            marks += [mark] if repeat or time.perf_counter() - started > request["budget"] else []
            if time.perf_counter() - started > request["budget"]:
                break
        answer[name] = marks
    print(json.dumps(answer))


if __name__ == "__main__":
    main()

"""Flower's strategies, unmodified, with the unmodified ClientApp of examples/flower: on Flower's engine, and on FolkmootGrid.

    STRATEGY.engine      accuracy in percent on 360 images after the last round, on Flower's simulation engine
    STRATEGY.grid        the same on FolkmootGrid, sealed and recorded
    STRATEGY.replies     replies that the audit of that record opened again, from their ciphertext; all there were

Flower's engine has an environment of its own, with the ray that it pins. It adds up replies in the order in which they come, so
its accuracy may be off by an image or two from one time to the next.
"""

import dataclasses
import os
import tempfile
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from benchmarks import peers, report

SCRIPT = Path(__file__).parent / "flower_speed" / "learn.py"
STRATEGIES = ("FedAvg", "FedAdam", "FedProx", "Krum", "FedTrimmedAvg", "DP")
LABELS: Mapping[str, str] = {"DP": "DP, server-side fixed clipping, over FedAvg"}


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Config:
    """What to run.

    Attributes:
        strategies: which.
        rounds: of each.
    """

    strategies: tuple[str, ...] = STRATEGIES
    rounds: int = 10


QUICK = Config(strategies=("FedAvg", "Krum"), rounds=2)


def run(wanted: Config, say: Callable[[str], None]) -> report.Report:
    """Accuracies on both, and what the audits opened; raises PeerError where a run, or its audit, fails."""
    load = os.getloadavg()[0]
    values: dict[str, list[float]] = {}
    with tempfile.TemporaryDirectory(prefix="folkmoot-bench-") as folder:
        for system, peer in (("grid", ""), ("engine", "engine")):
            say(f"{len(wanted.strategies)} strategies on {system}")
            request = dataclasses.asdict(wanted) | {"system": system, "folder": folder}
            for name, found in peers.timed(SCRIPT, request, peer=peer).items():
                values[f"{name}.{system}"] = [100 * found["accuracy"]]
                if system == "grid":
                    values[f"{name}.replies"] = [found["replies"]]
    return report.make("strategies", dataclasses.asdict(wanted), values, load=load)


def table(found: Mapping[str, Any]) -> list[list[str]]:
    """Rows of text, the header first, of a report's JSON."""
    metrics = found["metrics"]
    rows = [
        [
            LABELS.get(name, name),
            *(f"{metrics[f'{name}.{system}']['median'] / 100:.3f}" for system in ("engine", "grid")),
            f"{metrics[f'{name}.replies']['median']:.0f}",
        ]
        for name in found["config"]["strategies"]
    ]
    return [["strategy", "Flower's engine", "FolkmootGrid", "replies that its audit opened"], *rows]

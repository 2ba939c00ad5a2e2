"""What a round of a Flower app costs, by who carries its messages: the same ClientApp, FedAvg and data for all.

    loop        the floor: the same training and a mean in one process, without any Flower
    engine      Flower's simulation engine, in an environment of its own with the ray that it pins, on two actors
    grid        FolkmootGrid in one process: Flower's messages and strategy, and no record
    grid_full   the same, everything on: briefs, sealed replies, store, ledger

Each measurement is a process of its own (flower_speed/measure.py); CPU seconds and memory are of it and of all that
it started. Only training is asked for. The systems take turns, so that a busy machine is busy for all of them.
"""

import dataclasses
import os
import tempfile
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from benchmarks import peers, report

SCRIPT = Path(__file__).parent / "flower_speed" / "measure.py"
SYSTEMS = ("loop", "engine", "grid", "grid_full")
WORKERS = 2


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Case:
    """A size of run.

    Attributes:
        kind: `logreg` or `cnn`.
        clients: that there are.
        sample: of them a round.
        rounds: counted, after one that is not.
    """

    kind: str
    clients: int
    sample: int
    rounds: int


SMALL = Case(kind="logreg", clients=100, sample=10, rounds=10)


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Config:
    """What to measure.

    Attributes:
        cases: sizes.
        repeats: of each.
    """

    cases: tuple[Case, ...] = (
        SMALL,
        Case(kind="logreg", clients=1000, sample=100, rounds=6),
        Case(kind="cnn", clients=100, sample=10, rounds=3),
    )
    repeats: int = 3


QUICK = Config(cases=(dataclasses.replace(SMALL, rounds=3),), repeats=1)


def run(wanted: Config, say: Callable[[str], None]) -> report.Report:
    """CPU and wall seconds a round, and peak memory, of each system; and the CPU seconds as ratios."""
    load = os.getloadavg()[0]
    values: dict[str, list[float]] = {}
    for repeat in range(wanted.repeats):
        for case in wanted.cases:
            where, cpu = f"{case.kind}.{case.sample}_of_{case.clients}", {}
            for system in SYSTEMS:
                say(f"{where}, {system}, {repeat + 1} of {wanted.repeats}")
                found = _measured(system, case)
                cpu[system] = found["cpu_seconds"]
                for name, value in found.items():
                    values.setdefault(f"{where}.{system}.{name}", []).append(value)
            values.setdefault(f"{where}.full_of_engine.cpu", []).append(cpu["grid_full"] / cpu["engine"])
            values.setdefault(f"{where}.full_of_loop.cpu", []).append(cpu["grid_full"] / cpu["loop"])
    return report.make("flower", dataclasses.asdict(wanted), values, load=load)


def _measured(system: str, case: Case) -> dict[str, float]:
    with tempfile.TemporaryDirectory(prefix="folkmoot-bench-") as folder:
        request = dataclasses.asdict(case) | {
            "system": system,
            "workers": WORKERS,
            "ours": 0,
            "folder": f"{folder}/run",
        }
        return peers.timed(SCRIPT, request, peer="engine" if system == "engine" else "")


LABELS = {
    "loop": "plain loop",
    "engine": "Flower's engine",
    "grid": "FolkmootGrid, nothing on",
    "grid_full": "FolkmootGrid, everything on",
}


def table(found: Mapping[str, Any]) -> list[list[str]]:
    """Rows of text, the header first, of a report's JSON; ratios are medians of each turn's, not of the medians."""
    metrics = found["metrics"]
    rows = []
    for case in found["config"]["cases"]:
        where = f"{case['kind']}.{case['sample']}_of_{case['clients']}"
        for system in SYSTEMS:
            names = ("cpu_seconds", "wall_seconds", "peak_mb")
            spent = [metrics[f"{where}.{system}.{name}"]["median"] for name in names]
            ratios = [metrics[f"{where}.full_of_{other}.cpu"]["median"] for other in ("engine", "loop")]
            rows.append(
                [
                    f"{case['kind']}, {case['sample']} of {case['clients']}",
                    LABELS[system],
                    *(f"{value:.3f}" for value in spent[:2]),
                    f"{spent[2]:.0f}",
                    *(f"{ratio:.2f}" if system == "grid_full" else "" for ratio in ratios),
                ]
            )
    return [
        ["app", "carried by", "CPU s a round", "wall s", "peak MB", "of the engine's CPU", "of the loop's CPU"],
        *rows,
    ]

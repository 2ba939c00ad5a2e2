"""What a benchmark gives: its configuration, each measurement, and the machine it was taken on.

{"suite":"rounds","config":{...},"metrics":{"floor.cpu_seconds":{"median":0.05,"mean":0.05,...,"n":5}},
 "machine":{...},"versions":{...},"commit":"6cf150d","load":0.4}
"""

import dataclasses
import importlib.metadata
import json
import os
import platform
import statistics
import subprocess
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Self

PACKAGES = ("cryptography", "numba", "numpy", "ray", "safetensors", "torch")


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Metric:
    """Repeated measurements of one thing.

    Attributes:
        median: of `n` values.
        mean: likewise.
        low: the least.
        high: the greatest.
        n: how many.
    """

    median: float
    mean: float
    low: float
    high: float
    n: int

    @classmethod
    def of(cls, values: Sequence[float]) -> Self:
        """The metric of one or more values."""
        return cls(
            median=statistics.median(values),
            mean=statistics.fmean(values),
            low=min(values),
            high=max(values),
            n=len(values),
        )


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Report:
    """One benchmark, once.

    Attributes:
        suite: its name.
        config: what it was asked to do.
        metrics: by name.
        machine: processor, cores, system.
        versions: of what it ran on.
        commit: of this repository, empty outside a checkout.
        load: the machine's one-minute load before it began.
        notes: what no number says, such as why a peer could not be measured.
    """

    suite: str
    config: Mapping[str, Any]
    metrics: Mapping[str, Metric]
    machine: Mapping[str, Any]
    versions: Mapping[str, str]
    commit: str
    load: float
    notes: Mapping[str, str]

    def to_json(self) -> str:
        """The report as indented JSON."""
        return json.dumps(dataclasses.asdict(self), indent=1, sort_keys=True)


def make(
    suite: str,
    config: Mapping[str, Any],
    values: Mapping[str, Sequence[float]],
    *,
    load: float,
    notes: Mapping[str, str] | None = None,
) -> Report:
    """The report of `values` by metric name, taken here and now."""
    return Report(
        suite=suite,
        config=config,
        metrics={name: Metric.of(each) for name, each in values.items()},
        machine={
            "cores": os.cpu_count(),
            "processor": _processor(),
            "python": platform.python_version(),
            "system": platform.system(),
        },
        versions={name: importlib.metadata.version(name) for name in PACKAGES},
        commit=_commit(),
        load=load,
        notes=notes or {},
    )


def write(made: Report, folder: Path) -> Path:
    """Put the report into `folder` under its suite's name; its path."""
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / f"{made.suite}.json"
    path.write_text(made.to_json() + "\n")
    return path


def _processor() -> str:
    info = Path("/proc/cpuinfo")
    lines = info.read_text().splitlines() if info.exists() else []
    names = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    return names[0] if names else platform.processor()


def _commit() -> str:
    command = ["git", "-C", str(Path(__file__).parent), "rev-parse", "--short", "HEAD"]
    found = subprocess.run(command, capture_output=True, text=True, check=False)
    return found.stdout.strip() if found.returncode == 0 else ""

"""What the way of an update costs: sealed, hashed, named and stored, and back; beside bare writes, pyrage and torch.save.

The floor out is one file written, synced and hashed; the floor back is that file read and hashed. All ways of a size are
taken in turns, each in a process of its own, which also tells how much memory it took beyond what it was given.
"""

import dataclasses
import os
import subprocess
import sys
import tempfile
from collections.abc import Callable, Mapping
from pathlib import Path

from benchmarks import report

Values = dict[str, list[float]]

FLOOR = "floor"
WAYS = ("streamed", "whole", "pyrage", "torch")
PATHS = ("int16", "float32")


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Config:
    """What to measure.

    Attributes:
        megabytes: of an update's int16 tensors, 10^6 bytes each.
        repeats: of each way, in turns.
    """

    megabytes: tuple[int, ...] = (7, 100, 500)
    repeats: int = 5


QUICK = Config(megabytes=(7, 50), repeats=2)


def run(wanted: Config, say: Callable[[str], None]) -> report.Report:
    """Every way of every size, out and back, and the lattice's path beside that of the same floats."""
    load = os.getloadavg()[0]
    values: Values = {}
    for size in wanted.megabytes:
        for repeat in range(wanted.repeats):
            taken = {}
            for way in (FLOOR, *WAYS, *PATHS):
                say(f"{size} MB, repetition {repeat + 1} of {wanted.repeats}: {way}")
                taken[way] = _in_a_process(way, size)
            _note(values, size, taken)
    return report.make("exchange", dataclasses.asdict(wanted), values, load=load)


def _note(values: Values, size: int, taken: Mapping[str, Mapping[str, float]]) -> None:
    for direction in ("out", "back"):
        for way in (FLOOR, *WAYS):
            seconds = taken[way][direction]
            _add(values, f"{size}MB.{way}.{direction}.mb_per_second", size / seconds)
            _add(values, f"{size}MB.{way}.{direction}.extra_mib", taken[way][f"{direction}_mib"])
            if way != FLOOR:
                _add(values, f"ratio.{size}MB.{way}.{direction}", taken[FLOOR][direction] / seconds)
    for path in PATHS:
        _add(values, f"{size}MB.{path}.bytes", taken[path]["bytes"])
        _add(values, f"{size}MB.{path}.seconds", taken[path]["out"] + taken[path]["back"])


def _add(values: Values, name: str, value: float) -> None:
    values.setdefault(name, []).append(value)


def _in_a_process(way: str, size: int) -> dict[str, float]:
    """What benchmarks.ways prints, by name."""
    with tempfile.TemporaryDirectory(dir=Path.cwd()) as folder:
        command = [sys.executable, "-m", "benchmarks.ways", way, str(size), folder]
        done = subprocess.run(command, check=True, capture_output=True, text=True)
    return {name: float(value) for name, value in (line.split() for line in done.stdout.splitlines())}

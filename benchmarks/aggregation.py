"""What each rule costs, beside one read of the matrix and beside peers, in the same run on the same numbers.

Standard normal updates, one thread. Our rules, the floor (the sum of all numbers, so that each is read once) and every
repetition are interleaved; a figure is a median. Peers run between, each in its own environment (`benchmarks.peers`). The
integer updates are the same numbers on a lattice, 1,000 steps a standard deviation.
"""

import dataclasses
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import numpy as np
import torch

from aggregation import recipe, sharding
from benchmarks import peers, report

RULES = (
    "mean",
    "median",
    "trimmed_mean",
    "meamed",
    "krum",
    "multi_krum",
    "bulyan",
    "geometric_median",
    "centered_clipping",
    "caf",
    "dnc",
    "nnm+krum",
    "nnm+geometric_median",
    "nnm+trimmed_mean",
    "arc+nnm+trimmed_mean",
)
PEER_RULES = {
    "byzfl": (
        "mean",
        "median",
        "trimmed_mean",
        "meamed",
        "krum",
        "multi_krum",
        "geometric_median",
        "centered_clipping",
        "caf",
        "nnm+krum",
        "nnm+geometric_median",
        "nnm+trimmed_mean",
    ),
    "flwr": ("mean", "median", "trimmed_mean", "krum"),
}
STEPS = 1000.0
Marks = dict[str, list[tuple[float, float]]]


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Size:
    """One matrix.

    Attributes:
        clients: rows.
        byzantine: f.
        dim: columns.
        with_peers: whether peers are timed on it.
    """

    clients: int
    byzantine: int
    dim: int
    with_peers: bool = True


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Config:
    """What to measure.

    Attributes:
        sizes: the matrices.
        repeats: of each rule.
        streamed: the matrix that is read from files, if any.
        seed: of the numbers.
        budget: seconds after which a peer's rule is not repeated.
    """

    sizes: tuple[Size, ...] = (
        Size(clients=25, byzantine=5, dim=1_000_000),
        Size(clients=50, byzantine=10, dim=1_000_000),
        Size(clients=100, byzantine=20, dim=100_000),
    )
    repeats: int = 5
    streamed: Size | None = Size(clients=1000, byzantine=200, dim=1_000_000, with_peers=False)
    seed: int = 0
    budget: float = 8.0


QUICK = Config(sizes=(Size(clients=25, byzantine=5, dim=100_000),), repeats=3, streamed=None, budget=3.0)


def run(wanted: Config, progress: Callable[[str], None]) -> report.Report:
    """CPU and wall milliseconds of every rule, of the floor and of the peers, and their ratios."""
    load = os.getloadavg()[0]
    torch.set_num_threads(1)
    values: dict[str, list[float]] = {}
    for size in wanted.sizes:
        label = f"{size.clients}x{size.dim}"
        progress(f"{label}: ours")
        ours = _ours(size, wanted)
        _note(values, label, ours)
        for peer in peers.VERSIONS if size.with_peers else ():
            progress(f"{label}: {peer}")
            request = dataclasses.asdict(size) | {"repeats": wanted.repeats, "rules": PEER_RULES[peer]}
            theirs = peers.measure(peer, request | {"seed": wanted.seed, "budget": wanted.budget})
            _note(values, label, {f"{peer}.{name}": marks for name, marks in theirs.items()})
    if wanted.streamed is not None:
        values |= _streamed(wanted.streamed, progress)
    return report.make("aggregation", dataclasses.asdict(wanted), values, load=load)


def _ours(size: Size, wanted: Config) -> Marks:
    generator = np.random.default_rng(wanted.seed)
    rows = torch.from_numpy(generator.standard_normal((size.clients, size.dim), dtype=np.float32))
    points = (rows * STEPS).round_().to(torch.int16)
    work: dict[str, Callable[[], object]] = {"floor.float32": rows.sum}
    for name in RULES:
        rule, pre = split(name)
        method = recipe.Method(rule=rule, pre=pre, byzantine=0 if rule == "mean" else size.byzantine)
        for kind, matrix in (("float32", rows), ("int16", points)):
            if rule == "bulyan" and size.clients < 4 * size.byzantine + 3:
                continue
            work[f"{name}.{kind}"] = _call(matrix, method)
    marks: Marks = {name: [] for name in work}
    for repeat in range(wanted.repeats + 1):
        for name, each in work.items():
            cpu, wall = time.process_time(), time.perf_counter()
            each()
            if repeat:
                marks[name].append((1e3 * (time.process_time() - cpu), 1e3 * (time.perf_counter() - wall)))
    return marks


def _call(matrix: torch.Tensor, method: recipe.Method) -> Callable[[], object]:
    return lambda: recipe.aggregate(matrix, method)


def split(name: str) -> tuple[str, str]:
    """The rule and the pre-aggregation in a name like `arc+nnm+trimmed_mean`."""
    pre, _, rule = name.rpartition("+")
    return rule, pre or "none"


def _note(values: dict[str, list[float]], label: str, marks: Marks) -> None:
    for name, each in marks.items():
        values[f"{label}.{name}.cpu_ms"] = [cpu for cpu, _ in each]
        values[f"{label}.{name}.wall_ms"] = [wall for _, wall in each]


def _streamed(size: Size, progress: Callable[[str], None]) -> dict[str, list[float]]:
    """Seconds and peak memory of rules over files, each in a process of its own."""
    values: dict[str, list[float]] = {}
    with tempfile.TemporaryDirectory() as folder:
        generator = np.random.default_rng(0)
        for number in range(size.clients):
            row = generator.standard_normal(size.dim, dtype=np.float32) * STEPS
            row.round().astype("<i2").tofile(Path(folder) / f"{number:05}")
        for name in ("mean", "trimmed_mean", "nnm+geometric_median"):
            progress(f"{size.clients}x{size.dim} from files: {name}")
            command = [sys.executable, "-m", "benchmarks.aggregation", folder, name, str(size.byzantine), str(size.dim)]
            ran = subprocess.run(command, capture_output=True, text=True, check=True)
            cpu, wall, before, peak = map(float, ran.stdout.split())
            label = f"{size.clients}x{size.dim}.streamed.{name}"
            values |= {f"{label}.cpu_ms": [cpu], f"{label}.wall_ms": [wall]}
            values |= {f"{label}.idle_mib": [before], f"{label}.peak_mib": [peak]}
    return values


def _stream(folder: Path, name: str, byzantine: int, dim: int) -> Iterator[float]:
    torch.set_num_threads(1)
    files = sharding.Files(paths=sorted(folder.iterdir()), dim=dim)
    rule, pre = split(name)
    method = recipe.Method(rule=rule, pre=pre, byzantine=0 if rule == "mean" else byzantine)
    warm = torch.ones((files.clients, 8), dtype=torch.int16)
    recipe.aggregate(warm, method)
    before = _peak()
    cpu, wall = time.process_time(), time.perf_counter()
    result = torch.empty(dim, dtype=torch.float64)

    def write(first: int, values: torch.Tensor) -> None:
        result[first : first + len(values)] = values

    sharding.stream(files, method, write, window=1 << 14)
    yield 1e3 * (time.process_time() - cpu)
    yield 1e3 * (time.perf_counter() - wall)
    yield before
    yield _peak()


def _peak() -> float:
    """MiB that the process has held at most. Not `getrusage`: that remembers the process it was forked from."""
    lines = Path("/proc/self/status").read_text().splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith("VmHWM:")) / 1024


def main(arguments: Sequence[str]) -> None:
    """One streamed rule in a process of its own: CPU and wall milliseconds, MiB before and at the peak."""
    folder, name, byzantine, dim = arguments
    print(*_stream(Path(folder), name, int(byzantine), int(dim)))  # noqa: T201  its output


if __name__ == "__main__":
    main(sys.argv[1:])

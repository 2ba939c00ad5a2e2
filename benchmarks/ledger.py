"""What the log costs: durable appends beside bare synced writes, verification beside bare Ed25519, proofs and memory by size.

Each figure stands beside its floor, taken in turns with it in the same run. The floor of an append is a write of the same bytes
to a plain file, and fsync; that of verification is one Ed25519 verification for each entry, and nothing else, on as many cores.
"""

import dataclasses
import functools
import itertools
import json
import os
import random
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import BinaryIO

from cryptography.hazmat.primitives.asymmetric import ed25519

from benchmarks import federation, report
from ledger import dsse, fsck, keys, leaf, log, merkle

ORIGIN = "folkmoot.bench/log"
HOLDERS = 100
GROUP = 100

# A process of its own for each size: the memory of an earlier one would count.
_VERIFY = r"""
import pathlib, re, sys, time
from ledger import log, verification
if __name__ == "__main__":
    start = time.perf_counter()
    with log.Log.open(pathlib.Path(sys.argv[1]), origin=sys.argv[2], read_only=True) as record:
        verification.replay(record.entries(0, int(sys.argv[3])), workers=int(sys.argv[4]))
    # Not getrusage: after an exec it still counts what the parent process was.
    peak = re.search(r"VmHWM:\s+(\d+) kB", pathlib.Path("/proc/self/status").read_text())
    print(time.perf_counter() - start, int(peak.group(1)) / 1024)
"""


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Config:
    """What to measure.

    Attributes:
        entries: of the log that is verified and proved from.
        sizes: of the prefixes whose verification is measured.
        appends: single appends of each repetition; grouped ones are ten times as many.
        repeats: of appends and their floors.
        proofs: taken at random.
    """

    entries: int = 1_000_000
    sizes: tuple[int, ...] = (10_000, 100_000, 1_000_000)
    appends: int = 200
    repeats: int = 7
    proofs: int = 500


QUICK = Config(entries=10_000, sizes=(1_000, 10_000), appends=50, repeats=3, proofs=100)

Values = dict[str, list[float]]


def run(wanted: Config, say: Callable[[str], None]) -> report.Report:
    """Appends, verification, proofs, publication and their floors."""
    load = os.getloadavg()[0]
    values: Values = {}
    with tempfile.TemporaryDirectory(dir=Path.cwd()) as folder:
        _appends(wanted, Path(folder), values, say)
        path = Path(folder) / "log.sqlite"
        _build(wanted, path, say)
        _proofs(wanted, path, values, say)
        _verification(wanted, path, values, say)
        _fsck(wanted, path, values, say)
    return report.make("ledger", dataclasses.asdict(wanted), values, load=load)


def _note(values: Values, name: str, value: float) -> None:
    values.setdefault(name, []).append(value)


def _appends(wanted: Config, folder: Path, values: Values, say: Callable[[str], None]) -> None:
    source = federation.envelopes(HOLDERS)
    with log.Log.open(folder / "appends.sqlite", origin=ORIGIN) as record, (folder / "floor").open("wb") as floor:
        record.append(list(itertools.islice(source, 2 * HOLDERS + 1)), head=record.head)
        for repeat in range(wanted.repeats):
            say(f"appends, repetition {repeat + 1} of {wanted.repeats}")
            for name, group, count in (("single", 1, wanted.appends), ("grouped", GROUP, 10 * wanted.appends)):
                batches = _batches(source, group, count)
                sizes = [sum(_leaf_bytes(envelope) for envelope in batch) for batch in batches]
                bare = _timed(functools.partial(_write_synced, floor, sizes))
                ours = _timed(functools.partial(_append, record, batches))
                _note(values, f"append.{name}.per_second", count / ours[0])
                _note(values, f"append.{name}.cpu_us", ours[1] / count * 1e6)
                _note(values, f"floor.{name}.per_second", count / bare[0])
                _note(values, f"floor.{name}.cpu_us", bare[1] / count * 1e6)
                _note(values, f"ratio.append.{name}", bare[0] / ours[0])


def _batches(source: Iterator[dsse.Envelope], group: int, count: int) -> list[list[dsse.Envelope]]:
    return [list(itertools.islice(source, group)) for _ in range(count // group)]


def _leaf_bytes(envelope: dsse.Envelope) -> int:
    return len(leaf.Entry.chain(10_000, leaf.NO_HEAD, envelope).leaf)


def _write_synced(file: BinaryIO, sizes: Sequence[int]) -> None:
    for size in sizes:
        file.write(bytes(size))
        file.flush()
        os.fsync(file.fileno())


def _append(record: log.Log, batches: Sequence[Sequence[dsse.Envelope]]) -> None:
    for batch in batches:
        record.append(batch, head=record.head)


def _timed(work: Callable[[], object]) -> tuple[float, float]:
    """Wall and CPU seconds."""
    wall, cpu = time.perf_counter(), time.process_time()
    work()
    return time.perf_counter() - wall, time.process_time() - cpu


def _build(wanted: Config, path: Path, say: Callable[[str], None]) -> None:
    source = federation.envelopes(HOLDERS)
    with log.Log.open(path, origin=ORIGIN) as record:
        for done in range(0, wanted.entries, 10_000):
            say(f"writing a log, {done:,} of {wanted.entries:,} entries")
            record.append(list(itertools.islice(source, min(10_000, wanted.entries - done))), head=record.head)
        record.publish(_key())


def _key() -> keys.SigningKey:
    return federation.key(federation.COORDINATOR)


def _proofs(wanted: Config, path: Path, values: Values, say: Callable[[str], None]) -> None:
    say("proofs")
    draws = random.Random(4)
    values["log.bytes_per_entry"] = [path.stat().st_size / wanted.entries]
    for _ in range(5):
        wall, _ = _timed(lambda: log.Log.open(path, origin=ORIGIN).close())
        _note(values, "open.ms", wall * 1e3)
    with log.Log.open(path, origin=ORIGIN) as record:
        root = record.root()
        for _ in range(wanted.proofs):
            index = draws.randrange(wanted.entries)
            [entry] = record.entries(index, index + 1)
            start = time.perf_counter()
            proof = record.inclusion(index, wanted.entries)
            _note(values, "inclusion.make_ms", (time.perf_counter() - start) * 1e3)
            start = time.perf_counter()
            merkle.verify_inclusion(entry.hash, index, wanted.entries, proof, root)
            _note(values, "inclusion.verify_us", (time.perf_counter() - start) * 1e6)
            _note(values, "inclusion.bytes", 32 * len(proof))
            old = draws.randrange(1, wanted.entries)
            start = time.perf_counter()
            proof = record.consistency(old, wanted.entries)
            _note(values, "consistency.make_ms", (time.perf_counter() - start) * 1e3)
            _note(values, "consistency.bytes", 32 * len(proof))
        more = [dsse.sign(b"%d" % number, _key()) for number in range(20)]
        for envelope in more:
            record.append([envelope], head=record.head)
            wall, _ = _timed(lambda: record.publish(_key()))
            _note(values, "publish.one_more_ms", wall * 1e3)


def _fsck(wanted: Config, path: Path, values: Values, say: Callable[[str], None]) -> None:
    say("fsck")
    wall, _ = _timed(lambda: fsck.check(path, origin=ORIGIN))
    values["fsck.entries_per_second"] = [wanted.entries / wall]


def _verification(wanted: Config, path: Path, values: Values, say: Callable[[str], None]) -> None:
    cores = os.cpu_count() or 1
    for size in wanted.sizes:
        say(f"verification of {size:,} entries")
        before = _ed25519()
        wall, peak = _in_a_process(path, size, cores)
        floor = statistics.mean([before, _ed25519()])
        values[f"verify.{size}.entries_per_second"] = [size / wall]
        values[f"verify.{size}.peak_mib"] = [peak]
        values[f"verify.{size}.ed25519_per_second_and_core"] = [floor]
        values[f"ratio.verify.{size}.per_core"] = [size / wall / floor / cores]


def _in_a_process(path: Path, size: int, workers: int) -> Sequence[float]:
    command = [sys.executable, "-c", _VERIFY, str(path), ORIGIN, str(size), str(workers)]
    done = subprocess.run(command, check=True, capture_output=True, text=True)
    return [float(word) for word in done.stdout.split()]


def _ed25519() -> float:
    """Bare verifications a second, on one core, of statements like those of the log."""
    signed = list(itertools.islice(federation.envelopes(HOLDERS), 2 * HOLDERS + 2, 2 * HOLDERS + 102))
    public = [federation.key(json.loads(each.payload)["predicate"]["author"]).public for each in signed]
    ready = [
        (ed25519.Ed25519PublicKey.from_public_bytes(key.raw), each.signatures[0][1], each.pae())
        for key, each in zip(public, signed, strict=False)
    ]
    rounds = 30
    _, cpu = _timed(lambda: [key.verify(signature, data) for _ in range(rounds) for key, signature, data in ready])
    return rounds * len(ready) / cpu

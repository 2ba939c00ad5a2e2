"""The block store under faults of the system below it: killed, or refused, at each system call on one of its files."""

import collections
import io
import re
import shutil
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

import pytest

from exchange import blocks, cid, unixfs

pytestmark = pytest.mark.skipif(shutil.which("strace") is None, reason="strace is not installed")

MIB = 1 << 20
KEPT = b"k" * MIB + b"kept from before"
FIRST = b"k" * MIB + b"f" * MIB + b"pinned"  # shares a leaf with KEPT
SECOND = b"s" * MIB + b"not pinned"
WRITES = ("write", "pwrite64", "fsync", "rename", "ftruncate", "openat", "unlink", "mkdir", "utimensat")

# The names of staged files are random; here they are numbers, so that strace can be told of them.
WORK = """
import itertools, pathlib, secrets, sys
from exchange import blocks, errors
number = itertools.count()
secrets.token_hex = lambda size: f"{next(number):032x}"
MIB = 1 << 20
store = blocks.BlockStore(pathlib.Path(sys.argv[1]), quota=16 * MIB)
try:
    name = store.put(b"k" * MIB + b"f" * MIB + b"pinned")
    print("put first", flush=True)
    store.pin(name)
    print("pinned first", flush=True)
    store.put(b"s" * MIB + b"not pinned")
    print("put second", flush=True)
    print("collecting", flush=True)
    store.collect(grace=0)
    print("collected", flush=True)
except errors.StoreError as error:
    print("refused", error, flush=True)
"""


@dataclass(frozen=True)
class Fault:
    """What happens at the `when`-th call of `call` on the store's files: a signal, or an error it returns."""

    call: str
    when: int
    what: str

    def __str__(self) -> str:
        return f"{self.what} at {self.call} {self.when}"


@pytest.fixture
def bench(tmp_path: Path) -> Path:
    """A folder with a store of one pinned file, to be copied for each fault."""
    store = blocks.BlockStore(tmp_path / "base", quota=16 * MIB)
    store.pin(store.put(KEPT))
    return tmp_path


def paths(folder: Path) -> list[Path]:
    """Every file and folder that the work touches in a store in `folder`."""
    found: list[Path] = []
    for data in (KEPT, FIRST, SECOND):
        unixfs.build(
            io.BytesIO(data),
            lambda name, _: found.append(folder / "blocks" / str(name)[-3:-1] / str(name)),
        )
    pins = [folder / "blocks" / "pins" / str(unixfs.of(data)) for data in (KEPT, FIRST)]
    staged = [folder / "blocks" / "tmp" / f"{number:032x}" for number in range(12)]
    beside = [folder / "blocks" / name for name in ("lock", "usage", "pins", "tmp", "")]
    return [*{*found, *(path.parent for path in found)}, *pins, *staged, *beside, folder]


def traced(folder: Path, *options: str) -> tuple[list[str], int]:
    """The lines that the work printed, and its exit code, under strace with these options."""
    named = [option for path in paths(folder) for option in ("-P", str(path))]
    command = ["strace", "-f", "-qq", *options, *named, sys.executable, "-c", WORK, str(folder)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False, cwd=Path.cwd())
    return done.stdout.splitlines(), done.returncode


def calls(bench: Path) -> collections.Counter[str]:
    """How often one thread of the work makes each system call on the store's files, at most; strace counts in each alone."""
    folder = bench / "counted"
    shutil.copytree(bench / "base", folder)
    lines, code = traced(folder, "-o", str(bench / "trace"))
    assert (lines[-1:], code) == (["collected"], 0)
    shutil.rmtree(folder)
    made = collections.Counter(re.findall(r"^(\d+) +(\w+)\(", (bench / "trace").read_text(), re.MULTILINE))
    most: collections.Counter[str] = collections.Counter()
    for (_, call), count in made.items():
        most[call] = max(most[call], count)
    return most


def survive(bench: Path, fault: Fault) -> None:
    """Nothing; the fault struck, and nothing torn is seen, nothing pinned or acknowledged is lost."""
    folder = bench / "struck"
    shutil.copytree(bench / "base", folder)
    inject = f"signal=KILL:when={fault.when}" if fault.what == "KILL" else f"error={fault.what}:when={fault.when}"
    lines, code = traced(folder, "-o", "/dev/null", "-e", f"trace={fault.call}", "-e", f"inject={fault.call}:{inject}")
    assert code in ((-9, 137) if fault.what == "KILL" else (0,)), (fault, lines)
    store = blocks.BlockStore(folder, quota=16 * MIB)
    assert [verdict for verdict in store.verify() if verdict.error is not None] == [], fault
    assert store.get(unixfs.of(KEPT), limit=2 * MIB) == KEPT, fault
    if "put first" in lines and ("pinned first" in lines or "collecting" not in lines):
        assert store.get(unixfs.of(FIRST), limit=3 * MIB) == FIRST, fault
    if "put second" in lines and "collecting" not in lines:
        assert store.get(unixfs.of(SECOND), limit=2 * MIB) == SECOND, fault
    assert unixfs.of(KEPT) in set(store.pins()), fault
    assert ("pinned first" not in lines) or unixfs.of(FIRST) in set(store.pins()), fault
    _headed(store, fault)
    _counted(folder, fault)
    _finish(store, fault)
    shutil.rmtree(folder)


def _headed(store: blocks.BlockStore, fault: Fault) -> None:
    """What `has` says is there is there."""
    for data in (FIRST, SECOND):
        if store.has(unixfs.of(data)):
            assert store.get(unixfs.of(data), limit=3 * MIB) == data, fault


def _counted(folder: Path, fault: Fault) -> None:
    """The kept count is not below what is on disk."""
    text = (folder / "blocks" / "usage").read_text()
    held = sum(path.stat().st_size for path in [*folder.glob("blocks/??/*"), *folder.glob("blocks/tmp/*")])
    assert not text or int(text.split()[1]) >= held, fault


def _finish(store: blocks.BlockStore, fault: Fault) -> None:
    """The same work again on what the fault left ends as if there had been none."""
    store.pin(store.put(FIRST))
    store.put(SECOND)
    store.collect(grace=0)
    names = set()
    for data in (KEPT, FIRST):
        unixfs.build(io.BytesIO(data), lambda name, _: names.add(str(name)))
    assert {path.name for path in store.folder.glob("blocks/??/*")} == names, fault
    assert list((store.blocks / "tmp").iterdir()) == [], fault
    for data in (KEPT, FIRST):
        assert store.get(unixfs.of(data), limit=3 * MIB) == data, fault
    text = (store.blocks / "usage").read_text()
    assert int(text.split()[1]) == sum(path.stat().st_size for path in store.folder.glob("blocks/??/*")), fault


def kills(bench: Path) -> list[Fault]:
    return [Fault(call, when, "KILL") for call, count in sorted(calls(bench).items()) for when in range(1, count + 1)]


def refusals(bench: Path) -> list[Fault]:
    seen = calls(bench)
    points = [(call, when) for call in WRITES for when in range(1, seen[call] + 1)]
    return [Fault(call, when, what) for what in ("ENOSPC", "EIO") for call, when in points]


@pytest.mark.parametrize(("faults", "step"), [(kills, 23), (refusals, 13)])
def test_a_fault_at_a_system_call(bench: Path, faults, step: int) -> None:
    """37, 40: every nth point of put, pin and collect: killed, or the disk refuses; no torn block, no pinned one lost."""
    points = faults(bench)[::step]
    assert len(points) >= 10
    for fault in points:
        survive(bench, fault)


@pytest.mark.chaos
@pytest.mark.timeout(1800)
@pytest.mark.parametrize("faults", [kills, refusals])
def test_a_fault_at_each_system_call(bench: Path, faults) -> None:
    """37, 40: all points."""
    points = faults(bench)
    for fault in points:
        survive(bench, fault)
    print(f"{collections.Counter((fault.what, fault.call) for fault in points)}, {len(points)} points")


def test_the_check_sees_a_torn_block(bench: Path) -> None:
    """A block that is torn on disk is told, so the checks above can fail."""
    store = blocks.BlockStore(bench / "base")
    path = store.blocks / str(unixfs.of(KEPT))[-3:-1] / str(unixfs.of(KEPT))
    path.write_bytes(path.read_bytes()[:-1])
    assert [verdict.cid for verdict in store.verify() if verdict.error is not None] == [cid.Cid.parse(path.name)]

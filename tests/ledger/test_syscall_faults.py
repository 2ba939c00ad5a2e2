"""The log under faults of the system below it: killed, or refused, at each system call that touches one of its files."""

import collections
import dataclasses
import re
import shutil
import subprocess
import sys

import pytest

from ledger import checkpoint, dsse, errors, keys, log, merkle
from tests.ledger import programs

ORIGIN = "folkmoot.test/log"
KEY = keys.SigningKey.generate()
BEFORE = 5
BATCHES = [[b"a"], [b"b", b"c", b"d"], [b"e", b"f"]]
SOUND = [b"%d" % n for n in range(BEFORE)] + [payload for batch in BATCHES for payload in batch]
FILES = ("log.db", "log.db-wal", "log.db-shm", "log.db-journal", "checkpoint", "checkpoint.tmp", "")
WRITES = ("write", "pwrite64", "fsync", "fdatasync", "rename", "ftruncate", "openat", "unlink")

WORK = """
import pathlib, sys
from ledger import dsse, errors, keys, log
folder = pathlib.Path(sys.argv[1])
key = keys.SigningKey.load(folder.parent / "key")
try:
    with log.Log.open(folder / "log.db", origin="folkmoot.test/log") as record:
        for batch in [[b"a"], [b"b", b"c", b"d"], [b"e", b"f"]]:
            print("appended", *record.append([dsse.sign(payload, key) for payload in batch], head=record.head), flush=True)
            if batch != [b"a"]:
                record.publish(key)
                print("published", record.size, flush=True)
except errors.LogError as error:
    print("refused", error, flush=True)
"""


@dataclasses.dataclass(frozen=True)
class Fault:
    """What happens at the `when`-th call of `call` on the log's files: a signal, or an error it returns."""

    call: str
    when: int
    what: str

    def __str__(self):
        return f"{self.what} at {self.call} {self.when}"


@pytest.fixture
def bench(tmp_path):
    """A folder with a log of five published entries, to be copied for each fault."""
    KEY.save(tmp_path / "key")
    (tmp_path / "base").mkdir()
    with log.Log.open(tmp_path / "base" / "log.db", origin=ORIGIN) as record:
        record.append([dsse.sign(payload, KEY) for payload in SOUND[:BEFORE]], head=record.head)
        record.publish(KEY)
    return tmp_path


def traced(folder, *options):
    """The lines that the work printed, and its exit code, under strace with these options."""
    paths = [option for name in FILES for option in ("-P", str(folder / name) if name else str(folder))]
    command = [programs.strace(), "-f", "-qq", *options, *paths, sys.executable, "-c", WORK, str(folder)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
    return done.stdout.splitlines(), done.returncode


def calls(bench):
    """How often the work makes each system call on the log's files."""
    folder = bench / "counted"
    shutil.copytree(bench / "base", folder)
    lines, code = traced(folder, "-o", str(bench / "trace"))
    assert (lines[-1], code) == (f"published {len(SOUND)}", 0)
    shutil.rmtree(folder)
    named = re.findall(r"^\d+ +(\w+)\(", (bench / "trace").read_text(), re.MULTILINE)
    return collections.Counter(named)


def survive(bench, fault):
    """Nothing; the fault struck, and nothing acknowledged was lost, forked or quietly shortened."""
    folder = bench / "struck"
    shutil.copytree(bench / "base", folder)
    inject = f"signal=KILL:when={fault.when}" if fault.what == "KILL" else f"error={fault.what}:when={fault.when}"
    lines, code = traced(folder, "-o", "/dev/null", "-e", f"trace={fault.call}", "-e", f"inject={fault.call}:{inject}")
    assert code in ((-9, 137) if fault.what == "KILL" else (0,)), (fault, lines)
    acknowledged = [int(seq) for line in lines if line.startswith("appended") for seq in line.split()[1:]]
    assert acknowledged == list(range(BEFORE, BEFORE + len(acknowledged))), fault
    promised = max([int(line.split()[1]) for line in lines if line.startswith("published")], default=BEFORE)
    _published(folder, promised, fault)
    _finish(folder, BEFORE + len(acknowledged), fault)
    shutil.rmtree(folder)


def _published(folder, promised, fault):
    """What readers see before any repair: a whole note, not older than what was acknowledged."""
    signed = checkpoint.verify((folder / "checkpoint").read_bytes(), ORIGIN, KEY.public)
    assert signed.size >= promised, fault
    with log.Log.open(folder / "log.db", origin=ORIGIN, read_only=True) as record:
        assert record.size >= signed.size, fault


def _finish(folder, acknowledged, fault):
    """The same work again on what the fault left: all of it there once, the old tree a prefix of the new."""
    with log.Log.open(folder / "log.db", origin=ORIGIN) as record:
        assert record.size >= acknowledged, fault
        left = [entry.envelope.payload for entry in record.entries()]
        assert left == SOUND[: len(left)], fault
        for batch in BATCHES:
            record.append([dsse.sign(payload, KEY) for payload in batch], head=record.head)
        new = checkpoint.verify(record.publish(KEY), ORIGIN, KEY.public)
        hashes = [entry.hash for entry in record.entries()]
        assert [entry.envelope.payload for entry in record.entries()] == SOUND, fault
        for size, note in record.notes():
            old = checkpoint.verify(note, ORIGIN, KEY.public)
            proof = merkle.consistency_proof(size, new.size, merkle.over(hashes))
            merkle.verify_consistency(size, new.size, old.root, new.root, proof)


def kills(bench):
    return [Fault(call, when, "KILL") for call, count in sorted(calls(bench).items()) for when in range(1, count + 1)]


def refusals(bench):
    seen = calls(bench)
    points = [(call, when) for call in WRITES for when in range(1, seen[call] + 1)]
    return [Fault(call, when, what) for what in ("EIO", "ENOSPC") for call, when in points]


@pytest.mark.parametrize("faults", [kills, refusals])
def test_a_fault_at_a_system_call(bench, faults):
    """Every ninth point: killed, or the disk refuses; nothing acknowledged is lost, nothing forks (attacks 38, 40)."""
    points = faults(bench)[::9]
    assert len(points) >= 10
    for fault in points:
        survive(bench, fault)


@pytest.mark.chaos
@pytest.mark.parametrize("faults", [kills, refusals])
def test_a_fault_at_each_system_call(bench, faults, record_property):
    """All points (attacks 38, 40)."""
    points = faults(bench)
    for fault in points:
        survive(bench, fault)
    print(
        f"{faults.__name__}: {collections.Counter((fault.what, fault.call) for fault in points)}, {len(points)} points"
    )


def test_the_check_sees_a_lost_entry(bench):
    """A log whose last acknowledged entry is gone is told."""
    with log.Log.open(bench / "base" / "log.db", origin=ORIGIN) as record, pytest.raises(AssertionError):
        assert record.size >= BEFORE + 1
    (bench / "base" / "log.db").unlink()
    with pytest.raises(errors.RollbackError):
        log.Log.open(bench / "base" / "log.db", origin=ORIGIN)

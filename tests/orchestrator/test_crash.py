"""kill -9 at random moments: of the coordinator, of a Ray worker, of everything. Nothing is lost, and the bits are the same.

The moments are drawn from fixed seeds. `make test` does a few; `make chaos` does many more and is the one to believe.
"""

import os
import random
import re
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from ledger import errors
from orchestrator import folder, journal, replay

ROOT = Path(__file__).parents[2]
RAY = ("rounds=6", "task.epochs=20")
INPROCESS = (*RAY, "pool=inprocess")
FOUNDED = 22  # genesis, ten enrolments, ten roles, the first opening: until then there is no worker to kill


def start(root: Path, *overrides: str) -> subprocess.Popen[bytes]:
    """The main job in a process group of its own."""
    command = [sys.executable, "-m", "orchestrator", "run", f"dir={root}", *overrides]
    environment = os.environ | {"PYTHONPATH": str(ROOT)}
    with (root.parent / f"{root.name}.log").open("ab") as log:
        return subprocess.Popen(
            command, cwd=root.parent, stdout=log, stderr=subprocess.STDOUT, env=environment, start_new_session=True
        )


def finish(root: Path, *overrides: str) -> None:
    process = start(root, *overrides)
    assert process.wait(timeout=240) == 0, (root.parent / f"{root.name}.log").read_text()


def outcome(root: Path) -> tuple[str, int]:
    """Final checkpoint and number of entries, after an audit."""
    report = replay.Replay(folder.RunFolder(root=root), lambda _number, _total: None).audit()
    assert report.recomputed == report.rounds == 6
    return report.checkpoint, report.checked["entries"]


def entries(root: Path) -> int:
    """Entries on the ledger so far, 0 before it is there."""
    try:
        with journal.published(root / "ledger.sqlite") as record:
            return record.size
    except (errors.LedgerError, OSError):  # the folder is being written
        return 0


def workers_of(process: subprocess.Popen[bytes]) -> list[int]:
    """Process ids of the Ray actors below `process`."""
    listing = subprocess.run(["ps", "-eo", "pid,ppid,args"], capture_output=True, text=True, check=True).stdout
    rows = [line.split(None, 2) for line in listing.splitlines()[1:]]
    parents = {int(pid): int(parent) for pid, parent, _ in rows}

    def below(pid: int) -> bool:
        while pid in parents and pid != process.pid:
            pid = parents[pid]
        return pid == process.pid

    return [int(pid) for pid, _, name in rows if re.match(r"ray::\S*Worker", name) and below(int(pid))]


def wait_for(root: Path, process: subprocess.Popen[bytes], size: int) -> bool:
    """True once the ledger has `size` entries; False if the run ended before."""
    deadline = time.monotonic() + 120
    while process.poll() is None and time.monotonic() < deadline:
        if entries(root) >= size:
            return True
        time.sleep(0.01)
    return False


def kill(process: subprocess.Popen[bytes], what: str) -> bool:
    """Send SIGKILL; True if there was somebody to kill."""
    if what == "worker":
        found = workers_of(process)[:1]
        for pid in found:
            os.kill(pid, signal.SIGKILL)
        return bool(found)
    if what == "group":
        os.killpg(process.pid, signal.SIGKILL)
    else:
        process.kill()
    process.wait()
    return True


@pytest.fixture(scope="module")
def undisturbed(tmp_path_factory: pytest.TempPathFactory) -> tuple[str, int]:
    root = tmp_path_factory.mktemp("undisturbed") / "run"
    finish(root, *INPROCESS)
    return outcome(root)


def disturb(root: Path, overrides: tuple[str, ...], kinds: list[str], seed: int) -> int:
    """Run to the end, killed once for each kind at a random entry and delay; how many kills struck a living run."""
    draw = random.Random(seed)
    struck, process = 0, start(root, *overrides)
    for kind in kinds:
        if process.poll() is not None:
            process = start(root, *overrides)
        begun = max(entries(root), FOUNDED if kind == "worker" else 0)
        if wait_for(root, process, begun + draw.randrange(1, 18)):
            time.sleep(draw.random() * 0.05)
            struck += process.poll() is None and kill(process, kind)
    process.wait(timeout=240)
    finish(root, *overrides)
    return struck


def test_killed_coordinators_end_at_the_same_bits(tmp_path: Path, undisturbed: tuple[str, int]) -> None:
    """Four kills of a run in one process, at seeded moments: same checkpoint, same number of entries (attacks 37-39)."""
    assert disturb(tmp_path / "run", INPROCESS, ["coordinator"] * 4, seed=1) >= 3
    assert outcome(tmp_path / "run") == undisturbed


@pytest.mark.ray
def test_killed_workers_and_groups_end_at_the_same_bits(tmp_path: Path, undisturbed: tuple[str, int]) -> None:
    """On Ray, with two workers: a worker, then the whole process group; same bits as one process undisturbed."""
    assert disturb(tmp_path / "run", RAY, ["worker", "group"], seed=2) == 2
    assert outcome(tmp_path / "run") == undisturbed


@pytest.mark.ray
@pytest.mark.parametrize(("number", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_ctrl_c_and_sigterm_stop_cleanly(tmp_path: Path, number: int, code: int) -> None:
    """Exit code 130 or 143, a line that says how to resume, and no Ray process left behind."""
    root = tmp_path / "run"
    process = start(root, "rounds=200")
    assert wait_for(root, process, 60)
    os.kill(process.pid, number) if number == signal.SIGTERM else os.killpg(process.pid, number)
    assert process.wait(timeout=60) == code
    assert "To resume: folkmoot run" in (tmp_path / "run.log").read_text()
    listing = subprocess.run(["ps", "-eo", "sid,args"], capture_output=True, text=True, check=True).stdout
    ours = [line for line in listing.splitlines() if line.split(None, 1)[0] == str(process.pid) and "ray" in line]
    assert not ours


CHAOS = [(kind, seed) for seed in range(8) for kind in ("coordinator", "worker", "group")]


@pytest.mark.chaos
@pytest.mark.ray
def test_chaos(tmp_path: Path, undisturbed: tuple[str, int]) -> None:
    """Twenty-four kills over eight runs on Ray, each resumed: always the same checkpoint, nothing twice, nothing lost."""
    struck = 0
    for seed in range(8):
        kinds = [kind for kind, which in CHAOS if which == seed]
        random.Random(seed).shuffle(kinds)
        struck += disturb(tmp_path / f"run-{seed}", RAY, kinds, seed=seed)
        assert outcome(tmp_path / f"run-{seed}") == undisturbed
        sys.stderr.write(f"run {seed}: {' '.join(kinds)}; {struck} kills so far\n")
    assert struck >= 20

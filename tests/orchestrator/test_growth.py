"""What a long run, or one of many holders, asks of its coordinator; and what a worker that dies in a round costs."""

import collections
import gc
import json
import os
import signal
import threading
import time
import tracemalloc
from collections.abc import Callable
from pathlib import Path

import pytest
from rich.console import Console

from client import worker
from orchestrator import folder, listener, metrics, pool, progress, replay, run
from tests import federation

ROOT = Path(__file__).parents[2]
SMALL = ("task=synthetic", "task.examples=10", "task.classes=10", "task.tests=20", "attack=none", "rule.byzantine=1")
LONG = (*SMALL, "task.holders=20", "task.features=800", "task.hidden=100", "cohort.size=10")
WARM, ROUNDS, TOLERANCE = 24, 64, 4096
"""Rounds before the first reading, rounds in all, and bytes that a round may leave: the log's own fold keeps some hundred."""
DYING = (*SMALL, "task.holders=20", "task.features=8", "rounds=3")


class Weighed:
    """A listener that notes how many bytes Python holds after each round from WARM on; torch's are not among them."""

    def __init__(self) -> None:
        self.bytes: list[int] = []
        self.resident: list[int] = []
        self._rounds = 0

    def opened(self, number: int, total: int) -> None:
        """Nothing to note."""

    def answered(self, reply: object) -> None:
        """Nothing to note."""

    def committed(self, report: listener.RoundReport) -> None:
        self._rounds += 1
        if self._rounds == WARM - 10:  # what has been compiled by now need not be traced
            tracemalloc.start()
        if self._rounds >= WARM:
            gc.collect()
            self.bytes.append(tracemalloc.get_traced_memory()[0])
            self.resident.append(int(Path("/proc/self/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE"))


@pytest.mark.chaos
def test_memory_does_not_grow_with_rounds(tmp_path: Path) -> None:
    """Sixty-four rounds, coordinator and holders in one process: after 24, under 4 KiB a round by Python's own account.

    And under 64 KiB a round resident, where torch's memory counts too: a kept checkpoint of this model would be 324 KB.
    """
    weighed = Weighed()
    chosen = federation.settings_for(tmp_path / "run", *LONG, f"rounds={ROUNDS}")
    try:
        with progress.Progress(Console(quiet=True), {}) as show:
            run.execute(chosen, show, [weighed])
    finally:
        tracemalloc.stop()
    grown, resident = ((each[-1] - each[0]) / (ROUNDS - WARM) for each in (weighed.bytes, weighed.resident))
    assert grown < TOLERANCE, f"{grown:.0f} bytes a round"
    assert resident < 16 * TOLERANCE, f"{resident:.0f} bytes a round, resident"


class Dying(worker.Worker):
    """A worker that writes down what it begins; the first of them to come so far in round 2 waits there to be killed."""

    @property
    def _notes(self) -> Path:
        return self._settings.holders.parent / "notes"

    def answer(self, group, opening, file):
        with (self._notes / "begun").open("a") as begun:
            number = self._agreed.opening(federation.dsse.Envelope.parse(opening)).round
            begun.write(json.dumps([number, group.asked]) + "\n")
        return super().answer(group, opening, file)

    def _answered(self, member, envelope, *rest, **more):
        if self._agreed.opening(envelope).round == 2:
            try:
                with (self._notes / "pid").open("x") as mine:
                    mine.write(f"{os.getpid()}\n")
            except FileExistsError:
                pass  # it has happened
            else:
                time.sleep(120)
        return super()._answered(member, envelope, *rest, **more)


def kill_who_waits(path: Path, killed: list[int]) -> None:
    """SIGKILL to the process whose id is in a file, once it is there."""
    until = time.monotonic() + 120
    while time.monotonic() < until:
        if path.is_file() and (text := path.read_text()).endswith("\n"):
            os.kill(int(text), signal.SIGKILL)
            killed.append(int(text))
            return
        time.sleep(0.01)


@pytest.mark.ray
@pytest.mark.chaos
@pytest.mark.parametrize("together", [1, 5])
def test_a_worker_killed_in_a_round_costs_what_it_was_at(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, execute: Callable, together: int
) -> None:
    """Of two workers one is killed over a holder, or a group: only that is begun twice, and the bits are the same."""
    chosen = (*DYING, f"pool.together={together}")
    execute(tmp_path / "whole", *chosen)
    monkeypatch.setenv("PYTHONPATH", str(ROOT))  # Ray's workers import this module
    monkeypatch.setattr(run.pool, "RayPool", lambda *said: pool_of(Dying, *said))
    notes, killed = tmp_path / "run" / "notes", []
    notes.mkdir(parents=True)
    hand = threading.Thread(target=kill_who_waits, args=(notes / "pid", killed))
    hand.start()
    execute(tmp_path / "run", *chosen, "pool=ray", "pool.workers=2")
    hand.join()
    begun = collections.Counter((notes / "begun").read_text().splitlines())
    assert len(killed) == 1
    assert len(begun) == 3 * 20 // together, "each group in each round"
    assert sorted(begun.values())[-2:] == [1, 2], "one of them twice"
    assert final(tmp_path / "run") == final(tmp_path / "whole")


RAY_POOL = pool.RayPool


def pool_of(kind: type, workers: int, address: str | None) -> pool.RayPool:
    return RAY_POOL(workers, address, kind)


def final(root: Path) -> str:
    return replay.Replay(folder.RunFolder(root=root), lambda _number, _total: None).audit().checkpoint


@pytest.mark.ray
@pytest.mark.chaos
@pytest.mark.timeout(900)
def test_ten_thousand_holders(tmp_path: Path, execute: Callable) -> None:
    """500 of them a round, here and on two workers: both complete, and with the same bits."""
    chosen = (
        *SMALL,
        "task.holders=10000",
        "task.features=20",
        "cohort.size=500",
        "credit=gram",
        "credit.screened=false",
    )
    ended = [execute(tmp_path / name, *chosen, f"pool={name}") for name in ("inprocess", "ray")]
    lines = [metrics.MetricsFile(tmp_path / name / "metrics.jsonl")._lines() for name in ("inprocess", "ray")]
    assert [each.rounds for each in ended] == [2, 2]
    assert [[line["accepted"] for line in each] for each in lines] == [[500, 500]] * 2
    assert lines[0][-1]["checkpoint"] == lines[1][-1]["checkpoint"]

"""A federation of parties that only the service joins: network namespaces, 50 ms and one per cent of loss each way."""

import json
import re
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from ledger import statements
from orchestrator import folder, journal
from tests import moot, wires

URL = f"http://{wires.ADDRESS}:8767"
SLOW = 1_000_000
PLAN = ("pool=remote", f"pool.host={wires.ADDRESS}", "rule=mean", "rule.byzantine=0", "task.epochs=1")


class Far:
    """A run in the hub, and its holders, each at the end of a wire."""

    def __init__(self, place: Path, lines: wires.Wires, names: list[str], *overrides: str) -> None:
        self.place = place
        self.root = place / "run"
        self._lines = lines
        self.names = names
        self.processes: list[moot.Process] = []
        members = (f"pool.members=[{','.join(names)}]", f"task.holders={len(names)}", f"dir={self.root}")
        self.coordinator = self.start("hub", "coordinator", "run", *PLAN, *members, *overrides)
        self.coordinator.says("round 1 waits for holders")

    def start(self, where: str, log: str, *arguments: str) -> moot.Process:
        process = moot.Process(self.place, log, *arguments, within=self._lines.within(where))
        self.processes.append(process)
        return process

    def join(self, name: str) -> moot.Process:
        """A holder on its part of the data, at the end of its wire."""
        data = ("--data", f"shard:{self.names.index(name)}", "--threads", "1")
        return self.start(name, name, "join", URL, "--invite", str(self.root / "invites" / name), *data, "--accept")

    def listening(self) -> str:
        """What listens at any holder's."""
        return "".join(self._lines.listening(each) for each in self.names)

    def offers(self) -> set[tuple[str, int]]:
        """Who has offered, and to which rounds."""
        with journal.published(folder.RunFolder(root=self.root).ledger) as record:
            said = [statements.parse(entry.envelope.payload) for entry in record.entries()]
        return {(each.author, each.round) for each in said if isinstance(each, statements.UpdateOffer)}

    def finished(self) -> str:
        """The CID of the last checkpoint, all processes having ended well."""
        for each in self.processes:
            assert each.ends() == 0, each.said
        found = re.search(r"^checkpoint +(\S+)$", self.coordinator.said, re.MULTILINE)
        assert found, self.coordinator.said
        return found.group(1)

    def audited(self) -> dict[str, object]:
        """What an audit says in a namespace where nothing is known but the URL of the service."""
        service = self.start("hub", "service", "serve", str(self.root), "--host", wires.ADDRESS)
        service.says(URL)
        empty = self.place / "elsewhere"
        empty.mkdir()
        audit = moot.Process(
            empty, "audit", "audit", URL, "--json", "--no-memory", within=self._lines.within("auditor")
        )
        assert audit.ends() == 0, audit.said
        service.kill()
        record: dict[str, object] = json.loads(audit.said.splitlines()[-1])
        return record

    def close(self) -> None:
        for each in self.processes:
            each.kill()


@pytest.fixture
def two(tmp_path: Path) -> Iterator[tuple[wires.Wires, Far]]:
    yield from far(tmp_path, ["ann", "bo"], {"bo": SLOW}, "rounds=2", "cohort.minimum=2")


@pytest.fixture
def five(tmp_path: Path) -> Iterator[tuple[wires.Wires, Far]]:
    names = ["ann", "bo", "cleo", "dan", "eve"]
    yield from far(tmp_path, names, {"dan": SLOW}, "rounds=7", "cohort.minimum=4", "cohort.deadline=6")


def lost(lines: wires.Wires, *names: str) -> float:
    """The share of packets that the wires of `names` lost."""
    counts = [lines.counts(name) for name in names]
    gone, passed = (sum(each.get(kind, 0) for each in counts) for kind in ("lost", "passed"))
    assert passed > 500
    return gone / (gone + passed)


def far(place: Path, names: list[str], bits: dict[str, int], *overrides: str) -> Iterator[tuple[wires.Wires, Far]]:
    lines = wires.Wires([*names, "auditor"], bits)
    try:
        run = Far(place, lines, names, *overrides)
        yield lines, run
        run.close()
    finally:
        lines.close()


def test_holders_are_reached_by_nobody(two: tuple[wires.Wires, Far]) -> None:
    """Two holders far away, one on a slow wire, take part over connections of their own alone; a stranger audits the run.

    Nothing listens at a holder's, and nobody tries to reach one: a holder behind an address translator is as good as any.
    """
    lines, run = two
    for name in ("ann", "bo", "auditor"):
        assert 2 * wires.DELAY <= lines.round_trip(name) < 1.0
    for name in ("ann", "bo"):
        run.join(name)
    while run.processes[-1].running:
        assert run.listening() == ""
        time.sleep(0.5)
    came_to = run.finished()
    report = run.audited()
    assert (report["ok"], report["checkpoint"], report["recomputed"]) == (True, came_to, 2)
    assert 0.002 < lost(lines, "ann", "bo", "auditor") < 0.03
    assert all(lines.counts(name).get("inward", 0) == 0 for name in ("ann", "bo"))


@pytest.mark.chaos
def test_one_is_cut_off_for_two_rounds(five: tuple[wires.Wires, Far]) -> None:
    """Five holders, one cut off for two rounds and back, one at 1 Mbit/s: the run completes, and a stranger comes to its model.

    The others' rounds go on without the one that is cut off (attack 37), which takes part again once its wire is mended.
    """
    lines, run = five
    eve = run.join("eve")
    run.coordinator.says("eve has joined")  # so that she is in the first round, which four can open
    for name in ("ann", "bo", "cleo", "dan"):
        run.join(name)
    eve.says("round 1: offered")
    lines.cut("eve")
    run.coordinator.says(r"(?m)^ +3 ")
    lines.mend("eve")
    came_to = run.finished()
    offers = run.offers()
    assert not {("eve", 2), ("eve", 3)} & offers
    assert {("eve", 1), ("eve", 7)} <= offers
    assert sum(author == "dan" for author, _ in offers) >= 5
    report = run.audited()
    assert (report["ok"], report["checkpoint"], report["recomputed"]) == (True, came_to, 7)
    assert 0.002 < lost(lines, "ann", "bo", "cleo", "dan") < 0.03
    assert all(lines.counts(name).get("inward", 0) == 0 for name in run.names)

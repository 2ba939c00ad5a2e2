"""The tail of a served log: complete, in order, alive, and no burden whoever listens."""

import json
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from ledger import leaf
from orchestrator.serving import growth
from tests import runs


@pytest.fixture
def run(tmp_path: Path) -> runs.Run:
    return runs.Run(tmp_path / "run")


@pytest.fixture
def address(run: runs.Run) -> Iterator[tuple[str, int]]:
    with runs.serving(run.where.root) as where:
        with runs.client(where) as asked:
            runs.wait(asked)
        yield where


def parsed(events: list[dict[str, str]], start: int, prev: str) -> list[leaf.Entry]:
    """The entries of events, each in its place after the one before."""
    found = []
    for event in events:
        if event.get("event") == "entry":
            entry = leaf.Entry.parse(event["data"].encode(), seq=start + len(found), prev=prev)
            assert event["id"] == str(entry.seq)
            prev = entry.hash.hex()
            found.append(entry)
    return found


def test_the_backlog_and_what_comes(run: runs.Run, address: tuple[str, int]) -> None:
    """All entries from the first on, the checkpoint after those it covers, and what another process appends at once."""
    with runs.Tail(address) as tail:
        before = tail.until(7)
        assert parsed(before, 0, leaf.NO_HEAD) == run.entries()
        signed = tail.next()
        assert signed["event"] == "checkpoint"
        assert "id" not in signed
        assert signed["data"].encode() + b"\n" == run.where.checkpoint.read_bytes()
        start = time.monotonic()
        run.append(run.rotate("carol"))
        assert tail.next()["id"] == "8"
        assert time.monotonic() - start < 1.0
        run.publish()
        assert tail.next()["data"].splitlines()[1] == "9"


@pytest.mark.parametrize(("start", "headers"), [(5, {}), (0, {"Last-Event-ID": "4"}), (7, {"Last-Event-ID": "4"})])
def test_a_tail_goes_on_where_it_ended(
    run: runs.Run, address: tuple[str, int], start: int, headers: dict[str, str]
) -> None:
    """It begins at `from`, or after the last event that came, which goes before it."""
    with runs.Tail(address, start, **headers) as tail:
        assert parsed(tail.until(7), 5, run.entries()[4].hash.hex()) == run.entries()[5:]


def test_a_tail_ahead_of_the_log_waits(run: runs.Run, address: tuple[str, int]) -> None:
    """From a position that is not there yet it brings the checkpoint, and then that entry first."""
    with runs.Tail(address, 9) as tail:
        assert tail.next()["event"] == "checkpoint"
        run.append(run.rotate("carol"), run.rotate("carol"))
        assert tail.next()["id"] == "9"


@pytest.mark.parametrize("text", ["-1", "x", "1e3", "01", "", "\u0661", "9" * 40])
def test_a_position_that_is_none(address: tuple[str, int], text: str) -> None:
    """Anything but a decimal number is refused."""
    with runs.client(address) as asked:
        assert asked.get("/tail", params={"from": text}).status_code == 400
        if text and text.isascii():
            assert asked.get("/tail", headers={"Last-Event-ID": text}).status_code == 400


def test_a_silent_tail_is_alive(run: runs.Run, monkeypatch: pytest.MonkeyPatch) -> None:
    """A comment comes now and then, and it is no event."""
    monkeypatch.setattr(growth, "BEAT", 0.3)
    with runs.serving(run.where.root) as where, runs.client(where) as asked:
        runs.wait(asked)
        with runs.Tail(where, 8) as tail:
            assert tail.next()["event"] == "checkpoint"
            assert [tail.next(), tail.next()] == [{}, {}]


def test_a_long_log_in_pages_and_pieces(run: runs.Run, monkeypatch: pytest.MonkeyPatch) -> None:
    """A reader gets every entry once and in order, from whichever position, also where the kept events do not reach."""
    monkeypatch.setattr(growth, "KEPT", 100_000)
    with runs.serving(run.where.root) as where, runs.client(where) as asked:
        runs.wait(asked)
        for _ in range(3):
            run.append(*(run.rotate("carol") for _ in range(100)))
        entries = run.entries()
        for start in (0, 1, 63, 64, 65, 200, 307):
            with runs.Tail(where, start) as tail:
                prev = entries[start - 1].hash.hex() if start else leaf.NO_HEAD
                assert parsed(tail.until(307), start, prev) == entries[start:]


def test_readers_while_others_write(run: runs.Run, address: tuple[str, int]) -> None:
    """Twenty tails that begin at other positions while the log grows all come to the same."""
    found: dict[int, list[str]] = {}

    def listen(start: int) -> None:
        with runs.Tail(address, start) as tail:
            found[start] = [event["id"] for event in tail.until(107) if "id" in event]

    threads = [threading.Thread(target=listen, args=(start,)) for start in range(20)]
    for thread in threads:
        thread.start()
    for _ in range(10):
        run.append(*(run.rotate("carol") for _ in range(10)))
    for thread in threads:
        thread.join()
    assert found == {start: [str(seq) for seq in range(start, 108)] for start in range(20)}


def test_too_many_tails(run: runs.Run) -> None:
    """503 beyond the limit; a place is free soon after somebody left."""
    with runs.serving(run.where.root, tails=2) as where, runs.client(where) as asked:
        runs.wait(asked)
        with runs.Tail(where) as first, runs.Tail(where) as second:
            assert first.response.status_code == second.response.status_code == 200
            assert asked.get("/tail").status_code == 503
        deadline = time.monotonic() + 5
        while True:
            with runs.Tail(where) as again:
                if again.response.status_code == 200:
                    break
            assert time.monotonic() < deadline


def test_a_reader_that_takes_nothing_is_left(run: runs.Run) -> None:
    """Its connection ends after the service's patience, and others were served meanwhile (attacks 31, 35)."""
    run.append(*(run.rotate("carol") for _ in range(1500)))
    with runs.serving(run.where.root, patience=0.7) as where, runs.client(where) as asked:
        runs.wait(asked)
        with runs.connected(where, b"GET /tail HTTP/1.1\r\nHost: s\r\n\r\n", window=4096) as slow:
            deadline = time.monotonic() + 15
            while tails(asked) != 1:
                assert time.monotonic() < deadline
            while tails(asked) != 0:
                assert time.monotonic() < deadline
            assert len(runs.heard(slow)) < 2_000_000
        with runs.Tail(where, 1500) as tail:
            tail.until(1507)


def tails(asked: runs.httpx.Client) -> int:
    [line] = [each for each in asked.get("/metrics").text.splitlines() if each.startswith("folkmoot_tails ")]
    return int(float(line.split()[1]))


def test_open_tails_do_not_hold_a_server_that_stops(run: runs.Run) -> None:
    """They are ended like any answer: the client sees a whole body and comes again."""
    with runs.serving(run.where.root) as where:
        with runs.client(where) as asked:
            runs.wait(asked)
        listening = [runs.Tail(where) for _ in range(5)]
        for tail in listening:
            tail.until(7)
        start = time.monotonic()
    assert time.monotonic() - start < 3
    for tail in listening:
        with pytest.raises(EOFError):
            tail.until(1000)
        tail.__exit__()


def test_the_events_are_lines(run: runs.Run) -> None:
    """A leaf is one line of JSON, so an event has as many lines as it says."""
    for entry in run.entries():
        event = growth.event(entry)
        assert event.count(b"\n") == 4
        assert json.loads(event.split(b"data: ")[1])["seq"] == entry.seq

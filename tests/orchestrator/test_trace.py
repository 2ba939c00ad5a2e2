"""The trace of a run is in the format that trace viewers read, however the run ended."""

import json
import os
from collections.abc import Callable
from pathlib import Path

from orchestrator import trace

SMALL = ("task=synthetic", "task.holders=10", "task.features=8", "task.tests=10", "attack=none", "rule=median")


def events(folder: Path) -> list[dict]:
    text = (folder / trace.NAME).read_text()
    assert text.startswith("[\n")
    assert text.endswith(",\n")
    return json.loads(text[:-2] + "]")


def test_a_trace_has_every_phase_of_every_round(tmp_path: Path, execute: Callable) -> None:
    """Complete events: a name, a start and a duration in microseconds, within its round; a second process appends to them."""
    execute(tmp_path / "run", *SMALL, "profile=true")
    found = events(tmp_path / "run")
    for number in (1, 2):
        mine = [event for event in found if event["args"]["round"] == number]
        named = {event["name"] for event in mine}
        assert named == {"admit", "train", "seal", "ledger", "publish", "aggregate", "evaluate", "round"}
        (whole,) = (event for event in mine if event["name"] == "round")
        for event in mine:
            assert (event["ph"], event["pid"]) == ("X", os.getpid())
            assert whole["ts"] - 1000 <= event["ts"] <= event["ts"] + event["dur"] <= whole["ts"] + whole["dur"] + 1000
            assert event["args"]["cpu_ms"] >= 0
        assert len([event for event in mine if event["name"] == "train"]) == 1, "ten holders side by side"
    before = len(found)
    execute(tmp_path / "run", *SMALL, "profile=true", "rounds=2")
    assert len(events(tmp_path / "run")) == before


def test_without_profile_there_is_none(pristine: Path) -> None:
    """The default writes no trace."""
    assert not (pristine / trace.NAME).exists()

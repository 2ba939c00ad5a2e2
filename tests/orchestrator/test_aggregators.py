"""Aggregators in real processes: whose word makes a checkpoint final, and who cannot hold up a run."""

import contextlib
import json
import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest

from ledger import statements
from orchestrator import folder, record, replay, subject
from tests import moot

NAMES = ("alice", "bob", "carol")


@contextlib.contextmanager
def run(tmp_path: Path, aggregators: tuple[str, ...], *overrides: str) -> Iterator[moot.Moot]:
    made = moot.Moot(tmp_path, NAMES, f"pool.aggregators=[{','.join(aggregators)}]", "cohort.deadline=20", *overrides)
    try:
        yield made
    finally:
        made.stop()


def test_two_aggregators_make_rounds_final(tmp_path: Path) -> None:
    """Each names a recipient, opens the updates itself, recomputes and cosigns; the audit by the URL alone says so."""
    with run(tmp_path, ("org-a", "org-b"), "cohort.cosignatures=2", "disclosure=none", "audit_window=0") as made:
        watching = [made.aggregate(name) for name in ("org-a", "org-b")]
        for each in watching:
            each.says("waiting for round 1")
        holding = [made.join(name, "--accept") for name in NAMES]
        assert [each.ends() for each in (*holding, *watching, made.coordinator)] == [0] * 6, made.coordinator.said
    print(made.coordinator.said, watching[0].said, holding[0].said)
    report = replay.Replay(folder.RunFolder(root=made.root), lambda *_: None).audit()
    assert (report.final, report.pending, report.cosignatures) == ("1-3", 0, 2)

"""A federation as its parties have it: a coordinator and three holders, each a process of its own, over HTTP."""

import json
from collections.abc import Iterator
from pathlib import Path

import pytest

from ledger import statements
from orchestrator import folder, journal, replay
from tests import moot

NAMES = ("alice", "bob", "carol")


@pytest.fixture
def run(tmp_path: Path) -> Iterator[moot.Moot]:
    started = moot.Moot(tmp_path, NAMES)
    yield started
    started.stop()


def said(root: Path) -> list[statements.Predicate]:
    """All statements of a run, in order."""
    with journal.published(folder.RunFolder(root=root).ledger) as record:
        return [statements.parse(entry.envelope.payload) for entry in record.entries()]


def test_three_holders_and_one_killed(run: moot.Moot) -> None:
    """A run of three rounds completes although a holder is killed while it trains; its audit finds nothing (attacks 19, 37).

    Nothing is sent before consent: without a policy that admits the run, or with `--explain`, only GET goes over the wire.
    """
    wire = moot.Recorder(run.url)
    unasked = run.join("alice", url=wire.url)
    assert unasked.ends() == 2
    assert "nobody can be asked here" in unasked.said
    explained = run.join("alice", "--explain", url=wire.url)
    assert explained.ends() == 0
    assert "admits   coordinators" in explained.said
    denying = run.folder / "deny.yaml"
    denying.write_text("rounds: 3\n")
    denied = run.join("alice", "--policy", str(denying), url=wire.url)
    assert denied.ends() == 1
    assert "coordinator" in denied.said.splitlines()[-1]
    assert wire.lines
    assert wire.methods == {"GET"}

    holders = {name: run.join(name, "--accept", url=wire.url if name == "alice" else None) for name in NAMES}
    holders["bob"].says("round 2: training")
    holders["bob"].kill()
    holders["bob"] = run.join("bob")
    for holder in holders.values():
        assert holder.ends() == 0, holder.said
    assert run.coordinator.ends() == 0, run.coordinator.said
    wire.close()
    assert all(wire.carried(each) for each in (b"POST /statements", b"PUT /ipfs/"))

    report = replay.Replay(folder.RunFolder(root=run.root), lambda _number, _total: None).audit()
    assert report.recomputed == report.rounds == 3
    offers = [each for each in said(run.root) if isinstance(each, statements.UpdateOffer)]
    assert sorted((offer.author, offer.round) for offer in offers) == [(n, r) for n in NAMES for r in (1, 2, 3)]
    assert report.checkpoint in holders["bob"].said
    assert not (run.folder / "folkmoot-bob" / "invitation").exists()


@pytest.mark.chaos
def test_who_leaves_is_not_waited_for(run: moot.Moot) -> None:
    """Ctrl-C while a round waits for an offer declines it, so the round goes on; whoever comes back takes part again."""
    holders = {name: run.join(name, "--accept", "--json") for name in NAMES}
    holders["carol"].says('"event": "outcome"')
    holders["carol"].interrupt()
    assert holders["carol"].ends() == 130
    assert "To go on: folkmoot join" in holders["carol"].said
    holders["carol"] = run.join("carol", "--json")
    for holder in holders.values():
        assert holder.ends() == 0, holder.said
    last = json.loads(holders["alice"].said.splitlines()[-1])
    assert (last["event"], last["rounds"], last["accepted"]) == ("finished", 3, 3)
    assert run.coordinator.ends() == 0

"""kill -9 over coordinator, service, holders, aggregator and PostgreSQL, while a federation trains (attacks 37-39).

Seeds are fixed, and printed with every kill. `make test` does a few; `make chaos` does many more and is the one to believe.
"""

import json
import time
from collections.abc import Callable
from pathlib import Path

import pytest
from rich.console import Console

from client import spending
from exchange import blocks
from ledger import statements
from orchestrator import journal, progress, replay, run
from tests import chaos, federation, moot, servers

ROUNDS = 10
SECONDS = 270.0
WANTED = 28
PLAN = (*moot.PLAN, f"rounds={ROUNDS}", "task.epochs=8")


@pytest.fixture(scope="module")
def undisturbed(tmp_path_factory: pytest.TempPathFactory) -> str:
    """The final checkpoint of the same plan, nobody killed, no network: all holders answer every round."""
    root = tmp_path_factory.mktemp("undisturbed") / "run"
    chosen = federation.settings_for(root, "attack=none", *PLAN)
    with progress.Progress(Console(quiet=True), chosen.hostile) as show:
        run.execute(chosen, show)
    return audited(root)


def audited(root: Path) -> str:
    """The final checkpoint of a run that its audit finds nothing wrong with."""
    report = replay.Replay(chaos.where(root), lambda _number, _total: None).audit()
    assert report.recomputed == report.rounds
    return report.checkpoint


def weather(storm: chaos.Chaos, seconds: float) -> None:
    """Let it rage, and require what must hold whoever was killed."""
    try:
        storm.run(seconds)
        require_nothing_lost(storm)
        require_no_equivocation(storm)
    finally:
        storm.stop()


def require_nothing_lost(storm: chaos.Chaos) -> None:
    """What was acknowledged is on the log, where it was acknowledged; what the log names is in the store."""
    assert not storm.refused
    assert len(storm.acknowledged) == storm.leavers
    with journal.published(chaos.where(storm.root).ledger) as record:
        entries = list(record.entries())
    assert all(entries[seq].eid == eid for eid, seq in storm.acknowledged.items())
    said = [statements.parse(entry.envelope.payload) for entry in entries]
    for actor in storm.members:
        for event in chaos.events(actor.process.log):
            if "seq" in event:
                found = said[int(str(event["seq"]))]
                assert found.author == actor.name
                assert getattr(found, "round", None) == event.get("round")
    assert not any(isinstance(each, statements.RoundDispute) for each in said)
    held = blocks.BlockStore(storm.root)
    assert all(held.has(each.ciphertext) for each in said if isinstance(each, statements.UpdateOffer))
    assert all(verdict.error is None for verdict in held.verify())


def require_no_equivocation(storm: chaos.Chaos) -> None:
    """Of each holder one offer to each round, in its outbox, on the way and on the log."""
    with journal.published(chaos.where(storm.root).ledger) as record:
        parsed = [statements.parse(entry.envelope.payload) for entry in record.entries()]
    offers = {(each.author, each.round): each for each in parsed if isinstance(each, statements.UpdateOffer)}
    assert len(offers) == sum(isinstance(each, statements.UpdateOffer) for each in parsed)
    for place, kept in storm.offers.items():
        assert kept == {statements.build(offers[place])}, place
    service = (storm.root / "service.log").read_text()
    assert "equivocation" not in service
    assert not any(
        "equivocation" in actor.process.said or "ForkedError" in actor.process.said for actor in storm.members
    )
    put = {line["path"].removeprefix("/ipfs/") for line in lines(service) if line.get("method") == "PUT"}
    assert put <= {offer.ciphertext for offer in offers.values()}
    assert not list(storm.moot.folder.glob("folkmoot-*/memory/*.evidence*"))
    for actor in storm.holders:
        spent = spending.Spending(actor.place / "spending.jsonl").so_far()
        assert len(spent.rounds) == len({number for name, number in offers if name == actor.name})


def lines(text: str) -> list[dict[str, str]]:
    """The requests in a service's log."""
    return [json.loads(line) for line in text.splitlines() if line.startswith("{") and line.endswith("}")]


@pytest.fixture
def says(capsys: pytest.CaptureFixture[str]) -> Callable[[str], None]:
    """Print, though pytest captures."""
    start = time.monotonic()

    def said(sentence: str) -> None:
        with capsys.disabled():
            print(f"{time.monotonic() - start:6.1f} s  {sentence}", flush=True)

    return said


@pytest.mark.chaos
@pytest.mark.parametrize("seed", [1])
def test_chaos(tmp_path: Path, undisturbed: str, says: Callable[[str], None], seed: int) -> None:
    """Over SQLite: the same final checkpoint as undisturbed, nothing acknowledged lost, no equivocation."""
    says(f"seed {seed}, SQLite")
    storm = chaos.Chaos(tmp_path, seed=seed, kills=WANTED, overrides=PLAN, says=says)
    weather(storm, SECONDS)
    says(f"seed {seed}: {dict(storm.killed)}")
    assert not storm.failed
    assert storm.kills >= WANTED
    assert audited(storm.root) == undisturbed


@pytest.mark.chaos
@pytest.mark.parametrize("seed", [2])
def test_chaos_on_a_server(
    tmp_path: Path, undisturbed: str, says: Callable[[str], None], server: servers.Postgres, seed: int
) -> None:
    """Over PostgreSQL, which is killed too, with an aggregator, and a second coordinator that takes over: the same (39, 42)."""
    says(f"seed {seed}, PostgreSQL")
    log = ("ledger=postgres", f'ledger.url="{server.url()[0]}"')
    storm = chaos.Chaos(
        tmp_path,
        seed=seed,
        kills=WANTED,
        overrides=(*PLAN, *log),
        database=server,
        aggregates=True,
        standby=True,
        says=says,
    )
    weather(storm, SECONDS)
    says(f"seed {seed}: {dict(storm.killed)}; ended by themselves: {storm.failed}")
    assert storm.kills >= WANTED
    assert audited(storm.root) == undisturbed

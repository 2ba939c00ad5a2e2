"""Disks that are full while a federation trains: the service's, then a holder's. What was due is done later (attack 40)."""

import os
import shutil
import subprocess
from collections.abc import Sequence
from pathlib import Path

import pytest

from ledger import statements
from orchestrator import folder, founding, journal, replay
from tests import chaos, moot

NAMES = founding.member_names(2)
PLAN = ("rule=mean", "rule.byzantine=0", "task.holders=2", "task.epochs=1", "rounds=2", "cohort.minimum=2")


def full(place: Path) -> tuple[str, ...]:
    """What stands before a command that has the folder `place`, and nothing else, on a disk of 8 KiB: less than an update."""
    place.mkdir(parents=True, exist_ok=True)
    script = 'mount -t tmpfs -o size=8k none "$0" && exec "$@"'
    return *apart(), "sh", "-c", script, str(place)


def apart() -> Sequence[str]:
    """A mount namespace of its own."""
    return ("unshare", "--mount") if os.geteuid() == 0 else ("unshare", "--mount", "--map-root-user")


@pytest.fixture
def small(tmp_path: Path) -> None:
    """Skips where no small disk can be made."""
    able = (
        shutil.which("unshare") is not None
        and subprocess.run([*full(tmp_path / "x"), "true"], check=False).returncode == 0
    )
    if not able:
        if os.environ.get("FOLKMOOT_REQUIRE_SERVERS") == "1":
            pytest.fail("FOLKMOOT_REQUIRE_SERVERS=1, and no mount namespace can be made")
        pytest.skip("no mount namespace can be made")


@pytest.mark.chaos
@pytest.mark.usefixtures("small")
def test_a_full_disk_loses_nothing(tmp_path: Path) -> None:
    """The service says 507 and the holder comes again; a holder that cannot store says so, and the same command goes on."""
    port = chaos.free_port()
    run = moot.Moot(tmp_path, NAMES, f"pool.port={port}", *PLAN)
    try:
        run.coordinator.kill()
        run.stop()
        url = f"http://127.0.0.1:{port}"
        hosted = [each for each in run.overrides if not each.startswith("pool.port=")]
        coordinator = run.start("coordinator", "run", *hosted, "pool.port=null", f"pool.url={url}")
        serve = ("serve", str(run.root), "--port", str(port), "--json")
        service = run.start("service", *serve, within=full(run.root / "blocks" / "tmp"))
        holders = [run.join(name, "--accept", "--json", url=url) for name in NAMES]
        holders[0].says("507")
        service.kill()
        service = run.start("service", *serve)
        holders[1].says('"event": "outcome"')
        holders[1].kill()
        place = tmp_path / f"folkmoot-{NAMES[1]}"
        offer = (place / "offer.json").read_bytes()
        holders[1] = run.start(NAMES[1], *argument(run, url), within=full(place / "blocks" / "tmp"))
        if holders[1].ends() != 0:  # unless it had offered to the last round before it was killed
            assert "No space left" in holders[1].said
            assert (place / "offer.json").read_bytes() == offer
            holders[1] = run.start(NAMES[1], *argument(run, url))
        assert [each.ends() for each in holders] == [0, 0]
        assert coordinator.ends() == 0, coordinator.said
    finally:
        run.stop()
    report = replay.Replay(folder.RunFolder(root=run.root), lambda _number, _total: None).audit()
    assert report.recomputed == report.rounds == 2
    with journal.published(run.root / "ledger.sqlite") as record:
        said = [statements.parse(entry.envelope.payload) for entry in record.entries()]
    offers = [(each.author, each.round) for each in said if isinstance(each, statements.UpdateOffer)]
    assert sorted(offers) == [(name, number) for name in NAMES for number in (1, 2)]


def argument(run: moot.Moot, url: str) -> tuple[str, ...]:
    place = str(run.folder / f"folkmoot-{NAMES[1]}")
    return "join", url, "--folder", place, "--data", "shard:1", "--threads", "1", "--json"

"""Several coordinators on one run: one acts, the others wait, and whoever dies is followed within seconds."""

import threading
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from ledger import errors as ledger_errors
from orchestrator import coordinator, errors, folder, inprocess, replay
from tests import federation, moot, servers

RUN = (
    "pool=inprocess",
    "rounds=20",
    "task.holders=3",
    "rule=mean",
    "rule.byzantine=0",
    "attack=none",
    "credit=gram",
    "task.epochs=40",
)


def final(root: Path) -> str:
    report = replay.Replay(folder.RunFolder(root=root), lambda *_: None).audit()
    assert report.recomputed == report.rounds
    return report.checkpoint


@pytest.fixture(scope="module")
def undisturbed(tmp_path_factory: pytest.TempPathFactory) -> str:
    """Final checkpoint of the run that nobody disturbs."""
    where = tmp_path_factory.mktemp("undisturbed")
    process = moot.Process(where, "whole", "run", f"dir={where / 'whole'}", *RUN)
    assert process.ends() == 0, process.said
    return final(where / "whole")


@pytest.mark.parametrize("kind", ["sqlite", "postgres"])
def test_the_one_that_waits_takes_over(
    tmp_path: Path, kind: str, undisturbed: str, request: pytest.FixtureRequest
) -> None:
    """38, 42: the acting one is killed; the other says that it waits, goes on, and comes to the undisturbed checkpoint."""
    ledger: tuple[str, ...] = ()
    if kind == "postgres":
        server: servers.Postgres = request.getfixturevalue("server")
        ledger = ("ledger=postgres", f'ledger.url="{server.url()[0]}"')
    root = tmp_path / "run"
    first = moot.Process(tmp_path, "first", "run", f"dir={root}", *RUN, *ledger)
    try:
        while not (root / "ledger.sqlite").exists() and not (root / "ledger.url").exists():
            time.sleep(0.05)
        second = moot.Process(tmp_path, "second", "run", f"dir={root}", "standby=true", *RUN, *ledger)
        try:
            second.says("waiting to take over")
            first.says(r"\n +1 ")
            first.kill()
            start = time.monotonic()
            second.says("resuming after round")
            assert time.monotonic() - start < 10
            assert second.ends() == 0, second.said
        finally:
            second.kill()
    finally:
        first.kill()
    assert final(root) == undisturbed


def test_two_that_both_think_they_act_fork_nothing(tmp_path: Path, execute: Callable) -> None:
    """42: without any lock, two coordinators with the same key on one log: each entry is said once, and the run is whole.

    Where both play the same simulated holder, one of them may stumble over the other's files, and stop.
    """
    chosen = federation.settings_for(tmp_path / "run")
    where = folder.RunFolder(root=tmp_path / "run")
    with pytest.raises(KeyboardInterrupt):
        federation.conduct(where.root, federation.Interrupting(3))
    outcomes: list[BaseException | None] = []

    def act() -> None:
        workers = inprocess.InProcessPool()
        try:
            coordinator.Coordinator(
                where, chosen.plan, hostile=chosen.hostile, workers=workers, threads=1, listeners=[]
            ).run()
            outcomes.append(None)
        except (errors.OrchestratorError, ledger_errors.LedgerError, OSError) as error:
            outcomes.append(error)
        finally:
            workers.close()

    both = [threading.Thread(target=act) for _ in range(2)]
    for each in both:
        each.start()
    for each in both:
        each.join()
    assert len(outcomes) == 2, outcomes
    assert None in outcomes, outcomes
    execute(tmp_path / "run")
    execute(tmp_path / "alone")
    assert final(tmp_path / "run") == final(tmp_path / "alone")

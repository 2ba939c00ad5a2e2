"""kill -9 at chosen steps: whoever dies at its first change to the disk, again at its second, and so on, ends at the same bits.

SIGKILL comes right before a file operation (`tests.mortal`), or while an answer stays at a gate before the service.
"""

import contextlib
import re
import signal
import time
from collections.abc import Iterator, Sequence
from pathlib import Path

import pytest

from ledger import statements
from orchestrator import folder, founding, journal, replay
from tests import chaos, gate, mortal

NAMES = founding.member_names(2)
PLAN = ("rule=mean", "rule.byzantine=0", "task.holders=2", "task.epochs=1", "rounds=2", "cohort.minimum=2")
PLAYED = ("pool=inprocess", "attack=none", *PLAN, "disclosure=none", "audit_window=1")
SECONDS = 120.0


class Doomed:
    """A command that is killed at its first step, then at its second, and so on; then it goes on to its end.

    Args:
        place: where it writes its log.
        name: of the log.
        arguments: of the command.
        pattern: paths whose changes are its steps.
        deaths: after so many it is left alone.
    """

    def __init__(self, place: Path, name: str, arguments: Sequence[str], pattern: str, *, deaths: int) -> None:
        self.log = place / f"{name}.log"
        self.kills = 0
        self.over = False
        self._start = lambda step: mortal.start(place, name, *arguments, step=step)
        self._pattern = pattern
        self._deaths = deaths
        self._process = self._start(self._step())

    def _step(self) -> mortal.Step | None:
        if self.kills >= self._deaths:
            return None
        return mortal.Step(kind="any", pattern=self._pattern, number=self.kills + 1)

    def tend(self) -> bool:
        """Whether it has come to its end."""
        code = self._process.exitcode
        self.over = self.over or code == 0
        if not self.over and code is not None:
            assert code == -signal.SIGKILL, self.log.read_text()
            self.kills += 1
            self._process = self._start(self._step())
        return self.over

    def kill(self) -> None:
        self._process.kill()
        self._process.join()

    def wait(self) -> None:
        """Until it has come to its end."""
        until = time.monotonic() + SECONDS
        while not self.tend():
            assert time.monotonic() < until, self.log.read_text()
            self._process.join(0.05)


def inside(root: Path) -> str:
    return f"^{re.escape(str(root))}/(?!lock$)"


def outcome(root: Path) -> tuple[str, int]:
    """Final checkpoint and number of entries, after an audit."""
    report = replay.Replay(folder.RunFolder(root=root), lambda _number, _total: None).audit()
    assert report.rounds == 2
    return report.checkpoint, report.checked["entries"]


@pytest.mark.chaos
def test_a_coordinator_that_dies_at_every_step(tmp_path: Path) -> None:
    """Between identity and opening, append and publication, commit and retention: the same bits, no identity left (38, 39)."""
    plain = Doomed(tmp_path, "plain", ("run", f"dir={tmp_path / 'plain'}", *PLAYED), "", deaths=0)
    root = tmp_path / "run"
    doomed = Doomed(tmp_path, "doomed", ("run", f"dir={root}", *PLAYED), inside(root), deaths=12)
    doomed.wait()
    plain.wait()
    assert doomed.kills >= 8
    assert outcome(root) == outcome(tmp_path / "plain")
    assert not list((root / "keys" / "rounds").glob("*"))


@pytest.mark.chaos
@pytest.mark.parametrize(
    ("kind", "pattern", "number", "identities"),
    [
        ("rename", "/keys/rounds/2\\.age$", 1, 1),  # before the identity of a round that is not opened yet
        ("open", "/checkpoint\\.tmp$", 2, 1),  # between append and publication
        ("remove", "/keys/rounds/.\\.age$", 1, 2),  # between commit and retention
        ("remove", "/keys/rounds/.\\.age$", 2, 1),  # one identity deleted, another not, and neither said to be
    ],
)
def test_a_coordinator_that_dies_at_a_chosen_step(
    tmp_path: Path, kind: str, pattern: str, number: int, identities: int
) -> None:
    """The same command comes to the same checkpoint, with no entry more or less (38, 39)."""
    plain = Doomed(tmp_path, "plain", ("run", f"dir={tmp_path / 'plain'}", *PLAYED), "", deaths=0)
    root = tmp_path / "run"
    step = mortal.Step(kind=kind, pattern=pattern, number=number)
    first = mortal.start(tmp_path, "first", "run", f"dir={root}", *PLAYED, step=step)
    first.join()
    assert first.exitcode == -signal.SIGKILL
    assert len(list((root / "keys" / "rounds").glob("*.age"))) == identities
    Doomed(tmp_path, "second", ("run", f"dir={root}", *PLAYED), "", deaths=0).wait()
    plain.wait()
    assert outcome(root) == outcome(tmp_path / "plain")
    assert not list((root / "keys" / "rounds").glob("*"))


@contextlib.contextmanager
def ended(actors: Sequence[Doomed]) -> Iterator[None]:
    try:
        yield
    finally:
        for each in actors:
            each.kill()


def test_everybody_dies_at_every_step(tmp_path: Path) -> None:
    """A coordinator, its service and a holder, each killed a step later than the time before: the bits of a run undisturbed.

    Another holder dies between spending and outbox, between PUT and POST, and between POST and its answer. The log has one
    offer of each to each round (attacks 19, 37-39).
    """
    root, port = tmp_path / "run", chaos.free_port()
    url = f"http://127.0.0.1:{port}"
    hosted = ("pool=remote", f"pool.members=[{','.join(NAMES)}]", "pool.port=null", f"pool.url={url}", f"dir={root}")
    coordinator = Doomed(tmp_path, "coordinator", ("run", *hosted, *PLAN), inside(root), deaths=6)
    actors = [coordinator]
    plain = Doomed(
        tmp_path, "plain", ("run", "pool=inprocess", "attack=none", f"dir={tmp_path / 'plain'}", *PLAN), "", deaths=0
    )
    with ended(actors):
        until = time.monotonic() + SECONDS
        while not all((root / "invites" / name).exists() for name in NAMES):
            assert time.monotonic() < until
            coordinator.tend()
            time.sleep(0.01)
        serve = ("serve", str(root), "--port", str(port), "--json")
        service = Doomed(tmp_path, "service", serve, f"^{re.escape(str(root))}/blocks/", deaths=6)
        actors.append(service)
        first = tmp_path / f"folkmoot-{NAMES[0]}"
        actors.append(Doomed(tmp_path, NAMES[0], join(root, url, 0), inside(first), deaths=10))
        waits = gated(tmp_path, root, url)
        while not all(each.over for each in (coordinator, *actors[2:])):
            assert time.monotonic() < until, [each.log.read_text()[-1500:] for each in actors]
            for each in actors:
                each.tend()
            if waits is not None and (found := next(waits)) is not None:
                actors.append(found)
                waits = None
            time.sleep(0.005)
        plain.wait()
    told = {each.log.stem: each.kills for each in actors}
    assert outcome(root)[0] == outcome(tmp_path / "plain")[0], told
    assert all(each.kills >= 4 for each in actors[:3]), told
    with journal.published(root / "ledger.sqlite") as record:
        said = [statements.parse(entry.envelope.payload) for entry in record.entries()]
    offers = [(each.author, each.round) for each in said if isinstance(each, statements.UpdateOffer)]
    assert sorted(offers) == [(name, number) for name in NAMES for number in (1, 2)]
    assert len(spent(tmp_path)) == 3
    assert "equivocation" not in (tmp_path / "service.log").read_text()


def spent(place: Path) -> list[str]:
    return (place / f"folkmoot-{NAMES[1]}" / "spending.jsonl").read_text().splitlines()


def join(root: Path, url: str, number: int) -> tuple[str, ...]:
    invited = (root / "invites" / NAMES[number]).read_text().strip()
    return ("join", url, "--invite", invited, "--data", f"shard:{number}", "--threads", "1", "--accept", "--json")


def gated(place: Path, root: Path, url: str) -> Iterator[Doomed | None]:
    """None each time, until the second holder has died thrice; then it itself, that lives to its end."""
    own = join(root, url, 1)
    step = mortal.Step(kind="open", pattern=r"/offer\.json\.tmp$", number=1)
    process = mortal.start(place, NAMES[1], *own, step=step)
    while process.is_alive():
        yield None
    assert process.exitcode == -signal.SIGKILL
    # What it spent is on disk, what it spent it on is not: it will spend again.
    assert len(spent(place)) == 1
    assert not (place / f"folkmoot-{NAMES[1]}" / "offer.json").exists()
    for beginning in (b"PUT /ipfs/", b"POST /statements"):
        shut = gate.Gate(url, beginning, 1, answers=True)
        process = mortal.start(place, NAMES[1], own[0], shut.url, *own[2:])
        while not shut.reached.is_set():
            assert process.is_alive()
            yield None
        process.kill()
        process.join()
        shut.close()
    yield Doomed(place, NAMES[1], own, "", deaths=0)

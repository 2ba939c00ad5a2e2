"""Runs whose holders come from elsewhere: they appear on the ledger, nobody asks them, and nobody else becomes one."""

import json
import os
import signal
import sys
import threading
import time
from collections.abc import Mapping
from pathlib import Path
from types import MappingProxyType

import pytest
from click.testing import CliRunner
from rich.console import Console

from client import agreement, checkpoint, holder, invitation, policy, spending, training
from exchange import places
from ledger import dsse, history, keys, membership, statements
from orchestrator import (
    child,
    cli,
    coordinator,
    errors,
    folder,
    founding,
    hosting,
    invitations,
    journal,
    progress,
    record,
    remote,
    replay,
)
from tests import federation

REMOTE = ("pool=remote", "pool.port=null", "rule=mean", "cohort.minimum=2", "task.holders=3", "task.epochs=1")


class Guest(threading.Thread):
    """Somebody who has the line of an invitation, and speaks to the log alone, as a service would for it."""

    def __init__(self, where: folder.RunFolder, name: str, number: int, *, declines: bool = False) -> None:
        super().__init__(daemon=True)
        self._where = where
        self._name = name
        self._number = number
        self._declines = declines
        self._key = keys.SigningKey.generate()
        self.stop = threading.Event()
        self.outcomes: list[object] = []

    def run(self) -> None:
        path = self._where.invites / self._name
        while not (path.exists() and self._where.checkpoint.exists()):
            time.sleep(0.05)
        invited = invitation.Invitation.parse(path.read_text())
        with record.Record(self._where.ledger) as log:
            joined = membership.rotation(invited.run, self._name, invited.key.public, self._key)
            self.outcomes += log.admit([dsse.sign(statements.build(joined), invited.key)])
            while not self.stop.wait(0.05):
                log.refresh()
                self._answer(log)

    def _answer(self, log: record.Record) -> None:
        known = log.history
        opened = known.open_round
        if (
            opened is None
            or known.phase != history.Phase.OPEN
            or self._name not in opened.cohort
            or log.opening is None
        ):
            return
        assert known.current is not None
        if self._name in known.offers or self._name in known.current.declined:
            return
        if self._declines:
            said = statements.RoundDecline(author=self._name, run=opened.run, round=opened.round, reason="busy")
            self.outcomes += log.admit([dsse.sign(statements.build(said), self._key)])
            return
        agreed = agreement.Agreement.read(next(log.entries(0, 1)).envelope)
        store = places.open(self._where.place)
        own = self._where.root.parent / self._name
        own.mkdir(exist_ok=True)
        mine = holder.Holder(
            name=self._name,
            key=self._key,
            consent=policy.Policy.narrowest(agreed),
            spent=spending.Spending(own / "spending.jsonl"),
            examples=agreed.task.shard(self._number),
            agreed=agreed,
            store=store,
            outbox_path=own / "offer.json",
            momentum_path=own / "momentum",
            model=training.FlatModel(agreed.task.model(), training.torch.device("cpu")),
        )
        start = checkpoint.decode(store.get(opened.parent, limit=2**24), opened.parent, agreed.specs)
        self.outcomes += log.admit([mine.contribute(log.opening, start).offer])


class Told(progress.Progress):
    """A listener that keeps what it is told."""

    def __init__(self) -> None:
        super().__init__(Console(quiet=True), {})
        self.lines: list[str] = []

    def invited(self, name: str, line: str) -> None:
        self.lines.append(f"invited {name} {line}")

    def joined(self, name: str) -> None:
        self.lines.append(f"joined {name}")

    def waiting(self, sentence: str) -> None:
        self.lines.append(sentence)


def host(root: Path, *overrides: str, guests: Mapping[str, str] = MappingProxyType({})) -> Told:
    """Coordinate a run with holders elsewhere to its end, without a service."""
    chosen = federation.settings_for(root, *REMOTE, *overrides)
    where = folder.RunFolder(root=root)
    root.mkdir(parents=True, exist_ok=True)
    assert chosen.hosting is not None
    workers = remote.RemotePool(where, chosen.hosting)
    with where.locked(), Told() as told:
        coordinator.Coordinator(
            where,
            chosen.plan,
            hostile=chosen.hostile,
            workers=workers,
            threads=1,
            listeners=[told],
            guests=guests or chosen.hosting.guests,
        ).run()
    return told


@pytest.fixture
def founded(tmp_path: Path) -> folder.RunFolder:
    """A run whose holders are invited, just founded."""
    where = folder.RunFolder(root=tmp_path / "run")
    where.root.mkdir()
    agreed = federation.settings_for(where.root, *REMOTE).plan
    where.config.write_text(federation.settings_for(where.root, *REMOTE).resolved)
    with journal.Journal(where.ledger, where.coordinator_key()) as log:
        log.append(*founding.found(agreed, where.coordinator_key(), {}, places.open(where.place)))
        log.publish()
    return where


def test_holders_join_while_the_run_goes_on(tmp_path: Path) -> None:
    """Three invited names take their places, one of whom declines every round: rounds open, are sealed, and the run audits."""
    where = folder.RunFolder(root=tmp_path / "run")
    guests = [Guest(where, "alice", 0), Guest(where, "bob", 1), Guest(where, "carol", 2, declines=True)]
    for guest in guests:
        guest.start()
    told = host(where.root, "pool.members=[alice,bob,carol]", "cohort.deadline=60")
    for guest in guests:
        guest.stop.set()
        guest.join(20)
    assert all(isinstance(outcome, int) for guest in guests for outcome in guest.outcomes)
    report = replay.Replay(where, lambda _number, _total: None).audit()
    assert (report.rounds, report.recomputed, report.left_out, report.unsigned) == (2, 2, 0, 0)
    assert {line for line in told.lines if line.startswith("joined")} == {"joined alice", "joined bob", "joined carol"}
    assert "round 1 waits for holders: 0 of 2 are here" in told.lines
    shown = [line for line in told.lines if line.startswith("invited")]
    assert [line.split(" folkmoot-invite")[0] for line in shown] == [
        f"invited {name} folkmoot join http://HOST:PORT --invite" for name in ("alice", "bob", "carol")
    ]
    assert not list(where.invites.glob("*"))


def test_who_was_neither_invited_nor_expected_gets_no_role(founded: folder.RunFolder) -> None:
    """Enrolled past the service, even with another key since, or under an expected name with another key (attack 20)."""
    with journal.Journal(founded.ledger, founded.coordinator_key()) as log:
        run = log.history.run or ""
        invited = invitations.invite(founded, log, "alice")
        mine, sybil, thief = (keys.SigningKey.generate() for _ in range(3))
        invitations.expect(founded, log.history, "dave", str(mine.public) + " dave@ward")
        log.append(enrolment(run, "sybil", sybil), enrolment(run, "dave", thief))
        log.append(rotation(run, "sybil", sybil))
        assert invitations.arrived(founded, log.history) == ()
        log.append(rotation(run, "alice", invited.key))
        assert invitations.arrived(founded, log.history) == ("alice",)
        assert invitations.admit(founded, log, ("alice",)) == ("alice",)
        assert invitations.admit(founded, log, ("alice",)) == ()
        assert log.history.members["alice"].role == "holder"
        assert invitations.arrived(founded, log.history) == ()


def test_an_expected_key_enrols_by_itself(founded: folder.RunFolder) -> None:
    """Named by line or by fingerprint, and until it has come the name may be given to another key."""
    mine, other = keys.SigningKey.generate(), keys.SigningKey.generate()
    with journal.Journal(founded.ledger, founded.coordinator_key()) as log:
        invitations.expect(founded, log.history, "dave", str(other.public))
        assert invitations.expect(founded, log.history, "dave", mine.public.fingerprint) == mine.public.fingerprint
        log.append(enrolment(log.history.run or "", "dave", mine))
        assert invitations.arrived(founded, log.history) == ("dave",)
        with pytest.raises(errors.ConfigError, match="dave is a member already"):
            invitations.expect(founded, log.history, "dave", mine.public.fingerprint)
        for bad in ("SHA256:short", "SHA256:" + "!" * 43, "ssh-rsa AAAA"):
            with pytest.raises(errors.ConfigError, match="is no key"):
                invitations.expect(founded, log.history, "erin", bad)


def test_commands_invite_beside_a_coordinator_and_without(founded: folder.RunFolder) -> None:
    """The lock of the folder is held, as a coordinator holds it; the same line again until it is used, then a refusal."""
    runner = CliRunner()
    with founded.locked(), journal.Journal(founded.ledger, founded.coordinator_key()) as log:
        first = runner.invoke(cli.cli, ["invite", str(founded.root), "alice", "bob", "--json"])
        assert first.exit_code == 0, first.output
        assert log.refresh()
        assert {"alice", "bob"} <= set(log.history.members)
        log.publish()
    said = json.loads(first.output)
    invited = invitation.Invitation.parse(said["invitations"]["alice"])
    assert (founded.invites / "alice").stat().st_mode & 0o777 == 0o600
    again = runner.invoke(cli.cli, ["invite", str(founded.root), "alice"])
    assert again.output.strip() == said["commands"]["alice"]
    with journal.Journal(founded.ledger, founded.coordinator_key()) as log:
        log.append(rotation(invited.run, "alice", invited.key))
    refused = runner.invoke(cli.cli, ["invite", str(founded.root), "alice"])
    assert (refused.exit_code, refused.stderr) == (2, "folkmoot: alice is a member already: choose another name\n")
    expected = runner.invoke(cli.cli, ["enrol", str(founded.root), "dave", str(keys.SigningKey.generate().public)])
    assert expected.exit_code == 0
    assert f"--run {invited.run} --name dave" in expected.output
    assert set(invitations.expected(founded)) == {"dave"}
    wrong = runner.invoke(cli.cli, ["invite", str(founded.root), "Alice"])
    assert wrong.exit_code == 2


def test_a_run_with_fixed_holders_invites_nobody(finished: Path) -> None:
    """Its plan says who they are, and an audit would refuse one more."""
    refused = CliRunner().invoke(cli.cli, ["invite", str(finished), "alice"])
    assert refused.exit_code == 2
    assert "holders of this run are fixed by its plan" in refused.stderr


STAND_IN = """
import json, signal, sys, time
print(json.dumps({"url": "http://127.0.0.1:1"}), flush=True)
time.sleep(600)
"""


def test_a_service_that_dies_is_started_again(tmp_path: Path) -> None:
    """Killed, it comes back under another number, where the first was reached; ended with the run, it is gone."""
    told: list[object] = []

    def command(said: dict[str, object] | None) -> list[str]:
        told.append(said)
        return [sys.executable, "-c", STAND_IN]

    kept = child.Child(command, tmp_path / "log")
    assert kept.start() == {"url": "http://127.0.0.1:1"}
    first = kept.pid
    assert first is not None
    os.kill(first, signal.SIGKILL)
    until = time.monotonic() + 20
    while (kept.pid is None or kept.pid == first) and time.monotonic() < until:
        kept.keep()
        time.sleep(0.05)
    second = kept.pid
    assert second not in (None, first)
    assert told == [None, {"url": "http://127.0.0.1:1"}]
    kept.stop()
    with pytest.raises(ProcessLookupError):
        os.kill(second or 0, 0)


def test_a_service_that_does_not_start_is_an_error_at_once(tmp_path: Path) -> None:
    """It says what the service said last."""
    kept = child.Child(lambda _: [sys.executable, "-c", "import sys; sys.exit('address in use')"], tmp_path / "log")
    with pytest.raises(errors.PoolError, match="the service did not start: address in use"):
        kept.start()


@pytest.mark.parametrize(
    ("key", "value", "said"),
    [
        ("members", ["Alice"], "pool.members"),
        ("members", ["a", "a"], "expected distinct names"),
        ("members", ["coordinator"], "none of them the coordinator's"),
        ("port", 70_000, "expected 0 to 65535"),
        ("host", None, "pool.host is missing"),
        ("url", "ftp://moot", "begins with http"),
    ],
)
def test_a_mistake_in_the_hosting_is_one_sentence(key: str, value: object, said: str) -> None:
    """It names the key and what would do."""
    right = {"name": "remote", "members": [], "aggregators": [], "host": "127.0.0.1", "port": 1, "url": None}
    assert hosting.Hosting.read(right) is not None
    with pytest.raises(errors.ConfigError, match=said):
        hosting.Hosting.read({**right, key: value})
    with pytest.raises(errors.ConfigError, match="only pool=remote reads"):
        hosting.Hosting.read({**right, "name": "ray"})


def enrolment(run: str, name: str, key: keys.SigningKey) -> dsse.Envelope:
    return dsse.sign(statements.build(statements.MemberEnrol(author=name, run=run, key=str(key.public))), key)


def rotation(run: str, name: str, key: keys.SigningKey) -> dsse.Envelope:
    return dsse.sign(statements.build(membership.rotation(run, name, key.public, keys.SigningKey.generate())), key)

"""One log, several writers: each judges by the log as it stands when it writes, and nobody loses what was acknowledged."""

import multiprocessing
from collections.abc import Iterator
from multiprocessing import synchronize
from pathlib import Path

import pytest

from ledger import dsse, history, keys, membership, statements
from ledger import errors as ledger_errors
from orchestrator import folder, journal, record
from tests import federation, servers

ROUNDS = 25


@pytest.fixture(params=["sqlite", "postgres"])
def where(request: pytest.FixtureRequest, tmp_path: Path) -> folder.RunFolder:
    """A founded run whose holders are invited, in a file or on a server."""
    made = folder.RunFolder(root=tmp_path)
    key = made.coordinator_key()
    if request.param == "postgres":
        server: servers.Postgres = request.getfixturevalue("server")
        made.url.write_text(f"{server.url()[0]}\n")
    world = federation.Federation(tmp_path)
    genesis = statements.parse(world.envelopes[0].payload)
    assert isinstance(genesis, statements.Genesis)
    with journal.Journal(made.ledger, key) as log:
        log.append(dsse.sign(statements.build(_named(genesis, key)), key))
        log.publish()
    return made


def _named(genesis: statements.Genesis, key: keys.SigningKey) -> statements.Genesis:
    return statements.Genesis(
        author=genesis.author, plan=genesis.plan, key=str(key.public), checkpoint=genesis.checkpoint
    )


def enrolment(run: str, name: str) -> dsse.Envelope:
    key = keys.SigningKey.generate()
    return dsse.sign(statements.build(statements.MemberEnrol(author=name, run=run, key=str(key.public))), key)


def keep_appending(ledger: Path, ready: synchronize.Event, stop: synchronize.Event, told: object) -> None:
    """What a service does, as fast as it can: batches, each with one that the rules refuse."""
    acknowledged = []
    with record.Record(ledger) as log:
        number = 0
        while not stop.is_set():
            names = [f"guest-{number + place}" for place in range(3)]
            batch = [enrolment(log.history.run or "", name) for name in names]
            outcomes = log.admit([*batch, enrolment("0" * 64, "stranger")])
            assert isinstance(outcomes[-1], ledger_errors.HistoryError)
            acknowledged += [(envelope.eid, seq) for envelope, seq in zip(batch, outcomes, strict=False)]
            number += 3
            ready.set()
    told.put(acknowledged)  # type: ignore[attr-defined]


@pytest.fixture
def writer(where: folder.RunFolder) -> Iterator[tuple]:
    context = multiprocessing.get_context("spawn")
    ready, stop, told = context.Event(), context.Event(), context.Queue()
    process = context.Process(target=keep_appending, args=(where.ledger, ready, stop, told))
    process.start()
    assert ready.wait(60)
    yield stop, told
    stop.set()
    process.join(30)
    assert process.exitcode == 0


def test_two_processes_write_one_log(where: folder.RunFolder, writer: tuple) -> None:
    """The coordinator appends and publishes while a service appends in a loop: no fork, nothing lost (attack 42)."""
    stop, told = writer
    sizes = []
    with journal.Journal(where.ledger, where.coordinator_key()) as log:
        ours = []
        for number in range(ROUNDS):
            envelope = enrolment(log.history.run or "", f"ours-{number}")
            ours.append((envelope.eid, log.append(envelope)))
            log.publish()
            sizes.append(log.history.size)
        stop.set()
        acknowledged = told.get(timeout=60)
        log.refresh()
        log.publish()
        known = log.history
    assert len(acknowledged) >= 3
    assert sizes == sorted(set(sizes))
    with journal.published(where.ledger) as read:
        entries = {entry.eid: entry.seq for entry in read.entries()}
        assert history.replay(read.entries()) == known
        assert len(read.notes()) >= ROUNDS
    for eid, seq in [*ours, *acknowledged]:
        assert entries[eid] == seq
    assert len(entries) == 1 + len(ours) + len(acknowledged)


def test_what_no_longer_holds_is_not_appended(where: folder.RunFolder) -> None:
    """Decided by an earlier log, judged by the one that is there: refused, nothing is written, and the others' is known."""
    with journal.Journal(where.ledger, where.coordinator_key()) as log, record.Record(where.ledger) as other:
        decided = log.history
        other.append(enrolment(decided.run or "", "first"))
        mine = enrolment(decided.run or "", "second")
        with pytest.raises(ledger_errors.ConflictError, match="decide anew"):
            log.append(mine, still=lambda now: now.size == decided.size)
        assert log.history.size == decided.size + 1
        with pytest.raises(ledger_errors.HistoryError, match="duplicate-member"):
            log.append(enrolment(decided.run or "", "first"))
        assert log.append(mine, still=lambda now: "first" in now.members) == decided.size + 1


def test_a_batch_is_admitted_one_by_one(where: folder.RunFolder) -> None:
    """What is known keeps its place, twice in a batch is once on the log, and one bad statement spoils no other (attack 18)."""
    with record.Record(where.ledger) as log:
        run = log.history.run or ""
        first, second, third = (enrolment(run, name) for name in ("a", "b", "c"))
        assert log.admit([first]) == [1]
        again = enrolment(run, "a")
        one, two, bad, three, four = log.admit([first, second, again, second, third])
        assert (one, two, three, four) == (1, 2, 2, 3)
        assert isinstance(bad, ledger_errors.HistoryError)
        assert bad.reason == "duplicate-member"
        assert log.admit([]) == []
        assert (log.find(third.eid), log.find(again.eid)) == (3, None)
        assert [entry.seq for entry in log.entries(1, 99)] == [1, 2, 3]


def test_a_checkpoint_covers_what_its_signer_has_judged(where: folder.RunFolder) -> None:
    """Entries that others appended since are left for the next one: nobody signs what it has not read."""
    with journal.Journal(where.ledger, where.coordinator_key()) as log, record.Record(where.ledger) as other:
        other.append(enrolment(other.history.run or "", "guest"))
        log.keep_published()
        log.publish()
        assert journal.vouched(where.ledger, other.history).size == 1
        assert log.refresh()
        log.keep_published()
        assert journal.vouched(where.ledger, other.history).size == 2
        assert not log.refresh()


def test_what_others_said_waits_for_a_checkpoint_and_what_the_coordinator_says_does_not(
    where: folder.RunFolder,
) -> None:
    """However fast a log grows, holders keep a checkpoint for each word of the coordinator's, and one a while for the rest."""
    with journal.Journal(where.ledger, where.coordinator_key()) as log, record.Record(where.ledger) as other:
        run = other.history.run or ""

        def covered() -> int:
            other.refresh()
            return journal.vouched(where.ledger, other.history).size

        log.publish()
        other.append(enrolment(run, "guest"))
        assert log.refresh()
        log.keep_published(60.0)
        assert covered() == 1
        said = statements.MemberRole(author="coordinator", run=run, member="guest", role="holder")
        log.append(*log.sign(said))
        log.keep_published(60.0)
        assert covered() == 3
        other.append(enrolment(run, "another"))
        assert log.refresh()
        log.keep_published(60.0)
        assert covered() == 3
        log.keep_published(0.0)
        assert covered() == 4


def test_a_coordinator_whose_key_was_changed_stops(where: folder.RunFolder) -> None:
    """Another process has put another key in its place: what this one signs counts no more, and it says so."""
    key, new = where.coordinator_key(), keys.SigningKey.generate()
    with journal.Journal(where.ledger, key) as log, journal.Journal(where.ledger, key) as other:
        said = membership.rotation(other.history.run or "", "coordinator", key.public, new)
        other.append(dsse.sign(statements.build(said), key))
        with pytest.raises(ledger_errors.KeyFileError, match="the ledger expects"):
            log.refresh()

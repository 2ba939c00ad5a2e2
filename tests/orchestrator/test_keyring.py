"""Keys that change and members that are revoked, in the middle of a run: it goes on, and audits."""

import dataclasses
import shutil
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from rich.console import Console

from client import worker
from exchange import places
from exchange import store as stores
from ledger import dsse, history, keys, log, membership, statements, transfers
from ledger import errors as ledger_errors
from orchestrator import (
    errors,
    findings,
    folder,
    infer,
    journal,
    keyring,
    listener,
    progress,
    replay,
    run,
    summary,
)
from tests import federation


class AfterFirst:
    """A listener that stops the process when the first round is over."""

    def opened(self, number: int, total: int) -> None:
        pass

    def answered(self, reply: worker.Reply) -> None:
        pass

    def committed(self, report: listener.RoundReport) -> None:
        raise KeyboardInterrupt


@pytest.fixture(scope="session")
def halfway_made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a run of two rounds that stopped between them; nobody may change it."""
    root = tmp_path_factory.mktemp("halfway") / "run"
    chosen = federation.settings_for(root)
    with pytest.raises(KeyboardInterrupt), progress.Progress(Console(quiet=True), chosen.hostile) as show:
        run.execute(chosen, show, [AfterFirst()])
    return root


@pytest.fixture
def halfway(halfway_made: Path, tmp_path: Path) -> Path:
    """A copy of it, to go on with."""
    return Path(shutil.copytree(halfway_made, tmp_path / "run"))


def audit(root: Path) -> findings.Report:
    return replay.Replay(folder.RunFolder(root=root), lambda _number, _total: None).audit()


def said(root: Path) -> list[statements.Predicate]:
    with journal.published(root / "ledger.sqlite") as record:
        return [statements.parse(entry.envelope.payload) for entry in record.entries()]


def test_a_run_goes_on_after_keys_changed(halfway: Path, execute: Callable[..., summary.Summary]) -> None:
    """Coordinator and holder twice, one holder revoked: the next round is theirs, and the audit checks it all (attack 15)."""
    where = folder.RunFolder(root=halfway)
    before = {each.name: each for each in keyring.holdings(where)}
    assert (before["coordinator"].rotated, before["holder-09"].revoked) == ((), None)
    for name in ("coordinator", "holder-00", "coordinator", "holder-00"):
        changed = keyring.rotate(where, name)
        assert changed.fingerprint != before[name].fingerprint
        assert audit(halfway).unsigned == 0
    revoked = keyring.revoke(where, "holder-09", "key-stolen")
    came_to = execute(halfway)
    assert came_to.rounds == 2
    report = audit(halfway)
    assert (report.recomputed, report.unsigned) == (2, 0)
    assert report.coordinator == where.coordinator_key().public.fingerprint != before["coordinator"].fingerprint
    first, second = (each for each in said(halfway) if isinstance(each, statements.RoundOpen))
    assert set(first.cohort) - set(second.cohort) == {"holder-09"}
    (commit,) = (each for each in said(halfway) if isinstance(each, statements.RoundCommit) and each.round == 2)
    assert "holder-00" in commit.accepted
    after = {each.name: each for each in keyring.holdings(where)}
    assert (len(after["coordinator"].rotated), after["holder-09"].revoked) == (2, revoked.revoked)
    assert infer.load(where, None).checkpoint.round == 2


def test_keys_change_in_the_middle_of_a_round(tmp_path: Path, execute: Callable[..., summary.Summary]) -> None:
    """An opening under the old key, offers under old keys, one of them by a member revoked since: the round is finished."""
    root = tmp_path / "run"
    with pytest.raises(KeyboardInterrupt):
        federation.conduct(root, federation.Interrupting(3))
    where = folder.RunFolder(root=root)
    offered = [each.author for each in said(root) if isinstance(each, statements.UpdateOffer)]
    for name in ("coordinator", offered[0], "holder-08"):
        keyring.rotate(where, name)
    keyring.revoke(where, offered[1], "left")
    keyring.revoke(where, "holder-09", "left")
    execute(root)
    report = audit(root)
    assert report.recomputed == report.rounds == 2
    first, second = (each for each in said(root) if isinstance(each, statements.RoundCommit))
    assert {offered[0], offered[1], "holder-08"} <= set(first.accepted)
    assert ("holder-09", "no-offer") in first.rejected
    assert offered[1] not in second.accepted


def test_an_offer_of_the_outbox_is_signed_anew(tmp_path: Path, execute: Callable[..., summary.Summary]) -> None:
    """A holder that had made its offer, but not got it onto the log, when its key changed."""
    root = tmp_path / "run"
    with pytest.raises(KeyboardInterrupt):
        federation.conduct(root, federation.Interrupting(3))
    where = folder.RunFolder(root=root)
    key = where.holder_key("holder-03")
    world = worker.Worker(_settings(where))
    with journal.Journal(where.ledger, where.coordinator_key()) as record:
        assert record.opening is not None
        opened = record.opening
    start = next(each.checkpoint for each in said(root) if isinstance(each, statements.Genesis))
    file = np.frombuffer(_store(where).get(start, limit=2**24), dtype=np.uint8)
    made = world.contribute("holder-03", opened.to_bytes(), file).offer
    assert made is not None
    keyring.rotate(where, "holder-03")
    execute(root)
    with journal.published(where.ledger) as log_:
        offer = next(e for e in log_.entries() if e.eid == dsse.Envelope.parse(made).eid)
    with pytest.raises(ledger_errors.SignatureError):
        dsse.verify(offer.envelope, key.public)
    assert audit(root).recomputed == 2


def _store(where: folder.RunFolder) -> stores.Store:
    return places.open(where.place)


def _settings(where: folder.RunFolder) -> worker.Settings:
    with journal.Journal(where.ledger, where.coordinator_key()) as record:
        genesis = record.genesis.to_bytes()
    names = sorted(path.name for path in where.holders.iterdir())
    numbers = {name: number for number, name in enumerate(names)}
    return worker.Settings(
        genesis=genesis, holders=where.holders, store=where.place, members=numbers, hostile={}, threads=1
    )


@pytest.mark.parametrize("name", ["coordinator", "holder-00"])
@pytest.mark.parametrize("crashed", ["before the ledger", "before the checkpoint", "before the rename"])
def test_a_change_cut_short_is_ended_by_the_same_command(
    halfway: Path, execute: Callable[..., summary.Summary], name: str, crashed: str
) -> None:
    """At each point at which it can stop: the run says what to do, the same call changes the key once, and the run goes on."""
    where = folder.RunFolder(root=halfway)
    path = where.coordinator_key_path if name == "coordinator" else where.holder_key_path(name)
    old, new = keys.SigningKey.load(path), keys.SigningKey.generate()
    new.save(path.with_name(f"{path.name}.next"))
    if crashed != "before the ledger":
        with journal.Journal(where.ledger, where.coordinator_key()) as record:
            written = membership.rotation(record.history.run or "", name, old.public, new)
            record.append(dsse.sign(statements.build(written), old))
    if crashed == "before the rename":
        with journal.Journal(where.ledger, new if name == "coordinator" else where.coordinator_key()) as record:
            record.publish()
    assert audit(halfway).unsigned == (crashed == "before the checkpoint")
    assert infer.load(where, None).checkpoint.round == 1
    with pytest.raises(errors.FolderError, match=f"key rotate {halfway} {name}` ends it"):
        execute(halfway)
    with pytest.raises(errors.FolderError, match="ends it"):
        keyring.revoke(where, "holder-09", "left")
    with pytest.raises(errors.ConfigError, match="end it first"):
        keyring.rotate(where, name, keys.SigningKey.generate())
    changed = keyring.rotate(where, name)
    assert (changed.fingerprint, len(changed.rotated)) == (new.public.fingerprint, 1)
    assert keys.SigningKey.load(path).public == new.public
    assert path.stat().st_mode & 0o777 == 0o600
    assert not list(halfway.rglob("*.next"))
    assert (audit(halfway).unsigned, execute(halfway).rounds) == (0, 2)


def test_a_key_of_the_run_is_not_taken_again(halfway: Path) -> None:
    """A given key that somebody has is refused before it is put beside the old one."""
    where = folder.RunFolder(root=halfway)
    with pytest.raises(ledger_errors.HistoryError, match="duplicate-key"):
        keyring.rotate(where, "holder-00", where.holder_key("holder-01"))
    assert not list(halfway.rglob("*.next"))


def test_the_old_key_vouches_for_nothing_later(halfway: Path) -> None:
    """A log checkpoint after the change, under the old key: neither the journal nor an audit nor infer takes it (attack 15)."""
    where = folder.RunFolder(root=halfway)
    old = where.coordinator_key()
    keyring.rotate(where, "coordinator")
    keyring.revoke(where, "holder-09", "left")
    with pytest.raises(ledger_errors.KeyFileError, match="the ledger expects"):
        journal.Journal(where.ledger, old)
    said_last = dsse.sign(statements.build(_revocation(where, "holder-08")), where.coordinator_key())
    with log.Log.open(where.ledger, origin=journal.origin(old.public.fingerprint)) as record:
        record.append([said_last], head=record.head)
        record.publish(old)
    with pytest.raises(errors.AuditError, match="sign"):
        audit(halfway)
    with pytest.raises((ledger_errors.SignatureError, ledger_errors.StatementError)):
        infer.load(where, None)


def _revocation(where: folder.RunFolder, name: str) -> statements.MemberRevoke:
    with journal.published(where.ledger) as record:
        number = history.replay(record.entries()).run or ""
    return statements.MemberRevoke(author="coordinator", run=number, member=name, reason="left")


def test_too_few_holders_are_said_to_be_too_few(halfway: Path, execute: Callable[..., summary.Summary]) -> None:
    """Where the plan's rule cannot stand the rest, no round is opened; one that is opened all the same does not audit."""
    where = folder.RunFolder(root=halfway)
    for number in range(2, 10):
        keyring.revoke(where, f"holder-{number:02d}", "left")
    with pytest.raises(errors.RoundError, match=r"cohort of 2, 8 holders being revoked, too few"):
        execute(halfway)
    assert audit(halfway).rounds == 1
    opened = next(each for each in said(halfway) if isinstance(each, statements.RoundOpen))
    commit = next(each for each in said(halfway) if isinstance(each, statements.RoundCommit))
    forced = dataclasses.replace(opened, round=2, parent=commit.checkpoint, cohort=("holder-00", "holder-01"))
    with journal.Journal(where.ledger, where.coordinator_key()) as record:
        record.append(*record.sign(forced))
        record.publish()
    with pytest.raises(errors.AuditError, match="too few"):
        audit(halfway)


def test_a_reversal_is_reported_as_the_operators_word(halfway: Path, execute: Callable[..., summary.Summary]) -> None:
    """Credit taken back stays in the record; the audit counts it, for it cannot know why."""
    where = folder.RunFolder(root=halfway)
    paid = next(each for each in said(halfway) if isinstance(each, statements.CreditTransfer))
    undone = dataclasses.replace(
        paid,
        id=transfers.reversal_id(1),
        code="reversal",
        reverses=paid.id,
        postings=transfers.opposite(paid.postings),
    )
    with journal.Journal(where.ledger, where.coordinator_key()) as record:
        record.append(*record.sign(undone))
    assert audit(halfway).reversals == 1
    came_to = execute(halfway)
    assert sum(holder.credit for holder in came_to.holders.values()) == 1_000_000
    assert (audit(halfway).reversals, audit(halfway).recomputed) == (1, 2)


@pytest.mark.parametrize("name", ["nobody", "holder-09"])
def test_whose_key_cannot_change(halfway: Path, name: str) -> None:
    """No member, or one revoked."""
    where = folder.RunFolder(root=halfway)
    keyring.revoke(where, "holder-09", "left")
    for act in (keyring.rotate, lambda *these: keyring.revoke(*these, "left")):
        with pytest.raises(errors.ConfigError, match=name):
            act(where, name)
    with pytest.raises(errors.ConfigError, match="the coordinator"):
        keyring.revoke(where, "coordinator", "left")


def test_a_key_that_is_elsewhere_cannot_change_here(halfway: Path) -> None:
    """Missing, or not the one the ledger expects: the message says which."""
    where = folder.RunFolder(root=halfway)
    where.holder_key_path("holder-00").unlink()
    with pytest.raises(errors.FolderError, match="missing"):
        keyring.rotate(where, "holder-00")
    stranger = where.holder_key("holder-00")
    with pytest.raises(errors.FolderError, match=stranger.public.fingerprint.replace("+", r"\+")):
        keyring.rotate(where, "holder-00")
    assert not list(halfway.rglob("*.next"))

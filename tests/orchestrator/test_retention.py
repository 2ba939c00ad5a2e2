"""What a run keeps: pins that outlive every collection, and round identities that do not outlive their window."""

import dataclasses
from collections.abc import Callable
from pathlib import Path

import pytest
from click import testing

from exchange import blocks
from ledger import dsse, statements
from orchestrator import cli, errors, findings, folder, inprocess, journal, replay, retention, settlement
from tests import federation

SECRET = ("disclosure=none", "rounds=4", "audit_window=1")


def audit(root: Path) -> findings.Report:
    return replay.Replay(folder.RunFolder(root=root), lambda _number, _total: None).audit()


def said(root: Path) -> list[statements.Predicate]:
    with journal.published(root / "ledger.sqlite") as record:
        return [statements.parse(entry.envelope.payload) for entry in record.entries()]


def destroyed(root: Path) -> list[int]:
    return [each.round for each in said(root) if isinstance(each, statements.RoundDestroy)]


def identities(root: Path) -> list[str]:
    return sorted(path.name for path in root.glob("keys/rounds/*"))


def collect(root: Path) -> int:
    """What `folkmoot store gc` removed, young blocks too."""
    return blocks.BlockStore(root).collect(grace=0).blocks


@pytest.fixture(scope="module")
def secret(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A finished run of four rounds that nobody discloses; nobody may change it."""
    root = tmp_path_factory.mktemp("secret") / "run"
    federation.conduct(root, inprocess.InProcessPool(), *SECRET)
    return root


@pytest.mark.parametrize("outer", ["sgd", "adam"])
def test_a_collection_takes_nothing_that_the_audit_needs(tmp_path: Path, execute: Callable, outer: str) -> None:
    """34: after `folkmoot store gc` a disclosed run audits to the last round, whoever was rejected in it."""
    root = tmp_path / "run"
    execute(root, "attack=malformed", f"outer={outer}", "rule=standing_trimmed_mean")
    stray = blocks.BlockStore(root).put(b"nobody needs this")
    before = audit(root)
    assert collect(root) == 3  # with what the one who offered garbage had sealed before
    assert not blocks.BlockStore(root).has(stray)
    after = audit(root)
    assert (after.recomputed, after.on_word, after.checked) == (2, 0, before.checked)
    result = testing.CliRunner().invoke(cli.cli, ["store", "gc", str(root)])
    assert result.exit_code == 0, result.output


@pytest.mark.parametrize("answers", [3, 13])
def test_a_collection_in_the_middle_of_a_round_costs_nobody_the_round(
    pristine: Path, tmp_path: Path, answers: int
) -> None:
    """34: offers of a round that takes longer than a block is young stay; the run ends at the same checkpoint."""
    root = tmp_path / "run"
    with pytest.raises(KeyboardInterrupt):
        federation.conduct(root, federation.Interrupting(answers))
    collect(root)
    assert audit(root).rounds == answers // 10
    federation.conduct(root, inprocess.InProcessPool())
    collect(root)
    assert (audit(root).checkpoint, audit(root).recomputed) == (audit(pristine).checkpoint, 2)


def test_an_identity_is_destroyed_after_its_window(secret: Path) -> None:
    """48: one round later, on the record, in order, and at the end those that are left; then no file of them is there."""
    assert destroyed(secret) == [1, 2, 3, 4]
    assert not identities(secret)
    order = [each for each in said(secret) if isinstance(each, (statements.RoundCommit, statements.RoundDestroy))]
    assert [(type(each).__name__[5:], each.round) for each in order] == [
        ("Commit", 1),
        ("Commit", 2),
        ("Destroy", 1),
        ("Commit", 3),
        ("Destroy", 2),
        ("Commit", 4),
        ("Destroy", 3),
        ("Destroy", 4),
    ]
    report = audit(secret)
    assert (report.destroyed, report.recomputed, report.overdue, report.unsigned) == ("1-4", 0, 0, 0)
    result = testing.CliRunner().invoke(cli.cli, ["audit", str(secret)])
    assert "destroyed   the identities of rounds 1-4, so nobody can recompute them" in result.output


def test_ciphertexts_that_nobody_opens_again_are_collected(tmp_path: Path) -> None:
    """Of a secret round within its window all stays that was accepted; after it, what was accepted goes, and nothing else."""
    root = tmp_path / "run"
    with pytest.raises(KeyboardInterrupt):
        federation.conduct(root, federation.Interrupting(25), *SECRET)
    assert identities(root) == ["2.age", "3.age"]
    assert collect(root) == 10
    offers = {
        (each.round, each.author): each.ciphertext for each in said(root) if isinstance(each, statements.UpdateOffer)
    }
    kept = {number for (number, _), name in offers.items() if blocks.BlockStore(root).has(name)}
    assert kept == {2, 3}
    assert (audit(root).destroyed, audit(root).checked["ciphertexts"]) == ("1", 10)
    federation.conduct(root, inprocess.InProcessPool(), *SECRET)
    collect(root)
    assert (audit(root).destroyed, audit(root).rounds) == ("1-4", 4)


def test_a_ciphertext_that_a_window_needs_is_looked_for(tmp_path: Path) -> None:
    """34: while its identity is kept, an accepted ciphertext that is gone fails the audit."""
    root = tmp_path / "run"
    with pytest.raises(KeyboardInterrupt):
        federation.conduct(root, federation.Interrupting(25), *SECRET)
    name = next(each.ciphertext for each in said(root) if isinstance(each, statements.UpdateOffer) and each.round == 2)
    next((root / "blocks").glob(f"??/{name}")).unlink()
    with pytest.raises(errors.AuditError, match=name):
        audit(root)


class Killed(BaseException):
    """The process is gone."""


@pytest.mark.parametrize("where", ["forget_identities", "append", "release"])
def test_a_destruction_that_was_cut_short_is_made_good(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, where: str
) -> None:
    """37, 48: killed before the file goes, before the ledger says so, or before the pins go: the next start does the rest."""
    root = tmp_path / "run"
    struck = []

    def kill(place: type, name: str, when: Callable[..., bool]) -> None:
        whole = getattr(place, name)

        def cut(self: object, *args: object, **named: object) -> object:
            if not struck and when(*args):
                struck.append(name)
                raise Killed
            return whole(self, *args, **named)

        monkeypatch.setattr(place, name, cut)

    match where:
        case "forget_identities":
            kill(folder.RunFolder, where, lambda committed, *_: committed == 2)
        case "append":
            kill(journal.Journal, where, lambda *each: isinstance(federation.parsed(each[0]), statements.RoundDestroy))
        case "release":
            kill(blocks.BlockStore, "unpin", lambda *_: True)
    with pytest.raises(Killed):
        federation.conduct(root, inprocess.InProcessPool(), *SECRET)
    assert destroyed(root) == ([1] if where == "release" else [])
    assert (root / "keys" / "rounds" / "1.age").exists() == (where == "forget_identities")
    collect(root)
    assert audit(root).rounds == 2
    federation.conduct(root, inprocess.InProcessPool(), *SECRET)
    assert (destroyed(root), identities(root)) == ([1, 2, 3, 4], [])
    collect(root)
    assert audit(root).destroyed == "1-4"
    pinned = {str(name) for name in blocks.BlockStore(root).pins()}
    assert not pinned.intersection(each.ciphertext for each in said(root) if isinstance(each, statements.UpdateOffer))


def test_nobody_has_a_file_unpinned_by_offering_its_name(tmp_path: Path) -> None:
    """34: an offer of the initial checkpoint's name, or of another's accepted ciphertext, takes no pin from either."""
    world = federation.Federation(tmp_path, "disclosure=none", "audit_window=0", "attack=none")
    honest = [world.contribute(name) for name in world.names[:8]]
    for name, taken in ((world.names[8], honest[0].ciphertext), (world.names[9], world.agreed.checkpoint)):
        made = world.holder(name).contribute(world.opening, world.start).offer
        offer = federation.parsed(made)
        assert isinstance(offer, statements.UpdateOffer)
        changed = dataclasses.replace(offer, ciphertext=taken)
        world.append(dsse.sign(statements.build(changed), world.keys[name]))
    where = folder.RunFolder(root=tmp_path)
    where.coordinator_key_path.parent.mkdir()
    world.coordinator.save(where.coordinator_key_path)
    (tmp_path / "keys" / "rounds").mkdir()
    (tmp_path / "keys" / "rounds" / "1.age").write_text(f"{world.identity}\n")
    world.publish()
    for name, key in world.keys.items():
        (where.holders / name).mkdir(parents=True, exist_ok=True)
        key.save(where.holder_key_path(name))
    federation.conduct(tmp_path, inprocess.InProcessPool(), "disclosure=none", "audit_window=0", "attack=none")
    assert destroyed(tmp_path) == [1, 2]
    collect(tmp_path)
    report = audit(tmp_path)
    assert (report.rounds, report.destroyed) == (2, "1-2")
    rejected = [set(dict(each.rejected)) for each in said(tmp_path) if isinstance(each, statements.RoundCommit)]
    assert rejected == [set(world.names[8:]), set()]


def test_rounds_are_told_in_spans() -> None:
    """The list of destroyed rounds stays readable however long the run."""
    assert findings.spans(()) == ""
    assert findings.spans({1, 2, 3, 5, 8, 9}) == "1-3, 5, 8-9"


def test_an_identity_that_outlives_its_window_is_counted(tmp_path: Path) -> None:
    """48: a coordinator that keeps what the plan has it destroy is told so by every audit."""
    world = federation.Federation(tmp_path, "disclosure=none", "audit_window=0", "attack=none", "rounds=1")
    assert retention.overdue(world.history, world.agreed.plan) == []
    for name in world.names:
        world.contribute(name)
    offers = world.seal()
    opened = world.agreed.opening(world.opening)
    outcome = settlement.settle(world.agreed, opened, offers, str(world.identity), world.start, world.store)
    for file in (outcome.aggregate_file, outcome.standing_file, outcome.state_file, outcome.checkpoint_file):
        if file is not None:
            world.store.put(file)
    judged = settlement.training.Judged(correct=1, total=2, loss=0.5)
    closing = settlement.closing(outcome, world.agreed, opened, str(world.identity), judged)
    world.say(closing.commit)
    world.say(closing.credit)
    assert closing.disclose is None
    assert retention.overdue(world.history, world.agreed.plan) == [(1, str(world.identity.recipient))]
    world.publish()
    assert audit(tmp_path).overdue == 1

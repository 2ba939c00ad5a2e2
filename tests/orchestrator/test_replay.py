"""The audit: finds nothing in an honest run, and names what is wrong in any other."""

import dataclasses
import shutil
import sqlite3
from collections.abc import Callable
from pathlib import Path

import pytest

from client import checkpoint
from ledger import dsse, history, keys, log, statements, transfers
from orchestrator import errors, findings, folder, founding, journal, replay
from tests import federation


def audit(root: Path) -> findings.Report:
    return replay.Replay(folder.RunFolder(root=root), lambda _number, _total: None).audit()


def commits(root: Path) -> list[statements.RoundCommit]:
    return [each for each in parsed(root) if isinstance(each, statements.RoundCommit)]


def parsed(root: Path) -> list[statements.Predicate]:
    with journal.published(root / "ledger.sqlite") as record:
        return [statements.parse(entry.envelope.payload) for entry in record.entries()]


def block(root: Path, cid: str) -> Path:
    return next((root / "blocks").glob(f"??/{cid}"))


def edit(root: Path, *commands: tuple[str, tuple]) -> None:
    """Change the ledger's rows behind its back."""
    with sqlite3.connect(root / "ledger.sqlite") as database:
        for command, values in commands:
            assert database.execute(command, values).rowcount >= 1
    database.close()


def rewrite(
    root: Path, change: Callable[[statements.Predicate], statements.Predicate], *, entries: int | None = None
) -> None:
    """What a dishonest operator can do: change a statement, sign it again, chain and publish everything anew."""
    where = folder.RunFolder(root=root)
    key = where.coordinator_key()
    signers = {path.name: keys.SigningKey.load(path / "key") for path in where.holders.iterdir()} | {"coordinator": key}
    with journal.published(where.ledger) as record:
        envelopes = [entry.envelope for entry in record.entries()][:entries]
        sizes = [size for size, _ in record.notes()] + [len(envelopes)]
    for path in root.glob("ledger.sqlite*"):
        path.unlink()
    where.checkpoint.unlink()
    with log.Log.open(where.ledger, origin=journal.origin(key.public.fingerprint)) as record:
        for envelope in envelopes:
            statement = statements.parse(envelope.payload)
            changed = change(statement)
            if changed != statement:
                envelope = dsse.sign(statements.build(changed), signers[statement.author])  # noqa: PLW2901
            record.append([envelope], head=record.head)
            if record.size in sizes:
                record.publish(key)


def test_an_honest_run_audits(finished: Path) -> None:
    """Every entry, signature and link; both rounds recomputed; the folder is left as it was."""
    before = {path: path.read_bytes() for path in finished.rglob("*") if path.is_file()}
    report = audit(finished)
    assert report.recomputed == report.rounds == 2
    assert report.checked["entries"] == report.checked["signatures"] == report.checked["links"] == 51
    assert report.checked["ciphertexts"] == report.checked["credits"] == 20
    assert report.checkpoint == commits(finished)[-1].checkpoint
    assert {path: path.read_bytes() for path in finished.rglob("*") if path.is_file()} == before


def test_an_honest_rewrite_audits(finished: Path) -> None:
    """The attacker's tool of the tests below is itself sound: changing nothing, it leaves a run that audits."""
    rewrite(finished, lambda statement: statement)
    assert audit(finished).recomputed == 2


def test_the_audit_needs_no_private_key(finished: Path) -> None:
    """Without any key file, and without any holder's folder, the audit is the same."""
    shutil.rmtree(finished / "keys")
    shutil.rmtree(finished / "holders")
    assert audit(finished).recomputed == 2


@pytest.mark.parametrize("what", ["ciphertext", "aggregate", "checkpoint"])
def test_a_flipped_byte_in_a_block_is_named(finished: Path, what: str) -> None:
    """Any block of the record that does not hash to its name ends the audit, by that name (attack 30)."""
    commit = commits(finished)[0]
    if what == "ciphertext":
        cid = next(each.ciphertext for each in parsed(finished) if isinstance(each, statements.UpdateOffer))
    else:
        cid = getattr(commit, what)
    path = block(finished, cid)
    data = bytearray(path.read_bytes())
    data[len(data) // 2] ^= 1
    path.chmod(0o644)
    path.write_bytes(data)
    with pytest.raises(errors.AuditError, match=cid):
        audit(finished)


def test_a_missing_block_is_named(finished: Path) -> None:
    """A checkpoint that nobody kept cannot be checked, and the audit says so (attack 34)."""
    cid = commits(finished)[-1].checkpoint
    block(finished, cid).unlink()
    with pytest.raises(errors.AuditError, match=cid):
        audit(finished)


@pytest.mark.parametrize("column", ["leaf", "hash", "eid"])
@pytest.mark.parametrize("seq", [0, 24, 50])
def test_a_flipped_byte_in_a_ledger_row_is_named(finished: Path, column: str, seq: int) -> None:
    """First, middle or last entry, in any column: the audit names the position (attack 41)."""
    with sqlite3.connect(finished / "ledger.sqlite") as database:
        (value,) = database.execute(f"SELECT {column} FROM entry WHERE seq = ?", (seq,)).fetchone()
    database.close()
    changed = bytearray(value)
    changed[len(changed) // 2] ^= 1
    edit(finished, (f"UPDATE entry SET {column} = ? WHERE seq = ?", (bytes(changed), seq)))
    with pytest.raises(errors.AuditError, match=f"entry {seq}: "):
        audit(finished)


def test_a_dropped_entry_is_named(finished: Path) -> None:
    """A hole in the log is found at its position."""
    edit(finished, ("DELETE FROM entry WHERE seq = ?", (30,)))
    with pytest.raises(errors.AuditError, match="entry 30: "):
        audit(finished)


def test_a_dropped_tail_is_named(finished: Path) -> None:
    """A log cut short is no shorter log: its published checkpoint promises more (attack 41)."""
    edit(finished, ("DELETE FROM entry WHERE seq = ?", (50,)))
    with pytest.raises(errors.AuditError, match="50 entries, expected the 51"):
        audit(finished)


def test_swapped_entries_are_named(finished: Path) -> None:
    """Two rows in each other's place break the chain at the first of them."""
    edit(
        finished,
        ("UPDATE entry SET seq = 1000030 WHERE seq = ?", (30,)),
        ("UPDATE entry SET seq = 30 WHERE seq = ?", (31,)),
        ("UPDATE entry SET seq = 31 WHERE seq = ?", (1000030,)),
    )
    with pytest.raises(errors.AuditError, match="entry 30: "):
        audit(finished)


def test_a_forged_signature_is_named(finished: Path) -> None:
    """A statement chained and published like any other, but signed by somebody else, is refused by position (attack 16)."""
    stranger = keys.SigningKey.generate()
    where = folder.RunFolder(root=finished)
    key = where.coordinator_key()
    with journal.published(where.ledger) as record:
        envelopes = [entry.envelope for entry in record.entries()]
    for path in finished.glob("ledger.sqlite*"):
        path.unlink()
    where.checkpoint.unlink()
    envelopes[24] = dsse.sign(envelopes[24].payload, stranger)
    with log.Log.open(where.ledger, origin=journal.origin(key.public.fingerprint)) as record:
        record.append(envelopes, head=record.head)
        record.publish(key)
    with pytest.raises(errors.AuditError, match=r"entry 24: .*signature"):
        audit(finished)


def test_an_altered_credit_is_named(finished: Path) -> None:
    """The operator moves one micro-credit from one holder to another and signs it: recomputation says otherwise."""

    def move(statement: statements.Predicate) -> statements.Predicate:
        if not isinstance(statement, statements.CreditTransfer) or statement.round != 2:
            return statement
        amounts = transfers.changes(statement.postings)
        richest, poorest = max(amounts, key=amounts.__getitem__), min(amounts, key=amounts.__getitem__)
        amounts[richest] -= 1
        amounts[poorest] += 1
        return dataclasses.replace(statement, postings=transfers.payment(amounts))

    rewrite(finished, move)
    with pytest.raises(errors.AuditError, match="round 2: credit says postings"):
        audit(finished)


@pytest.mark.parametrize(
    ("field", "value", "named"),
    [
        ("checkpoint", "bafkreihdwdcefgh4dqkjv67uzcmw7ojee6xedzdetojuzjevtenxquvyku", "commit says checkpoint"),
        ("aggregate", "bafkreihdwdcefgh4dqkjv67uzcmw7ojee6xedzdetojuzjevtenxquvyku", "commit says aggregate"),
    ],
)
def test_an_altered_commit_is_named(finished: Path, field: str, value: str, named: str) -> None:
    """Another checkpoint or aggregate than the updates come to, however well signed."""

    def change(statement: statements.Predicate) -> statements.Predicate:
        last = isinstance(statement, statements.RoundCommit) and statement.round == 2
        return dataclasses.replace(statement, **{field: value}) if last else statement

    rewrite(finished, change)
    with pytest.raises(errors.AuditError, match=f"round 2: {named}"):
        audit(finished)


def test_a_member_left_out_is_named(finished: Path) -> None:
    """A coordinator that rejects a good update, with a reason it made up, is found out."""

    def reject(statement: statements.Predicate) -> statements.Predicate:
        if isinstance(statement, statements.RoundCommit) and statement.round == 2:
            return dataclasses.replace(
                statement, accepted=statement.accepted[1:], rejected=((statement.accepted[0], "seal-garbage"),)
            )
        if isinstance(statement, statements.CreditTransfer) and statement.round == 2:
            amounts = transfers.changes(statement.postings)
            heir = max(amounts, key=amounts.__getitem__)
            amounts[heir] += amounts.pop("holder-00", 0)
            return dataclasses.replace(statement, postings=transfers.payment(amounts))
        return statement

    rewrite(finished, reject)
    with pytest.raises(
        errors.AuditError, match="round 2: holder-00 is on record as seal-garbage, recomputed as accepted"
    ):
        audit(finished)


@pytest.mark.parametrize(("field", "shift"), [("exponents", 1), ("rule", None), ("cohort", None)])
def test_a_round_opened_other_than_prescribed_is_named(finished: Path, field: str, shift: int | None) -> None:
    """Lattice, rule and cohort follow from plan and parent; an opening that says otherwise is refused."""

    def change(statement: statements.Predicate) -> statements.Predicate:
        if not isinstance(statement, statements.RoundOpen) or statement.round != 1:
            return statement
        value = {
            "exponents": tuple(exponent + (shift or 0) for exponent in statement.exponents),
            "rule": "0" * 64,
            "cohort": statement.cohort[:-1],
        }[field]
        return dataclasses.replace(statement, **{field: value})

    rewrite(finished, change)
    with pytest.raises(errors.AuditError, match=f"round 1: opening says {field}|entry"):
        audit(finished)


def test_a_log_that_begins_no_run_is_refused(tmp_path: Path) -> None:
    """An empty log, properly signed, is not a run without faults."""
    key = folder.RunFolder(root=tmp_path).coordinator_key()
    with log.Log.open(tmp_path / "ledger.sqlite", origin=journal.origin(key.public.fingerprint)) as record:
        record.publish(key)
    with pytest.raises(errors.AuditError, match="begins no run"):
        audit(tmp_path)


def test_recipients_are_fresh_and_alone(finished: Path) -> None:
    """A second reader, or the reader of an earlier round, is not what the protocol opens a round with."""

    def listen(statement: statements.Predicate) -> statements.Predicate:
        if not isinstance(statement, statements.RoundOpen) or statement.round != 2:
            return statement
        return dataclasses.replace(statement, recipients=(*statement.recipients, statement.recipients[0]))

    def repeat(statement: statements.Predicate) -> statements.Predicate:
        if not isinstance(statement, statements.RoundOpen):
            return statement
        kept.append(statement.recipients)
        return dataclasses.replace(statement, recipients=kept[0])

    kept: list[tuple[str, ...]] = []
    rewrite(finished, repeat)
    with pytest.raises(errors.AuditError, match="recipient of an earlier round"):
        audit(finished)
    with pytest.raises(statements.errors.StatementError, match="recipients"):
        rewrite(finished, listen)


def test_bytes_that_could_not_be_had_are_taken_on_word(tmp_path: Path, execute: Callable) -> None:
    """A holder whose block was missing when the round was committed stays rejected, and the audit says so (attack 34)."""
    root = tmp_path / "run"
    with pytest.raises(KeyboardInterrupt):
        federation.conduct(root, federation.Interrupting(9))
    offer = next(each for each in parsed(root) if isinstance(each, statements.UpdateOffer))
    block(root, offer.ciphertext).unlink()
    execute(root)
    assert (offer.author, "block-missing") in commits(root)[0].rejected
    report = audit(root)
    assert (report.recomputed, report.on_word) == (2, 1)
    assert report.checked["ciphertexts"] == 19


def test_a_log_without_its_checkpoint_is_refused(finished: Path) -> None:
    """Without the signed checkpoint nobody could tell a log cut short."""
    (finished / "checkpoint").unlink()
    with pytest.raises(errors.AuditError, match="checkpoint"):
        audit(finished)


def test_a_checkpoint_file_with_a_flipped_byte_is_named(finished: Path) -> None:
    """The published note is checked byte for byte."""
    path = finished / "checkpoint"
    data = bytearray(path.read_bytes())
    data[-10] ^= 1
    path.write_bytes(data)
    with pytest.raises(errors.AuditError, match=r"published checkpoint|signature"):
        audit(finished)


def test_a_round_beyond_the_plan_is_named(finished: Path) -> None:
    """Thirty rounds were agreed on, not thirty-one."""
    auditor = replay.Replay(folder.RunFolder(root=finished), lambda _number, _total: None)
    auditor.audit()
    last = next(each for each in reversed(parsed(finished)) if isinstance(each, statements.RoundOpen))
    with pytest.raises(errors.AuditError, match="round 3 is opened, the plan ends with round 2"):
        auditor._opening(dataclasses.replace(last, round=3), auditor._known)


def test_a_round_that_was_never_disclosed_is_checked_as_far_as_it_can_be(finished: Path) -> None:
    """A log that ends between commit and disclosure: an invented checkpoint is still found out by its aggregate."""

    def invent(statement: statements.Predicate) -> statements.Predicate:
        last = isinstance(statement, statements.RoundCommit) and statement.round == 2
        return dataclasses.replace(statement, checkpoint=first.checkpoint) if last else statement

    first, _ = commits(finished)
    rewrite(finished, lambda statement: statement, entries=50)
    report = audit(finished)
    assert (report.rounds, report.recomputed) == (2, 1)
    rewrite(finished, invent, entries=50)
    with pytest.raises(errors.AuditError, match="round 2: the checkpoint is not what its aggregate leads to"):
        audit(finished)


def test_offers_left_out_of_the_seal_are_counted(tmp_path: Path) -> None:
    """A coordinator that seals without an offer that was there in time cannot hide it."""
    world = federation.Federation(tmp_path)
    for name in world.names:
        world.contribute(name)
    positions = tuple(sorted(seq for seq, _ in world.history.offers.values()))
    world.say(statements.RoundSeal(author="coordinator", run=world.agreed.run, round=1, offers=positions[1:]))
    world.publish()
    assert audit(tmp_path).left_out == 1


@pytest.mark.parametrize(("offers", "lawful"), [(6, False), (7, True)])
def test_a_seal_with_too_few_offers_is_named(tmp_path: Path, offers: int, *, lawful: bool) -> None:
    """A coordinator that does not wait for as many as the rule needs, to shut some out, is found."""
    world = federation.Federation(tmp_path)
    for name in world.names[:offers]:
        world.contribute(name)
    world.seal()
    world.publish()
    if lawful:
        audit(tmp_path)
    else:
        with pytest.raises(
            errors.AuditError, match=r"round 1: sealed with 6 offers, expected at least 7: .* were holder-06, "
        ):
            audit(tmp_path)


def test_a_seal_when_all_have_answered_is_lawful(tmp_path: Path) -> None:
    """Nine decline and one offers: there is nobody left to wait for."""
    world = federation.Federation(tmp_path)
    world.contribute("holder-00")
    run = world.agreed.run
    for name in world.names[1:]:
        said = statements.RoundDecline(author=name, run=run, round=1, reason="busy")
        world.append(dsse.sign(statements.build(said), world.keys[name]))
    world.seal()
    world.publish()
    assert audit(tmp_path).unsigned == 0


def test_members_beyond_the_plan_are_named(tmp_path: Path) -> None:
    """Sybils that the coordinator enrols before a round opens do not fit the plan (attack 20)."""
    world = federation.Federation(tmp_path)
    key, opened = keys.SigningKey.generate(), world.agreed.opening(world.opening)
    world.history, world.envelopes = history.EMPTY, []
    for envelope in founding.found(world.settings.plan, world.coordinator, world.keys, world.store):
        world.append(envelope)
    run = world.envelopes[0].eid
    world.append(dsse.sign(statements.build(statements.MemberEnrol(author="sybil", run=run, key=str(key.public))), key))
    world.say(statements.MemberRole(author="coordinator", run=run, member="sybil", role="holder"))
    cohort = (*opened.cohort, "sybil")
    world.say(dataclasses.replace(opened, run=run, cohort=cohort))
    world.publish()
    with pytest.raises(errors.AuditError, match="round 1: the ledger has 11 holders, the plan 10"):
        audit(tmp_path)


def test_entries_under_no_checkpoint_are_counted(tmp_path: Path) -> None:
    """An audit in the middle of a round says how much of the log nobody has signed for: an opening and three offers."""
    root = tmp_path / "run"
    with pytest.raises(KeyboardInterrupt):
        federation.conduct(root, federation.Interrupting(3))
    report = audit(root)
    assert (report.rounds, report.unsigned) == (0, 4)


def test_the_lineage_begins_at_the_genesis(tmp_path: Path) -> None:
    """A run whose first checkpoint claims a parent does not start from what it says it starts from."""
    world = federation.Federation(tmp_path)
    file = checkpoint.encode(world.start.weights, world.agreed.specs, round_number=1, parent=world.agreed.checkpoint)
    genesis = dataclasses.replace(federation.parsed(world.envelopes[0]), checkpoint=str(world.store.put(file)))
    world.envelopes = [dsse.sign(statements.build(genesis), world.coordinator)]
    world.publish()
    with pytest.raises(errors.AuditError, match="initial checkpoint"):
        audit(tmp_path)


def test_undisclosed_sizes_are_checked(tmp_path: Path) -> None:
    """Without opening it, a ciphertext has at least the length its holder signed (attack 12), as long as it can be opened."""
    root = tmp_path / "secret"
    with pytest.raises(KeyboardInterrupt):
        federation.conduct(root, federation.Interrupting(20), "disclosure=none", "rounds=3")

    def longer(statement: statements.Predicate) -> statements.Predicate:
        offer = isinstance(statement, statements.UpdateOffer)
        return dataclasses.replace(statement, size=statement.size + 1) if offer else statement

    rewrite(root, longer)
    with pytest.raises(errors.AuditError, match="round 1: holder-00 offered"):
        audit(root)


def test_undisclosed_rounds_are_checked_as_far_as_they_can_be(tmp_path: Path, execute: Callable) -> None:
    """Without identities the audit checks names, bytes and the outer step, and says that it recomputed nothing."""
    root = tmp_path / "secret"
    execute(root, "disclosure=none")
    report = audit(root)
    assert (report.rounds, report.recomputed) == (2, 0)
    assert report.checked["checkpoints"] == 2

    def change(statement: statements.Predicate) -> statements.Predicate:
        last = isinstance(statement, statements.RoundCommit) and statement.round == 2
        return dataclasses.replace(statement, checkpoint=commits_before[0].checkpoint) if last else statement

    commits_before = commits(root)
    rewrite(root, change)
    with pytest.raises(errors.AuditError, match="round 2: the checkpoint is not what its aggregate leads to"):
        audit(root)

"""A member's account statement, as it is made, and as a stranger with the log's key reads it."""

import base64
import copy
import dataclasses
import json

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ledger import (
    account_statement,
    accounts,
    canonical,
    checkpoint,
    dsse,
    errors,
    keys,
    leaf,
    merkle,
    note,
    statements,
)

MEMBER = "holder-04"
REFUSALS = (errors.StatementError, errors.SignatureError, errors.ProofError, errors.HistoryError)


def statement(paid, member=MEMBER):
    with paid.open() as record:
        chosen = account_statement.select(record.entries(), member)
        return account_statement.build(member, chosen, paid.note, record.size, record.inclusion)


@pytest.fixture(scope="session")
def made(paid):
    return statement(paid)


def encoded(document):
    return canonical.encode(document, limit=account_statement.MAX_BYTES)


def refusal(paid, document):
    with pytest.raises(REFUSALS) as caught:
        account_statement.check(encoded(document), paid.verify)
    return caught.value


def test_a_stranger_reads_the_member_s_account(paid, made):
    """From the file and the log's key alone: every posting with its place, and the balance of the whole log."""
    shown = account_statement.check(made, paid.verify)
    expected = [each for each in accounts.postings(paid.transfers()) if each.account == f"member:{MEMBER}"]
    assert [(each.transfer, each.amount) for each in shown.postings] == [
        (each.transfer, each.amount) for each in expected
    ]
    assert shown.balance == paid.run.history.balances[MEMBER]
    assert (shown.member, shown.coordinator, shown.run) == (MEMBER, "moot", paid.run.history.run)
    assert shown.checkpoint.size == len(paid.entries)
    assert "reversal/17" in [each.transfer.id for each in shown.postings]


def test_the_file_says_in_plain_words_what_its_leaves_say(paid, made):
    """Its rows, for whoever only reads them, add up to the balance."""
    document = json.loads(made)
    assert document["format"] == account_statement.FORMAT
    assert sum(row["amount"] for row in document["postings"]) == document["balance"]
    assert document["balance"] == document["postings"][-1]["balance"] == paid.run.history.balances[MEMBER]
    # Genesis, the change of key, and the transfers that touch the account.
    assert len(document["entries"]) == len(document["postings"]) + 2


def test_a_member_who_was_never_paid_has_an_empty_account(paid):
    """The coordinator earns nothing; its statement shows so, and is checked like any other."""
    shown = account_statement.check(statement(paid, "moot"), paid.verify)
    assert (shown.postings, shown.balance) == ((), 0)


def test_another_log_s_key_does_not_vouch_for_it(paid, made):
    """Signed by somebody else, or under another name: refused."""
    with pytest.raises(errors.SignatureError):
        account_statement.check(
            made, lambda signed: checkpoint.verify(signed, "folkmoot.test/log", keys.SigningKey.generate().public)
        )
    with pytest.raises((errors.StatementError, errors.SignatureError)):
        account_statement.check(made, lambda signed: checkpoint.verify(signed, "elsewhere", paid.key.public))


@pytest.mark.parametrize("field", ["amount", "balance", "seq", "round", "id", "code", "reverses"])
@pytest.mark.parametrize("row", [0, 12, -1])
def test_an_altered_row_is_refused(paid, made, field, row):
    """Each field of a posting, of the first, of one in between, of the last: the leaf says otherwise."""
    document = json.loads(made)
    value = document["postings"][row][field]
    document["postings"][row][field] = value + 1 if isinstance(value, int) else value + "1"
    assert isinstance(refusal(paid, document), errors.StatementError)


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        (lambda made: made.update(balance=made["balance"] + 1), "not those of its"),
        (lambda made: made["postings"].pop(), "not those of its"),
        (lambda made: made.update(account="member:holder-02"), "does not touch member:holder-02"),
        (lambda made: made.update(account="issued"), "the account issued"),
        (lambda made: made.update(account="member:"), "expected an account"),
        (lambda made: made.update(format="folkmoot-account-statement/v2"), "the format"),
        (lambda made: made.update(more=1), "not those of its"),
        (lambda made: made["entries"][3].update(more=1), "not those of its"),
        (lambda made: made.pop("entries"), "no account statement"),
        (lambda made: made.update(entries=[]), "does not begin with a genesis"),
        (lambda made: made["entries"].pop(0), "does not begin with a genesis"),
        (lambda made: made["entries"].insert(2, made["entries"][3]), "ascending"),
        (lambda made: made["entries"].reverse(), "does not begin with a genesis"),
        (lambda made: made["entries"][0].update(seq=False), "not a position"),
        (lambda made: made["entries"][0].update(leaf="{}"), "names none before it"),
        (lambda made: made["entries"][0]["path"].pop(), "proof leads"),
        (lambda made: made["entries"][0]["path"].append("AAAA"), "times 32"),
        (lambda made: made["entries"][0]["path"].append("*"), "expected base64"),
        (lambda made: made["entries"][0].update(path=[1]), "expected base64"),
        (lambda made: made["entries"][5].update(path=made["entries"][6]["path"]), "proof leads"),
    ],
)
def test_what_is_no_account_statement_is_refused(paid, made, change, reason):
    """Each part of the file that is missing, added, repeated or moved, by what is wrong with it."""
    document = json.loads(made)
    change(document)
    assert reason in str(refusal(paid, document))


def test_a_transfer_of_others_does_not_belong(paid, made):
    """The transfers of another member's account, under this one's name: those that do not touch it are refused."""
    rows = [json.loads(statement(paid, f"holder-{number:02}")) for number in range(8)]
    touching = {entry["seq"] for entry in json.loads(made)["entries"]}
    foreign = next(entry for document in rows for entry in document["entries"] if entry["seq"] not in touching)
    document = json.loads(made)
    document["entries"] = sorted([*document["entries"], foreign], key=lambda entry: entry["seq"])
    assert "does not touch" in str(refusal(paid, document))


def test_a_statement_of_somebody_else_does_not_belong(paid, made):
    """A holder's own statement is on the log, and is no part of an account."""
    entry = next(each for each in paid.entries if each.seq == 1)
    with paid.open() as record:
        path = [base64.b64encode(step).decode() for step in record.inclusion(1, record.size)]
    document = json.loads(made)
    document["entries"].insert(1, {"seq": 1, "leaf": entry.leaf.decode(), "path": path})
    assert "by holder-00, not moot" in str(refusal(paid, document))


def test_a_reversal_without_its_payment_is_refused(paid, made):
    """One posting that is left out shows: what is taken back must have been paid. Others that are left out do not."""
    document = json.loads(made)
    [seq] = [row["seq"] for row in document["postings"] if row["id"] == "round/17"]
    document["entries"] = [entry for entry in document["entries"] if entry["seq"] != seq]
    assert "reversal/17 without round/17" in str(refusal(paid, document))


def test_what_is_left_out_at_the_end_is_not_noticed(paid, made):
    """What the file does not prove: without its last payments it is still a sound statement, of less."""
    shorter = [entry for entry in paid.entries if entry.seq <= json.loads(made)["postings"][3]["seq"]]
    with paid.open() as record:
        chosen = account_statement.select(shorter, MEMBER)
        data = account_statement.build(MEMBER, chosen, paid.note, record.size, record.inclusion)
    assert len(account_statement.check(data, paid.verify).postings) == 4


def test_a_forged_leaf_does_not_count_even_on_the_log(paid, made):
    """A log that took in a transfer which the coordinator never signed: its key's word for the leaf is not enough."""
    last = json.loads(made)["postings"][-1]["seq"]
    forged = dsse.sign(paid.entries[last].envelope.payload, keys.SigningKey.generate())
    envelopes = [forged if entry.seq == last else entry.envelope for entry in paid.entries]
    assert isinstance(refusal(paid, rebuilt(paid, made, envelopes)), errors.SignatureError)


def test_a_rebuilt_statement_is_accepted(paid, made):
    """The control of the test before: made the same way, with nothing forged, it is the same file."""
    document = rebuilt(paid, made, [entry.envelope for entry in paid.entries])
    assert encoded(document) == made
    account_statement.check(made, paid.verify)


def test_what_the_coordinator_signed_for_another_place_does_not_count(paid, made):
    """On the log and signed all the same: a transfer that is there twice, one of another run, a genesis that is not first."""
    envelopes = [entry.envelope for entry in paid.entries]
    before, last = (json.loads(made)["postings"][place]["seq"] for place in (-2, -1))
    foreign = dataclasses.replace(statements.parse(envelopes[last].payload), run="f" * 64)
    wrong = {"twice": envelopes[before], "of this run": dsse.sign(statements.build(foreign), paid.key)}
    for reason, envelope in wrong.items():
        envelopes[last] = envelope
        assert reason in str(refusal(paid, rebuilt(paid, made, envelopes)))
    envelopes[:2] = envelopes[1], envelopes[0]
    document = rebuilt(paid, made, envelopes)
    document["entries"][0] = entry_at(envelopes, 1)
    assert "does not begin with a genesis at entry 0" in str(refusal(paid, document))


def test_a_genesis_that_its_key_did_not_sign_does_not_count(paid, made):
    """Who the coordinator is, is not the log's word alone."""
    envelopes = [entry.envelope for entry in paid.entries]
    envelopes[0] = dsse.sign(envelopes[0].payload, keys.SigningKey.generate())
    assert isinstance(refusal(paid, rebuilt(paid, made, envelopes)), errors.SignatureError)


def entry_at(envelopes, seq):
    """One entry of a log of these envelopes, as the document has it."""
    chained = chain(envelopes)
    node = merkle.over([entry.hash for entry in chained])
    path = [base64.b64encode(step).decode() for step in merkle.inclusion_proof(seq, len(chained), node)]
    return {"seq": seq, "leaf": chained[seq].leaf.decode(), "path": path}


def chain(envelopes):
    chained, prev = [], leaf.NO_HEAD
    for seq, envelope in enumerate(envelopes):
        chained.append(leaf.Entry.chain(seq, prev, envelope))
        prev = chained[-1].hash.hex()
    return chained


def rebuilt(paid, made, envelopes):
    """The document over a log of these envelopes, signed by the log's key."""
    chained = chain(envelopes)
    size, node = len(chained), merkle.over([entry.hash for entry in chained])
    promise = checkpoint.LogCheckpoint(origin="folkmoot.test/log", size=size, root=merkle.root(size, node))
    document = json.loads(made)
    document["checkpoint"] = checkpoint.sign(promise, paid.key).decode()
    document["entries"] = [entry_at(envelopes, entry["seq"]) for entry in document["entries"]]
    return document


def test_more_signatures_on_the_checkpoint_do_no_harm(paid, made):
    """A note that others cosigned is the same promise."""
    other = note.Signer(name="witness.test", key=keys.SigningKey.generate())
    document = json.loads(made)
    text, _ = note.split(paid.note)
    line = note.sign(text, [other]).decode().rpartition("\n\n")[2]
    document["checkpoint"] += line
    account_statement.check(encoded(document), paid.verify)


@settings(max_examples=150)
@given(st.data())
def test_any_changed_byte_is_refused(paid, made, data):
    """One byte anywhere in the file: rows, leaves, paths, checkpoint, form."""
    place = data.draw(st.integers(0, len(made) - 1))
    spoiled = bytearray(made)
    spoiled[place] ^= data.draw(st.integers(1, 127))
    with pytest.raises(REFUSALS):
        account_statement.check(bytes(spoiled), paid.verify)


@settings(max_examples=100)
@given(st.data())
def test_no_leaf_path_or_checkpoint_can_be_another(paid, made, data):
    """A character of a leaf, of a path or of the checkpoint changed, with all else as canonical as before."""
    document = copy.deepcopy(json.loads(made))
    entry = data.draw(st.sampled_from(document["entries"]))
    kind = data.draw(st.sampled_from(["leaf", "path", "checkpoint"]))
    holder, key = {"leaf": (entry, "leaf"), "path": (entry["path"], 0), "checkpoint": (document, "checkpoint")}[kind]
    text = holder[key]
    place = data.draw(st.integers(0, len(text) - 1))
    letter = data.draw(st.sampled_from("abyzABYZ0189+/").filter(lambda letter: letter != text[place]))
    holder[key] = text[:place] + letter + text[place + 1 :]
    refusal(paid, document)


def test_it_is_bounded(paid):
    """A file that is too long is not parsed."""
    with pytest.raises(errors.StatementError) as caught:
        account_statement.check(b" " * (account_statement.MAX_BYTES + 1), paid.verify)
    assert caught.value.code == "too-large"

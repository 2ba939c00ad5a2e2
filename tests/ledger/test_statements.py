"""Statements and their one byte form."""

import dataclasses
import hashlib
import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ledger import canonical, errors, keys, scores, statements, transfers

KEY = keys.SigningKey.generate().public
HEX = "0f" * 32
POSTINGS = (("issued", -10), ("member:a", 4), ("member:b", 6))


@pytest.fixture
def samples(cid):
    """One predicate of each type."""
    recipients = ("age1" + "q" * 58, "age1pq1" + "z" * 1952)
    ids = {"author": "moot", "run": HEX, "round": 1}
    offer = {
        "ciphertext": cid("c"),
        "size": 9,
        "examples": 5,
        "saturated": 0,
        "context": HEX,
        "runtime": {"torch": "2.13"},
    }
    sums = {"aggregate": cid("a"), "checkpoint": cid("b"), "correct": 2, "total": 2, "loss_micro": 0}
    opened = {"cohort": ("a", "b"), "recipients": recipients, "exponents": (-60, 30), "task": HEX, "rule": HEX}
    return [
        statements.Genesis(author="moot", plan={"x": [1, {"y": "z"}]}, key=str(KEY), checkpoint=cid("start")),
        statements.MemberEnrol(author="ash", run=HEX, key=str(KEY)),
        statements.MemberRole(author="moot", run=HEX, member="ash", role="holder"),
        statements.RoundOpen(**ids, parent=cid("p"), **opened, deadline=60),
        statements.UpdateOffer(**ids, parent=cid("p"), **offer),
        statements.RoundSeal(**ids, offers=(3, 5, 8)),
        statements.RoundCommit(**ids, accepted=("a", "b"), rejected=(("c", "off-lattice"),), **sums),
        statements.CreditTransfer(**ids, id="round/1", code="round", reverses="", postings=POSTINGS),
        statements.RoundDisclose(**ids, identity="AGE-SECRET-KEY-PQ-1" + "Q" * 58),
        statements.MemberRotate(author="ash", run=HEX, key=str(KEY), possession="A" * 86 + "=="),
        statements.MemberRevoke(author="moot", run=HEX, member="ash", reason="key-stolen"),
        statements.RoundCosign(**ids, commit=HEX),
        statements.RoundDispute(**ids, commit=HEX, reason="credit"),
        scores.ScoreCommit(**ids, candidates=HEX, commitment=HEX),
        scores.ScoreClose(**ids),
        scores.ScoreReveal(**ids, salt=HEX, scores=(-5, 0, 2**53 - 1)),
        statements.RoundRecipient(**ids, recipient="age1" + "q" * 58),
        statements.RoundDecline(**ids, reason="policy-tasks"),
        statements.RoundDestroy(**ids, recipient="age1pq1" + "q" * 1952),
    ]


def test_every_predicate_survives_its_bytes(samples):
    """parse(build(p)) == p, of the same types throughout, for each type."""
    assert {type(sample) for sample in samples} == set(statements.TYPES.values())
    for sample in samples:
        assert repr(statements.parse(statements.build(sample))) == repr(sample)


def test_the_bytes(samples, cid):
    """A statement is in-toto Statement v1, its subject following from the predicate."""
    enrolled = json.loads(statements.build(samples[1]))
    assert enrolled == {
        "_type": "https://in-toto.io/Statement/v1",
        "predicate": {"author": "ash", "key": str(KEY), "run": HEX},
        "predicateType": "urn:folkmoot:member.enrol:v1",
        "subject": [{"digest": {"sha256": KEY.digest.hex()}, "name": str(KEY)}],
    }
    offered = json.loads(statements.build(samples[4]))
    assert offered["subject"] == [{"digest": {"sha256": hashlib.sha256(b"c").hexdigest()}, "name": cid("c")}]
    sealed = json.loads(statements.build(samples[5]))
    digest = hashlib.sha256(canonical.encode(sealed["predicate"])).hexdigest()
    assert sealed["subject"] == [{"digest": {"sha256": digest}, "name": "round.seal/moot"}]


def test_no_two_authors_share_an_eid(samples):
    """The author stands inside the payload, so two members' equal statements stay two."""
    offer = samples[4]
    assert statements.build(offer) != statements.build(dataclasses.replace(offer, author="birch"))


@pytest.mark.parametrize(
    ("index", "change"),
    [
        (0, {"author": "Ash"}),
        (0, {"author": "-ash"}),
        (0, {"author": "a" * 64}),
        (0, {"author": ""}),
        (0, {"author": "ash\n"}),
        (0, {"author": 1}),
        (0, {"plan": []}),
        (0, {"plan": {"x": 1.5}}),
        (0, {"key": "ssh-rsa AAAA"}),
        (0, {"key": str(KEY) + " comment"}),
        (0, {"key": 1}),
        (0, {"checkpoint": "b" + "a" * 58}),
        (0, {"checkpoint": "bafkrei" + "a" * 51 + "b"}),
        (0, {"checkpoint": "bafkrei" + "i" + "a" * 51}),
        (0, {"checkpoint": "bafyrei" + "a" * 52}),
        (0, {"checkpoint": "../../etc/passwd"}),
        (2, {"role": "coordinator"}),
        (2, {"role": "holder|aggregator"}),
        (3, {"run": HEX.upper()}),
        (3, {"run": HEX[1:]}),
        (3, {"round": 0}),
        (3, {"round": True}),
        (3, {"round": 1.0}),
        (3, {"round": "1"}),
        (3, {"round": 2**53}),
        (3, {"cohort": ()}),
        (3, {"cohort": ("b", "a")}),
        (3, {"cohort": ("a", "a")}),
        (3, {"cohort": "ab"}),
        (3, {"recipients": ()}),
        (3, {"recipients": ("age1" + "q" * 58,) * 2}),
        (3, {"recipients": ("age1" + "b" * 58,)}),
        (3, {"recipients": ("age1pq1" + "q" * 58,)}),
        (3, {"exponents": (31,)}),
        (3, {"exponents": (-61,)}),
        (3, {"deadline": 0}),
        (4, {"size": 0}),
        (4, {"examples": 0}),
        (4, {"examples": -5}),
        (4, {"saturated": -1}),
        (4, {"runtime": {f"k{n}": "v" for n in range(17)}}),
        (4, {"runtime": {"k": "x" * 129}}),
        (4, {"runtime": {"k": "\x1b[31m"}}),
        (4, {"runtime": {"k" * 33: "v"}}),
        (4, {"runtime": {"k": 1}}),
        (4, {"runtime": []}),
        (5, {"offers": (5, 3)}),
        (5, {"offers": (3, 3)}),
        (5, {"offers": (-1,)}),
        (6, {"accepted": ("b", "a")}),
        (6, {"rejected": (("d", "late"), ("c", "late"))}),
        (6, {"rejected": (("c", "Bad reason"),)}),
        (6, {"rejected": (("c", "r" * 42),)}),
        (7, {"postings": (("issued", -10), ("member:a", 4), ("member:b", 5))}),
        (7, {"postings": (("issued", -10), ("member:a", 0), ("member:b", 10))}),
        (7, {"postings": (("member:a", 4), ("issued", -4))}),
        (7, {"postings": (("issued", -4), ("a", 4))}),
        (7, {"postings": (("issued", -4), ("member:A", 4))}),
        (7, {"postings": (("issued", -4), ("member:", 4))}),
        (7, {"postings": (("issued", -(2**53)), ("member:a", 2**53))}),
        (7, {"postings": (("issued", -1), ("member:a", True))}),
        (7, {"postings": (("issued", -4), ("member:a", 2), ("member:a", 2))}),
        (7, {"id": ""}),
        (7, {"id": "/1"}),
        (7, {"id": "round 1"}),
        (7, {"id": "r" * 64}),
        (7, {"code": "gift"}),
        (7, {"reverses": "Round/1"}),
        (7, {"reverses": None}),
        (8, {"identity": "age-secret-key-1" + "q" * 58}),
        (9, {"possession": "A" * 86}),
        (9, {"possession": "A" * 85 + "B=="}),
        (9, {"possession": "A" * 84 + "-A=="}),
        (9, {"possession": "A" * 88}),
        (9, {"possession": 1}),
        (9, {"key": "ssh-ed25519 AAAA"}),
        (10, {"reason": "Lost key"}),
        (10, {"reason": ""}),
        (10, {"member": "ash birch"}),
        (11, {"commit": HEX[1:]}),
    ],
)
def test_fields_out_of_range_are_refused(samples, index, change):
    """Names, keys, CIDs, digests, ranges, order, lengths, terminal escapes: no such statement is built (attacks 28, 33, 46)."""
    with pytest.raises(errors.StatementError):
        statements.build(dataclasses.replace(samples[index], **change))


@pytest.mark.parametrize(
    ("index", "change"),
    [
        (6, {"rejected": (("b", "late"),)}),
        (6, {"correct": 3}),
    ],
)
def test_fields_that_contradict_each_other_are_refused(samples, index, change):
    """Accepted and rejected at once, more right than asked: such a value cannot exist."""
    with pytest.raises(errors.StatementError):
        dataclasses.replace(samples[index], **change)


def test_a_pool_may_stay_unpaid(samples):
    """No postings at all is the one other way to sum to nothing."""
    unpaid = dataclasses.replace(samples[7], postings=())
    assert statements.parse(statements.build(unpaid)) == unpaid


@given(st.dictionaries(st.from_regex(r"[a-z0-9][a-z0-9-]{0,4}", fullmatch=True), st.integers(1, 2**40), max_size=6))
def test_money_is_neither_made_nor_lost(earned):
    """Whatever was earned: the payment sums to zero, has one byte form, and its opposite undoes it."""
    postings = transfers.payment(earned)
    assert sum(amount for _, amount in postings) == 0
    assert transfers.changes(postings) == earned
    fields = {"author": "moot", "run": HEX, "round": 7, "reverses": ""}
    paid = statements.CreditTransfer(**fields, id="round/7", code="round", postings=postings)
    assert statements.parse(statements.build(paid)) == paid
    assert transfers.opposite(transfers.opposite(postings)) == postings


@given(
    st.lists(
        st.tuples(st.sampled_from(["issued", "member:a", "member:b", "member:c", "x"]), st.integers(-3, 3)), max_size=4
    )
)
def test_only_balanced_postings_are_read(postings):
    """A transfer is built if and only if accounts ascend, exist, and amounts are not zero and sum to zero."""
    fields = {"author": "moot", "run": HEX, "round": 7, "id": "round/7", "code": "round", "reverses": ""}
    made = statements.CreditTransfer(**fields, postings=tuple(postings))
    names = [name for name, _ in postings]
    sound = names == sorted(set(names)) and "x" not in names
    if sound and all(amount for _, amount in postings) and sum(amount for _, amount in postings) == 0:
        assert statements.parse(statements.build(made)) == made
    else:
        with pytest.raises(errors.StatementError):
            statements.build(made)


def altered(sample, path, value):
    statement = json.loads(statements.build(sample))
    target = statement
    for step in path[:-1]:
        target = target[step]
    target[path[-1]] = value
    return canonical.encode(statement)


@pytest.mark.parametrize(
    ("path", "value", "code"),
    [
        (("predicateType",), "urn:folkmoot:round.seal:v2", "wrong-type"),
        (("predicateType",), "urn:folkmoot:member.enrol:v1", "malformed"),
        (("_type",), "https://in-toto.io/Statement/v0.1", "malformed"),
        (("extra",), 1, "malformed"),
        (("subject",), [], "malformed"),
        (("subject", 0, "name"), "other", "malformed"),
        (("subject", 0, "digest"), {"sha256": HEX}, "malformed"),
        (("subject", 0, "digest", "sha512"), HEX, "malformed"),
        (("predicate", "extra"), 1, "malformed"),
        (("predicate",), {}, "malformed"),
        (("predicate",), [], "malformed"),
        (("predicate", "round"), 2, "malformed"),
        (("predicate", "offers"), {}, "malformed"),
        (("predicate", "offers"), [True], "malformed"),
    ],
)
def test_a_statement_has_one_form(samples, path, value, code):
    """Another type, a foreign subject, missing or extra members: refused (attacks 17, 18)."""
    with pytest.raises(errors.StatementError) as caught:
        statements.parse(altered(samples[5], path, value))
    assert caught.value.code == code


def test_no_field_rides_along(samples):
    """An extra field is refused also where the subject does not cover the predicate."""
    with pytest.raises(errors.StatementError, match="exactly the fields"):
        statements.parse(altered(samples[4], ("predicate", "extra"), 1))


@pytest.mark.parametrize("rejected", [[["c"]], ["cd"], [["c", "late", 1]], [["c", 1]], {}, [{"c": 1, "d": 2}]])
def test_a_rejection_is_a_pair(samples, rejected):
    """Anything else in the list is refused, typed, before it is unpacked."""
    with pytest.raises(errors.StatementError):
        statements.parse(altered(samples[6], ("predicate", "rejected"), rejected))


@given(st.data())
def test_a_changed_byte_is_refused_or_another_statement(data):
    """No two payloads mean the same."""
    sample = statements.RoundSeal(author="moot", run=HEX, round=1, offers=(3, 5, 8))
    payload = bytearray(statements.build(sample))
    payload[data.draw(st.integers(0, len(payload) - 1))] ^= data.draw(st.integers(1, 255))
    try:
        parsed = statements.parse(bytes(payload))
    except errors.StatementError:
        return
    assert parsed != sample
    assert statements.build(parsed) == payload


@pytest.mark.parametrize("payload", [b"", b"[]", b"{}", b'{"predicate":{},"predicateType":1}', b"\x80\x04."])
def test_other_payloads_are_refused(payload):
    """Not JSON, not a statement: typed, not a KeyError."""
    with pytest.raises(errors.StatementError):
        statements.parse(payload)

"""Who is a member, with which key, in which role."""

import base64

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ledger import errors, keys, membership, statements, transfers


def test_membership(run):
    """A name once, a key once, a role once, and only for those who enrolled."""
    run.until("idle")
    run.keys["dogwood"] = keys.SigningKey.generate()
    stranger = run.enrol("dogwood")
    assert run.refused(run.role("dogwood")) == "unknown-member"
    assert run.refused(run.enrol("ash", key=str(run.keys["dogwood"].public)), run.keys["dogwood"]) == "duplicate-member"
    assert run.refused(run.enrol("dogwood", key=str(run.keys["ash"].public)), run.keys["ash"]) == "duplicate-key"
    assert run.refused(run.role("ash")) == "duplicate-role"
    assert run.refused(run.role("moot")) == "duplicate-role"
    run.say(stranger)
    assert run.history.members["dogwood"].role is None
    assert run.refused(run.open(cohort=("ash", "dogwood"))) == "not-entitled"
    assert run.refused(run.open(cohort=("ash", "elm"))) == "unknown-member"


def test_an_enrolment_proves_possession(run):
    """Nobody enrols a key that they cannot sign with."""
    run.until("idle")
    key = str(keys.SigningKey.generate().public)
    with pytest.raises(errors.SignatureError):
        run.say(statements.MemberEnrol(author="dogwood", run=run.history.run, key=key), run.keys["ash"])


def test_membership_is_of_one_run(run):
    """An enrolment or a role that was signed for another run does not count in this one (attack 14)."""
    run.say(run.genesis())
    assert run.refused(run.enrol("ash", run="a" * 64)) == "wrong-run"
    run.say(run.enrol("ash"))
    assert run.refused(run.role("ash", run="a" * 64)) == "wrong-run"


def test_a_key_counts_from_its_enrolment_on(run):
    """The same statement is of an unknown member before that position, and fits after (attacks 15, 16)."""
    run.say(run.genesis())
    role = run.role("birch", author="ash")
    assert run.refused(role) == "unknown-member"
    run.say(run.enrol("ash"))
    assert run.refused(role) == "not-entitled"


def test_a_role_is_the_coordinators_to_give(run):
    """A member does not entitle itself."""
    run.say(run.genesis())
    run.say(run.enrol("ash"))
    assert run.refused(run.role("ash", author="ash")) == "not-entitled"


@pytest.fixture
def fresh_key():
    return keys.SigningKey.generate()


def test_a_key_counts_until_the_position_that_changes_it(run, fresh_key):
    """The change is signed by the old key; from the next position on only the new one counts (attack 15)."""
    old = run.until("open").keys["ash"]
    with pytest.raises(errors.SignatureError):
        run.say(run.rotate("ash", fresh_key), fresh_key)
    position = run.say(run.rotate("ash", fresh_key))
    with pytest.raises(errors.SignatureError):
        run.say(run.offer("ash"), old)
    run.say(run.offer("ash"), fresh_key)
    ash = run.history.members["ash"]
    assert (ash.key, ash.rotations) == (fresh_key.public, ((position, old.public),))
    assert [ash.key_at(size) for size in (0, position, position + 1)] == [old.public, old.public, fresh_key.public]


def test_the_coordinator_changes_its_key_too(run, fresh_key):
    """Whatever was said before stays said; the next statement needs the new key."""
    old = run.until("committed").keys["moot"]
    run.say(run.rotate("moot", fresh_key))
    with pytest.raises(errors.SignatureError):
        run.say(run.credit(), old)
    run.keys["moot"] = fresh_key
    run.until("idle").until("committed")
    assert run.history.round == 2


def test_no_key_comes_back(run):
    """A key that anybody has or had in this run, whoever it was: no rotation to it, no enrolment under it (attack 15)."""
    run.until("idle")
    first, second, third = run.keys["ash"], keys.SigningKey.generate(), keys.SigningKey.generate()
    run.say(run.rotate("ash", second), first)
    run.say(run.rotate("ash", third), second)
    run.say(run.revoke("cedar"))
    for used in (first, second, third, run.keys["birch"], run.keys["cedar"], run.keys["moot"]):
        assert run.refused(run.rotate("ash", used), third) == "duplicate-key"
        run.keys["elm"] = used
        assert run.refused(run.enrol("elm")) == "duplicate-key"


def test_a_new_key_shows_itself(run, fresh_key):
    """Possession is bound to run, member, old key and new key: shown for another of these, it shows nothing."""
    run.until("idle")
    right = run.rotate("ash", fresh_key)
    other = keys.SigningKey.generate()
    present, number = run.keys["ash"].public, run.history.run
    for said in (
        membership.rotation("b" * 64, "ash", present, fresh_key),
        membership.rotation(number, "birch", present, fresh_key),
        membership.rotation(number, "ash", other.public, fresh_key),
        membership.rotation(number, "ash", present, other),
    ):
        assert run.refused(run.rotate("ash", fresh_key, possession=said.possession)) == "no-possession"
    stolen = base64.b64encode(run.keys["ash"].sign(b"anything")).decode()
    assert run.refused(run.rotate("ash", fresh_key, possession=stolen)) == "no-possession"
    run.say(right)


def test_what_a_new_key_signs(run):
    """The bytes of docs/protocol.md P3; no line of them can be another's."""
    run.until("idle")
    old, new = keys.PublicKey(raw=bytes(range(32))), keys.PublicKey(raw=bytes(range(1, 33)))
    told = membership.possession("c" * 64, "ash", old, new)
    assert told == f"folkmoot possession v1\n{'c' * 64}\nash\n{old}\n{new}\n".encode()


@given(st.lists(st.sampled_from(["ash", "birch", "moot"]), max_size=6))
def test_any_order_of_changes_leaves_each_its_last_key(run_of, names):
    """However often and in whatever order keys change, each position has its key."""
    run = run_of().until("idle")
    had = {name: [(0, run.keys[name].public)] for name in ("ash", "birch", "moot")}
    for name in names:
        new = keys.SigningKey.generate()
        position = run.say(run.rotate(name, new))
        run.keys[name] = new
        had[name].append((position + 1, new.public))
    for name, tenures in had.items():
        for size in range(run.history.size + 1):
            expected = [key for since, key in tenures if since <= size][-1]
            assert run.history.members[name].key_at(size) == expected


@pytest.mark.parametrize("author", ["moot", "ash"])
def test_nothing_a_revoked_member_signs_counts(run, author, fresh_key):
    """By the coordinator or by itself: from the next position on each of its statements is refused by name (attack 15)."""
    run.until("open")
    position = run.say(run.revoke("ash", author=author))
    assert run.history.members["ash"].revoked_at == position
    assert run.refused(run.offer("ash")) == "revoked"
    assert run.refused(run.rotate("ash", fresh_key)) == "revoked"
    assert run.refused(run.revoke("ash", author="ash")) == "revoked"
    assert run.refused(run.revoke("ash")) == "revoked"
    assert run.refused(run.enrol("ash")) == "duplicate-member"
    assert run.refused(run.enrol("ash", key=str(fresh_key.public)), fresh_key) == "duplicate-member"


def test_what_was_said_before_a_revocation_stays(run):
    """An offer on the log may be sealed, accepted and paid."""
    run.until("open")
    offer = run.say(run.offer("ash"))
    run.say(run.revoke("ash"))
    run.say(run.seal(offers=(offer,)))
    run.say(run.commit(accepted=("ash",), rejected=(("birch", "no-offer"), ("cedar", "no-offer"))))
    run.say(run.credit(postings=transfers.payment({"ash": 1_000})))
    assert run.history.balances == {"ash": 1_000}


def test_a_revoked_member_is_in_no_later_cohort(run):
    """An opening that names it is refused; without it the run goes on."""
    run.until("idle").say(run.revoke("cedar"))
    assert run.refused(run.open()) == "revoked"
    run.say(run.open(cohort=("ash", "birch")))


def test_who_may_revoke_whom(run):
    """A member not another, nobody the coordinator, not even itself, and nobody a stranger (attack 15)."""
    run.until("idle")
    assert run.refused(run.revoke("birch", author="ash")) == "not-entitled"
    assert run.refused(run.revoke("moot", author="ash")) == "not-entitled"
    assert run.refused(run.revoke("moot")) == "not-entitled"
    assert run.refused(run.revoke("elm")) == "unknown-member"
    with pytest.raises(errors.SignatureError):
        run.say(run.revoke("ash"), run.keys["ash"])


def test_a_revoked_member_gets_no_role(run):
    """Enrolled and revoked before it was entitled."""
    run.say(run.genesis())
    run.say(run.enrol("ash"))
    run.say(run.revoke("ash"))
    assert run.refused(run.role("ash")) == "revoked"


def test_a_revoked_aggregator_cosigns_nothing(run):
    """Its role is a word without effect."""
    run.until("idle").aggregator()
    run.until("credited").say(run.revoke("oak"))
    assert run.refused(run.cosign("oak")) == "revoked"


@pytest.mark.parametrize("said", ["rotate", "revoke", "cosign"])
def test_these_belong_to_a_run(run, fresh_key, said):
    """Of another run they are refused."""
    run.until("idle").aggregator()
    run.until("credited")
    arguments = {"rotate": ("ash", fresh_key), "revoke": ("ash",), "cosign": ("oak",)}[said]
    assert run.refused(getattr(run, said)(*arguments, run="b" * 64)) == "wrong-run"


def test_a_run_has_only_so_many_members():
    """A log of nothing but enrolments does not keep its readers for hours."""
    key = keys.SigningKey.generate()
    first = membership.Member(name="m", key=key.public, role=None, enrolled_at=0)
    many = membership.Members({f"m{number}": first for number in range(membership.MOST)})
    said = statements.MemberEnrol(author="one-more", run="0" * 64, key=str(key.public))
    with pytest.raises(errors.HistoryError, match="too-many-members"):
        membership.enrol(many, said, seq=1)

"""Who is a member, with which key, in which role."""

import pytest

from ledger import errors, keys, statements


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

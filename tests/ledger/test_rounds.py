"""Aggregators on the log: whom they have updates sealed to, and their word on a commit."""

import pytest

from ledger import errors


@pytest.fixture
def watched(run):
    """A run with an aggregator, its first round committed."""
    run.until("idle").aggregator()
    return run.until("committed")


@pytest.mark.parametrize("phase", ["committed", "credited", "idle", "open", "sealed"])
def test_a_commit_is_cosigned_until_the_next_one_is_over(watched, phase):
    """In its own round and through the next, without touching the round in progress."""
    commit = watched.history.current.commit_eid
    assert commit == watched.envelopes[-1].eid
    watched.until(phase)
    cosign = watched.cosign("oak", round=1, commit=commit)
    before = watched.history.phase
    watched.say(cosign)
    record = next(
        each
        for each in (watched.history.current, watched.history.finished)
        if each is not None and each.open.round == 1
    )
    assert (watched.history.phase, record.cosigned) == (before, {"oak"})
    watched.until("idle").until("open")


def test_an_older_commit_is_not_cosigned(watched):
    """Only the round in progress and the one before: the history does not keep all commits."""
    cosign = watched.cosign("oak")
    watched.until("idle").until("committed").until("idle")
    assert watched.history.finished.open.round == 2
    assert watched.refused(cosign) == "wrong-round"
    assert watched.refused(watched.cosign("oak", round=3)) == "wrong-round"


def test_a_cosignature_needs_a_commit(run):
    """Nobody vouches for a round before its outcome is on the log."""
    run.until("idle").aggregator()
    run.until("sealed")
    assert run.refused(run.cosign("oak", round=1)) == "out-of-order"


def test_another_commit_is_told_from_the_same_again(watched):
    """A first wrong eid, the same twice, another after the right one: each by its name (attack 44)."""
    assert watched.refused(watched.cosign("oak", commit="d" * 64)) == "wrong-commit"
    watched.say(watched.cosign("oak"))
    assert watched.refused(watched.cosign("oak")) == "duplicate-cosign"
    assert watched.refused(watched.cosign("oak", commit="d" * 64)) == "equivocation"
    watched.until("idle")
    assert watched.refused(watched.cosign("oak")) == "duplicate-cosign"


def test_two_aggregators_cosign_each_for_itself(run):
    """Each once."""
    run.until("idle")
    names = {run.aggregator("oak"), run.aggregator("elm")}
    run.until("credited")
    for name in names:
        run.say(run.cosign(name))
    assert run.history.current.cosigned == names


@pytest.mark.parametrize("name", ["ash", "moot"])
def test_only_an_aggregator_cosigns(watched, name):
    """A holder, or the coordinator about its own work, does not; nobody does in an aggregator's name (attack 44)."""
    assert watched.refused(watched.cosign(name)) == "not-entitled"
    with pytest.raises(errors.SignatureError):
        watched.say(watched.cosign("oak"), watched.keys[name])


def test_an_aggregator_is_no_holder(watched):
    """It is in no cohort."""
    watched.until("idle")
    assert watched.refused(watched.open(cohort=("ash", "birch", "oak"))) == "not-entitled"


ONE, TWO = "age1" + "q" * 58, "age1" + "p" * 58


@pytest.fixture
def named(run):
    """A run with two aggregators, between rounds."""
    run.until("idle")
    run.aggregator("oak")
    run.aggregator("elm")
    return run


def test_a_recipient_is_named_for_a_round_to_come(named):
    """Once for each round, for this one and four more; whoever opens the round has it on record whose it is."""
    named.say(named.recipient("oak", 1, ONE))
    assert named.history.recipients.of(1) == {"oak": ONE}
    assert named.refused(named.recipient("oak", 1, TWO)) == "duplicate-recipient"
    assert named.refused(named.recipient("elm", 5, ONE)) == "duplicate-recipient"
    assert named.refused(named.recipient("elm", 6, TWO)) == "wrong-round"
    assert named.refused(named.recipient("ash", 2, TWO)) == "not-entitled"
    named.say(named.recipient("elm", 5, TWO))
    named.say(named.open(recipients=("age1" + "z" * 58, ONE)))
    assert named.history.current.readers == {"oak": ONE}
    assert named.refused(named.recipient("oak", 1, "age1" + "l" * 58)) == "wrong-round"
    assert dict(named.history.recipients.rounds) == {5: {"elm": TWO}}
    named.until("sealed")
    named.say(named.recipient("oak", 2, ONE))


def test_a_recipient_that_the_opening_left_out_is_nobodys(named):
    """Naming one is no right to be in the opening; an auditor finds that out, the log does not."""
    named.say(named.recipient("oak", 1, TWO))
    named.until("open")
    assert named.history.current.readers == {}


@pytest.mark.parametrize("first", ["cosign", "dispute"])
def test_one_word_on_each_commit(watched, first):
    """44: whoever has cosigned disputes nothing any more, and the other way round; the same again is told from it."""
    watched.say(getattr(watched, first)("oak"))
    other = {"cosign": "dispute", "dispute": "cosign"}[first]
    assert watched.refused(getattr(watched, other)("oak")) == "equivocation"
    assert watched.refused(getattr(watched, first)("oak")) == "duplicate-cosign"
    assert watched.refused(watched.dispute("oak", reason="credit")) == "equivocation"
    record = watched.history.current
    assert (record.cosigned, dict(record.disputed)) == (
        ({"oak"}, {}) if first == "cosign" else (set(), {"oak": "aggregate"})
    )
    watched.until("idle").until("committed")


def test_a_dispute_is_of_the_commit_that_there_is(watched):
    """Not of another one, of no older round, and by nobody but an aggregator."""
    assert watched.refused(watched.dispute("oak", commit="d" * 64)) == "wrong-commit"
    assert watched.refused(watched.dispute("ash")) == "not-entitled"
    dispute = watched.dispute("oak")
    watched.until("idle").until("committed").until("idle")
    assert watched.refused(dispute) == "wrong-round"

"""Cosignatures: an aggregator's word that it has come to the same commit."""

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

"""Scorers' statements in the history: commitments, the coordinator's close, reveals, and nothing out of turn."""

import pytest

from ledger import history, scores
from tests.ledger import conftest

SCORED = conftest.PLAN | {"credit": {"pool": 1_000, "scorers": ["ash", "birch"], "utility": "holders"}}
HEX = "ab" * 32


def made(run, kind, author, **fields):
    return kind(author=author, run=run.history.run, round=run.history.round + 1, **fields)


def commit(run, author, commitment=HEX):
    return made(run, scores.ScoreCommit, author, candidates=HEX, commitment=commitment)


def close(run, author=conftest.COORDINATOR):
    return made(run, scores.ScoreClose, author)


def reveal(run, author, *said):
    return made(run, scores.ScoreReveal, author, salt=HEX, scores=said)


@pytest.fixture
def sealed():
    run = conftest.Run(SCORED)
    run.until("sealed")
    return run


def test_scores_are_committed_to_and_then_revealed(sealed):
    """What each said is in the record, and the round goes on from sealed as it always does."""
    sealed.say(commit(sealed, "ash"))
    sealed.say(commit(sealed, "birch"))
    sealed.say(close(sealed))
    sealed.say(reveal(sealed, "birch", 4, -7))
    said = sealed.history.current.scorers
    assert (set(said.committed), said.closed, said.revealed["birch"].scores) == ({"ash", "birch"}, True, (4, -7))
    assert sealed.history.phase == history.Phase.SEALED
    sealed.say(sealed.commit())
    assert sealed.refused(reveal(sealed, "ash", 1)) == "wrong-round"


def test_nobody_reveals_before_the_close_or_commits_after_it(sealed):
    """A scorer that reveals early would end the others' time; one that commits late would know what they said."""
    sealed.say(commit(sealed, "ash"))
    assert sealed.refused(reveal(sealed, "ash", 1)) == "out-of-order"
    assert sealed.refused(close(sealed, "ash")) == "not-entitled"
    sealed.say(close(sealed))
    assert sealed.refused(commit(sealed, "birch")) == "out-of-order"
    assert sealed.refused(close(sealed)) == "out-of-order"
    assert sealed.refused(reveal(sealed, "birch", 1)) == "not-committed"


def test_each_scorer_has_one_word_in_each_phase(sealed):
    """The same again is a retry, something else an equivocation."""
    sealed.say(commit(sealed, "ash"))
    assert sealed.refused(commit(sealed, "ash")) == "duplicate-score"
    assert sealed.refused(commit(sealed, "ash", commitment="cd" * 32)) == "equivocation"
    sealed.say(close(sealed))
    sealed.say(reveal(sealed, "ash", 1))
    assert sealed.refused(reveal(sealed, "ash", 1)) == "duplicate-score"
    assert sealed.refused(reveal(sealed, "ash", 2)) == "equivocation"


def test_only_scorers_of_the_plan_score(sealed):
    """Neither another holder nor the coordinator; and in a plan without scorers nobody, and nothing is closed."""
    assert sealed.refused(commit(sealed, "cedar")) == "not-entitled"
    assert sealed.refused(commit(sealed, conftest.COORDINATOR)) == "not-entitled"
    without = conftest.Run()
    without.until("sealed")
    for statement in (commit(without, "ash"), close(without)):
        assert without.refused(statement) == "not-entitled"


def test_scores_are_of_a_sealed_round(sealed):
    """Not before the seal, when updates could still be offered, nor of another round."""
    early = conftest.Run(SCORED)
    early.until("open")
    assert early.refused(commit(early, "ash")) == "out-of-order"
    other = scores.ScoreCommit(author="ash", run=sealed.history.run, round=2, candidates=HEX, commitment=HEX)
    assert sealed.refused(other) == "wrong-round"
    between = conftest.Run(SCORED)
    between.until("idle")
    assert between.refused(commit(between, "ash")) == "out-of-order"

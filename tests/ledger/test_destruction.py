"""`round.destroy`: of which rounds the log says that nobody opens their updates any more."""

import pytest

from ledger import destruction

SECRET = {"credit": {"pool": 1_000}, "disclosure": "none"}
ONE, TWO = "age1" + "q" * 58, "age1" + "p" * 58


@pytest.fixture
def run(run_of):
    """A run of undisclosed rounds, the first of them over; two can open its updates."""
    run = run_of(SECRET).until("idle")
    run.say(run.open(recipients=(ONE, TWO)))
    return run.until("idle")


def test_each_identity_is_destroyed_once(run):
    """Of a round that is over, of a recipient that it had, once; what is kept still is known."""
    assert run.history.identities.kept == ((1, ONE), (1, TWO))
    run.say(run.destroy(1))
    assert run.history.identities.kept == ((1, TWO),)
    assert run.refused(run.destroy(1)) == "duplicate-destroy"
    assert run.refused(run.destroy(1, recipient="age1" + "z" * 58)) == "unknown-recipient"
    run.say(run.destroy(1, recipient=TWO))
    assert run.history.identities.kept == ()
    assert run.refused(run.destroy(2)) == "wrong-round"


@pytest.mark.parametrize("phase", ["open", "sealed", "committed"])
def test_no_round_is_destroyed_before_it_is_over(run, phase):
    """Not while its offers may yet have to be opened, and not before it is paid; an earlier one at any time."""
    run.until(phase)
    assert run.refused(run.destroy(2)) == "wrong-round"
    run.say(run.destroy(1))
    assert run.history.phase == phase
    run.until("idle")
    run.say(run.destroy(2))


def test_nobody_destroys_what_is_not_its_own(run):
    """The coordinator says it of its own recipients, an aggregator of those it had named, and nobody else anything."""
    assert run.refused(run.destroy(1, author="ash")) == "not-entitled"
    run.aggregator("oak")
    run.aggregator("elm")
    assert run.refused(run.destroy(1, author="oak")) == "not-entitled"
    run.say(run.recipient("oak", 2, TWO))
    run.say(run.open(recipients=(ONE, TWO)))
    run.until("idle")
    assert run.history.identities.kept_by("oak") == ((2, TWO),)
    assert run.history.identities.kept_by("moot") == ((1, ONE), (1, TWO), (2, ONE))
    assert run.refused(run.destroy(2, recipient=TWO)) == "not-entitled"
    assert run.refused(run.destroy(2, recipient=TWO, author="elm")) == "not-entitled"
    assert run.refused(run.destroy(2, author="oak")) == "not-entitled"
    run.say(run.destroy(2, recipient=TWO, author="oak"))
    assert run.history.identities.kept_by("oak") == ()


def test_what_is_public_cannot_be_destroyed(run_of):
    """Of a disclosed round everybody has the identity for ever."""
    run = run_of().until("open").until("idle")
    assert run.history.round == 1
    assert run.refused(run.destroy(1)) == "wrong-round"


def test_memory_does_not_grow_with_the_run(run_of, monkeypatch):
    """Of a coordinator that never destroys anything only so many rounds are remembered, the last ones."""
    monkeypatch.setattr(destruction, "MOST", 3)
    run = run_of(SECRET)
    for _ in range(5):
        run.until("open").until("idle")
    assert [number for number, _ in run.history.identities.kept] == [3, 4, 5]
    assert run.refused(run.destroy(2)) == "wrong-round"
    run.say(run.destroy(3))

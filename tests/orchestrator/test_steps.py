"""The coordinator's decisions: pure, and the same after a crash as before it."""

from pathlib import Path

import pytest

from orchestrator import steps
from tests import federation


@pytest.fixture
def world(tmp_path: Path) -> federation.Federation:
    return federation.Federation(tmp_path)


def state(world: federation.Federation) -> steps.State:
    return steps.State(rounds=2, deadline=60, history=world.history)


def recorded(world: federation.Federation, before: steps.State, now: float = 0.0) -> tuple:
    return steps.step(before, steps.Recorded(history=world.history), now)


def test_an_open_round_asks_those_that_have_not_offered(world: federation.Federation) -> None:
    """After a restart only the missing are asked: an offer on the ledger is not asked for twice."""
    world.contribute("holder-00")
    _, effects = recorded(world, state(world))
    assert effects == (steps.Ask(members=world.names[1:]),)


def test_members_are_asked_once(world: federation.Federation) -> None:
    """Entries that arrive while members train do not make the coordinator ask again."""
    asked, _ = recorded(world, state(world))
    world.contribute("holder-00")
    assert recorded(world, asked)[1] == ()


def test_the_round_is_sealed_when_all_have_answered(world: federation.Federation) -> None:
    """The last answer is appended, then the round is sealed; a refusal counts as an answer."""
    current, _ = recorded(world, state(world))
    for name in world.names[:-1]:
        current, effects = steps.step(current, steps.Answered(member=name, offer=None), 1.0)
        assert effects == ()
    last = world.names[-1]
    _, effects = steps.step(current, steps.Answered(member=last, offer=b"offer"), 1.0)
    assert effects == (steps.Append(member=last, said=b"offer"), steps.Seal())


def test_the_deadline_seals_without_the_slow(world: federation.Federation) -> None:
    """Exactly at the deadline, by the shell's clock, and not before."""
    current, _ = recorded(world, state(world), now=100.0)
    assert steps.step(current, steps.Ticked(), 159.9)[1] == ()
    assert steps.step(current, steps.Ticked(), 160.0)[1] == (steps.Seal(),)


def test_a_round_is_sealed_once(world: federation.Federation) -> None:
    """The last answer and the deadline in one breath: whatever comes after the first seal, there is no second."""
    current, _ = recorded(world, state(world))
    for name in world.names[:-1]:
        current, _ = steps.step(current, steps.Answered(member=name, offer=None), 1.0)
    current, effects = steps.step(current, steps.Answered(member=world.names[-1], offer=b"offer"), 1.0)
    assert steps.Seal() in effects
    assert steps.step(current, steps.Ticked(), 1e9)[1] == ()
    world.contribute(world.names[-1])
    current, effects = recorded(world, current)
    assert effects == ()
    assert steps.step(current, steps.Ticked(), 1e9)[1] == ()


def test_a_complete_round_found_open_is_sealed(world: federation.Federation) -> None:
    """A coordinator that died between the last offer and the seal goes on with the seal."""
    for name in world.names:
        world.contribute(name)
    assert recorded(world, state(world))[1] == (steps.Seal(),)


def test_a_sealed_round_is_settled(world: federation.Federation) -> None:
    """Whoever finds a sealed round settles it; a late tick does not seal it twice."""
    world.contribute("holder-00")
    world.seal()
    current, effects = recorded(world, state(world))
    assert effects == (steps.Settle(),)
    assert steps.step(current, steps.Ticked(), 1e9)[1] == ()


def test_between_rounds_the_next_opens_until_the_plan_is_done(world: federation.Federation) -> None:
    """Idle opens the next round; after the last round of the plan nothing is left to do."""
    world.history = federation.history.apply(federation.history.EMPTY, 0, world.envelopes[0])
    assert recorded(world, state(world))[1] == (steps.Open(number=1),)
    done = steps.State(rounds=0, deadline=60, history=world.history)
    assert recorded(world, done)[1] == (steps.Finish(),)

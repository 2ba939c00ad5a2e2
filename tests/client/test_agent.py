"""A holder in its place: it joins, takes its turns, and is never two holders, whenever it is killed."""

import contextlib
import dataclasses
import functools
import itertools
import json
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from client import agent, errors, follower, home, invitation, joining, policy, spending, trainer, turn
from exchange import blocks, layered, writer
from ledger import dsse, durable, history, keys, membership, statements
from orchestrator import founding
from tests import federation, service

NAME = "holder-00"
SEED = bytes(range(32))


class Over(BaseException):
    """The story is told."""


class Killed(BaseException):
    """kill -9, as far as one process can show it: nothing after this step happens."""


class Steps:
    """Counts the steps of a holder that leave something behind, and kills it once, before or after one of them.

    Args:
        patch: ends with the test.
        served: the service it speaks to.
        at: the step, from 0; two of them lie around each thing that is done. Beyond the last nothing is killed.
    """

    def __init__(self, patch: pytest.MonkeyPatch, served: service.Service, at: int) -> None:
        self._left = at
        for owner, name in (
            (durable, "write"),
            (spending.Spending, "charge"),
            (keys.SigningKey, "save"),
            (writer.Writer, "put"),
            (served, "append"),
            (served, "put"),
        ):
            patch.setattr(owner, name, self._watched(getattr(owner, name)))

    @property
    def killed(self) -> bool:
        return self._left < 0

    def _watched(self, work: Callable[..., object]) -> Callable[..., object]:
        @functools.wraps(work)
        def watched(*arguments: object, **more: object) -> object:
            self._step()
            done = work(*arguments, **more)
            self._step()
            return done

        return watched

    def _step(self) -> None:
        self._left -= 1
        if self._left == -1:
            raise Killed


@pytest.fixture
def world(tmp_path: Path) -> federation.Federation:
    return federation.Federation(tmp_path / "run")


@pytest.fixture
def served(world: federation.Federation) -> service.Service:
    return service.of(world.envelopes, world.coordinator, world.folder)


class Party:
    """A holder of the world, as one process after another."""

    def __init__(
        self, world: federation.Federation, served: service.Service, place: home.Home, name: str = NAME
    ) -> None:
        self._world, self._served, self._name = world, served, name
        self.place = place
        self.told: list[turn.Event] = []
        place.root.mkdir(exist_ok=True)

    def live(self, consent: policy.Policy | None = None) -> None:
        """One process: from its start to where it is killed, or the story is told."""
        chosen = consent or self._world.consent()
        with self.process(chosen) as (one, makes):
            one.found()
            one.run(makes, announces=chosen.announce_refusals)

    @contextlib.contextmanager
    def process(self, consent: policy.Policy) -> Iterator[tuple[agent.Agent, trainer.Trainer]]:
        run, place = self._world.agreed.run, self.place
        with place.held():
            taken = place.invited_by()
            key = None if taken is None else taken.key
            seat = joining.Seat(run=run, name=self._name, key=place.key(), invited=key)
            own_blocks = blocks.BlockStore(place.root, fsync="never")
            store = layered.Layered(own_blocks, {"service": self._served.store})
            follows = follower.Follower(run, place.root, lambda *_: pytest.fail("tiles were asked for"))
            means = turn.Means(service=self._served, place=place, store=store, follows=follows)
            shard = self._world.agreed.task.shard(0)
            own = trainer.Own(place=place, seat=seat, consent=consent, examples=shard, store=store)
            try:
                yield agent.Agent(means, seat, self.told.append), trainer.Trainer(own)
            finally:
                follows.close()


def lives(party: Party, served: service.Service, at: int) -> bool:
    """Whether the holder was killed at a step, after which it lives to the end."""
    with pytest.MonkeyPatch.context() as patch:
        steps = Steps(patch, served, at)
        with pytest.raises((Killed, Over)):
            party.live()
    if steps.killed:
        with pytest.raises(Over):
            party.live()
    return steps.killed


def test_killed_at_every_step_of_a_round(world: federation.Federation, tmp_path: Path) -> None:
    """Wherever a holder is killed on its way to an offer, the log has one offer and saw no other (attacks 19, 37)."""
    for step in itertools.count():
        served = service.of(world.envelopes, world.coordinator, tmp_path / f"run-{step}")
        served.store.put(world.get(world.agreed.checkpoint))
        party = Party(world, served, home.Home(root=tmp_path / f"home-{step}"))
        party.place.adopt(world.keys[NAME])
        served.idle = functools.partial(_over_if, served, lambda known: NAME in known.offers)
        killed = lives(party, served, step)
        assert served.refused == []
        assert served.store.has(served.history.offers[NAME][1].ciphertext)
        if not killed:
            break
    assert step >= 16


def test_killed_at_every_step_of_joining(world: federation.Federation, tmp_path: Path) -> None:
    """Wherever a guest is killed on its way into the run, its place has one key of its own, which it holds (attack 37)."""
    for step in itertools.count():
        served = service.of(world.envelopes, world.coordinator, tmp_path / f"run-{step}")
        party = Party(world, served, home.Home(root=tmp_path / f"home-{step}"), "guest")
        party.place.keep_invitation(invited(world, served))
        served.idle = functools.partial(_entitling, world, served, party)
        killed = lives(party, served, step)
        guest = served.history.members["guest"]
        assert (guest.key, len(guest.rotations)) == (party.place.key().public, 1)
        assert served.refused == []
        if not killed:
            break
    assert step >= 12


def invited(world: federation.Federation, served: service.Service) -> invitation.Invitation:
    """The invitation of a guest, whose name is enrolled under its key."""
    made = invitation.Invitation(run=world.agreed.run, name="guest", seed=SEED)
    enrol = statements.MemberEnrol(author="guest", run=world.agreed.run, key=str(made.key.public))
    served.append(dsse.sign(statements.build(enrol), made.key))
    served.publish()
    return made


def _entitling(world: federation.Federation, served: service.Service, party: Party) -> None:
    """The coordinator, who makes a holder of a guest that has its own key."""
    guest = served.history.members["guest"]
    if guest.rotations and guest.role is None:
        author, run = founding.COORDINATOR, world.agreed.run
        role = statements.MemberRole(author=author, run=run, member="guest", role="holder")
        served.append(dsse.sign(statements.build(role), world.coordinator))
    served.publish()
    if party.place.invited_by() is None:
        raise Over


def _over_if(served: service.Service, over: Callable[[history.History], bool]) -> None:
    served.publish()
    if over(served.history):
        raise Over


def test_a_place_that_somebody_else_took(world: federation.Federation, served: service.Service, tmp_path: Path) -> None:
    """Who comes second with an invitation, and who was revoked, is told so and says nothing (attacks 15, 16)."""
    taken = invited(world, served)
    thief = keys.SigningKey.generate()
    rotation = membership.rotation(world.agreed.run, "guest", taken.key.public, thief)
    served.append(dsse.sign(statements.build(rotation), taken.key))
    served.publish()
    size = len(served.leaves)
    party = Party(world, served, home.Home(root=tmp_path / "guest"), "guest")
    party.place.keep_invitation(taken)
    with pytest.raises(errors.JoinError, match="somebody else has used the invitation"):
        party.live()
    gone = statements.MemberRevoke(author=NAME, run=world.agreed.run, member=NAME, reason="leaving")
    served.append(dsse.sign(statements.build(gone), world.keys[NAME]))
    served.publish()
    revoked = Party(world, served, home.Home(root=tmp_path / "revoked"))
    revoked.place.adopt(world.keys[NAME])
    with pytest.raises(errors.JoinError, match="was revoked at entry"):
        revoked.live()
    assert len(served.leaves) == size + 1


@pytest.mark.parametrize("announced", [False, True])
def test_a_refusal_is_kept_and_said_if_allowed(
    world: federation.Federation, served: service.Service, tmp_path: Path, announced: bool
) -> None:
    """A round that the policy refuses is named in the holder's own log, and in the ledger only if the policy says so."""
    served.idle = _over
    party = Party(world, served, home.Home(root=tmp_path / "home"))
    party.place.adopt(world.keys[NAME])
    with pytest.raises(Over):
        party.live(world.consent(rounds=0, announce_refusals=announced))
    [line] = (party.place.root / "refusals.jsonl").read_text().splitlines()
    assert (json.loads(line)["code"], json.loads(line)["round"]) == ("policy-rounds", 1)
    assert served.history.offers == {}
    declined = {} if served.history.current is None else dict(served.history.current.declined)
    assert declined == ({NAME: "policy-rounds"} if announced else {})
    assert "refused" in [event.kind for event in party.told]


def test_who_leaves_declines_what_it_has_not_offered(
    world: federation.Federation, served: service.Service, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A holder that leaves while the round waits for it says so; one whose offer may be on its way does not."""
    served.idle = _over
    monkeypatch.setattr(served, "put", _gone)
    party = Party(world, served, home.Home(root=tmp_path / "home"))
    party.place.adopt(world.keys[NAME])
    with party.process(world.consent()) as (one, makes):
        with pytest.raises(Over):
            one.run(makes)
        assert not one.leave()
    party.place.offer.unlink()
    with party.process(world.consent()) as (one, makes):
        monkeypatch.setattr(makes, "admit", _gone)
        with pytest.raises(Over):
            one.run(makes)
        assert one.leave()
    assert dict(served.history.current.declined) == {NAME: "leaving"}


def test_an_entry_that_is_not_covered_moves_nobody(
    world: federation.Federation, served: service.Service, tmp_path: Path
) -> None:
    """An opening that the coordinator has not put under a checkpoint yet is not answered."""
    served.publish(len(served.leaves) - 1)
    served.idle = _over
    party = Party(world, served, home.Home(root=tmp_path / "home"))
    party.place.adopt(world.keys[NAME])
    with pytest.raises(Over):
        party.live()
    assert served.history.phase == history.Phase.OPEN
    assert served.history.offers == {}
    assert party.told[-1].kind == "waiting"


def test_what_is_sent_again_is_not_called_training(
    world: federation.Federation, served: service.Service, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A holder whose sending fails trains once, and says that it sends the same again (attack 37)."""
    put = served.put

    def at_last(*words: object) -> None:
        monkeypatch.setattr(served, "put", put)
        raise errors.ServiceError("gone")

    monkeypatch.setattr(served, "put", at_last)
    served.idle = functools.partial(_over_if, served, lambda known: NAME in known.offers)
    party = Party(world, served, home.Home(root=tmp_path / "home"))
    party.place.adopt(world.keys[NAME])
    with pytest.raises(Over):
        party.live()
    told = [(each.kind, each.text) for each in party.told if each.kind in ("training", "sending", "offered")]
    assert told[:3] == [
        ("training", "round 1: training"),
        ("sending", "round 1: sending the sealed update"),
        ("sending", "round 1: sending the sealed update again"),
    ]
    assert [kind for kind, _ in told[3:]] == ["offered"]


def test_a_service_that_withholds_is_named(
    world: federation.Federation, served: service.Service, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Who shows no checkpoint, lively as the line may be, is said to be waited for: once, and not at once (attack 31)."""
    monkeypatch.setattr(agent, "QUIET", 0.2)
    shown, served.note = served.note, b""
    start, quiet, lies = time.monotonic(), [], [b"nonsense"]
    restart = service.Line.restart

    def again(line: service.Line, position: int) -> None:
        served.note = b""
        restart(line, position)

    def idle() -> None:
        time.sleep(0.01)
        if not party.told:
            quiet.append(time.monotonic() - start)
        elif lies:
            served.note = lies.pop()
        if time.monotonic() - start > 0.4:
            served.note = shown

    served.idle = idle
    monkeypatch.setattr(service.Line, "restart", again)
    party = Party(world, served, home.Home(root=tmp_path / "home"))
    party.place.adopt(world.keys[NAME])
    with party.process(world.consent()) as (one, _):
        one.found()
    assert [each.kind for each in party.told] == ["waiting", "unreachable"]
    assert party.told[0].text == "waiting for the coordinator's first checkpoint"
    assert max(quiet) > 0.15


def test_a_second_process_with_our_key_is_noticed(
    world: federation.Federation, served: service.Service, tmp_path: Path
) -> None:
    """An offer of ours that we did not make stops us at once: we do not argue on the ledger (attack 19)."""
    stranger = statements.parse(world.holder(NAME).contribute(world.opening, world.start).offer.payload)
    other = dataclasses.replace(stranger, examples=stranger.examples + 1)
    append = served.append

    def first(envelope: dsse.Envelope) -> int:
        served.append = append
        append(dsse.sign(statements.build(other), world.keys[NAME]))
        return append(envelope)

    served.append = first
    party = Party(world, served, home.Home(root=tmp_path / "home"))
    party.place.adopt(world.keys[NAME])
    with pytest.raises(errors.ForkedError, match="somebody else uses our key"):
        party.live()


def _over() -> None:
    raise Over


def _gone(*_: object) -> int:
    raise errors.ServiceError("gone")

"""A holder believes of a log what a checkpoint of its coordinator covers, and remembers it."""

import shutil
from pathlib import Path

import pytest

from client import errors, follower, hearing
from ledger import authority, dsse, evidence, keys, leaf, merkle, note, statements
from ledger import errors as ledger_errors
from tests import federation, service


@pytest.fixture
def world(tmp_path: Path) -> federation.Federation:
    return federation.Federation(tmp_path / "run")


@pytest.fixture
def served(world: federation.Federation) -> service.Service:
    return service.of(world.envelopes, world.coordinator, world.folder)


def unasked(data: bytes, promise: object) -> follower.Proven:
    raise ledger_errors.LogError("there are no tiles here")


def following(folder: Path, world: federation.Federation, ask: follower.Ask = unasked) -> follower.Follower:
    folder.mkdir(exist_ok=True)
    return follower.Follower(world.agreed.run, folder, ask)


def fed(one: follower.Follower, served: service.Service, stop: int | None = None) -> None:
    for data in served.leaves[one.next : stop]:
        one.add(data)


class Tree:
    """A log that proves itself honestly."""

    def __init__(self, leaves: list[bytes]) -> None:
        self._node = merkle.over([merkle.leaf_hash(each) for each in leaves])
        self._size = len(leaves)

    def root(self, size: int | None = None) -> bytes:
        return merkle.root(self._size if size is None else size, self._node)

    def consistency(self, old: int, new: int) -> list[bytes]:
        return merkle.consistency_proof(old, new, self._node)


def forked(world: federation.Federation, folder: Path, size: int) -> service.Service:
    """Another log of this size under the same key: the same up to the tenth entry."""
    return grown(service.of(world.envelopes[:10], world.coordinator, folder), world, size)


def grown(served: service.Service, world: federation.Federation, size: int) -> service.Service:
    """The same log, with members that enrol until it has this size."""
    while len(served.leaves) < size:
        key = keys.SigningKey.generate()
        enrol = statements.MemberEnrol(
            author=f"x-{key.public.raw.hex()[:8]}", run=world.agreed.run, key=str(key.public)
        )
        served.append(dsse.sign(statements.build(enrol), key))
    return served


def test_only_what_a_checkpoint_covers_is_acted_on(
    world: federation.Federation, served: service.Service, tmp_path: Path
) -> None:
    """An entry counts from the checkpoint on that covers it, whichever comes first, and not before."""
    one = following(tmp_path / "home", world)
    fed(one, served, 5)
    assert (one.covered.known.size, one.latest.known.size) == (0, 5)
    assert not one.cover(served.publish())
    assert one.covered.known.size == 0
    fed(one, served)
    assert one.covered == one.latest
    assert one.covered.known == served.history
    assert one.covered.opening == world.opening


def test_a_restart_fetches_nothing_again(world: federation.Federation, served: service.Service, tmp_path: Path) -> None:
    """What was covered is read from the holder's own disk; what was not is due again."""
    one = following(tmp_path / "home", world)
    fed(one, served, 9)
    assert one.cover(served.publish(7))
    one.close()
    again = following(tmp_path / "home", world)
    assert again.next == 7
    fed(again, served)
    assert again.cover(served.publish())
    assert again.covered.known == served.history
    assert again.covered.opening == world.opening
    again.close()


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (lambda data: data[:-2] + b"2}", "no leaf in this place"),
        (lambda data: data.replace(b'"prev":"', b'"prev":"0', 1), "no leaf in this place"),
        (lambda data: b"{}", "no leaf in this place"),
    ],
)
def test_what_does_not_belong_is_refused(
    world: federation.Federation, served: service.Service, tmp_path: Path, change: object, said: str
) -> None:
    """A changed or misplaced leaf is the service's fault, and changes nothing (attacks 18, 43)."""
    one = following(tmp_path / "home", world)
    fed(one, served, 3)
    with pytest.raises(errors.ServiceError, match=said):
        one.add(change(served.leaves[3]))
    fed(one, served)
    assert one.cover(served.note)


def test_nobody_else_speaks_for_the_run(world: federation.Federation, served: service.Service, tmp_path: Path) -> None:
    """A statement under another key, another run's genesis, and a checkpoint of another key are refused (attacks 16, 23)."""
    thief = keys.SigningKey.generate()
    one = following(tmp_path / "home", world)
    fed(one, served, -1)
    again = dsse.sign(served.envelopes[-1].payload, thief)
    head = merkle.leaf_hash(served.leaves[-2]).hex()
    with pytest.raises(errors.ServiceError, match="does not belong there"):
        one.add(leaf.written(one.next, head, again))
    fed(one, served)
    with pytest.raises(errors.ServiceError, match="not the coordinator's"):
        one.cover(service.signed(served.leaves, thief, served.history))
    with pytest.raises(errors.JoinError, match="serves the run"):
        follower.Follower("0" * 64, tmp_path, unasked).add(served.leaves[0])


@pytest.mark.parametrize("more", [0, 5])
def test_two_histories_under_one_key_convict(
    world: federation.Federation, served: service.Service, tmp_path: Path, more: int
) -> None:
    """Another history than the one shown, at the same size or later, is refused, and evidence convicts (attacks 42, 43)."""
    other = forked(world, tmp_path / "other", len(served.leaves) + more)
    one = following(tmp_path / "home", world, lambda data, promise: Tree(other.leaves))
    fed(one, served)
    one.cover(served.note)
    fed(one, grown(served, world, len(other.leaves)))
    with pytest.raises(ledger_errors.ForkError) as caught:
        one.cover(other.publish())
    origin = authority.origin(world.coordinator.public.fingerprint)
    found = evidence.Evidence.read(Path(caught.value.evidence))
    assert found.judge(note.Verifier(name=origin, key=world.coordinator.public)).convicts


def test_a_log_that_was_set_back_is_refused(
    world: federation.Federation, served: service.Service, tmp_path: Path
) -> None:
    """An older checkpoint than the one accepted is refused, also when the holder has lost its own copy (attack 41)."""
    one = following(tmp_path / "home", world)
    fed(one, served)
    one.cover(served.note)
    old = served.publish(5)
    with pytest.raises(ledger_errors.StaleError, match="after"):
        one.cover(old)
    one.close()
    (tmp_path / "home" / "ledger.sqlite").unlink()
    again = following(tmp_path / "home", world)
    assert again.next == 0
    fed(again, served)
    with pytest.raises(ledger_errors.StaleError, match="after"):
        again.cover(old)
    assert again.covered.known.size == 0
    assert again.cover(served.publish())


def test_entries_that_no_checkpoint_covers_are_dropped(
    world: federation.Federation, served: service.Service, tmp_path: Path
) -> None:
    """A service that shows other entries than the signed ones is not believed, convicts nobody, and can set itself right."""
    other = forked(world, tmp_path / "other", len(served.leaves))
    one = following(tmp_path / "home", world, lambda data, promise: Tree(served.leaves))
    fed(one, other)
    with pytest.raises(errors.ServiceError, match="do not lead to its checkpoint"):
        one.cover(served.note)
    assert one.drop() == 0
    fed(one, served)
    one.cover(served.note)
    assert one.covered.known == served.history


def test_a_copy_that_was_exchanged_is_noticed(
    world: federation.Federation, served: service.Service, tmp_path: Path
) -> None:
    """An older copy of the holder's own log is not taken for the log, nor another run's (attack 41)."""
    home = tmp_path / "home"
    one = following(home, world)
    fed(one, served, 6)
    one.cover(served.publish(6))
    one.close()
    shutil.copytree(home, tmp_path / "older")
    one = following(home, world)
    fed(one, served)
    one.cover(served.publish())
    one.close()
    for name in ("ledger.sqlite", "checkpoint"):
        shutil.copy(tmp_path / "older" / name, home / name)
    for each in home.glob("ledger.sqlite-*"):
        each.unlink()
    with pytest.raises(errors.HomeError, match=r"remove .*ledger\.sqlite"):
        following(home, world)
    with pytest.raises(errors.HomeError, match="follows the run"):
        follower.Follower("0" * 64, tmp_path / "older", unasked)


def test_what_came_after_what_is_not_believed_goes_with_it(
    tmp_path: Path, world: federation.Federation, served: service.Service
) -> None:
    """One false entry costs one question: what the line brought behind it is dropped, and asked for again (attack 31)."""
    true, said = list(served.leaves), list[str]()
    served.leaves[5] = true[6]

    def mended(sentence: str) -> None:
        said.append(sentence)
        served.leaves[:] = true

    one = following(tmp_path / "one", world)
    listener = hearing.Hearing(served, one, covered=lambda: None, broken=mended)  # type: ignore[arg-type]
    listener.listen(0.0)
    assert len(said) == 1
    assert one.covered.known.size == len(true)

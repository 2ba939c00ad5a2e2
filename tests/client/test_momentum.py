"""A holder's own momentum: the recursion, and that no crash and no repetition changes what is sent."""

import dataclasses
import stat
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch

from aggregation import lattice
from client import errors, holder, momentum, seeds, training, update
from exchange import sealing
from ledger import context, dsse, statements
from tests import federation

BETA = 0.75


@pytest.fixture
def world(tmp_path: Path) -> federation.Federation:
    return federation.Federation(tmp_path, "rounds=5", f"task.update_momentum={BETA}", "privacy.clip_norm=inf")


def opening(world: federation.Federation, number: int, **changes: object) -> statements.RoundOpen:
    return dataclasses.replace(world.agreed.opening(world.opening), round=number, **changes)


def contribute(world: federation.Federation, number: int, *, name: str = "holder-00") -> dsse.Envelope:
    """The offer of a holder that was started anew."""
    envelope = dsse.sign(statements.build(opening(world, number)), world.coordinator)
    return world.holder(name).contribute(envelope, world.start).offer


def sent(world: federation.Federation, envelope: dsse.Envelope) -> torch.Tensor:
    """The lattice integers in the update that an offer announces."""
    offer = federation.parsed(envelope)
    bound = context.context_digest(offer.run, offer.round, offer.parent, offer.author)
    file = sealing.unseal(world.get(offer.ciphertext), identities=[world.identity], context=bound)
    return update.decode(file, world.agreed.specs, on(world), context=bound)


def on(world: federation.Federation) -> lattice.Lattice:
    exponents = world.agreed.opening(world.opening).exponents
    return lattice.Lattice(sizes=tuple(s.size for s in world.agreed.specs), exponents=exponents)


def delta(world: federation.Federation, number: int, *, name: str = "holder-00") -> torch.Tensor:
    """What training alone changes in a round."""
    agreed = world.agreed.plan
    draw = seeds.generator(agreed.seed, round_number=number, member=name, purpose="batches")
    examples = world.agreed.task.shard(world.names.index(name))
    return training.train(world.model, world.start.weights, examples, agreed.task, draw).delta


def folder(world: federation.Federation, name: str = "holder-00") -> Path:
    return world.folder / "holders" / name


def expected(world: federation.Federation, *rounds: int) -> torch.Tensor:
    """The integers of m of the last of `rounds`, in numpy: operations in double, one rounding to float32 a round."""
    m = np.zeros(world.model.weights.numel(), dtype=np.float32)
    for number in rounds:
        m = (m.astype(np.float64) * BETA + delta(world, number).numpy().astype(np.float64) * (1 - BETA)).astype(
            np.float32
        )
    return lattice.encode(on(world), torch.from_numpy(m)).integers


def test_a_holder_sends_its_momentum(world: federation.Federation) -> None:
    """m_r = beta m_(r-1) + (1 - beta) delta_r from zero, by a holder that is started anew each round."""
    assert torch.equal(sent(world, contribute(world, 1)), expected(world, 1))
    assert torch.equal(sent(world, contribute(world, 2)), expected(world, 1, 2))
    assert torch.equal(sent(world, contribute(world, 3)), expected(world, 1, 2, 3))


def test_a_holder_that_missed_rounds_goes_on_from_its_own(world: federation.Federation) -> None:
    contribute(world, 1)
    assert torch.equal(sent(world, contribute(world, 4)), expected(world, 1, 4))


def test_without_momentum_the_delta_itself_is_sent_and_nothing_is_kept(tmp_path: Path) -> None:
    """At 0.0 the bits are those of a plan that knows no momentum, and no file is written."""
    world = federation.Federation(tmp_path, "rounds=5", "privacy.clip_norm=inf")
    contribute(world, 1)
    wanted = lattice.encode(on(world), delta(world, 2)).integers
    assert torch.equal(sent(world, contribute(world, 2)), wanted)
    assert not (folder(world) / "momentum.safetensors").exists()


def test_the_momentum_is_what_is_clipped(tmp_path: Path) -> None:
    """The bound holds for what leaves; the momentum that is kept is the whole one."""
    world = federation.Federation(tmp_path, f"task.update_momentum={BETA}", "privacy.clip_norm=0.01")
    one = world.holder("holder-00")
    moved = one._moved(opening(world, 1), world.start)
    assert float(moved.norm()) > 0.02
    assert float(one._released(moved).norm()) == pytest.approx(0.01, rel=1e-5)
    assert torch.equal(one._memory.before(opening(world, 2)), moved)


class KilledError(Exception):
    """Stands for kill -9."""


def die(*_: object, **__: object) -> None:
    raise KilledError


@pytest.mark.parametrize(
    ("part", "name"),
    [("_memory", "before"), ("_memory", "keep"), ("_store", "put_file"), ("_outbox", "keep"), ("_outbox", "find")],
)
def test_killed_at_any_step_it_sends_the_same_numbers_when_asked_again(
    world: federation.Federation, part: str, name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Before or after the momentum or the offer is written down: round 2, and round 3 after it, are as if nothing had been."""
    contribute(world, 1)
    dying = world.holder("holder-00")
    with monkeypatch.context() as patch:
        patch.setattr(type(getattr(dying, part)), name, die)
        with pytest.raises(KilledError):
            dying.contribute(dsse.sign(statements.build(opening(world, 2)), world.coordinator), world.start)
    assert torch.equal(sent(world, contribute(world, 2)), expected(world, 1, 2))
    assert torch.equal(sent(world, contribute(world, 3)), expected(world, 1, 2, 3))


@pytest.mark.parametrize("write", ["os.fsync", "os.replace"])
def test_killed_while_it_writes_its_momentum_it_has_the_old_one(
    world: federation.Federation, write: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The file is replaced as a whole; what was begun beside it is in nobody's way."""
    contribute(world, 1)
    dying = world.holder("holder-00")
    with monkeypatch.context() as patch:
        patch.setattr(write, die)
        with pytest.raises(KilledError):
            dying._moved(opening(world, 2), world.start)
    assert torch.equal(sent(world, contribute(world, 2)), expected(world, 1, 2))


def test_an_offer_once_made_is_repeated_byte_for_byte(world: federation.Federation) -> None:
    first = contribute(world, 1)
    kept = (folder(world) / "momentum.safetensors").read_bytes()
    assert contribute(world, 1) == first
    assert (folder(world) / "momentum.safetensors").read_bytes() == kept


def test_a_round_is_trained_once(world: federation.Federation, monkeypatch: pytest.MonkeyPatch) -> None:
    """Once its momentum is down, a round asked for again costs no training, and a machine that trains otherwise cannot show."""
    one = world.holder("holder-00")
    moved = one._moved(opening(world, 1), world.start)
    monkeypatch.setattr(holder.Holder, "_delta", die)
    assert torch.equal(world.holder("holder-00")._moved(opening(world, 1), world.start), moved)


def test_the_same_round_from_another_parent_starts_where_the_first_did(world: federation.Federation) -> None:
    """Momentum never counts a round twice."""
    one = world.holder("holder-00")
    first = one._moved(opening(world, 1), world.start)
    one._moved(opening(world, 2), world.start)
    again = opening(world, 2, parent="b" + "a" * 58)
    assert one._memory.known(again) is None
    assert torch.equal(one._memory.before(again), first)


def test_an_earlier_round_is_refused_when_its_start_is_forgotten(world: federation.Federation) -> None:
    contribute(world, 3)
    (folder(world) / "offer.json").unlink()
    with pytest.raises(errors.RefusalError, match="round 2 is asked for after momentum of round 3"):
        contribute(world, 2)


def test_another_run_starts_from_zero(world: federation.Federation) -> None:
    one = world.holder("holder-00")
    one._moved(opening(world, 3), world.start)
    other = opening(world, 1, run="0" * 64)
    assert not one._memory.before(other).any()


def test_momentum_that_is_not_finite_is_never_kept(
    world: federation.Federation, monkeypatch: pytest.MonkeyPatch
) -> None:
    """One bad round is a TrainingError of that round and does not spoil those after it."""
    contribute(world, 1)
    with monkeypatch.context() as patch:
        patch.setattr(holder.Holder, "_delta", lambda *_: torch.full_like(world.start.weights, float("inf")))
        with pytest.raises(errors.TrainingError, match="not finite"):
            contribute(world, 2)
    assert torch.equal(sent(world, contribute(world, 3)), expected(world, 1, 3))


def test_momentum_is_for_the_holders_eyes_alone(world: federation.Federation) -> None:
    """The file tells more than any update: nobody else on the machine may read it."""
    contribute(world, 1)
    kept = {path.name for path in folder(world).iterdir()} - {"spending.jsonl", "spending.jsonl.lock"}
    assert kept == {"momentum.safetensors", "offer.json"}
    mode = (folder(world) / "momentum.safetensors").stat().st_mode
    assert stat.S_IMODE(mode) == 0o600


@pytest.mark.parametrize(
    "damage",
    [
        lambda file: file[:-1],
        lambda _file: b"",
        lambda file: file.replace(b"folkmoot-momentum/v1", b"folkmoot-momentum/v2"),
        lambda file: file.replace(b'"round":"1"', b'"round":"x"'),
    ],
)
def test_a_damaged_file_stops_the_holder(world: federation.Federation, damage: Callable[[bytes], bytes]) -> None:
    """It is never taken for no momentum at all: the holder would send something else than it should."""
    contribute(world, 1)
    path = folder(world) / "momentum.safetensors"
    path.write_bytes(damage(path.read_bytes()))
    with pytest.raises(errors.MomentumError, match=r"momentum\.safetensors"):
        contribute(world, 2)


def test_advance_rounds_once() -> None:
    """In double to the end: no product is rounded to float32 before the sum."""
    before, delta = np.random.default_rng(0).normal(size=(2, 1000)).astype(np.float32)
    wanted = (before.astype(np.float64) * 0.9 + delta.astype(np.float64) * (1 - 0.9)).astype(np.float32)
    result = momentum.advance(torch.from_numpy(before), torch.from_numpy(delta), 0.9)
    assert result.numpy().tobytes() == wanted.tobytes()

"""What a sealed round comes to, with honest, hostile and malformed holders."""

import dataclasses
from pathlib import Path
from typing import BinaryIO

import pytest
import torch

from aggregation import lattice
from client import checkpoint
from exchange import blocks, recipients
from exchange import cid as cids
from exchange import errors as exchange_errors
from ledger import dsse, statements
from orchestrator import opening, settlement
from tests import federation

MALFORMED = {
    "wrong_shape": "tensors-shape",
    "missing_tensor": "tensors-names",
    "extra_tensor": "tensors-names",
    "not_finite": "tensors-dtype",
    "off_lattice": "off-lattice",
    "garbage": "seal-garbage",
    "other_round": "seal-context",
}


@pytest.fixture
def world(tmp_path: Path) -> federation.Federation:
    return federation.Federation(tmp_path)


def settle(world: federation.Federation, offers: list[statements.UpdateOffer]) -> settlement.Settlement:
    opened = world.agreed.opening(world.opening)
    return settlement.settle(world.agreed, opened, offers, str(world.identity), world.start, world.store)


@pytest.mark.parametrize(("behaviour", "reason"), MALFORMED.items())
def test_each_malformed_update_is_rejected_by_reason(world: federation.Federation, behaviour: str, reason: str) -> None:
    """A bad update costs its holder the round, with a reason code; the others are aggregated (attacks 14, 24, 26-28)."""
    for name in world.names[:-1]:
        world.contribute(name)
    world.contribute(world.names[-1], behaviour=behaviour)
    outcome = settle(world, world.seal())
    assert outcome.rejected == ((world.names[-1], reason),)
    assert outcome.accepted == world.names[:-1]
    assert world.names[-1] not in outcome.credit
    assert sum(outcome.credit.values()) == world.agreed.plan.credit.pool


def test_rejected_updates_leave_no_trace_in_the_result(tmp_path: Path) -> None:
    """The aggregate with three malformed holders is bit for bit that of the seven others alone (attack 28)."""
    with_them = federation.Federation(tmp_path / "a")
    for name in with_them.names[:7]:
        with_them.contribute(name)
    for name, behaviour in zip(with_them.names[7:], ("garbage", "not_finite", "wrong_shape"), strict=True):
        with_them.contribute(name, behaviour=behaviour)
    without = federation.Federation(tmp_path / "b")
    for name in without.names[:7]:
        without.contribute(name)
    first, second = settle(with_them, with_them.seal()), settle(without, without.seal())
    assert dict(first.rejected).keys() == dict(second.rejected).keys() == set(with_them.names[7:])
    assert set(dict(second.rejected).values()) == {"no-offer"}
    assert first.aggregate_file == second.aggregate_file
    assert first.checkpoint_file == second.checkpoint_file
    assert first.credit == second.credit


def test_the_order_of_offers_changes_nothing(world: federation.Federation) -> None:
    """Whoever comes first on the ledger, the aggregate, the checkpoint and the credit are the same bytes."""
    for name in reversed(world.names):
        world.contribute(name)
    offers = world.seal()
    assert settle(world, offers) == settle(world, offers[::-1])


def test_too_few_updates_leave_the_model_as_it_is(world: federation.Federation) -> None:
    """Below what the rule needs to hold its promise, the round changes nothing and pays nothing."""
    for name in world.names[:3]:
        world.contribute(name)
    outcome = settle(world, world.seal())
    assert torch.equal(outcome.checkpoint.weights, world.start.weights)
    assert outcome.checkpoint.parent == world.start.cid
    assert set(outcome.credit.values()) == {0}


def test_a_size_that_lies_is_refused(world: federation.Federation) -> None:
    """The offer's size is signed: fewer or more bytes in the store are another ciphertext (attack 12)."""
    for name in world.names:
        world.contribute(name)
    first, *others = world.seal()
    for size, reason in ((first.size + 1, "seal-garbage"), (first.size - 1, "too-large")):
        outcome = settle(world, [dataclasses.replace(first, size=size), *others])
        assert outcome.rejected == ((first.author, reason),)


def test_an_offer_larger_than_any_update_is_not_read(world: federation.Federation) -> None:
    """Ten gigabytes under a valid CID are refused by their announced size, before a byte is fetched (attack 32)."""
    for name in world.names:
        world.contribute(name)
    first, *others = world.seal()
    huge = dataclasses.replace(first, size=10 * 2**30)

    class Bounded(blocks.BlockStore):
        def get_file(self, cid: cids.Cid | str, file: BinaryIO, *, limit: int) -> int:
            assert limit <= settlement.update_limit(world.agreed) < 2**18
            return super().get_file(cid, file, limit=limit)

    opened = world.agreed.opening(world.opening)
    outcome = settlement.settle(
        world.agreed, opened, [huge, *others], str(world.identity), world.start, Bounded(world.folder)
    )
    assert outcome.rejected == ((first.author, "too-large"),)


def test_a_failing_store_is_nobodys_verdict(world: federation.Federation) -> None:
    """A disk that fails at the coordinator stops the round; it is not put on record as a holder's fault (attack 40)."""
    world.contribute("holder-00")

    class Failing(blocks.BlockStore):
        def get_file(self, cid: cids.Cid | str, file: BinaryIO, *, limit: int) -> int:
            raise exchange_errors.StoreError(f"{cid}: Input/output error within {limit} bytes")

    opened = world.agreed.opening(world.opening)
    with pytest.raises(exchange_errors.StoreError, match="Input/output"):
        settlement.settle(world.agreed, opened, world.seal(), str(world.identity), world.start, Failing(world.folder))


@pytest.mark.parametrize(("loss", "written"), [(0.5, 500_000), (float("nan"), 2**53 - 1), (1e300, 2**53 - 1)])
def test_any_loss_can_be_written_down(world: federation.Federation, loss: float, written: int) -> None:
    """The ledger has no floats, no NaN and no infinity: a model that has diverged is committed like any other."""
    outcome = settle(world, [])
    judged = settlement.training.Judged(correct=0, total=2, loss=loss)
    opened = world.agreed.opening(world.opening)
    closing = settlement.closing(outcome, world.agreed, opened, str(world.identity), judged)
    assert closing.commit.loss_micro == written


def test_a_stolen_ciphertext_is_refused(world: federation.Federation) -> None:
    """Another holder's sealed bytes, offered as one's own, are bound to the other's name (attacks 10, 20)."""
    for name in world.names:
        world.contribute(name)
    first, second, *others = world.seal()
    stolen = dataclasses.replace(second, ciphertext=first.ciphertext, size=first.size)
    assert settle(world, [first, stolen, *others]).rejected == ((second.author, "seal-context"),)


def test_a_missing_block_is_the_holders_loss(world: federation.Federation) -> None:
    """An offer whose bytes nobody can fetch is rejected, and the round goes on (attack 34)."""
    for name in world.names:
        world.contribute(name)
    offers = world.seal()
    for path in (world.folder / "blocks").rglob(offers[0].ciphertext):
        path.unlink()
    assert settle(world, offers).rejected == ((offers[0].author, "block-missing"),)


def test_another_identity_opens_nothing(world: federation.Federation) -> None:
    """Without the round's identity there is nothing to aggregate (attack 5)."""
    world.contribute("holder-00")
    world.identity = recipients.X25519Identity.generate()
    assert dict(settle(world, world.seal()).rejected)["holder-00"] == "seal-recipient"


def test_the_next_lattice_follows_the_aggregate(world: federation.Federation) -> None:
    """The first lattice comes from the weights, the second from the aggregate, and neither from anybody's choice."""
    sizes = tuple(spec.size for spec in world.agreed.specs)
    headroom = world.agreed.plan.lattice.headroom_bits
    first = lattice.initial(sizes, world.start.weights, headroom_bits=headroom)
    assert world.agreed.opening(world.opening).exponents == first.exponents
    for name in world.names:
        world.contribute(name)
    outcome = settle(world, world.seal())
    world.store.put(outcome.aggregate_file)
    world.store.put(outcome.checkpoint_file)
    judged = settlement.training.Judged(correct=1, total=2, loss=0.5)
    opened = world.agreed.opening(world.opening)
    closing = settlement.closing(outcome, world.agreed, opened, str(world.identity), judged)
    for statement in (closing.commit, closing.credit, closing.disclose):
        world.say(statement)
    aggregate = settlement.read_aggregate(outcome.aggregate_file, world.agreed.specs)
    expected = lattice.following(first, aggregate, headroom_bits=headroom).exponents
    assert opening.exponents(world.agreed, world.history, world.get) == expected != first.exponents


def test_a_sampled_cohort_is_drawn_by_the_parent(tmp_path: Path) -> None:
    """Seven of ten, by sha256 of parent and name: derivable by anyone, other for another parent (attack 50)."""
    world = federation.Federation(tmp_path, "cohort=sample")
    cohort = world.agreed.opening(world.opening).cohort
    digest = __import__("hashlib").sha256
    ranked = sorted(world.names, key=lambda name: digest(f"{world.agreed.checkpoint}\n{name}".encode()).digest())
    assert cohort == tuple(sorted(ranked[:7]))
    other = dataclasses.replace(world.history, checkpoint="b" + "a" * 58)
    assert opening.cohort(other, size=7) != cohort


def test_the_checkpoint_is_parent_plus_step(world: federation.Federation) -> None:
    """With an outer learning rate of one, weights move by the aggregate, in float64 and rounded once."""
    for name in world.names:
        world.contribute(name)
    outcome = settle(world, world.seal())
    aggregate = settlement.read_aggregate(outcome.aggregate_file, world.agreed.specs)
    exponents = world.agreed.opening(world.opening).exponents
    scale = torch.cat(
        [
            torch.full((spec.size,), 2.0 ** (exponent - 8), dtype=torch.float64)
            for spec, exponent in zip(world.agreed.specs, exponents, strict=True)
        ]
    )
    expected = (world.start.weights.double() + aggregate.double() * scale).float()
    read = checkpoint.decode(outcome.checkpoint_file, outcome.checkpoint.cid, world.agreed.specs)
    assert torch.equal(read.weights, expected)


def test_a_member_that_declined_is_told_from_one_that_is_silent(world: federation.Federation) -> None:
    """The commit says `declined` of who said so on the ledger, and `no-offer` of who said nothing."""
    quiet, refusing, *others = world.names
    for name in others:
        world.contribute(name)
    said = statements.RoundDecline(author=refusing, run=world.agreed.run, round=1, reason="policy-tasks")
    world.append(dsse.sign(statements.build(said), world.keys[refusing]))
    opened, offers = world.agreed.opening(world.opening), world.seal()
    outcome = settlement.settle(
        world.agreed,
        opened,
        offers,
        str(world.identity),
        world.start,
        world.store,
        declined=world.history.current.declined,
    )
    assert dict(outcome.rejected) == {quiet: "no-offer", refusing: "declined"}

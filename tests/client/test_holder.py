"""A holder's part: consent first, then one sealed, signed, lasting offer."""

import dataclasses
import os
import stat
from pathlib import Path

import pytest
import torch

from aggregation import lattice
from client import agreement, checkpoint, errors, privacy, seeds, update
from exchange import errors as exchange_errors
from exchange import sealing, tensors
from ledger import context, dsse, keys, membership, statements
from ledger import errors as ledger_errors
from tests import federation


@pytest.fixture
def world(tmp_path: Path) -> federation.Federation:
    return federation.Federation(tmp_path)


def blocks_in(world: federation.Federation) -> int:
    return sum(1 for path in (world.folder / "blocks").rglob("*") if path.is_file())


def test_an_offer_opens_to_the_update_it_announces(world: federation.Federation) -> None:
    """The recipient finds lattice integers under the round's context; the size and CID in the offer are those of the bytes."""
    offer = world.contribute("holder-00")
    ciphertext = world.get(offer.ciphertext)
    bound = context.context_digest(offer.run, offer.round, offer.parent, offer.author)
    file = sealing.unseal(ciphertext, identities=[world.identity], context=bound)
    on = lattice.Lattice(
        sizes=tuple(s.size for s in world.agreed.specs), exponents=world.agreed.opening(world.opening).exponents
    )
    integers = update.decode(file, world.agreed.specs, on, context=bound)
    assert len(ciphertext) == offer.size
    assert integers.abs().max() > 0
    assert offer.runtime["torch"] == torch.__version__


def test_an_update_is_clipped_before_it_leaves(tmp_path: Path) -> None:
    """Whatever training did, the L2 norm of what leaves is at most the plan's bound, plus the lattice's rounding."""
    world = federation.Federation(tmp_path, "privacy.clip_norm=0.01", "lattice.headroom_bits=0")
    opening = world.agreed.opening(world.opening)
    one = world.holder("holder-00")
    delta = one._released(one._moved(opening, world.start))
    assert float(delta.norm()) == pytest.approx(0.01, rel=1e-5)


def test_clipping_leaves_short_updates_alone() -> None:
    """3-4-5: a bound of 5 changes nothing, a bound of 1 divides by five."""
    delta = torch.tensor([3.0, 4.0])
    assert privacy.clip(delta, 5.0) is delta
    torch.testing.assert_close(privacy.clip(delta, 1.0), torch.tensor([0.6, 0.8]))


def test_a_restarted_holder_announces_the_same_bytes(world: federation.Federation) -> None:
    """Sealing is randomised, so the offer is kept before it is shown: a retry is not an equivocation (attacks 19, 37)."""
    first = world.holder("holder-01").contribute(world.opening, world.start).offer
    stored = blocks_in(world)
    again = world.holder("holder-01").contribute(world.opening, world.start).offer
    assert again == first
    assert blocks_in(world) == stored


def test_no_second_offer_to_an_earlier_round(world: federation.Federation) -> None:
    """Asked again for a round before its last, a holder cannot repeat the same bytes, so it says nothing (attack 19)."""
    opening = world.agreed.opening(world.opening)
    later = dsse.sign(statements.build(dataclasses.replace(opening, round=2)), world.coordinator)
    world.holder("holder-01").contribute(later, world.start)
    with pytest.raises(errors.RefusalError, match="after an offer to round 2"):
        world.holder("holder-01").contribute(world.opening, world.start)


def test_an_opening_by_another_key_is_refused(world: federation.Federation) -> None:
    """Only the coordinator of the genesis opens rounds (attack 23)."""
    opening = world.agreed.opening(world.opening)
    forged = dsse.sign(statements.build(opening), keys.SigningKey.generate())
    with pytest.raises(ledger_errors.SignatureError):
        world.holder("holder-00").contribute(forged, world.start)


@pytest.mark.parametrize(
    ("changes", "code"),
    [
        ({"run": "0" * 64}, "wrong-run"),
        ({"cohort": ("holder-05",)}, "not-in-cohort"),
        ({"exponents": (0,)}, "wrong-lattice"),
        ({"task": "1" * 64}, "wrong-task"),
        ({"rule": "0" * 64}, "wrong-rule"),
    ],
)
def test_a_round_that_is_not_the_holders_is_refused(world: federation.Federation, changes: dict, code: str) -> None:
    """A signed opening of another run, without this holder, for other code, rule or model (attack 14)."""
    opening = dataclasses.replace(world.agreed.opening(world.opening), **changes)
    envelope = dsse.sign(statements.build(opening), world.coordinator)
    with pytest.raises(errors.RefusalError) as caught:
        world.holder("holder-00").contribute(envelope, world.start)
    assert caught.value.code == code


def test_a_checkpoint_other_than_the_rounds_is_refused(world: federation.Federation) -> None:
    """A holder trains from the parent the ledger names or not at all."""
    other = dataclasses.replace(world.start, cid="b" + "a" * 58)
    with pytest.raises(errors.RefusalError, match="the checkpoint is"):
        world.holder("holder-00").contribute(world.opening, other)


def test_checkpoint_bytes_must_hash_to_their_name(world: federation.Federation) -> None:
    """One flipped bit in the model and it is not the checkpoint that was announced (attack 30)."""
    file = bytearray(world.get(world.agreed.checkpoint))
    file[-1] ^= 1
    with pytest.raises(errors.CheckpointError, match="expected " + world.agreed.checkpoint):
        checkpoint.decode(bytes(file), world.agreed.checkpoint, world.agreed.specs)


def test_a_checkpoint_says_what_it_follows(world: federation.Federation) -> None:
    """Round, parent and weights come back as they were written."""
    weights = world.start.weights + 1
    file = checkpoint.encode(weights, world.agreed.specs, round_number=3, parent=world.agreed.checkpoint)
    name = str(world.store.put(file))
    read = checkpoint.decode(file, name, world.agreed.specs)
    assert (read.round, read.parent) == (3, world.agreed.checkpoint)
    assert torch.equal(read.weights, weights)


@pytest.mark.parametrize("number", ["03", "-1", "\u0663", "", "3 "])
def test_a_checkpoint_has_one_way_to_count(world: federation.Federation, number: str) -> None:
    """The round in its metadata is a plain decimal number; whatever else int() would take is refused."""
    metadata = {"format": checkpoint.FORMAT, "parent": "", "round": number}
    data = world.start.weights.numpy().data.cast("B")
    file = tensors.encode(world.agreed.specs, dtype="F32", data=data, metadata=metadata)
    with pytest.raises(errors.CheckpointError, match="unexpected metadata"):
        checkpoint.decode(file, str(world.store.put(file)), world.agreed.specs)


@pytest.mark.parametrize(("rule", "named"), [("kurm", "unknown rule"), ("mean", "withstands no Byzantine")])
def test_a_plan_whose_rule_cannot_work_is_refused(world: federation.Federation, rule: str, named: str) -> None:
    """A holder that reads such a genesis does not join, and an auditor does not begin (attack 45)."""
    record = world.settings.plan.to_record()
    record["rule"] = {**record["rule"], "name": rule}
    genesis = dataclasses.replace(federation.parsed(world.envelopes[0]), plan=record)
    with pytest.raises(errors.PlanError, match=named):
        agreement.Agreement.read(dsse.sign(statements.build(genesis), world.coordinator))


def test_an_update_is_bound_to_its_context(world: federation.Federation) -> None:
    """The same integers under another context are another update (attack 14)."""
    integers = torch.zeros(world.model.weights.numel(), dtype=torch.int16)
    on = lattice.Lattice(sizes=tuple(s.size for s in world.agreed.specs), exponents=(0,) * len(world.agreed.specs))
    file = b"".join(update.pieces(integers, world.agreed.specs, context=bytes(32)))
    with pytest.raises(exchange_errors.TensorContextError):
        update.decode(file, world.agreed.specs, on, context=b"\1" * 32)


def test_seeds_differ_in_each_part() -> None:
    """No two of (seed, round, member, purpose) share a seed; the first is derivable with sha256sum."""
    base = {"round_number": 1, "member": "a", "purpose": "batches"}
    known = int.from_bytes(__import__("hashlib").sha256(b"folkmoot/seed/v1\n0\n1\na\nbatches").digest()[:8], "big")
    assert seeds.derive(0, **base) == known
    others = [
        seeds.derive(1, **base),
        seeds.derive(0, **(base | {"round_number": 2})),
        seeds.derive(0, **(base | {"member": "b"})),
        seeds.derive(0, **(base | {"purpose": "noise"})),
    ]
    assert len({known, *others}) == 5


def test_the_outbox_is_readable_by_the_holder_and_whole(world: federation.Federation) -> None:
    """What is on disk is the very offer; no temporary file is left beside it."""
    offer = world.holder("holder-03").contribute(world.opening, world.start).offer
    folder = world.folder / "holders" / "holder-03"
    assert {path.name for path in folder.iterdir()} - {"spending.jsonl", "spending.jsonl.lock"} == {"offer.json"}
    assert dsse.Envelope.parse((folder / "offer.json").read_bytes()) == offer
    assert stat.S_ISREG(os.lstat(folder / "offer.json").st_mode)


def rotated(world: federation.Federation, new: keys.SigningKey, **changes: str) -> dsse.Envelope:
    """The coordinator's change to `new`, or one that differs from it."""
    made = membership.rotation(world.agreed.run, world.agreed.founder, world.coordinator.public, new)
    return dsse.sign(statements.build(dataclasses.replace(made, **changes)), world.coordinator)


def test_a_holder_follows_the_coordinators_key(world: federation.Federation) -> None:
    """After a change of key it takes openings under the new key alone; who the coordinator is stays what it was."""
    new = keys.SigningKey.generate()
    after = world.agreed.rotated(rotated(world, new))
    assert (after.coordinator, after.signer) == (world.agreed.coordinator, new.public)
    assert after.opening(dsse.sign(world.opening.payload, new)) == world.agreed.opening(world.opening)
    with pytest.raises(ledger_errors.SignatureError):
        after.opening(world.opening)


def test_a_change_of_key_is_the_coordinators_own(world: federation.Federation) -> None:
    """By another key, for another member or run, without the new key's signature, or no change at all: refused."""
    new, stranger = keys.SigningKey.generate(), keys.SigningKey.generate()
    good = rotated(world, new)
    shown = membership.rotation(world.agreed.run, world.agreed.founder, world.coordinator.public, stranger).possession
    for forged in (dsse.sign(good.payload, stranger), rotated(world, new, possession=shown)):
        with pytest.raises(ledger_errors.SignatureError):
            world.agreed.rotated(forged)
    for foreign in (rotated(world, new, author="holder-00"), rotated(world, new, run="a" * 64), world.opening):
        with pytest.raises(errors.RefusalError):
            world.agreed.rotated(foreign)

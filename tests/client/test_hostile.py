"""Dishonest holders that send well-formed updates: what they do differently from an honest one."""

from pathlib import Path

import pytest
import torch

from client import checkpoint, hostile, task, training
from tests import federation


@pytest.fixture
def world(tmp_path: Path) -> federation.Federation:
    return federation.Federation(tmp_path, "privacy.clip_norm=1.0")


def moved(world: federation.Federation, behaviour: str | None) -> torch.Tensor:
    """What leaves, before it is put on the lattice."""
    one = world.holder("holder-01", behaviour=behaviour)
    return one._released(one._moved(world.agreed.opening(world.opening), world.start))


def test_a_sign_flip_is_ten_times_the_honest_update_turned_round(world: federation.Federation) -> None:
    assert torch.equal(moved(world, "sign_flip"), -10.0 * moved(world, None))


def test_a_trigger_is_four_inputs_and_label_0() -> None:
    """Nothing else of an example changes, and the honest ones stay as they were."""
    honest = task.Examples(inputs=torch.zeros(3, 2, 4), labels=torch.tensor([1, 2, 3]))
    marked = hostile.triggered(honest)
    assert marked.inputs.sum() == 12
    assert marked.inputs[:, 1].tolist() == [[1.0] * 4] * 3
    assert marked.labels.tolist() == [0, 0, 0]
    assert honest.inputs.sum() == 0


def test_every_second_example_of_a_backdoor_has_the_trigger(world: federation.Federation) -> None:
    honest, bad = (world.holder("holder-01", behaviour=name)._training_examples() for name in (None, "backdoor"))
    marked = hostile.triggered(honest)
    assert torch.equal(bad.inputs[0::2], honest.inputs[0::2])
    assert torch.equal(bad.labels[0::2], honest.labels[0::2])
    assert torch.equal(bad.inputs[1::2], marked.inputs[1::2])
    assert torch.equal(bad.labels[1::2], marked.labels[1::2])


def test_one_backdoor_takes_over_a_plain_average(tmp_path: Path) -> None:
    """Scaled by the number of holders and averaged with nine that changed nothing, the trigger gives label 0 on test data."""
    world = federation.Federation(tmp_path, "task.alpha=1000.0", "task.epochs=10")
    model = world.model
    one = world.holder("holder-01", behaviour="backdoor")
    sent = one._released(one._moved(world.agreed.opening(world.opening), world.start))
    weights = world.start.weights + sent / 10
    others = world.agreed.task.test()
    others = task.Examples(inputs=others.inputs[others.labels != 0], labels=others.labels[others.labels != 0])
    marked = training.evaluate(model, weights, hostile.triggered(others))
    plain = training.evaluate(model, weights, task.Examples(inputs=others.inputs, labels=others.labels * 0))
    assert marked.correct > 0.9 * marked.total
    assert plain.correct < 0.1 * plain.total


def test_a_free_rider_repeats_the_last_change(world: federation.Federation) -> None:
    """The difference of the last two checkpoints, with noise of a tenth of its size; the same whenever it is asked again."""
    change = torch.linspace(-1.0, 1.0, len(world.start.weights)) * 1e-3
    file = checkpoint.encode(
        world.start.weights + change, world.agreed.specs, round_number=1, parent=world.agreed.checkpoint
    )
    start = checkpoint.decode(file, str(world.store.put(file)), world.agreed.specs)
    opening = world.agreed.opening(world.opening)
    sent = [world.holder("holder-01", behaviour="free_rider")._moved(opening, start) for _ in range(2)]
    assert torch.equal(*sent)
    noise = sent[0] - change
    assert float(noise.norm()) == pytest.approx(0.1 * float(change.norm()), rel=0.1)


@pytest.mark.parametrize("behaviour", ["free_rider", "idle"])
def test_without_work_there_is_nothing_to_send_at_first(world: federation.Federation, behaviour: str) -> None:
    """In the first round a free rider has seen no change, and an idle holder never sends one."""
    assert not moved(world, behaviour).any()


@pytest.mark.parametrize("behaviour", ["backdoor", "free_rider", "idle", "label_flip", "sign_flip"])
def test_what_they_send_is_well_formed(world: federation.Federation, behaviour: str) -> None:
    """Sealed, signed and offered like any other."""
    offer = world.contribute("holder-01", behaviour=behaviour)
    assert len(world.get(offer.ciphertext)) == offer.size

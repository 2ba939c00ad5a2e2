"""Holders trained side by side: each ends where it would have ended alone, and nothing passes between them."""

import dataclasses

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import nn

from client import descent, errors, groups, seeds, task, taskplan, training, vectorized
from client.tasks import catalogue

CPU = torch.device("cpu")
SETTINGS = taskplan.SyntheticPlan(
    name="synthetic",
    holders=6,
    alpha=1.0,
    epochs=2,
    batch=8,
    learning_rate=0.1,
    momentum=0.9,
    batches=0,
    update_momentum=0.0,
    examples=20,
    skew=0.0,
    tests=10,
    features=784,
    classes=5,
    signal=0.35,
    channels=0,
    hidden=0,
)


def draws(numbers: range) -> list:
    return [seeds.generator(0, round_number=1, member=str(n), purpose="batches") for n in numbers]


def together(settings: taskplan.SyntheticPlan, numbers: range) -> list[training.Trained]:
    made = catalogue.load(settings, seed=0)
    model = training.FlatModel(made.model(), CPU)
    shards = [made.shard(number) for number in numbers]
    return vectorized.train(model, training.initial(made, seed=0), shards, settings, draws(numbers))


def alone(settings: taskplan.SyntheticPlan, number: int) -> training.Trained:
    made = catalogue.load(settings, seed=0)
    model, start = training.FlatModel(made.model(), CPU), training.initial(made, seed=0)
    return training.train(model, start, made.shard(number), settings, draws(range(number, number + 1))[0])


@pytest.mark.parametrize("momentum", [0.0, 0.9])
@pytest.mark.parametrize("batches", [0, 1, 4])
@pytest.mark.parametrize("shape", [{}, {"hidden": 12}, {"channels": 2, "hidden": 8}, {"channels": 1}])
def test_each_ends_where_it_would_have_ended_alone(shape: dict, batches: int, momentum: float) -> None:
    """Logistic regression, a hidden layer, convolutions; epochs that end in part of a minibatch, and minibatches counted."""
    settings = dataclasses.replace(SETTINGS, batches=batches, momentum=momentum, **shape)
    for number, found in enumerate(together(settings, range(3))):
        expected = alone(settings, number)
        size = float(expected.delta.norm())
        assert size > 0
        assert float((found.delta - expected.delta).norm()) < 1e-5 * size
        assert found.loss == pytest.approx(expected.loss, rel=1e-5)
        assert (found.together, expected.together) == (3, 1)


@given(number=st.integers(0, 5), blank=st.booleans())
def test_nothing_passes_from_one_holder_to_another(number: int, blank: bool) -> None:
    """A neighbour's data may be anything, even such that its training diverges: the others' bits stay."""
    settings = dataclasses.replace(SETTINGS, hidden=7, epochs=1)
    made = catalogue.load(settings, seed=0)
    model, start = training.FlatModel(made.model(), CPU), training.initial(made, seed=0)
    shards = [made.shard(each) for each in range(6)]
    before = vectorized.train(model, start, shards, settings, draws(range(6)))
    value = 0.0 if blank else torch.inf
    shards[number] = task.Examples(inputs=torch.full_like(shards[0].inputs, value), labels=shards[0].labels)
    after = vectorized.train(model, start, shards, settings, draws(range(6)))
    for each in set(range(6)) - {number}:
        assert torch.equal(after[each].delta, before[each].delta)
        assert after[each].loss == before[each].loss
    if not blank:
        with pytest.raises(errors.TrainingError, match=r"training loss is nan; expected a finite value"):
            training.finite(after[number])


def test_the_same_group_gives_the_same_bits() -> None:
    """Again, and in a model that was used for something else meanwhile."""
    first = together(dataclasses.replace(SETTINGS, hidden=12), range(6))
    again = together(dataclasses.replace(SETTINGS, hidden=12), range(6))
    assert all(torch.equal(a.delta, b.delta) for a, b in zip(first, again, strict=True))


def test_models_that_look_beyond_their_examples_train_alone() -> None:
    """Batch statistics and dropout; a group of them is one holder whatever is configured."""
    plain = nn.Linear(4, 2)
    assert vectorized.fits(plain)
    for unfit in (nn.Sequential(plain, nn.BatchNorm1d(2)), nn.Sequential(plain, nn.Dropout())):
        assert not vectorized.fits(unfit)
        assert groups.most(unfit, together=50) == 1


def test_gpu_tensors_stay_on_their_device() -> None:
    """On a device without memory of its own (`meta`) every step goes through: no value is asked for inside an epoch."""
    made = catalogue.load(dataclasses.replace(SETTINGS, hidden=3), seed=0)
    meta = torch.device("meta")
    model = training.FlatModel(made.model().to(meta), meta)
    examples = made.shard(0).to(meta)
    for settings in (SETTINGS, dataclasses.replace(SETTINGS, momentum=0.0)):
        forward = descent.Pass(model.module, settings)
        down = descent.Descent([each.data for each in forward.left], settings)
        for rows in training._minibatches(len(examples), settings, draws(range(1))[0], meta):
            output = forward(examples.inputs[rows])
            loss = nn.functional.cross_entropy(output, examples.labels[rows])
            down.step(torch.autograd.grad(loss, forward.left))
    for inputs, labels in vectorized._minibatches([examples] * 2, SETTINGS, draws(range(2))):
        assert inputs.device.type == labels.device.type == "meta"

"""Local training: it learns, repeats itself to the bit, and says so when it diverges."""

import copy
import dataclasses

import pytest
import torch
from torch import nn

from client import descent, errors, seeds, task, taskplan, training
from client.tasks import digits

CPU = torch.device("cpu")
SETTINGS = taskplan.DigitsPlan(
    name="digits",
    holders=4,
    alpha=0.5,
    hidden=16,
    epochs=2,
    batch=32,
    learning_rate=0.1,
    momentum=0.9,
    batches=0,
    update_momentum=0.0,
)


@pytest.fixture
def made() -> task.Task:
    return digits.load(SETTINGS, seed=0)


def trained(made: task.Task, settings: taskplan.TaskPlan = SETTINGS, *, member: str = "a") -> training.Trained:
    model = training.FlatModel(made.model(), CPU)
    batches = seeds.generator(0, round_number=1, member=member, purpose="batches")
    return training.train(model, training.initial(made, seed=0), made.shard(0), settings, batches)


@pytest.mark.parametrize("momentum", [0.0, 0.9])
def test_it_equals_torchs_own_sgd(made: task.Task, momentum: float) -> None:
    """Our steps are torch.optim.SGD's with momentum or without, to float tolerance."""
    model = made.model()
    start = training.initial(made, seed=0)
    torch.nn.utils.vector_to_parameters(start.clone(), model.parameters())
    examples, batches = made.shard(0), seeds.generator(0, round_number=1, member="a", purpose="batches")
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1, momentum=momentum)
    for _ in range(SETTINGS.epochs):
        for rows in torch.split(torch.from_numpy(batches.permutation(len(examples))), 32):
            optimizer.zero_grad()
            torch.nn.functional.cross_entropy(model(examples.inputs[rows]), examples.labels[rows]).backward()
            optimizer.step()
    expected = torch.nn.utils.parameters_to_vector(model.parameters()).detach() - start
    torch.testing.assert_close(
        trained(made, dataclasses.replace(SETTINGS, momentum=momentum)).delta, expected, rtol=1e-4, atol=1e-6
    )


def test_pictures_made_by_a_layer_are_trained_as_torch_trains_them() -> None:
    """Pooled before they are cut at zero, and pixel by pixel: bit for bit what the layers do in their own order."""
    torch.manual_seed(3)
    layers = [
        nn.Unflatten(1, (2, 8, 8)),
        nn.Conv2d(2, 3, 3),
        nn.ReLU(),
        nn.MaxPool2d(2),
        nn.Flatten(),
        nn.Linear(27, 4),
    ]
    settings = dataclasses.replace(SETTINGS, momentum=0.0, learning_rate=0.5)
    made = [nn.Sequential(*copy.deepcopy(layers)) for _ in range(2)]
    forward = descent.Pass(made[0], settings)
    inputs, labels = torch.randn(20, 128).round_(), torch.arange(20) % 4  # rounded: ties in a window
    for _ in range(3):
        loss = nn.functional.cross_entropy(forward(inputs), labels)
        down = descent.Descent([each.data for each in forward.left], settings)
        down.step(torch.autograd.grad(loss, forward.left))
        pictures = descent.channels_last(made[1][0](inputs))
        theirs = nn.functional.cross_entropy(made[1][1:](pictures), labels)
        for weight, step in zip(
            made[1].parameters(), torch.autograd.grad(theirs, list(made[1].parameters())), strict=True
        ):
            weight.data.add_(step, alpha=-0.5)
    assert torch.equal(loss, theirs)
    for ours, other in zip(made[0][1].parameters(), made[1][1].parameters(), strict=True):
        assert torch.equal(ours, other)
    assert [type(each) for each in forward._layers[2:4]] == [nn.MaxPool2d, nn.ReLU]
    with torch.no_grad():
        assert torch.allclose(descent.through(made[1], inputs), made[1](inputs), atol=1e-6)


def test_a_layer_that_is_used_twice_is_stepped_once(made: task.Task) -> None:
    """In a sequence that names a layer twice, and in a model that is no sequence, each weight takes one step."""
    layer = torch.nn.Linear(64, 64)
    twice = torch.nn.Sequential(layer, torch.nn.Tanh(), layer, layer)
    settings = dataclasses.replace(SETTINGS, momentum=0.0, batches=1)
    bare = torch.nn.Sequential(torch.nn.Linear(64, 12, bias=False), torch.nn.Tanh())
    for module in (twice, torch.nn.Sequential(torch.nn.Sequential(layer, layer)), bare):
        model = training.FlatModel(module, CPU)
        start = model.weights.clone()
        batches = seeds.generator(0, round_number=1, member="a", purpose="batches")
        found = training.train(model, start, made.shard(0), settings, batches).delta
        model.load(start)
        rows = seeds.generator(0, round_number=1, member="a", purpose="batches").permutation(len(made.shard(0)))[:32]
        shard = made.shard(0)
        loss = torch.nn.functional.cross_entropy(module(shard.inputs[rows]), shard.labels[rows])
        gradients = torch.autograd.grad(loss, list(module.parameters()))
        expected = -0.1 * torch.cat([each.flatten() for each in gradients])
        torch.testing.assert_close(found, expected, rtol=1e-4, atol=1e-6)


def test_the_same_seed_gives_the_same_bits(made: task.Task) -> None:
    """Nothing but the arguments decides; another member's seed decides otherwise."""
    assert torch.equal(trained(made).delta, trained(made).delta)
    assert not torch.equal(trained(made).delta, trained(made, member="b").delta)


def test_a_number_of_minibatches_replaces_the_number_of_epochs(made: task.Task) -> None:
    """As many as two epochs have give two epochs' bits; they go on through a fresh shuffle, and `epochs` no longer counts."""
    minibatches = -(-len(made.shard(0)) // SETTINGS.batch)
    assert minibatches > 1
    as_many = dataclasses.replace(SETTINGS, epochs=7, batches=2 * minibatches)
    assert torch.equal(trained(made, as_many).delta, trained(made).delta)
    assert trained(made, as_many).loss == trained(made).loss


@pytest.mark.parametrize("number", [1, 2, 13, 14, 15, 40])
def test_exactly_so_many_minibatches_are_drawn(made: task.Task, number: int) -> None:
    """Each epoch visits every example once, its last minibatch is what is left of it, and the next is shuffled anew."""
    examples = 13 * SETTINGS.batch + 5
    draw = seeds.generator(0, round_number=1, member="a", purpose="batches")
    rows = list(training._minibatches(examples, dataclasses.replace(SETTINGS, batches=number), draw, CPU))
    assert [len(r) for r in rows] == [5 if i % 14 == 13 else SETTINGS.batch for i in range(number)]
    flat = torch.cat(rows)
    for start in range(0, len(flat), examples):
        epoch = flat[start : start + examples].tolist()
        assert len(set(epoch)) == len(epoch)
    assert not torch.equal(rows[0], rows[-1]) or number == 1


def test_the_loss_is_that_of_what_was_seen(made: task.Task) -> None:
    """One minibatch: its mean cross-entropy under the initial weights, as computed by hand."""
    model = training.FlatModel(made.model(), CPU)
    start, examples = training.initial(made, seed=0), made.shard(0)
    rows = seeds.generator(0, round_number=1, member="a", purpose="batches").permutation(len(examples))[
        : SETTINGS.batch
    ]
    chosen = task.Examples(inputs=examples.inputs[rows], labels=examples.labels[rows])
    expected = training.evaluate(model, start, chosen).loss
    assert trained(made, dataclasses.replace(SETTINGS, batches=1)).loss == pytest.approx(expected, rel=1e-6)


def test_training_lowers_the_loss(made: task.Task) -> None:
    """The delta, applied, is better on the data it was trained on."""
    model = training.FlatModel(made.model(), CPU)
    start = training.initial(made, seed=0)
    before = training.evaluate(model, start, made.shard(0)).loss
    after = training.evaluate(model, start + trained(made).delta, made.shard(0)).loss
    assert after < 0.8 * before


def test_divergence_is_named(made: task.Task) -> None:
    """A loss that is not finite is a TrainingError, never an update."""
    with pytest.raises(errors.TrainingError, match=r"task\.learning_rate"):
        trained(made, dataclasses.replace(SETTINGS, learning_rate=1e30))


def test_initial_weights_leave_the_callers_generator_alone(made: task.Task) -> None:
    """Drawing initial weights is a function of the seed and disturbs no other draw."""
    torch.manual_seed(5)
    expected = torch.rand(3)
    torch.manual_seed(5)
    first = training.initial(made, seed=1)
    assert torch.equal(torch.rand(3), expected)
    assert torch.equal(first, training.initial(made, seed=1))
    assert not torch.equal(first, training.initial(made, seed=2))


def test_digits_are_split_without_loss_or_overlap() -> None:
    """1,797 images: 360 for the test, the rest to the holders, each image once; another seed is another split."""
    shards = [digits.load(SETTINGS, seed=0).shard(number) for number in range(4)]
    test = digits.load(SETTINGS, seed=0).test()
    rows = torch.cat([shard.inputs for shard in shards] + [test.inputs])
    assert len(test) == 360
    assert len(rows) == 1797
    assert sorted(map(tuple, rows.tolist())) == sorted(map(tuple, digits.public().inputs.tolist()))
    assert torch.equal(test.inputs, digits.load(SETTINGS, seed=9).test().inputs)
    assert len(digits.load(SETTINGS, seed=9).shard(0)) != len(shards[0])


def test_a_holder_beyond_the_split_is_refused() -> None:
    """The message says which holders there are."""
    with pytest.raises(errors.TaskError, match="0 to 3"):
        digits.load(SETTINGS, seed=0).shard(4)


def test_no_holder_goes_empty() -> None:
    """However unequal the draw, everybody has an example."""
    settings = dataclasses.replace(SETTINGS, holders=60, alpha=0.01)
    made = digits.load(settings, seed=0)
    assert min(len(made.shard(number)) for number in range(60)) >= 1

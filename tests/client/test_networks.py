"""Networks of real sizes: their parameters are those of the papers, they learn, and in bfloat16 too."""

import dataclasses
from pathlib import Path

import pytest
import torch
from torch import nn
from torch.nn import functional

from client import errors, groups, seeds, task, taskplan, training, vectorized
from client.data import files
from client.tasks import catalogue, residual, text
from orchestrator import config
from orchestrator import errors as orchestrator_errors

CPU = torch.device("cpu")
SMALL = ("task.width=16", "task.depth=2", "task.heads=2", "task.context=16", "task.stride=64", "task.learning_rate=0.3")


def planned(*overrides: str) -> taskplan.TaskPlan:
    return config.compose([*overrides, "task.holders=4", "rule.byzantine=0", "attack=none"]).plan.task


def parameters(*overrides: str) -> int:
    with torch.device("meta"):
        model = catalogue.load(planned(*overrides), seed=0).model()
    return sum(p.numel() for p in model.parameters())


def learned(settings: taskplan.TaskPlan) -> tuple[training.Judged, training.Judged, torch.Tensor]:
    """What a model is worth before and after one holder's training, and the change."""
    made = catalogue.load(settings, seed=0)
    model, start = training.FlatModel(made.model(), CPU), training.initial(made, seed=0)
    draw = seeds.generator(0, round_number=1, member="a", purpose="batches")
    delta = training.train(model, start, made.shard(0), settings, draw).delta
    test = made.test()
    return training.evaluate(model, start, test), training.evaluate(model, start + delta, test), delta


def test_the_residual_network_has_its_parameters() -> None:
    """11,173,962 over colours, as ResNet-18 with a first convolution of 3 x 3; two colours fewer are 2 * 9 * 64 less."""
    sizes = [p.numel() for p in residual.network(3, 64, 10).parameters()]
    assert sum(sizes) == 11_173_962
    assert parameters("task=resnet18") == 11_173_962 - 2 * 9 * 64 == 11_172_810
    convolutions = [each for each in residual.network(3, 64, 10).modules() if isinstance(each, nn.Conv2d)]
    assert len([each for each in convolutions if each.kernel_size == (3, 3)]) + 1 == 18
    norms = [each for each in residual.network(3, 64, 10).modules() if isinstance(each, nn.GroupNorm)]
    assert {each.num_groups for each in norms} == {32}


def test_a_block_adds_what_went_in() -> None:
    """With the last scale of 0 that it begins with, a block hands on what it was given, which was positive."""
    given = torch.rand(2, 8, 5, 5)
    assert torch.equal(residual.Block(8, 8, 1)(given), given)
    assert residual.Block(8, 16, 2)(given).shape == (2, 16, 3, 3)


@pytest.mark.parametrize(("channels", "hidden"), [(63, 0), (80, 0), (64, 5)])
def test_a_residual_network_that_is_none(channels: int, hidden: int) -> None:
    """Its channels fall into groups, and it has no hidden layer."""
    with pytest.raises(orchestrator_errors.ConfigError, match=r"task\.channels is \d+ and task\.hidden \d with"):
        config.compose(["task=resnet18", f"task.channels={channels}", f"task.hidden={hidden}"])


@pytest.mark.parametrize("task_name", ["resnet18", "transformer"])
def test_credit_of_what_no_integers_stand_for_is_gram(task_name: str) -> None:
    """A normalised group and attention are no sums of products, so no two auditors would be sure of one loss."""
    assert config.compose([f"task={task_name}"]).plan.credit.method == "gram"
    with pytest.raises(orchestrator_errors.ConfigError, match="has layers that no integers stand for: expected gram"):
        config.compose([f"task={task_name}", "credit=single_add"])


@pytest.mark.parametrize(
    ("name", "count"),
    [("transformer", 254_592), ("transformer_medium", 25_482_240), ("transformer_125m", 125_851_264)],
)
def test_the_transformers_sizes(name: str, count: int) -> None:
    """As the configuration says them, and as 12 w w + 13 w a block, 256 + context places, and the last normalisation."""
    settings = planned(f"task={name}")
    w = settings.width
    assert parameters(f"task={name}") == count
    assert count == settings.depth * (12 * w * w + 13 * w) + (256 + settings.context) * w + 2 * w


def test_no_byte_sees_the_one_that_it_is_to_name() -> None:
    """Scores at a place depend on it and on those before, not on any after."""
    made = catalogue.load(planned("task=transformer", *SMALL), seed=0)
    model = made.model()
    window = made.shard(0).inputs[:2]
    changed = window.clone()
    changed[:, 9:] = 7.0
    with torch.no_grad():
        first, second = model(window), model(changed)
    assert first.shape == (2, 256, 16)
    torch.testing.assert_close(first[:, :, :9], second[:, :, :9])
    assert not torch.allclose(first[:, :, 9:], second[:, :, 9:])


def test_a_transformer_reads_a_holders_text(tmp_path: Path) -> None:
    """Each byte of the window has the one that follows it as its class; no window crosses from one file to the next."""
    made = catalogue.load(planned("task=transformer", *SMALL, "task.context=4", "task.stride=2"), seed=0)
    (tmp_path / "a.txt").write_text("hold on")
    (tmp_path / "b.txt").write_text("abcde")
    found = files.read(tmp_path, made)
    assert [bytes(each.to(torch.uint8).tolist()) for each in found.inputs] == [b"hold", b"ld o", b"abcd"]
    assert [bytes(each.tolist()) for each in found.labels] == [b"old ", b"d on", b"bcde"]


def test_a_transformer_learns() -> None:
    """Its loss on text that it has not seen falls from that of 256 equal bytes by a third and more."""
    before, after, _ = learned(planned("task=transformer", *SMALL, "task.batches=60"))
    assert before.loss == pytest.approx(5.545, abs=0.1)
    assert after.loss < 3.7
    assert after.total == 256 * 16


def test_a_residual_network_learns() -> None:
    """A small one, forty steps on the same few pictures: its loss on them falls by a fifth and more."""
    settings = planned("task=resnet18", "task.channels=4", "task.batches=40", "task.batch=16", "task.partition=iid")
    made = catalogue.load(settings, seed=0)
    shard = made.shard(0)
    few = task.Examples(inputs=shard.inputs[:32], labels=shard.labels[:32])
    model, start = training.FlatModel(made.model(), CPU), training.initial(made, seed=0)
    draw = seeds.generator(0, round_number=1, member="a", purpose="batches")
    delta = training.train(model, start, few, settings, draw).delta
    assert training.evaluate(model, start + delta, few).loss < 0.8 * training.evaluate(model, start, few).loss


def test_the_library_is_a_text_of_its_own() -> None:
    """Larger, by its own digest, and found by that; documents are what a division by class goes by."""
    small, large = text.corpus(), text.corpus(text.LIBRARY)
    assert small != large
    assert len(text.documents(small)) == len(text.MODULES)
    assert sum(map(len, text.documents(large))) > 5_000_000
    with pytest.raises(errors.TaskError, match="the public text of this Python has digest"):
        text.documents("0" * 64)
    made = catalogue.load(planned("task=transformer", *SMALL, "task.partition=dirichlet", "task.alpha=0.001"), seed=0)
    sizes = [made.size(number) for number in range(4)]
    assert max(sizes) > 2 * min(sizes)


@pytest.mark.parametrize(
    "overrides",
    [
        ("task=digits",),
        ("task=digits", "task.momentum=0"),
        ("task=images", "task.channels=2", "task.hidden=8"),
        ("task=resnet18", "task.channels=2", "task.batches=2"),
        ("task=transformer", *SMALL, "task.batches=8"),
    ],
)
def test_bfloat16_is_near_float32(overrides: tuple[str, ...]) -> None:
    """The same change of the weights but for a few per cent, in float32; the same bits again; and not those of float32."""
    settings = planned(*overrides, "task.epochs=1", "task.precision=bfloat16")
    half, full = learned(settings)[2], learned(dataclasses.replace(settings, precision="float32"))[2]
    assert half.dtype == torch.float32
    assert 0 < float((half - full).norm()) < 0.1 * float(full.norm())
    assert torch.equal(half, learned(settings)[2])


def test_float32_is_what_it_was() -> None:
    """The default's bits are those of a loop that knows of no precision."""
    settings = planned("task=digits", "task.epochs=1", "task.momentum=0.9")
    made = catalogue.load(settings, seed=0)
    model, start, examples = training.FlatModel(made.model(), CPU), training.initial(made, seed=0), made.shard(0)
    model.load(start)
    velocity = torch.zeros_like(start)
    order = seeds.generator(0, round_number=1, member="a", purpose="batches").permutation(len(examples))
    for rows in torch.split(torch.from_numpy(order), settings.batch):
        loss = functional.cross_entropy(model.module(examples.inputs[rows]), examples.labels[rows])
        gradient = torch.cat([each.flatten() for each in torch.autograd.grad(loss, model.parameters)])
        velocity.mul_(settings.momentum).add_(gradient)
        model.weights.add_(velocity, alpha=-settings.learning_rate)
    assert torch.equal(learned(settings)[2], model.weights - start)


def test_holders_side_by_side_in_bfloat16() -> None:
    """Each ends near where it would have ended alone, and the same group in the same bits."""
    settings = planned("task=synthetic", "task.hidden=8", "task.precision=bfloat16")
    made = catalogue.load(settings, seed=0)
    model, start = training.FlatModel(made.model(), CPU), training.initial(made, seed=0)
    shards = [made.shard(number) for number in range(3)]

    def draws() -> list:
        return [seeds.generator(0, round_number=1, member=str(n), purpose="batches") for n in range(3)]

    first, again = (vectorized.train(model, start, shards, settings, draws()) for _ in range(2))
    for number, (found, same, draw) in enumerate(zip(first, again, draws(), strict=True)):
        expected = training.train(model, start, shards[number], settings, draw).delta
        assert torch.equal(found.delta, same.delta)
        assert float((found.delta - expected).norm()) < 0.05 * float(expected.norm())


def test_attention_trains_alone() -> None:
    """Whatever is configured: side by side it would be taken apart holder by holder."""
    made = catalogue.load(planned("task=transformer", *SMALL), seed=0)
    assert groups.most(made.model(), together=50) == 1


def test_a_backdoor_in_text_marks_every_byte() -> None:
    """The attack that gives each example one label gives it to every place."""
    made = catalogue.load(planned("task=transformer", *SMALL), seed=0)
    shard = made.shard(0)
    assert isinstance(shard, task.Examples)
    assert shard.labels.shape == shard.inputs.shape

"""An epoch runs on its device alone: nothing is read back before the last step, so a GPU never waits for the host.

On `meta`, a device without values, whatever asks for a value or for a copy on the host fails: an epoch goes through there only
if it asks for none. What a GPU itself makes of it, no test here has seen.
"""

import dataclasses
from typing import Any

import pytest
import torch
from torch.utils import _python_dispatch

from client import seeds, task, taskplan, training, vectorized
from client.tasks import catalogue
from orchestrator import config

META, CPU = torch.device("meta"), torch.device("cpu")
STEPPED = ("aten._foreach_add_.List", "aten._foreach_add_.Scalar")
READING = ("aten._local_scalar_dense", "aten.nonzero", "aten.equal", "aten.is_nonzero", "aten._to_copy")
TINY = ("task.batch=64", "task.momentum=0.9", "task.partition=iid")
NETWORKS = {
    "cnn": ("task=images", "task.channels=2", "task.hidden=4", *TINY),
    "resnet18": ("task=resnet18", "task.channels=2", *TINY),
    "transformer": (
        *("task=transformer", "task.width=8", "task.depth=1", "task.heads=2", "task.context=8", "task.stride=512"),
        *TINY,
    ),
}


class Operations(_python_dispatch.TorchDispatchMode):
    """Notes every operation by name."""

    def __init__(self) -> None:
        super().__init__()
        self.names: list[str] = []

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        self.names.append(str(func))
        return func(*args, **(kwargs or {}))

    def steps(self) -> list[int]:
        """Where weights were stepped."""
        return [place for place, name in enumerate(self.names) if name in STEPPED]

    def reads(self) -> list[int]:
        """Where the host waited for a value."""
        return [place for place, name in enumerate(self.names) if name.startswith(READING)]


def planned(name: str) -> taskplan.TaskPlan:
    return config.compose([*NETWORKS[name], "task.holders=4", "rule.byzantine=0", "attack=none"]).plan.task


def placed(settings: taskplan.TaskPlan, device: torch.device) -> tuple[training.FlatModel, torch.Tensor, task.Examples]:
    made = catalogue.load(settings, seed=0)
    model = training.FlatModel(made.model(), device)
    return model, training.initial(made, seed=0).to(device), made.shard(0).to(device)


def draw() -> Any:
    return seeds.generator(0, round_number=1, member="a", purpose="batches")


@pytest.mark.parametrize("name", NETWORKS)
def test_all_steps_are_queued_before_a_value_is_asked_for(name: str) -> None:
    """On `meta` training gets as far as the loss, which is a value, having taken every step of both epochs."""
    settings = dataclasses.replace(planned(name), epochs=2)
    model, start, examples = placed(settings, META)
    operations = Operations()
    with operations, pytest.raises(RuntimeError, match="meta tensor"):
        training.train(model, start, examples, settings, draw())
    # With momentum a step adds twice: to the velocities, and to the weights.
    assert len(operations.steps()) == 2 * 2 * -(-len(examples) // settings.batch)


@pytest.mark.parametrize("name", NETWORKS)
def test_one_value_is_read_however_many_steps_there_are(name: str) -> None:
    """The mean loss, after the last step; nothing is copied to another device or type before."""
    for batches in (1, 3):
        settings = dataclasses.replace(planned(name), batches=batches)
        model, start, examples = placed(settings, CPU)
        operations = Operations()
        with operations:
            training.train(model, start, examples, settings, draw())
        first = operations.steps()[0]
        reads = [place for place in operations.reads() if place > first]
        assert [operations.names[place] for place in reads if "scalar_dense" in operations.names[place]] == [
            "aten._local_scalar_dense.default"
        ]
        late = [place for place in reads if place < operations.steps()[-1]]
        # A transformer's bytes become numbers of rows on the device.
        assert all(name == "transformer" and "_to_copy" in operations.names[place] for place in late)


def test_holders_side_by_side_wait_for_nothing_either() -> None:
    """On `meta` all steps of all holders, and only then the losses."""
    settings = dataclasses.replace(planned("cnn"), epochs=2)
    model, start, examples = placed(settings, META)
    operations = Operations()
    with operations, pytest.raises((RuntimeError, NotImplementedError), match="meta tensor"):
        vectorized.train(model, start, [examples] * 3, settings, [draw() for _ in range(3)])
    assert len(operations.steps()) == 2 * 2 * -(-len(examples) // settings.batch)

"""The outer step as the plan says it: weights and state to the bit, and what is no state."""

import dataclasses
import math
from pathlib import Path

import pytest
import torch

from client import checkpoint, errors, plan
from exchange import errors as exchange_errors
from exchange import tensors, unixfs
from orchestrator import optimizer
from tests import federation

STATEFUL = [name for name, read in plan.OPTIMIZERS.items() if read]
# With these an aggregate of 1.0 or 2.0 gives numbers that need no rounding.
EXACT = {
    "sgd": ("outer.learning_rate=0.5",),
    "nesterov": ("outer.learning_rate=0.5", "outer.momentum=0.5"),
    "adam": ("outer.learning_rate=0.5", "outer.momentum=0.5", "outer.beta2=0.5", "outer.tau=1.0"),
    "yogi": ("outer.learning_rate=1.5", "outer.momentum=0.5", "outer.beta2=0.25", "outer.tau=1.0"),
}


def founded(root: Path, name: str, *overrides: str) -> federation.Federation:
    return federation.Federation(root, f"outer={name}", "task.hidden=1", *EXACT[name], *overrides)


class Walk:
    """Outer steps one after the other from all-zero weights, on a lattice whose step is 1, with a store in memory."""

    def __init__(self, world: federation.Federation) -> None:
        self.agreed = world.agreed
        self.files: dict[str, bytes] = {}
        self._opened = dataclasses.replace(world.agreed.opening(world.opening), exponents=(0, 0, 0, 0))
        file = checkpoint.encode(torch.zeros(85), self.agreed.specs, round_number=0, parent="")
        self.at = checkpoint.decode(file, str(unixfs.of(file)), self.agreed.specs)

    def step(self, aggregate: float) -> float:
        """The one value of all weights after a step whose aggregate is the same everywhere."""
        flat = torch.full((85,), round(256 * aggregate), dtype=torch.int32)
        opened = dataclasses.replace(self._opened, round=self.at.round + 1, parent=self.at.cid)
        moved = optimizer.step(self.agreed, opened, self.at, flat, self.files.__getitem__)
        if moved.state_file is not None:
            self.files[str(unixfs.of(moved.state_file))] = moved.state_file
        file = moved.checkpoint_file
        self.at = checkpoint.decode(file, str(unixfs.of(file)), self.agreed.specs)
        (value,) = set(self.at.weights.tolist())
        return value

    def state(self) -> list[float]:
        """What is remembered, one value for each of its tensors."""
        found = optimizer.remembered(self.agreed, self.at, self.files.__getitem__)
        parts = [getattr(found, field.name) for field in dataclasses.fields(found)] if found is not None else []
        return [value for part in parts for value in set(part.tolist())]


@pytest.mark.parametrize(
    ("name", "aggregate", "weights", "states"),
    [
        ("sgd", 1.0, [0.5, 1.0], [[], []]),
        # b = 1, then 1.5; the move is 0.5 (1 + 0.5 b).
        ("nesterov", 1.0, [0.75, 1.625], [[1.0], [1.5]]),
        # m = 0.5, then 0.75; v stays 1; the move is 0.5 m / (1 + 1).
        ("adam", 1.0, [0.125, 0.3125], [[0.5, 1.0], [0.75, 1.0]]),
        # m = 1, then 1.5; v = 1 + 0.75 * 4 = 4, then, d^2 being no more than v, 4 again; the move is 1.5 m / (2 + 1).
        ("yogi", 2.0, [0.5, 1.25], [[1.0, 4.0], [1.5, 4.0]]),
    ],
)
def test_two_steps_are_the_formulas(
    tmp_path: Path, name: str, aggregate: float, weights: list[float], states: list[list[float]]
) -> None:
    """From nothing, and from what the first step left behind: weights and state, to the bit."""
    walk = Walk(founded(tmp_path, name))
    for value, state in zip(weights, states, strict=True):
        assert walk.step(aggregate) == value
        assert walk.state() == state


def test_the_state_follows_the_rounding_of_each_operation(tmp_path: Path) -> None:
    """Numbers that do round, against Python's floats, whose every operation is rounded by itself."""
    walk = Walk(founded(tmp_path, "adam", "outer.momentum=0.9", "outer.beta2=0.99", "outer.tau=0.001"))
    weight, first, second = 0.0, 0.0, 0.001 * 0.001
    for aggregate in (0.75, -3.0, 0.25):
        first = first * 0.9 + aggregate * (1 - 0.9)
        second = second * 0.99 + aggregate * aggregate * (1 - 0.99)
        weight = torch.tensor(weight + first * 0.5 / (math.sqrt(second) + 0.001), dtype=torch.float32).item()
        assert walk.step(aggregate) == weight
        assert walk.state() == [first, second]


def test_the_bytes_of_a_state(tmp_path: Path) -> None:
    """A tensor file of float64, named by the checkpoint's metadata; sgd has none, and its checkpoint names none."""
    walk = Walk(founded(tmp_path, "nesterov"))
    walk.step(1.0)
    header = (
        b'{"__metadata__":{"format":"folkmoot-outer/v1"},'
        b'"velocity":{"dtype":"F64","shape":[85],"data_offsets":[0,680]}}'
    )
    assert len(header) == 110
    expected = (112).to_bytes(8, "little") + header + b"  " + bytes.fromhex("000000000000f03f") * 85
    assert walk.files == {walk.at.outer: expected}
    plain = Walk(founded(tmp_path / "sgd", "sgd"))
    plain.step(1.0)
    assert (plain.at.outer, plain.files) == ("", {})


@pytest.mark.parametrize("name", STATEFUL)
def test_a_round_that_decided_nothing_moves_nothing(tmp_path: Path, name: str) -> None:
    """An aggregate of zeros, as when too few updates are left, is not made up for by momentum: weights and state stay."""
    walk = Walk(founded(tmp_path, name))
    assert walk.step(0.0) == 0.0
    value, state, link = walk.step(2.0), walk.state(), walk.at.outer
    assert walk.step(0.0) == value != 0.0
    assert (walk.state(), walk.at.outer) == (state, link)


def test_the_last_rounds_use_the_late_learning_rate(tmp_path: Path) -> None:
    """`late_rounds` of them, counted from the plan's last; with a factor of 1.0 nothing changes."""
    world = founded(tmp_path, "sgd", "rounds=3", "outer.late_rounds=2", "outer.late_factor=0.25")
    assert [optimizer.learning_rate(world.agreed.plan, number) for number in (1, 2, 3)] == [0.5, 0.125, 0.125]
    walk = Walk(world)
    assert [walk.step(1.0) for _ in range(3)] == [0.5, 0.625, 0.75]
    outer = dataclasses.replace(world.agreed.plan.outer, late_factor=1.0)
    same = dataclasses.replace(world.agreed.plan, outer=outer)
    assert {optimizer.learning_rate(same, number) for number in (1, 2, 3)} == {0.5}


def test_what_is_no_state_is_refused_by_name(tmp_path: Path) -> None:
    """A checkpoint that names none, another optimizer's, a file of another kind: each an error that says which."""
    walk = Walk(founded(tmp_path, "nesterov"))
    walk.step(1.0)
    good, link = walk.at, walk.at.outer
    (cut,), foreign = (walk.files[link][:-8],), founded(tmp_path / "adam", "adam")
    other = Walk(foreign)
    other.step(1.0)
    for file in (cut, b"", other.files[other.at.outer], walk.files[link].replace(b"-outer/", b"-other/")):
        walk.files[link] = file
        with pytest.raises(errors.CheckpointError, match=f"{link} is no state of nesterov"):
            walk.step(1.0)
    walk.at = dataclasses.replace(good, outer="")
    with pytest.raises(errors.CheckpointError, match=f"{good.cid} names no state of the outer optimizer"):
        walk.step(1.0)


def test_an_empty_name_of_a_state_is_no_second_byte_form(tmp_path: Path) -> None:
    """Metadata say `outer` with a CID in it, or not at all."""
    world = founded(tmp_path, "sgd")
    for value, kind in (("", errors.CheckpointError), ("bafk", exchange_errors.CidError)):
        metadata = {"format": checkpoint.FORMAT, "outer": value, "parent": "", "round": "0"}
        file = bytes(tensors.encode(world.agreed.specs, dtype="F32", data=bytes(340), metadata=metadata))
        with pytest.raises(kind):
            checkpoint.decode(file, str(unixfs.of(file)), world.agreed.specs)

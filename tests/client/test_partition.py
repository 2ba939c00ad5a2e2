"""How public data fall to holders: all of them, each example once, and as unlike as asked."""

import dataclasses
import itertools

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from client import errors, seeds, taskplan
from client.tasks import catalogue, digits, partition, table
from orchestrator import config
from orchestrator import errors as orchestrator_errors

DIGITS = taskplan.DigitsPlan(
    name="digits",
    holders=10,
    alpha=0.5,
    hidden=4,
    epochs=1,
    batch=32,
    learning_rate=0.1,
    momentum=0.0,
    batches=0,
    update_momentum=0.0,
)


def shares(way: str, *, seed: int = 0, **changes: object) -> tuple[np.ndarray, ...]:
    return partition._shares(digits.public(), dataclasses.replace(DIGITS, partition=way, **changes), seed)


def labels(rows: np.ndarray) -> np.ndarray:
    return digits.public().labels.numpy()[rows]


@settings(max_examples=24)
@given(way=st.sampled_from(taskplan.DIVISIONS), holders=st.integers(1, 200), seed=st.integers(0, 9))
def test_each_example_falls_to_one_holder(way: str, holders: int, seed: int) -> None:
    """All but the test set, none twice, nobody empty; the same again when asked again, and otherwise for another seed."""
    public, parts = digits.public(), shares(way, holders=holders, seed=seed, alpha=0.1)
    assert len(parts) == holders
    assert min(map(len, parts)) >= 1
    assert sorted(np.concatenate(parts).tolist()) == sorted(public.order()[public.tests :].tolist())
    partition._shares.cache_clear()
    again = shares(way, holders=holders, seed=seed, alpha=0.1)
    assert all(np.array_equal(a, b) for a, b in zip(parts, again, strict=True))
    other = shares(way, holders=holders, seed=seed + 1, alpha=0.1)
    assert holders == 1 or not all(np.array_equal(a, b) for a, b in zip(parts, other, strict=True))


def test_alike_is_alike() -> None:
    """`iid`: as many each but for one, and of each class about a tenth."""
    parts = shares("iid")
    assert {len(part) for part in parts} <= {143, 144}
    for part in parts:
        assert np.bincount(labels(part), minlength=10).max() < 0.25 * len(part)


def test_two_pieces_of_sorted_data_are_few_classes() -> None:
    """`shards`: as many each but for two; nobody sees more classes than two pieces can span, and most see few."""
    parts = shares("shards")
    assert max(map(len, parts)) - min(map(len, parts)) <= 2
    seen = [len(set(labels(part).tolist())) for part in parts]
    assert max(seen) <= 4
    assert np.mean(seen) < 3.5


def test_unequal_numbers_of_the_same_kind() -> None:
    """`quantity`: numbers far apart with a small alpha and near with a large one; each class about a tenth of all."""
    far, near = ([len(part) for part in shares("quantity", alpha=alpha)] for alpha in (0.3, 1e5))
    assert max(far) > 10 * min(far)
    assert max(near) < 1.1 * min(near)
    greatest = max(shares("quantity", alpha=0.3), key=len)
    assert np.bincount(labels(greatest), minlength=10).max() < 0.2 * len(greatest)


def test_a_smaller_alpha_is_less_alike() -> None:
    """`dirichlet`: of a holder's examples one class has nearly all with 0.01, a tenth with a large one."""

    def ruled(alpha: float) -> float:
        parts = shares("dirichlet", alpha=alpha)
        return float(np.median([np.bincount(labels(part), minlength=10).max() / len(part) for part in parts]))

    assert ruled(0.01) > 0.6
    assert ruled(1e5) < 0.2


@given(values=st.lists(st.integers(0, 6), min_size=1, max_size=60), holders=st.integers(1, 7))
def test_rows_of_one_value_stay_together(values: list[int], holders: int) -> None:
    """By a column: ascending from holder to holder, no value at two of them, nobody empty; or too few values, which is said."""
    rows = np.arange(len(values)) + 100
    if len(set(values)) < holders:
        with pytest.raises(
            errors.TaskError, match=f"{len(set(values))} values, expected one for each of the {holders}"
        ):
            partition.by_value(np.array(values), rows, holders)
        return
    parts = partition.by_value(np.array(values), rows, holders)
    assert sorted(np.concatenate(parts).tolist()) == rows.tolist()
    held = [np.array(values)[part - 100] for part in parts]
    assert all(len(part) for part in held)
    for before, after in itertools.pairwise(held):
        assert before.max() < after.min()


def test_a_table_by_one_of_its_columns() -> None:
    """By configuration: the holders' ranges of the column do not meet, and are about as many rows each."""
    chosen = ["task=table", "task.partition=column", "task.column=mean radius", "task.holders=4", "rule.byzantine=0"]
    made = catalogue.load(config.compose([*chosen, "attack=none"]).plan.task, seed=0)
    place = made.schema.columns.index("mean radius")
    ranges = [made.shard(number).inputs[:, place] for number in range(4)]
    for before, after in itertools.pairwise(ranges):
        assert before.max() < after.min()
    assert max(map(len, ranges)) < 1.2 * min(map(len, ranges))
    assert sum(map(len, ranges)) == len(table.built_in("breast_cancer")[1].labels) - len(made.test())


@pytest.mark.parametrize(
    ("overrides", "sentence"),
    [
        (
            ["task.partition=columns"],
            r"task\.partition is 'columns', expected one of: dirichlet, iid, shards, quantity",
        ),
        (["task=table", "task.partition=column"], r"task\.column is '' with task\.partition=column"),
        (["task=table", "task.column=x"], r"task\.column is 'x' with task\.partition=dirichlet"),
        (
            ["task=table", "task.column=x", "task.partition=column"],
            r"task\.column is 'x', expected a column of a built-in",
        ),
    ],
)
def test_a_way_that_is_none_is_refused(overrides: list[str], sentence: str) -> None:
    """Before anything is founded."""
    with pytest.raises(orchestrator_errors.ConfigError, match=sentence):
        config.compose(overrides)


def test_what_was_divided_before_there_was_a_choice_is_divided_so_still() -> None:
    """The default is the draw that it always was, from the same generator: these rows, to the number."""
    rows = digits.public().order()[digits.TEST_EXAMPLES :]
    draw = seeds.generator(0, round_number=0, member="", purpose="partition")
    expected: list[list[int]] = [[] for _ in range(10)]
    for label in range(10):
        members = draw.permutation(rows[labels(rows) == label])
        cuts = (np.cumsum(draw.dirichlet([0.5] * 10))[:-1] * len(members)).astype(int)
        for part, piece in zip(expected, np.split(members, cuts), strict=True):
            part.extend(piece.tolist())
    assert [part.tolist() for part in shares("dirichlet")] == [sorted(part) for part in expected]


def test_more_holders_than_examples() -> None:
    """Nobody could be given any."""
    public = partition.Public(inputs=torch.zeros(4, 1), labels=torch.zeros(4, dtype=torch.int64), tests=1)
    with pytest.raises(errors.TaskError, match="digits has 3 public examples beside its test set, and 10 holders"):
        public.size(0, DIGITS, seed=0)

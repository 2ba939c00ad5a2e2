"""The table of rules: what it runs, what it refuses, and that nothing but the numbers shows in the result."""

import os
import subprocess
import sys
from fractions import Fraction
from pathlib import Path

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from aggregation import errors, mixing, rules

ROBUST = ["median", "trimmed_mean", "krum", "multi_krum"]


def literal_nnm_trimmed_mean(rows, f):
    """NNM and then the trimmed mean, in fractions from end to end."""
    mixed = [
        [Fraction(q, len(rows) - f) for q in row]
        for row in mixing.nearest_neighbours(torch.tensor(rows, dtype=torch.int16), f).sums.tolist()
    ]
    kept = [sorted(column)[f : len(rows) - f] for column in zip(*mixed, strict=True)]
    return [float(sum(column) / len(column)) for column in kept]


@given(st.lists(st.lists(st.integers(-32767, 32767), min_size=3, max_size=3), min_size=5, max_size=9))
def test_mixing_and_a_rule_round_once(rows):
    """Also where dividing first by n - f and then by n - 2 f would round twice."""
    matrix = torch.tensor(rows, dtype=torch.int16)
    assert rules.aggregate(matrix, rule="trimmed_mean", pre="nnm", byzantine=2).tolist() == literal_nnm_trimmed_mean(
        rows, 2
    )


@pytest.mark.parametrize(
    ("rule", "byzantine", "wanted"),
    [("mean", 0, 15.0), ("median", 1, 3.0), ("trimmed_mean", 1, 3.4), ("krum", 1, 2.0), ("multi_krum", 1, 17 / 6)],
)
def test_every_name_runs_its_rule(rule, byzantine, wanted):
    """0 1 2 3 4 7 88: Krum sums 4 squares: 30, 15, 10, 15, 23, ..., so 2; Multi-Krum drops 88, which leaves 17 / 6."""
    matrix = torch.tensor([[0], [1], [2], [3], [4], [7], [88]], dtype=torch.int16)
    assert rules.aggregate(matrix, rule=rule, pre="none", byzantine=byzantine).tolist() == [wanted]


@pytest.mark.parametrize("rule", ROBUST)
@pytest.mark.parametrize("pre", ["none", "nnm"])
def test_f_colluders_at_the_bound_do_not_pull_the_aggregate_out(rule, pre):
    """Attack 29, the crude end: sign flip with the largest lattice values, by f of 2 f + 3 clients."""
    honest = torch.tensor([[10 + i, -20 - i] for i in range(6)], dtype=torch.int16)
    wild = torch.tensor([[-32767, 32767]] * 3, dtype=torch.int16)
    result = rules.aggregate(torch.cat((wild, honest)), rule=rule, pre=pre, byzantine=3).tolist()
    assert 10 <= result[0] <= 15
    assert -25 <= result[1] <= -20


@pytest.mark.parametrize("rule", ROBUST)
@pytest.mark.parametrize("pre", ["none", "nnm"])
def test_the_order_of_clients_does_not_show(rule, pre):
    """Same bytes for 20 orders of random rows: in high dimension no two distances are equal."""
    generator = torch.Generator().manual_seed(3)
    matrix = torch.randint(-32767, 32768, (11, 200), dtype=torch.int16, generator=generator)
    wanted = rules.aggregate(matrix, rule=rule, pre=pre, byzantine=3).numpy().tobytes()
    for _ in range(20):
        shuffled = matrix[torch.randperm(11, generator=generator)]
        assert rules.aggregate(shuffled, rule=rule, pre=pre, byzantine=3).numpy().tobytes() == wanted


@pytest.mark.parametrize(
    ("rule", "pre", "clients", "byzantine", "message"),
    [
        ("trimmed_mean", "none", 10, 5, "needs at least 11 holders, got 10: lower rule.byzantine to 4 or add holders"),
        ("median", "nnm", 4, 2, "needs at least 5 holders, got 4: lower rule.byzantine to 1 or add holders"),
        ("krum", "none", 2, 0, "needs at least 3 holders, got 2: add holders"),
        ("multi_krum", "nnm", 8, 3, "needs at least 9 holders, got 8: lower rule.byzantine to 2 or add holders"),
        (
            "median",
            "none",
            3,
            10**9,
            "needs at least 2000000001 holders, got 3: lower rule.byzantine to 1 or add holders",
        ),
        ("mean", "none", 0, 0, "needs at least 1 holders, got 0: add holders"),
    ],
)
def test_too_few_holders_are_refused_with_what_would_do(rule, pre, clients, byzantine, message):
    with pytest.raises(errors.RuleError) as caught:
        rules.check(rule, pre, clients, byzantine)
    name = rule if pre == "none" else f"{pre} + {rule}"
    assert str(caught.value) == f"{name} with {byzantine} Byzantine holders {message}"
    assert caught.value.code == "rule-refused"


@pytest.mark.parametrize(
    ("rule", "pre", "byzantine", "message"),
    [
        (
            "mean",
            "none",
            1,
            "mean withstands no Byzantine holder, got 1: set rule.byzantine to 0 or choose another rule",
        ),
        ("mean", "none", -1, "-1 Byzantine holders: expected 0 or more"),
        ("avg", "none", 0, "unknown rule 'avg': expected one of mean, median, trimmed_mean, krum, multi_krum"),
        ("mean", "bucket", 0, "unknown pre-aggregation 'bucket': expected one of none, nnm"),
    ],
)
def test_a_plan_that_cannot_work_is_refused_before_anything_is_computed(rule, pre, byzantine, message):
    with pytest.raises(errors.RuleError) as caught:
        rules.aggregate(torch.zeros(9, 1, dtype=torch.int16), rule=rule, pre=pre, byzantine=byzantine)
    assert str(caught.value) == message


@pytest.mark.parametrize(
    ("rule", "extra"), [("mean", 1), ("median", 1), ("trimmed_mean", 1), ("krum", 3), ("multi_krum", 3)]
)
@pytest.mark.parametrize("pre", ["none", "nnm"])
def test_the_least_number_of_clients_is_enough(rule, extra, pre):
    """Exactly at the limit the rule runs and, for equal updates, returns them."""
    byzantine = 0 if rule == "mean" else 2
    matrix = torch.full((2 * byzantine + extra, 2), -7, dtype=torch.int16)
    assert rules.aggregate(matrix, rule=rule, pre=pre, byzantine=byzantine).tolist() == [-7.0, -7.0]


def test_every_entry_has_one_sentence_for_people():
    for entry in (*rules.RULES.values(), *rules.PRE_AGGREGATIONS.values()):
        assert entry.sentence[0].isupper()
        assert entry.sentence.endswith(".")


DIGESTS = """
import hashlib, sys, torch
from aggregation import coordinatewise, credit, gram, lattice, outer, rules
torch.set_num_threads(int(sys.argv[1]))
generator = torch.Generator().manual_seed(11)
matrix = torch.randint(-32767, 32768, (9, 150_001), dtype=torch.int16, generator=generator)
floats = matrix.to(torch.float32) / 7
digest = hashlib.sha256()
for rule in rules.RULES:
    for pre in rules.PRE_AGGREGATIONS:
        result = rules.aggregate(matrix, rule=rule, pre=pre, byzantine=0 if rule == "mean" else 2)
        digest.update(result.numpy().tobytes())
for result in (coordinatewise.mean(floats), coordinatewise.trimmed_mean(floats, 2)):
    digest.update(result.numpy().tobytes())
grid = lattice.Lattice(sizes=(50_000, 100_001), exponents=(-3, -9))
encoded = lattice.encode(grid, floats[0])
refined = lattice.refine(coordinatewise.mean(matrix))
step = lattice.decode_refined(grid, refined)
digest.update(encoded.integers.numpy().tobytes() + refined.numpy().tobytes())
digest.update(outer.sgd(floats[1], step, learning_rate=0.7).numpy().tobytes())
digest.update(repr((encoded.saturated, credit.gram_scores(matrix, refined), gram.gram(matrix).tolist())).encode())
print(digest.hexdigest())
"""


def test_threads_and_vector_width_do_not_show():
    """One digest over everything this package computes: 1 or 2 threads, with the widest vectors, AVX2, or none."""
    root = Path(__file__).parents[2]
    digests = set()
    for threads, capability in (("1", None), ("2", "avx2"), ("2", "default")):
        environment = {k: v for k, v in os.environ.items() if k != "ATEN_CPU_CAPABILITY"} | {"PYTHONPATH": str(root)}
        if capability:
            environment["ATEN_CPU_CAPABILITY"] = capability
        command = [sys.executable, "-c", DIGESTS, threads]
        done = subprocess.run(command, cwd=root, env=environment, capture_output=True, text=True, check=True)
        digests.add(done.stdout)
    assert len(digests) == 1

"""From updates to aggregate: every name runs its rule, pre-aggregations compose, and the whole is rounded once."""

from fractions import Fraction

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from aggregation import errors, recipe, rules

ROBUST = [name for name in rules.RULES if name not in {"mean", "bulyan"}]


def aggregate(matrix, rule, pre="none", byzantine=0, **more):
    return recipe.aggregate(matrix, recipe.Method(rule=rule, pre=pre, byzantine=byzantine, **more))


def literal_nnm_trimmed_mean(rows, f):
    """NNM and then the trimmed mean, in fractions from end to end."""
    count = len(rows)
    mixed = []
    for row in rows:
        distances = [sum((a - b) ** 2 for a, b in zip(row, other, strict=True)) for other in rows]
        nearest = sorted(range(count), key=distances.__getitem__)[: count - f]
        mixed.append([Fraction(sum(column), count - f) for column in zip(*(rows[i] for i in nearest), strict=True)])
    kept = [sorted(column)[f : count - f] for column in zip(*mixed, strict=True)]
    return [float(sum(column) / len(column)) for column in kept]


@given(st.lists(st.lists(st.integers(-32767, 32767), min_size=3, max_size=3), min_size=5, max_size=9))
def test_mixing_and_a_rule_round_once(rows):
    """Also where dividing first by n - f and then by n - 2 f would round twice."""
    matrix = torch.tensor(rows, dtype=torch.int16)
    assert aggregate(matrix, "trimmed_mean", "nnm", 2).tolist() == literal_nnm_trimmed_mean(rows, 2)


@pytest.mark.parametrize(
    ("rule", "byzantine", "wanted"),
    [
        ("mean", 0, 15.0),
        ("median", 1, 3.0),
        ("trimmed_mean", 1, 3.4),
        ("meamed", 1, 17 / 6),
        ("krum", 1, 2.0),
        ("multi_krum", 1, 17 / 6),
        ("bulyan", 1, 2.0),
        ("geometric_median", 1, 3.0),
        ("mda", 1, 17 / 6),
        ("smea", 1, 17 / 6),
        ("dnc", 1, 17 / 6),
    ],
)
def test_every_name_runs_its_rule(rule, byzantine, wanted):
    """0 1 2 3 4 7 88: Krum sums 4 squares: 30, 15, 10, 15, 23, ..., so 2; the mean of all but 88 is 17 / 6.

    Bulyan keeps 0 to 4 and of those 1, 2, 3.
    """
    matrix = torch.tensor([[0], [1], [2], [3], [4], [7], [88]], dtype=torch.int16)
    assert aggregate(matrix, rule, byzantine=byzantine).tolist() == [wanted]


def test_pre_aggregations_work_one_after_the_other():
    """30 40 | 3 4 | 0 1 | 0 0 | 0 0, f = 1: ARC shortens the longest one to the next, 3 4; the mean of all is then 6 9 / 5."""
    matrix = torch.tensor([[30, 40], [3, 4], [0, 1], [0, 0], [0, 0]], dtype=torch.int16)
    assert aggregate(matrix, "mean", "arc").tolist() == [33 / 5, 45 / 5]  # f = 0 shortens none
    assert aggregate(matrix, "trimmed_mean", "arc", 1).tolist() == pytest.approx([1.0, 5 / 3], abs=1e-3)
    one_by_one = aggregate(
        torch.tensor([[3, 4], [3, 4], [0, 1], [0, 0], [0, 0]], dtype=torch.int16), "median", "nnm", 1
    )
    assert aggregate(matrix, "median", "arc+nnm", 1).tolist() == pytest.approx(one_by_one.tolist(), abs=1e-3)


def test_a_static_bound_is_in_lattice_steps_wherever_it_stands():
    """50 long, cut to 5: also after a mixture, whose integers are sums and not means."""
    matrix = torch.tensor([[30, 40]] * 4, dtype=torch.int16)
    for pre in ("clip:5", "bucketing:2+clip:5", "nnm+clip:5"):
        assert aggregate(matrix, "mean", pre).tolist() == pytest.approx([3.0, 4.0], abs=1e-3)


def test_centered_clipping_starts_from_the_anchor():
    """From the middle of the honest one step per coordinate; from far away the clients pull by at most the radius a step."""
    honest = torch.tensor([[10, 0], [12, 0], [11, 1], [11, -1], [32767, 32767]], dtype=torch.int16)
    near = torch.cat((honest, torch.tensor([[11, 0]], dtype=torch.int16)))
    found = aggregate(near, "centered_clipping", byzantine=1, anchored=True)
    assert float((found - torch.tensor([11.0, 0.0], dtype=torch.float64)).norm()) < 1.0
    moved = aggregate(torch.cat((honest, honest[4:])), "centered_clipping", byzantine=1, anchored=True)
    assert not torch.equal(found, moved)


@pytest.mark.parametrize("rule", [name for name in rules.RULES if name != "centered_clipping"])
def test_other_rules_take_no_anchor(rule):
    with pytest.raises(errors.RuleError, match=f"{rule} starts from no point"):
        recipe.Method(rule=rule, pre="none", byzantine=0, anchored=True)


@pytest.mark.parametrize("rule", ROBUST)
@pytest.mark.parametrize("pre", ["none", "nnm", "arc", "arc+nnm"])
def test_f_colluders_at_the_bound_do_not_pull_the_aggregate_out(rule, pre):
    """Attack 29, the crude end: the largest lattice values from 2 of 11 move no rule further than the honest spread allows."""
    honest = torch.tensor([[100 + i, -200 - i] for i in range(9)], dtype=torch.int16)
    wild = torch.tensor([[-32767, 32767]] * 2, dtype=torch.int16)
    result = aggregate(torch.cat((wild, honest)), rule, pre, 2)
    away = result - torch.tensor([104.0, -204.0], dtype=torch.float64)
    # Clipping bounds lengths, not places: colluders keep a share of 2 in 11 of the honest length.
    bound = 100.0 if pre == "arc" or rule == "centered_clipping" else 8.0
    assert float(away.norm()) <= bound


@given(st.data())
def test_the_mean_breaks_with_one_and_robust_rules_do_not(data):
    """One client of seven decides the mean whatever the others say; the median and the trimmed mean stay in the honest hull."""
    honest = data.draw(st.lists(st.integers(-50, 50), min_size=6, max_size=6))
    matrix = torch.tensor([[value] for value in [*honest, 32767]], dtype=torch.int16)
    assert float(aggregate(matrix, "mean")) > 4000
    for rule in ("median", "trimmed_mean"):
        assert min(honest) <= float(aggregate(matrix, rule, byzantine=1)) <= max(honest)


@given(st.data())
@pytest.mark.parametrize("rule", ["median", "trimmed_mean", "meamed"])
def test_f_arbitrary_rows_cannot_leave_the_honest_hull(rule, data):
    """In every coordinate, whatever the f rows hold."""
    f = data.draw(st.integers(1, 4))
    values = st.integers(-32767, 32767)
    honest = data.draw(st.lists(st.tuples(values, values), min_size=f + 1 + (rule == "meamed") * f, max_size=9))
    wild = data.draw(st.lists(st.tuples(values, values), min_size=f, max_size=f))
    result = aggregate(torch.tensor([*honest, *wild], dtype=torch.int16), rule, byzantine=f).tolist()
    for value, column in zip(result, zip(*honest, strict=True), strict=True):
        if rule == "meamed":
            spread = max(column) - min(column)
            assert min(column) - spread <= value <= max(column) + spread
        else:
            assert min(column) <= value <= max(column)


@pytest.mark.parametrize("rule", list(rules.RULES))
@pytest.mark.parametrize("pre", ["none", "nnm"])
def test_translation_and_scale_pass_through(rule, pre):
    """Adding a lattice vector to all, or tripling all, does the same to the aggregate; clipping from the origin only scales."""
    generator = torch.Generator().manual_seed(2)
    matrix = torch.randint(-900, 901, (11, 40), dtype=torch.int16, generator=generator)
    byzantine = 0 if rule == "mean" else 2
    plain = aggregate(matrix, rule, pre, byzantine)
    assert torch.allclose(aggregate(matrix * 3, rule, pre, byzantine), plain * 3, atol=1e-4, rtol=0)
    if rule != "centered_clipping":
        assert torch.allclose(aggregate(matrix + 1234, rule, pre, byzantine), plain + 1234, atol=1e-4, rtol=0)


@pytest.mark.parametrize("rule", list(rules.RULES))
def test_one_row_that_is_not_finite_is_named(rule):
    rows = torch.ones((11, 30))
    rows[7, 3] = float("nan")
    with pytest.raises(errors.LatticeError, match="row 7"):
        aggregate(rows, rule, byzantine=0 if rule == "mean" else 2)

"""Attacks fitted to the rule: the search, and Fang's two against their formulas."""

import math

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from aggregation import adaptive, errors, knowledge, shifts

SEARCH = adaptive.Search(evaluations=20, start=0.0, delta=10.0, ratio=0.8)


def known(honest, byzantine=2, **more):
    return knowledge.Knowledge(
        honest=torch.tensor(honest, dtype=torch.float64), byzantine=byzantine, **({"round": 1, "seed": 0} | more)
    )


def median(rows):
    return rows.median(0).values


def normal(seed, rows=7, dim=5):
    return (np.random.default_rng(seed).normal(size=(rows, dim)) + 0.5).tolist()


@pytest.mark.parametrize("fitted", [adaptive.alie, adaptive.ipm])
@pytest.mark.parametrize("seed", range(4))
def test_no_factor_that_was_tried_would_have_harmed_more(fitted, seed):
    """The rule is run exactly `evaluations` times, and what is sent is the most harmful of all inputs it saw."""
    honest = torch.tensor(normal(seed), dtype=torch.float64)
    harms = []

    def spying(rows):
        assert torch.equal(rows[:7], honest)
        harms.append(((median(rows) - honest.mean(0)).norm().item(), rows[7:].tolist()))
        return median(rows)

    sent = fitted(known(normal(seed), byzantine=3, defence=spying), search=SEARCH)
    assert len(harms) == 20
    most, rows = max(harms, key=lambda pair: pair[0])
    assert sent.tolist() == rows
    assert most > 0
    assert torch.equal(sent[0], sent[2])


def test_fitted_attacks_are_alie_and_ipm_with_another_factor():
    """Against the mean, more is always worse: the factor doubles its step to the end, 10 (2^19 - 1)."""
    chosen = known(normal(1), defence=lambda rows: rows.mean(0))
    factor = 10.0 * (2**19 - 1)
    torch.testing.assert_close(adaptive.ipm(chosen, search=SEARCH), shifts.ipm(chosen, epsilon=factor))
    torch.testing.assert_close(adaptive.alie(chosen, search=SEARCH), shifts.alie(chosen, z=factor))


@pytest.mark.parametrize("fitted", [adaptive.alie, adaptive.ipm])
def test_who_does_not_know_the_rule_cannot_fit_to_it(fitted):
    with pytest.raises(errors.RuleError, match="defence"):
        fitted(known(normal(0)), search=SEARCH)


def test_the_search_tries_the_points_of_its_definition():
    """Gain 10 - |x - 12|: 0 and 10 grow, 30 does not (step 20 * 0.8 = 16), then 26, 22.8 ... ever closer to 10."""
    tried = []

    def gain(x):
        tried.append(x)
        return 10 - abs(x - 12)

    best = adaptive.maximum(gain, adaptive.Search(evaluations=7, start=0.0, delta=10.0, ratio=0.8))
    steps = [20 * 0.8**k for k in range(1, 5)]
    assert tried == pytest.approx([0.0, 10.0, 30.0, *(10 + s for s in steps)])
    assert best == 10.0


def test_a_gain_after_the_first_loss_does_not_make_the_steps_grow_again():
    """Gain -|x - 19|: 10 grows, 30 does not, 26 (step 20 * 0.8) does; from there the steps go on shrinking."""
    tried = []

    def gain(x):
        tried.append(x)
        return -abs(x - 19)

    best = adaptive.maximum(gain, adaptive.Search(evaluations=7, start=0.0, delta=10.0, ratio=0.8))
    assert tried == pytest.approx([0.0, 10.0, 30.0, 26.0, *(26 + 20 * 0.8**k for k in range(2, 5))])
    assert best == 26.0


@given(st.lists(st.floats(-5, 5), min_size=30, max_size=30), st.floats(-3, 3), st.floats(0.6, 0.9), st.integers(1, 30))
def test_the_search_returns_the_best_of_what_it_tried(gains, start, ratio, evaluations):
    """Whatever the gains, and the first of equal ones."""
    values = iter(gains)
    seen = []

    def gain(x):
        seen.append((x, next(values)))
        return seen[-1][1]

    best = adaptive.maximum(gain, adaptive.Search(evaluations=evaluations, start=start, delta=1.0, ratio=ratio))
    assert len(seen) == evaluations
    assert best == max(seen, key=lambda pair: pair[1])[0]


def test_fang_draws_beyond_the_honest_on_the_side_they_do_not_go_to():
    """Fang et al. 2020, section 4.3 with b = 2: the four cases of the sign of the mean and of the edge."""
    honest = [[1.0, -4.0, 8.0, -6.0], [5.0, 14.0, -10.0, -2.0]]
    bounds = [(0.5, 1.0), (-8.0, -4.0), (8.0, 16.0), (-2.0, -1.0)]
    rows = adaptive.fang_trimmed_mean(known(honest, byzantine=200)).numpy()
    for column, (low, high) in zip(rows.T, bounds, strict=True):
        assert low <= column.min() < low + 0.05 * (high - low)
        assert high - 0.05 * (high - low) < column.max() <= high
    assert len(np.unique(rows)) == 800


@pytest.mark.parametrize("stretch", [1.5, 3.0])
def test_fangs_values_reach_as_far_as_told(stretch):
    rows = adaptive.fang_trimmed_mean(known([[-1.0], [3.0]], byzantine=500), stretch=stretch)
    assert -stretch <= rows.min() < -stretch + 0.05
    assert -1.05 < rows.max() <= -1.0
    rows = adaptive.fang_trimmed_mean(known([[1.0], [3.0]], byzantine=500), stretch=stretch)
    assert 1 / stretch <= rows.min() < 1 / stretch + 0.05


def literal_krum(rows, f):
    """Blanchard et al. 2017: the row with the least sum of squared distances to its n - f - 2 nearest, ties to the last."""
    scores = []
    for i, x in enumerate(rows):
        distances = sorted(sum((a - b) ** 2 for a, b in zip(x, y, strict=True)) for j, y in enumerate(rows) if j != i)
        scores.append((sum(distances[: len(rows) - f - 2]), i))
    return min(scores)[1]


@pytest.mark.parametrize("f", [1, 2, 3])
@pytest.mark.parametrize(("seed", "dim"), [(0, 4), (1, 4), (2, 4), (0, 30), (1, 30), (2, 30)])
def test_krum_chooses_fangs_step_and_none_of_those_longer(seed, dim, f):
    """Theorem 1's bound, halved until Krum, written out, chooses it; the honest come first and win ties."""
    honest = np.random.default_rng(seed).normal(size=(9, dim)) + 0.2
    squares = ((honest[:, None] - honest[None]) ** 2).sum(2)
    n, sign = 9 + f, np.sign(honest.mean(0))
    least = min(sum(sorted(row)[1 : n - f - 2 + 1]) for row in squares)
    reach = math.sqrt(least / ((n - 2 * f - 1) * dim)) + np.linalg.norm(honest, axis=1).max() / math.sqrt(dim)
    chosen = []
    for _ in range(20):
        chosen.append(literal_krum([*honest.tolist(), *np.tile(-reach * sign, (f, 1)).tolist()], f) >= 9)
        if chosen[-1]:
            break
        reach /= 2
    np.testing.assert_allclose(
        adaptive.fang_krum(known(honest.tolist(), byzantine=f)).numpy(), np.tile(-reach * sign, (f, 1)), rtol=1e-9
    )
    assert chosen[-1] or dim == 4


def test_fangs_search_for_krum_ends():
    """Honest updates that are all alike: Krum never prefers another, and after 20 halvings the step is sent all the same."""
    sent = adaptive.fang_krum(known([[1.0, 1.0]] * 5, byzantine=1))
    assert sent.tolist() == [[-(2.0**-20), -(2.0**-20)]]


def test_fang_on_krum_needs_as_many_neighbours_as_krum():
    with pytest.raises(errors.RuleError, match="3 honest updates against 2"):
        adaptive.fang_krum(known([[1.0]] * 3))

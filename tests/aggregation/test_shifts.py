"""Attacks that shift the honest mean, against their papers' formulas written out."""

import math
import statistics

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from aggregation import errors, knowledge, shifts

PERTURBATIONS = (shifts.against_mean, shifts.against_deviation, shifts.against_sign)


def known(honest, byzantine=2, **more):
    return knowledge.Knowledge(
        honest=torch.tensor(honest, dtype=torch.float64), byzantine=byzantine, **({"round": 1, "seed": 0} | more)
    )


@st.composite
def matrices(draw):
    rows, dim = draw(st.integers(1, 8)), draw(st.integers(1, 5))
    row = st.lists(st.floats(-10, 10, width=32), min_size=dim, max_size=dim)
    return draw(st.lists(row, min_size=rows, max_size=rows))


def same(rows, vector, byzantine=2):
    """All attackers send `vector`, to rounding."""
    assert rows.shape == (byzantine, len(vector))
    np.testing.assert_allclose(rows.numpy(), np.tile(vector, (byzantine, 1)), rtol=1e-9, atol=1e-9)


@given(matrices(), st.floats(0.01, 100))
def test_ipm_sends_a_negative_multiple_of_the_honest_mean(honest, epsilon):
    """Xie et al. 2019: -(epsilon / h) sum_i x_i; the sign flip is epsilon = 1."""
    total = [sum(column) for column in zip(*honest, strict=True)]
    same(shifts.ipm(known(honest), epsilon=epsilon), [-epsilon / len(honest) * t for t in total])
    same(shifts.sign_flip(known(honest)), [-1 / len(honest) * t for t in total])


@given(matrices(), st.floats(-5, 5))
def test_alie_sends_the_mean_and_z_standard_deviations(honest, z):
    """Baruch et al. 2019, algorithm 3, with the sample's standard deviation; a single honest update has none."""
    columns = list(zip(*honest, strict=True))
    wanted = [statistics.fmean(c) + z * (statistics.stdev(c) if len(c) > 1 else 0.0) for c in columns]
    same(shifts.alie(known(honest), z=z), wanted)


def test_z_max_is_the_papers():
    """Baruch et al. 2019: n = 50, f = 24 gives s = 2, (n - f - s) / (n - f) = 24 / 26 and z = 1.43 (its example)."""
    assert shifts.z_max(50, 24) == pytest.approx(1.43, abs=0.005)
    # Phi(0) = 1/2: n = 8, f = 2 gives s = 3 of 6 honest.
    assert shifts.z_max(8, 2) == 0.0
    honest = [[float(i), float(-i)] for i in range(26)]
    wanted = 12.5 + shifts.z_max(50, 24) * statistics.stdev(range(26))
    assert shifts.alie(known(honest, byzantine=24))[0, 0].item() == pytest.approx(wanted)


@pytest.mark.parametrize(("clients", "byzantine"), [(2, 0), (5, 3), (4, 3), (1, 1)])
def test_there_is_no_z_max_for_a_byzantine_majority(clients, byzantine):
    with pytest.raises(errors.RuleError, match=rf"z_max of {clients} holders, {byzantine} of them"):
        shifts.z_max(clients, byzantine)


def test_gaussian_noise_has_the_deviation_asked_for_and_differs_between_attackers_and_rounds():
    """20,000 draws at sigma 3: their root mean square is 3 to 2 %, which is more than five standard errors."""
    noise = shifts.gaussian(known([[0.0] * 10_000]), sigma=3.0)
    assert noise.square().mean().sqrt().item() == pytest.approx(3.0, rel=0.03)
    assert not torch.equal(noise[0], noise[1])
    assert torch.equal(noise, shifts.gaussian(known([[0.0] * 10_000]), sigma=3.0))
    assert not torch.equal(noise, shifts.gaussian(known([[0.0] * 10_000], round=2), sigma=3.0))
    assert not torch.equal(noise, shifts.gaussian(known([[0.0] * 10_000], seed=2), sigma=3.0))


def literal_gamma(fits):
    """Shejwalkar, Houmansadr 2021, algorithm 1: gamma from 10, halving steps, to a tolerance of 1e-9."""
    gamma, step, success = 10.0, 10.0, 0.0
    while abs(success - gamma) > 1e-9:
        if fits(gamma):
            success = gamma
            gamma += step / 2
        else:
            gamma -= step / 2
        step /= 2
    return success


@pytest.mark.parametrize("perturbation", PERTURBATIONS)
@pytest.mark.parametrize("seed", range(5))
def test_min_max_and_min_sum_are_what_the_papers_search_finds(perturbation, seed):
    honest = np.random.default_rng(seed).normal(size=(6, 4)) + 1.0
    mean, direction = honest.mean(0), perturbation(torch.tensor(honest)).numpy()
    squares = ((honest[:, None] - honest[None]) ** 2).sum(2)
    far = literal_gamma(lambda g: ((mean + g * direction - honest) ** 2).sum(1).max() <= squares.max())
    summed = literal_gamma(lambda g: ((mean + g * direction - honest) ** 2).sum() <= squares.sum(1).max())
    given_known = known(honest.tolist())
    np.testing.assert_allclose(
        shifts.min_max(given_known, perturbation=perturbation)[0].numpy(), mean + far * direction, atol=1e-7
    )
    np.testing.assert_allclose(
        shifts.min_sum(given_known, perturbation=perturbation)[1].numpy(), mean + summed * direction, atol=1e-7
    )


@pytest.mark.parametrize("perturbation", PERTURBATIONS)
@given(honest=matrices())
def test_min_max_goes_exactly_as_far_as_two_honest_updates_are_apart(perturbation, honest):
    """Never beyond the bound, and on it wherever the perturbation has a direction; min-sum likewise with sums."""
    rows = torch.tensor(honest, dtype=torch.float64)
    squares = (rows[:, None] - rows[None]).square().sum(2)
    scale = 1.0 + rows.abs().max().item() ** 2
    far = (shifts.min_max(known(honest), perturbation=perturbation)[0] - rows).square().sum(1)
    summed = (shifts.min_sum(known(honest), perturbation=perturbation)[0] - rows).square().sum(1)
    assert far.max() <= squares.max() + 1e-9 * scale
    assert summed.sum() <= squares.sum(1).max() + 1e-9 * scale
    if perturbation(rows).norm() > 1e-3:
        assert far.max() >= squares.max() - 1e-6 * scale
        assert summed.sum() >= squares.sum(1).max() - 1e-6 * scale


def test_perturbations_are_the_papers_three():
    """-m / |m|, -std and -sign(m), on columns whose mean and deviation are whole numbers."""
    honest = torch.tensor([[2.0, -4.0, 1.0], [4.0, -4.0, -1.0]], dtype=torch.float64)
    assert shifts.against_mean(honest).tolist() == [-0.6, 0.8, 0.0]
    assert shifts.against_sign(honest).tolist() == [-1.0, 1.0, 0.0]
    assert shifts.against_deviation(honest).tolist() == [-math.sqrt(2), 0.0, -math.sqrt(2)]


@pytest.mark.parametrize("angle", [90.0, 180.0, 270.0, 33.0])
def test_rop_lies_at_its_angle_around_the_last_aggregate(angle):
    """From pi u + (1 - pi) m the attack is r long, at `angle` from v = lambda u + (1 - lambda) m, in its plane with ones."""
    rng = np.random.default_rng(1)
    honest, last = rng.normal(size=(5, 6)), rng.normal(size=6)
    mean = honest.mean(0)
    chosen = known(honest.tolist(), previous=torch.tensor(last))
    attack = shifts.rop(chosen, length=2.0, relocation=0.75, reference=0.25, angle=angle)
    moved = attack[0].numpy() - (0.75 * last + 0.25 * mean)
    toward = 0.25 * last + 0.75 * mean
    toward /= np.linalg.norm(toward)
    spread = math.sqrt(((honest - mean) ** 2).sum() / 5)
    assert np.linalg.norm(moved) == pytest.approx(2.0 * spread)
    assert moved @ toward == pytest.approx(2.0 * spread * math.cos(math.radians(angle)), abs=1e-9)
    across = np.ones(6) - toward * (np.ones(6) @ toward)
    across /= np.linalg.norm(across)
    assert moved @ across == pytest.approx(2.0 * spread * math.sin(math.radians(angle)), abs=1e-9)
    assert torch.equal(attack[0], attack[1])


def test_rop_starts_from_the_honest_mean_in_the_first_round():
    honest = [[1.0, 3.0], [3.0, 1.0]]
    assert torch.allclose(
        shifts.rop(known(honest), length=1.0),
        shifts.rop(known(honest, previous=torch.tensor([2.0, 2.0], dtype=torch.float64)), length=1.0),
    )
    with_another = shifts.rop(known(honest, previous=torch.tensor([0.0, 1.0], dtype=torch.float64)), length=1.0)
    # u = (0, 1), v = (0.2, 1.1) to a length; across it, in the plane, lies (1.1, -0.2); 270 degrees is against it.
    wanted = np.array([0.0, 1.0]) - np.array([1.1, -0.2]) / math.sqrt(1.25) * math.sqrt(2.0)
    np.testing.assert_allclose(with_another[0].numpy(), wanted, atol=1e-12)


def test_model_replacement_makes_the_mean_the_attackers_own():
    """With honest updates of zero, the mean of all five is exactly the own update: n / f = 5 / 2."""
    own = torch.tensor([2.0, -4.0], dtype=torch.float64)
    honest = [[0.0, 0.0]] * 3
    sent = shifts.model_replacement(known(honest, own=own))
    assert sent.tolist() == [[5.0, -10.0]] * 2
    with pytest.raises(errors.RuleError, match="own"):
        shifts.model_replacement(known(honest))


def test_distances_do_not_cancel_between_updates_that_share_a_large_part():
    """Rows 3-4-5 apart, both about 1e8 from the origin: |x|^2 + |y|^2 - 2 <x, y> alone would keep no digit."""
    rows = torch.tensor([[1e8, 1e8], [1e8 + 3, 1e8 + 4]], dtype=torch.float64)
    assert shifts.squared_distances(rows).tolist() == [[0.0, 25.0], [25.0, 0.0]]


@pytest.mark.parametrize(("rows", "byzantine"), [(0, 1), (3, 0)])
def test_an_attack_needs_attackers_and_someone_to_attack(rows, byzantine):
    with pytest.raises(errors.RuleError, match="at least 1 of each"):
        knowledge.Knowledge(honest=torch.zeros(rows, 2, dtype=torch.float64), byzantine=byzantine, round=1, seed=0)


def test_uniform_draws_lie_in_the_unit_interval_and_repeat():
    """As `noise`: a function of seed, round and purpose, and of nothing else."""
    drawn = knowledge.uniform(known([[0.0] * 1000]), "a")
    assert drawn.shape == (2, 1000)
    assert drawn.min() >= 0
    assert drawn.max() < 1
    assert drawn.mean().item() == pytest.approx(0.5, abs=0.05)
    torch.manual_seed(99)
    expected = torch.rand(1)
    torch.manual_seed(99)
    assert torch.equal(drawn, knowledge.uniform(known([[0.0] * 1000]), "a"))
    assert torch.equal(torch.rand(1), expected), "the caller's generator was used"
    assert not torch.equal(drawn, knowledge.uniform(known([[0.0] * 1000]), "b"))

"""Attacks that look honest: what they send, and when."""

import functools
import math

import numpy as np
import pytest
import torch

from aggregation import disguises, errors, knowledge, shifts

HONEST = [[1.0, 0.0], [3.0, 0.0], [2.0, 6.0]]
MEAN = [2.0, 2.0]


def known(honest=HONEST, byzantine=2, **more):
    return knowledge.Knowledge(
        honest=torch.tensor(honest, dtype=torch.float64), byzantine=byzantine, **({"round": 1, "seed": 0} | more)
    )


def test_mimic_copies_the_chosen_holder():
    assert disguises.mimic(known(), whom=2).tolist() == [HONEST[2]] * 2


@pytest.mark.parametrize("whom", [-1, 3])
def test_mimic_refuses_a_holder_that_is_not_there(whom):
    with pytest.raises(errors.RuleError, match=f"holder {whom}: expected 0 to 2"):
        disguises.mimic(known(), whom=whom)


def test_the_learned_direction_follows_the_papers_recursion():
    """Karimireddy et al. 2022, written as loops over holders: mean, Oja's step, unit length, over three rounds."""
    rng = np.random.default_rng(0)
    state, mean, z = None, np.zeros(3), None
    for t in range(3):
        honest = rng.normal(size=(4, 3))
        chosen = known(honest.tolist(), round=t + 1, direction=state)
        if z is None:
            z = knowledge.noise(chosen, "mimic", 1)[0].numpy()
        mean = t / (1 + t) * mean + 1 / (1 + t) * sum(honest) / 4
        step = sum(np.outer(x - mean, x - mean) for x in honest) @ (z / np.linalg.norm(z))
        z = t / (1 + t) * z / np.linalg.norm(z) + 1 / (1 + t) * step / np.linalg.norm(step)
        z /= np.linalg.norm(z)
        state = disguises.learn(chosen)
        assert state.rounds == t + 1
        np.testing.assert_allclose(state.mean.numpy(), mean, atol=1e-12)
        np.testing.assert_allclose(state.vector.numpy(), z, atol=1e-12)
        whom = max(range(4), key=lambda i: honest[i] @ z)
        np.testing.assert_array_equal(disguises.mimic_learned(chosen).numpy(), np.tile(honest[whom], (2, 1)))


def test_the_learned_direction_converges_to_the_largest_variance():
    """Holders differ by 2 along (3, 4) / 5 and by 1 across it: in 40 rounds the vector turns to that axis."""
    axis, across = np.array([0.6, 0.8]), np.array([-0.8, 0.6])
    honest = [(2 * axis).tolist(), (-2 * axis).tolist(), across.tolist(), (-across).tolist()]
    state = None
    for number in range(1, 41):
        state = disguises.learn(known(honest, round=number, direction=state))
    assert abs(state.vector.numpy() @ axis) > 0.99
    assert disguises.mimic_learned(known(honest, round=41, direction=state))[0].tolist() in honest[:2]


def test_holders_that_do_not_differ_teach_no_direction():
    """Without any variance the direction stays as it was, finite and of length 1."""
    first = disguises.learn(known([[1.0, 2.0]] * 3))
    assert first.vector.norm().item() == pytest.approx(1.0)
    second = disguises.learn(known([[1.0, 2.0]] * 3, round=2, direction=first))
    assert torch.allclose(second.vector, first.vector)


def test_a_free_rider_repeats_the_last_aggregate_with_noise():
    """The noise is sigma times the aggregate's root mean square, another for each attacker."""
    last = torch.tensor([3.0, -4.0] * 5000, dtype=torch.float64)
    rows = disguises.free_rider(known([[0.0] * 10_000], previous=last), sigma=0.1)
    assert (rows - last).square().mean().sqrt().item() == pytest.approx(0.1 * math.sqrt(12.5), rel=0.03)
    assert not torch.equal(rows[0], rows[1])
    assert disguises.free_rider(known([[0.0] * 10_000], previous=last), sigma=0.0).tolist() == [last.tolist()] * 2


def test_a_free_rider_without_a_past_and_an_idle_one_send_zeros():
    assert disguises.free_rider(known(), sigma=0.1).tolist() == [[0.0, 0.0]] * 2
    assert disguises.zero(known(previous=torch.ones(2, dtype=torch.float64))).tolist() == [[0.0, 0.0]] * 2


def test_sybils_differ_and_still_add_up_to_the_poison():
    """No two rows are alike, each is within the noise of the poisoned update, and their mean is that update."""
    poison = shifts.sign_flip(known(byzantine=5))[0]
    rows = disguises.sybil(known(byzantine=5), attack=shifts.sign_flip, sigma=0.01)
    assert len({tuple(row) for row in rows.tolist()}) == 5
    torch.testing.assert_close(rows.mean(0), poison, rtol=0, atol=1e-12)
    assert 0 < (rows - poison).abs().max() < 0.1 * poison.norm()


def test_a_single_sybil_sends_the_poison_itself():
    rows = disguises.sybil(known(byzantine=1), attack=shifts.sign_flip, sigma=0.5)
    assert rows.tolist() == [[-2.0, -2.0]]


def test_a_delayed_attack_is_honest_first():
    sent = [
        disguises.delayed(known(round=r), attack=shifts.sign_flip, rounds=2)[0].tolist() == MEAN for r in range(1, 5)
    ]
    assert sent == [True, True, False, False]
    assert disguises.delayed(known(round=3), attack=shifts.sign_flip, rounds=2).tolist() == [[-2.0, -2.0]] * 2


def test_an_on_off_attack_alternates_from_the_first_round():
    attack = functools.partial(disguises.on_off, attack=shifts.sign_flip, on=2, off=3)
    sent = [attack(known(round=r))[1].tolist() == [-2.0, -2.0] for r in range(1, 11)]
    assert sent == [True, True, False, False, False] * 2
    assert attack(known(round=3)).tolist() == [MEAN] * 2

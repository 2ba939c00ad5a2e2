"""The outer step: every operation rounded by itself."""

import math
from fractions import Fraction

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from aggregation import outer


@pytest.mark.parametrize("dim", [1, 7, 100_003])
def test_product_and_sum_are_rounded_one_after_the_other(dim):
    """(1 + 2**-30) (1 - 2**-30) = 1 - 2**-60 rounds to 1, so 1 is cancelled to 0; a fused step would leave -2**-60."""
    parameters = torch.full((dim,), -1.0)
    step = torch.full((dim,), 1 + 2.0**-30, dtype=torch.float64)
    result = outer.sgd(parameters, step, learning_rate=1 - 2.0**-30)
    assert result.tolist() == [0.0] * dim


def test_the_sum_is_cast_once():
    """1 + 2**-24 is halfway between two float32: to even gives 1, while 2**-50 more decides for the upper one."""
    parameters = torch.ones(3)
    step = torch.tensor([2.0**-24, 2.0**-24 + 2.0**-50, 0.25], dtype=torch.float64)
    assert outer.sgd(parameters, step, learning_rate=1.0).tolist() == [1.0, 1 + 2.0**-23, 1.25]


@given(st.floats(-100, 100, width=32), st.integers(-(2**23), 2**23), st.integers(0, 20))
def test_the_step_is_added_times_the_learning_rate(parameter, refined, shift):
    """With powers of two everything but the cast is exact: it equals the float32 nearest to the fraction."""
    step, learning_rate = refined * 2.0**-20, 2.0**-shift
    exact = Fraction(parameter) + Fraction(step) * Fraction(learning_rate)
    result = outer.sgd(
        torch.tensor([parameter]), torch.tensor([step], dtype=torch.float64), learning_rate=learning_rate
    )
    (value,) = result.tolist()
    below = torch.nextafter(result, torch.tensor([-float("inf")])).item()
    above = torch.nextafter(result, torch.tensor([float("inf")])).item()
    tolerance = abs(exact) * Fraction(2) ** -52
    assert abs(exact - Fraction(value)) <= min(abs(exact - Fraction(below)), abs(exact - Fraction(above))) + tolerance


def test_the_callers_tensors_stay_as_they_were():
    parameters, step = torch.ones(2), torch.ones(2, dtype=torch.float64)
    outer.sgd(parameters, step, learning_rate=0.5)
    assert parameters.tolist() == [1.0, 1.0]
    assert step.tolist() == [1.0, 1.0]


FLOATS = st.floats(-100, 100)
RATES = st.floats(1e-3, 10)
BETAS = st.floats(0, 0.9999)


def rounds(draw, dim=3, number=4):
    """Parameters and the aggregates of a few rounds."""
    parameters = draw.draw(st.lists(st.floats(-100, 100, width=32), min_size=dim, max_size=dim))
    steps = draw.draw(st.lists(st.lists(FLOATS, min_size=dim, max_size=dim), min_size=number, max_size=number))
    return parameters, steps


def same_bits(tensor, values):
    wanted = np.array(values, dtype=np.float32 if tensor.dtype == torch.float32 else np.float64)
    assert tensor.numpy().tobytes() == wanted.tobytes()


def float32(value):
    return float(np.float32(value))


@given(st.data(), RATES, BETAS)
def test_nesterov_is_its_formula_in_python_floats_bit_for_bit(data, rate, momentum):
    """A Python float is a double, and every operation on it is rounded by itself."""
    x, steps = rounds(data)
    b = [0.0] * len(x)
    parameters, state = torch.tensor(x), outer.resting(torch.tensor(x))
    same_bits(state.velocity, b)
    for d in steps:
        b = [momentum * bi + di for bi, di in zip(b, d, strict=True)]
        x = [float32(xi + rate * (di + momentum * bi)) for xi, di, bi in zip(x, d, b, strict=True)]
        step = torch.tensor(d, dtype=torch.float64)
        parameters, state = outer.nesterov(parameters, step, state, learning_rate=rate, momentum=momentum)
        same_bits(parameters, x)
        same_bits(state.velocity, b)


@pytest.mark.parametrize("rule", [outer.adam, outer.yogi])
@given(st.data(), RATES, BETAS, BETAS, st.floats(1e-9, 1))
def test_adam_and_yogi_are_algorithm_2_in_python_floats_bit_for_bit(rule, data, rate, beta1, beta2, tau):
    x, steps = rounds(data)
    m, v = [0.0] * len(x), [tau * tau] * len(x)
    parameters, state = torch.tensor(x), outer.fresh(torch.tensor(x), tau=tau)
    same_bits(state.first, m)
    same_bits(state.second, v)
    for d in steps:
        m = [beta1 * mi + (1 - beta1) * di for mi, di in zip(m, d, strict=True)]
        if rule is outer.adam:
            v = [beta2 * vi + (1 - beta2) * (di * di) for vi, di in zip(v, d, strict=True)]
        else:
            signs = [(vi > di * di) - (vi < di * di) for vi, di in zip(v, d, strict=True)]
            v = [vi - (1 - beta2) * (di * di) * s for vi, di, s in zip(v, d, signs, strict=True)]
        x = [float32(xi + rate * mi / (math.sqrt(vi) + tau)) for xi, mi, vi in zip(x, m, v, strict=True)]
        step = torch.tensor(d, dtype=torch.float64)
        parameters, state = rule(parameters, step, state, learning_rate=rate, beta1=beta1, beta2=beta2, tau=tau)
        same_bits(parameters, x)
        same_bits(state.first, m)
        same_bits(state.second, v)


@pytest.mark.parametrize("dim", [1, 7, 100_003])
def test_long_vectors_are_the_same_loop(dim):
    """Vectorised and parallel kernels give the bits that numpy's one-operation-at-a-time gives, in every element."""
    rng = np.random.default_rng(dim)
    x, v, m, d = (rng.normal(size=dim) for _ in range(4))
    x, v = x.astype(np.float32), v * v
    state = outer.Moments(first=torch.tensor(m), second=torch.tensor(v))
    step, parameters = torch.tensor(d), torch.tensor(x)
    moved, after = outer.yogi(parameters, step, state, learning_rate=0.3, beta1=0.9, beta2=0.99, tau=1e-3)
    second = v - d * d * (1 - 0.99) * np.sign(v - d * d)
    mean = m * 0.9 + d * (1 - 0.9)
    same_bits(after.second, second)
    same_bits(moved, (x.astype(np.float64) + mean * 0.3 / (np.sqrt(second) + 1e-3)).astype(np.float32))
    moved, velocity = outer.nesterov(
        parameters, step, outer.Velocity(velocity=torch.tensor(m)), learning_rate=0.7, momentum=0.9
    )
    speed = m * 0.9 + d
    same_bits(velocity.velocity, speed)
    same_bits(moved, (x.astype(np.float64) + (d + speed * 0.9) * 0.7).astype(np.float32))


@given(st.data(), RATES)
def test_without_momentum_nesterov_is_sgd(data, rate):
    x, steps = rounds(data)
    parameters, state = torch.tensor(x), outer.resting(torch.tensor(x))
    for d in steps:
        # A lattice has no -0.0.
        step = torch.tensor(d, dtype=torch.float64) + 0.0
        wanted = outer.sgd(parameters, step, learning_rate=rate)
        parameters, state = outer.nesterov(parameters, step, state, learning_rate=rate, momentum=0.0)
        assert torch.equal(parameters, wanted)


def test_nesterov_is_torchs_own():
    """DiLoCo's outer optimizer: torch.optim.SGD with nesterov on the gradient -d, to float32's rounding."""
    x = torch.nn.Parameter(torch.tensor([1.0, -2.0]))
    optimizer = torch.optim.SGD([x], lr=0.7, momentum=0.9, nesterov=True)
    parameters, state = x.detach().clone(), outer.resting(x.detach())
    for d in ([1.0, 0.5], [-0.25, 3.0], [2.0, 2.0]):
        x.grad = -torch.tensor(d)
        optimizer.step()
        step = torch.tensor(d, dtype=torch.float64)
        parameters, state = outer.nesterov(parameters, step, state, learning_rate=0.7, momentum=0.9)
        torch.testing.assert_close(parameters, x.detach())


def test_states_are_left_as_they_were():
    """A round that is computed again, in an audit, starts from the same state."""
    parameters, step = torch.ones(2), torch.ones(2, dtype=torch.float64)
    velocity, moments = outer.resting(parameters), outer.fresh(parameters, tau=0.5)
    outer.nesterov(parameters, step, velocity, learning_rate=0.5, momentum=0.9)
    for rule in (outer.adam, outer.yogi):
        rule(parameters, step, moments, learning_rate=0.5, beta1=0.9, beta2=0.9, tau=0.5)
    assert velocity.velocity.tolist() == [0.0, 0.0]
    assert (moments.first.tolist(), moments.second.tolist()) == ([0.0, 0.0], [0.25, 0.25])
    assert (parameters.tolist(), step.tolist()) == ([1.0, 1.0], [1.0, 1.0])


@pytest.mark.parametrize("rule", ["nesterov", "adam", "yogi"])
def test_every_operation_shows_where_the_move_cancels_the_weight(rule):
    """With x = -float32(move) the sum is exact and all that is left: the last bits of each product, sum and quotient."""
    rng = np.random.default_rng(0)
    d, m = rng.normal(size=(2, 10_000))
    v = m * m + 0.01
    if rule == "nesterov":
        move = (d + (m * 0.9 + d) * 0.9) * 0.7
    else:
        second = v * 0.99 + d * d * (1 - 0.99) if rule == "adam" else v - d * d * (1 - 0.99) * np.sign(v - d * d)
        move = (m * 0.9 + d * (1 - 0.9)) * 0.7 / (np.sqrt(second) + 1e-3)
    x = -move.astype(np.float32)
    parameters, step = torch.tensor(x), torch.tensor(d)
    if rule == "nesterov":
        state = outer.Velocity(velocity=torch.tensor(m))
        moved, _ = outer.nesterov(parameters, step, state, learning_rate=0.7, momentum=0.9)
    else:
        moments = outer.Moments(first=torch.tensor(m), second=torch.tensor(v))
        function = outer.adam if rule == "adam" else outer.yogi
        moved, _ = function(parameters, step, moments, learning_rate=0.7, beta1=0.9, beta2=0.99, tau=1e-3)
    same_bits(moved, (x.astype(np.float64) + move).astype(np.float32))


def test_a_model_of_many_blocks_moves_as_a_whole():
    """The bits of one float64 expression over all of it, whatever is handled at once; nothing of what is given changes."""
    draw = torch.Generator().manual_seed(5)
    weights = torch.randn(3 * outer._BLOCK + 7, generator=draw)
    step = torch.randn(len(weights), generator=draw, dtype=torch.float64)
    before = weights.clone()
    moved = outer.sgd(weights, step, learning_rate=0.3)
    assert torch.equal(moved, (weights.to(torch.float64) + step * 0.3).to(torch.float32))
    assert torch.equal(weights, before)

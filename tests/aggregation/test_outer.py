"""The outer step: every operation rounded by itself."""

from fractions import Fraction

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

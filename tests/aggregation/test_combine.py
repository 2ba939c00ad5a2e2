"""Weighted sums against exact fractions."""

from fractions import Fraction

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from aggregation import combine


@st.composite
def weighted(draw):
    clients, dim = draw(st.integers(1, 40)), draw(st.integers(1, 5))
    numbers = st.integers(-32768, 32767)
    rows = draw(st.lists(st.lists(numbers, min_size=dim, max_size=dim), min_size=clients, max_size=clients))
    most = combine.MOST // clients
    weights = st.one_of(st.just(0), st.integers(-most, most))
    return rows, draw(st.lists(weights, min_size=clients, max_size=clients)), draw(st.integers(1, 2**40))


@given(weighted())
def test_integers_are_summed_exactly_and_divided_once(case):
    rows, numerators, denominator = case
    matrix, weights = torch.tensor(rows, dtype=torch.int16), np.array(numerators, dtype=np.int64)
    wanted = [
        float(Fraction(sum(w * x for w, x in zip(numerators, column, strict=True)), denominator))
        for column in zip(*rows, strict=True)
    ]
    assert combine.combine(matrix, weights, denominator).tolist() == wanted
    chosen = np.flatnonzero(weights)
    assert combine.on_tensors(matrix, chosen, weights[chosen].astype(np.float64), denominator).tolist() == wanted


@pytest.mark.parametrize("dtype", [torch.int16, torch.float32, torch.float64])
@pytest.mark.parametrize("clients", [1, 3, 4, 9])
def test_wide_slices_on_any_number_of_threads(dtype, clients):
    """Several spans and a ragged last chunk; a sum in the order of the rows is the other implementation."""
    generator = torch.Generator().manual_seed(1)
    matrix = torch.randint(-32768, 32767, (clients, 140_003), dtype=torch.int16, generator=generator).to(dtype)[:, 2:]
    weights = np.arange(clients, dtype=np.int64)
    wanted = torch.zeros(140_001, dtype=torch.float64)
    for weight, row in zip(weights.tolist(), matrix, strict=True):
        wanted += weight * row.to(torch.float64)
    before = torch.get_num_threads()
    try:
        for threads in (1, 2, 4):
            torch.set_num_threads(threads)
            assert torch.equal(combine.combine(matrix, weights, 7), wanted / 7)
    finally:
        torch.set_num_threads(before)


def test_rows_of_weight_zero_are_not_read():
    matrix = torch.tensor([[1.0, 2.0], [float("nan"), float("inf")]])
    assert combine.combine(matrix, np.array([0.5, 0.0]), 1).tolist() == [0.5, 1.0]


def test_no_weights_or_no_columns():
    assert combine.combine(torch.ones(2, 3), np.zeros(2), 1).tolist() == [0.0] * 3
    assert combine.combine(torch.ones(2, 0), np.ones(2), 1).tolist() == []


@pytest.mark.parametrize(
    ("numerators", "denominator"),
    [([2**37, 1], 1), ([1, 1], 0), ([1, 1], 2**53 + 1), ([0.5, 0.5], 1)],
)
def test_weights_that_would_not_be_exact_are_a_programmers_mistake(numerators, denominator):
    with pytest.raises(ValueError, match="expected"):
        combine.combine(torch.ones(2, 1, dtype=torch.int16), np.array(numerators), denominator)

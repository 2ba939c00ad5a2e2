"""The coordinate-wise rules against their definitions in exact fractions."""

import functools
import itertools
import operator
import random
import statistics
from fractions import Fraction

import pytest
import torch
from hypothesis import example, given
from hypothesis import strategies as st

from aggregation import coordinatewise, errors

INT16 = st.integers(-32767, 32767)
FLOATS = st.floats(-1e6, 1e6, width=32)


def literal_trimmed_mean(column, f):
    """Yin et al. 2018, definition 2, in exact fractions; `float` rounds once, correctly."""
    kept = sorted(column)[f : len(column) - f]
    return sum(map(Fraction, kept)) / len(kept)


@st.composite
def columns(draw, elements=INT16, max_clients=12):
    """A matrix as rows, and an f with 2 f < clients."""
    clients = draw(st.integers(1, max_clients))
    dim = draw(st.integers(1, 4))
    rows = draw(st.lists(st.lists(elements, min_size=dim, max_size=dim), min_size=clients, max_size=clients))
    return rows, draw(st.integers(0, (clients - 1) // 2))


@given(columns(), st.sampled_from([torch.int16, torch.int32]), st.integers(1, 30))
def test_integer_rules_are_the_definitions_rounded_once(case, dtype, count):
    rows, f = case
    matrix = torch.tensor(rows, dtype=dtype)
    by_column = list(zip(*rows, strict=True))
    trimmed = [float(literal_trimmed_mean(c, f) / count) for c in by_column]
    assert coordinatewise.trimmed_mean(matrix, f, count=count).tolist() == trimmed
    assert coordinatewise.mean(matrix, count=count).tolist() == [
        float(Fraction(sum(c), len(c) * count)) for c in by_column
    ]
    medians = [float(statistics.median([Fraction(q) for q in c]) / count) for c in by_column]
    assert coordinatewise.median(matrix, count=count).tolist() == medians


def test_a_matrix_by_hand():
    """Five clients, one of them wild: the trimmed mean of 1 2 3 4 1000 without both ends is 3."""
    matrix = torch.tensor([[4, -5], [1000, 7], [1, 7], [3, 0], [2, 6]], dtype=torch.int16)
    assert coordinatewise.mean(matrix).tolist() == [202.0, 3.0]
    assert coordinatewise.median(matrix).tolist() == [3.0, 6.0]
    assert coordinatewise.trimmed_mean(matrix, 1).tolist() == [3.0, 13 / 3]
    assert coordinatewise.median(matrix[:4]).tolist() == [3.5, 3.5]


def test_sums_beyond_int32_are_exact():
    matrix = torch.full((5, 2), 2**31 - 1, dtype=torch.int32)
    assert coordinatewise.mean(matrix).tolist() == [2.0**31 - 1] * 2
    assert coordinatewise.trimmed_mean(matrix, 1).tolist() == [2.0**31 - 1] * 2


@given(columns(max_clients=9), st.randoms(use_true_random=False))
def test_integer_rules_do_not_see_the_order_of_clients(case, randomness):
    rows, f = case
    shuffled = randomness.sample(rows, len(rows))
    before, after = (torch.tensor(r, dtype=torch.int16) for r in (rows, shuffled))
    for rule in (coordinatewise.mean, coordinatewise.median, lambda m: coordinatewise.trimmed_mean(m, f)):
        assert rule(before).numpy().tobytes() == rule(after).numpy().tobytes()


@given(columns(FLOATS, max_clients=9), st.randoms(use_true_random=False))
@example(([[0.0], [-0.0]], 0), random.Random(1))
@example(([[1e16], [1.0], [-1e16]], 0), random.Random(2))
def test_float_rules_do_not_see_the_order_of_clients(case, randomness):
    """Nor the sign of a zero: the bytes are equal, not only the numbers."""
    rows, f = case
    shuffled = randomness.sample(rows, len(rows))
    before, after = (torch.tensor(r, dtype=torch.float64) for r in (rows, shuffled))
    for rule in (coordinatewise.mean, coordinatewise.median, lambda m: coordinatewise.trimmed_mean(m, f)):
        assert rule(before).numpy().tobytes() == rule(after).numpy().tobytes()


@given(columns(FLOATS))
def test_float_rules_are_the_definitions_up_to_rounding(case):
    rows, f = case
    matrix = torch.tensor(rows, dtype=torch.float32)
    by_column = list(zip(*rows, strict=True))
    largest = max(abs(x) for c in by_column for x in c)
    result = coordinatewise.trimmed_mean(matrix, f).tolist()
    for got, column in zip(result, by_column, strict=True):
        assert abs(Fraction(got) - literal_trimmed_mean(column, f)) <= Fraction(largest) * Fraction(2) ** -48
    assert coordinatewise.median(matrix).tolist() == [statistics.median(c) for c in by_column]


@given(columns(st.integers(-16000, 16000)), st.data())
def test_rules_move_with_a_translation(case, data):
    rows, f = case
    shift = data.draw(st.lists(st.integers(-16000, 16000), min_size=len(rows[0]), max_size=len(rows[0])))
    matrix, moved = torch.tensor(rows, dtype=torch.int16), torch.tensor(shift, dtype=torch.int16)
    kept = len(rows) - 2 * f
    before, after = (coordinatewise.trimmed_mean(m, f) for m in (matrix, matrix + moved))
    assert torch.equal((before * kept).round() + kept * moved.double(), (after * kept).round())
    assert torch.equal(coordinatewise.median(matrix) + moved, coordinatewise.median(matrix + moved))


@given(st.data(), st.sampled_from([torch.int16, torch.float64]), st.integers(1, 4), st.integers(0, 4))
def test_f_arbitrary_clients_never_leave_the_honest_hull(data, dtype, f, spare):
    """Exactly, in floats too: coordinate by coordinate the result lies between two honest values."""
    elements = st.floats(allow_nan=False, allow_infinity=False) if dtype is torch.float64 else INT16
    rows = data.draw(
        st.lists(st.lists(elements, min_size=3, max_size=3), min_size=2 * f + 1 + spare, max_size=2 * f + 1 + spare)
    )
    matrix = torch.tensor(rows, dtype=dtype)
    honest = matrix[f:].to(torch.float64)
    for result in (coordinatewise.trimmed_mean(matrix, f), coordinatewise.median(matrix)):
        assert bool((honest.amin(0) <= result).all())
        assert bool((result <= honest.amax(0)).all())


def test_floats_are_added_one_by_one_in_ascending_order():
    """The one order every machine can repeat: bit for bit what a loop over Python's floats gives."""
    generator = torch.Generator().manual_seed(5)
    matrix = torch.randn(41, 50, dtype=torch.float64, generator=generator)
    wanted = [functools.reduce(operator.add, sorted(column)) / 41 for column in matrix.T.tolist()]
    assert coordinatewise.mean(matrix).tolist() == wanted


def test_equal_floats_average_to_themselves():
    """0.1 added five times and divided by five is not 0.1 in floating point; the hull of equal numbers is one point."""
    assert coordinatewise.mean(torch.full((6, 1), 0.1, dtype=torch.float64)).tolist() == [0.1]
    assert coordinatewise.mean(torch.full((3, 1), 1.7e308, dtype=torch.float64)).tolist() == [1.7e308]


@pytest.mark.parametrize("bad", [float("nan"), float("inf")])
@pytest.mark.parametrize("rule", [coordinatewise.mean, coordinatewise.median])
def test_floats_that_are_not_finite_are_refused_by_row(rule, bad):
    """Attack 28: one NaN client makes other libraries' median NaN; here it is named and nothing is returned."""
    matrix = torch.zeros(5, 3)
    matrix[2, 1] = bad
    with pytest.raises(errors.LatticeError, match="row 2 holds"):
        rule(matrix)


@pytest.mark.parametrize("clients", range(1, 11))
def test_the_network_sorts_every_sequence_of_zeros_and_ones(clients):
    """By the 0-1 principle it then sorts everything. All 2**clients columns at once, and f = 0 keeps every rank."""
    matrix = torch.tensor(list(itertools.product([0, 1], repeat=clients)), dtype=torch.int16).T
    weights = [coordinatewise.trimmed_mean(matrix, f) for f in range((clients + 1) // 2)]
    for f, got in enumerate(weights):
        wanted = [float(literal_trimmed_mean(c, f)) for c in matrix.T.tolist()]
        assert got.tolist() == wanted


@pytest.mark.parametrize(("clients", "dim"), [(3, 700_001), (101, 20_003)])
def test_wide_matrices_are_the_same_tile_by_tile(clients, dim):
    """Several tiles and a ragged last one; torch.sort is the other implementation."""
    generator = torch.Generator().manual_seed(7)
    matrix = torch.randint(-32767, 32768, (clients, dim), dtype=torch.int16, generator=generator)
    before = matrix.clone()
    kept = matrix.sort(0).values[1 : clients - 1].to(torch.float64).sum(0) / (clients - 2)
    assert torch.equal(coordinatewise.trimmed_mean(matrix, 1), kept)
    assert torch.equal(coordinatewise.median(matrix), matrix.median(0).values.to(torch.float64))
    assert torch.equal(matrix, before)

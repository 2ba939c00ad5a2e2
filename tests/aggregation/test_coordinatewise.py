"""The coordinate-wise rules against their definitions in exact fractions."""

import functools
import itertools
import operator
import random
import statistics
from fractions import Fraction

import numpy as np
import pytest
import torch
from hypothesis import example, given
from hypothesis import strategies as st

from aggregation import coordinatewise, errors, mixture, order

INT16 = st.integers(-32768, 32767)
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


def literal_meamed(column, f):
    """Xie et al. 2018, definition 6, in exact fractions: the smaller of two values equally near comes first."""
    exact = sorted(map(Fraction, column))
    middle = statistics.median(exact)
    nearest = sorted(exact, key=lambda x: (abs(x - middle), x))[: len(column) - f]
    return sum(nearest) / len(nearest)


@st.composite
def mixtures(draw, clients, most):
    rows = draw(st.integers(1, 9))
    numbers = st.integers(-most, most)
    coefficients = draw(st.lists(st.lists(numbers, min_size=clients, max_size=clients), min_size=rows, max_size=rows))
    f = draw(st.integers(0, (rows - 1) // 2))
    denominator = draw(st.integers(1, 1000))
    return mixture.Mixture(coefficients=np.array(coefficients, dtype=np.int64), denominator=denominator), f


@given(columns(INT16, max_clients=40))
def test_integer_rules_are_the_definitions_rounded_once(case):
    rows, f = case
    matrix = torch.tensor(rows, dtype=torch.int16)
    by_column = list(zip(*rows, strict=True))
    assert coordinatewise.trimmed_mean(matrix, f).tolist() == [float(literal_trimmed_mean(c, f)) for c in by_column]
    assert coordinatewise.mean(matrix).tolist() == [float(Fraction(sum(c), len(c))) for c in by_column]
    assert coordinatewise.median(matrix).tolist() == [float(statistics.median(map(Fraction, c))) for c in by_column]
    assert coordinatewise.meamed(matrix, f).tolist() == [float(literal_meamed(c, f)) for c in by_column]


@given(st.data(), columns(INT16), st.sampled_from([3, 7000, 2**30]))
def test_mixed_rows_are_averaged_as_if_they_had_been_formed(data, case, most):
    """Narrow coefficients in int32, wide ones in float64; the same from the torch path."""
    rows, _ = case
    mixed, f = data.draw(mixtures(len(rows), most))
    matrix = torch.tensor(rows, dtype=torch.int16)
    formed = [
        [
            Fraction(sum(a * x for a, x in zip(each, column, strict=True)), mixed.denominator)
            for each in mixed.coefficients.tolist()
        ]
        for column in zip(*rows, strict=True)
    ]
    assert coordinatewise.trimmed_mean(matrix, f, mixture=mixed).tolist() == [
        float(literal_trimmed_mean(c, f)) for c in formed
    ]
    assert coordinatewise.meamed(matrix, f, mixture=mixed).tolist() == [float(literal_meamed(c, f)) for c in formed]
    assert coordinatewise.mean(matrix, mixture=mixed).tolist() == [float(sum(c) / len(c)) for c in formed]
    assert coordinatewise.median(matrix, mixture=mixed).tolist() == [float(statistics.median(c)) for c in formed]


@given(
    st.sampled_from(["int16", "float32", "float64"]), st.integers(1, 40), st.integers(1, 700), st.integers(0, 2**32 - 1)
)
def test_kernels_and_tensors_give_the_same_bits(dtype, clients, dim, seed):
    """What a GPU computes, on the CPU's tensors; also of mixed rows where they are integers."""
    draws = np.random.default_rng(seed)
    numbers = draws.integers(-32768, 32768, (clients, dim)) * (0.1 if dtype != "int16" else 1)
    matrix = torch.from_numpy(numbers.astype(dtype))
    f = (clients - 1) // 3
    coefficients = draws.integers(-3, 4, (5, clients))
    for mixed in (None, mixture.Mixture(coefficients=coefficients, denominator=3)):
        rows = clients if mixed is None else 5
        if mixed is not None:
            f = 1
        for kept in (
            order.Kept(first=f, last=rows - f, nearest=False),
            order.Kept(first=(rows - 1) // 2, last=rows // 2 + 1, nearest=False),
            order.Kept(first=0, last=rows - f, nearest=True),
        ):
            compiled = coordinatewise._statistic(matrix, kept, mixed)
            tensors = order.on_tensors(matrix, kept, mixed)
            if mixed is None or dtype == "int16":
                assert torch.equal(compiled, tensors)
            else:
                torch.testing.assert_close(compiled, tensors)


@pytest.mark.parametrize("dtype", [torch.int16, torch.float32, torch.float64])
def test_slices_and_threads_do_not_show(dtype):
    generator = torch.Generator().manual_seed(8)
    matrix = torch.randint(-32768, 32767, (7, 140_003), dtype=torch.int16, generator=generator).to(dtype)
    for part in (matrix[:, 2:], matrix[::2, 5:9], matrix[:, ::3]):
        assert torch.equal(coordinatewise.meamed(part, 1), coordinatewise.meamed(part.clone(), 1))
    before = torch.get_num_threads()
    try:
        found = []
        for threads in (1, 2, 4):
            torch.set_num_threads(threads)
            found.append(coordinatewise.trimmed_mean(matrix, 2))
    finally:
        torch.set_num_threads(before)
    assert torch.equal(found[0], found[1])
    assert torch.equal(found[0], found[2])


def test_mean_around_the_median_by_hand():
    """Of 0 and 4, equally far from the median 2, the smaller is taken; the wild 1000 is not."""
    matrix = torch.tensor([[1000], [0], [4], [2], [2]], dtype=torch.int16)
    assert coordinatewise.meamed(matrix, 1).tolist() == [2.0]
    assert coordinatewise.meamed(matrix, 2).tolist() == [4 / 3]
    wild = torch.tensor([[1e30], [0.0], [4.0], [2.0], [2.0]])
    assert coordinatewise.meamed(wild, 2).tolist() == [4 / 3]


@pytest.mark.parametrize("coefficient", [65535, 65536, 65537, 2**20])
def test_mixed_rows_are_exact_on_both_sides_of_int32(coefficient):
    """65,536 times -32,768 is -2**31, the last number that int32 holds."""
    matrix = torch.tensor([[32767], [-32768]], dtype=torch.int16)
    mixed = mixture.Mixture(coefficients=np.diag([coefficient, coefficient]), denominator=1)
    assert coordinatewise.median(matrix, mixture=mixed).tolist() == [-coefficient / 2]


def test_real_coefficients_mix_floats():
    matrix = torch.tensor([[1.0, 2.0], [3.0, 6.0]])
    mixed = mixture.Mixture(coefficients=np.array([[0.5, 0.5], [1.0, 0.0], [0.0, 1.5]]), denominator=1)
    assert coordinatewise.median(matrix, mixture=mixed).tolist() == [2.0, 4.0]


def test_no_columns_have_no_statistics():
    assert coordinatewise.median(torch.zeros(3, 0, dtype=torch.int16)).tolist() == []


def test_other_numbers_are_refused_by_type():
    with pytest.raises(errors.LatticeError, match="uint8: expected int16"):
        coordinatewise.median(torch.zeros(3, 1, dtype=torch.uint8))


def test_a_matrix_by_hand():
    """Five clients, one of them wild: the trimmed mean of 1 2 3 4 1000 without both ends is 3."""
    matrix = torch.tensor([[4, -5], [1000, 7], [1, 7], [3, 0], [2, 6]], dtype=torch.int16)
    assert coordinatewise.mean(matrix).tolist() == [202.0, 3.0]
    assert coordinatewise.median(matrix).tolist() == [3.0, 6.0]
    assert coordinatewise.trimmed_mean(matrix, 1).tolist() == [3.0, 13 / 3]
    assert coordinatewise.median(matrix[:4]).tolist() == [3.5, 3.5]


@given(columns(max_clients=9), st.randoms(use_true_random=False))
def test_integer_rules_do_not_see_the_order_of_clients(case, randomness):
    rows, f = case
    shuffled = randomness.sample(rows, len(rows))
    before, after = (torch.tensor(r, dtype=torch.int16) for r in (rows, shuffled))
    rules = (coordinatewise.mean, coordinatewise.median)
    robust = (coordinatewise.trimmed_mean, coordinatewise.meamed)
    for rule in (*rules, *(functools.partial(each, f=f) for each in robust)):
        assert rule(before).numpy().tobytes() == rule(after).numpy().tobytes()


@given(columns(FLOATS, max_clients=9), st.randoms(use_true_random=False))
@example(([[0.0], [-0.0], [0.0]], 1), random.Random(1))
@example(([[0.0], [-0.0]], 0), random.Random(1))
@example(([[1e16], [1.0], [1.0], [1.0], [-1e16], [0.0]], 1), random.Random(2))
def test_float_rules_do_not_see_the_order_of_clients(case, randomness):
    """Nor the sign of a zero: the bytes are equal, not only the numbers. The mean of all alone is close and no more."""
    rows, f = case
    shuffled = randomness.sample(rows, len(rows))
    before, after = (torch.tensor(r, dtype=torch.float64) for r in (rows, shuffled))
    rules = [coordinatewise.median, functools.partial(coordinatewise.meamed, f=f)]
    if f > 0:
        rules.append(functools.partial(coordinatewise.trimmed_mean, f=f))
    for rule in rules:
        assert rule(before).numpy().tobytes() == rule(after).numpy().tobytes()
    largest = float(before.abs().max())
    torch.testing.assert_close(coordinatewise.mean(before), coordinatewise.mean(after), rtol=0, atol=1e-14 * largest)


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


def test_floats_are_added_one_by_one():
    """In an order every machine can repeat, bit for bit what a loop does: ascending, or as they come if all are taken."""
    generator = torch.Generator().manual_seed(5)
    matrix = torch.randn(41, 50, dtype=torch.float64, generator=generator)
    by_column = matrix.T.tolist()
    ascending = [functools.reduce(operator.add, sorted(column)[1:40]) / 39 for column in by_column]
    assert coordinatewise.trimmed_mean(matrix, 1).tolist() == ascending
    assert coordinatewise.mean(matrix).tolist() == [functools.reduce(operator.add, column) / 41 for column in by_column]


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_no_zero_has_a_sign(dtype):
    for clients in (1, 2, 3, 8, 9):
        matrix = torch.full((clients, 3), -0.0, dtype=dtype)
        for found in (coordinatewise.mean(matrix), coordinatewise.median(matrix), coordinatewise.meamed(matrix, 0)):
            assert found.numpy().tobytes() == bytes(24)


def test_equal_floats_average_to_themselves():
    """0.1 added five times and divided by five is not 0.1 in floating point; the hull of equal numbers is one point."""
    assert coordinatewise.mean(torch.full((6, 1), 0.1, dtype=torch.float64)).tolist() == [0.1]
    assert coordinatewise.mean(torch.full((3, 1), 1.7e308, dtype=torch.float64)).tolist() == [1.7e308]
    for kept in (order.Kept(first=0, last=6, nearest=False), order.Kept(first=0, last=6, nearest=True)):
        assert order.on_tensors(torch.full((6, 1), 0.1, dtype=torch.float64), kept, None).tolist() == [0.1]
        assert coordinatewise.trimmed_mean(torch.full((8, 1), 0.1, dtype=torch.float64), 1).tolist() == [0.1]


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

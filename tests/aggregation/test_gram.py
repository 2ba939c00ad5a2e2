"""Inner products and distances against Python's integers and exact fractions."""

from fractions import Fraction

import jaxtyping
import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from aggregation import errors, gram, kernels, registers, spans


def dot(x, y):
    return sum(a * b for a, b in zip(x, y, strict=True))


def rows_of(low, high, most=12):
    """Matrices of a few rows with entries in [low, high]."""
    return st.integers(1, 12).flatmap(
        lambda dim: st.lists(st.lists(st.integers(low, high), min_size=dim, max_size=dim), min_size=1, max_size=most)
    )


def exact_distances(matrix):
    rows = [[Fraction(x) for x in row] for row in matrix.tolist()]
    return np.array([[float(sum((a - b) ** 2 for a, b in zip(x, y, strict=True))) for y in rows] for x in rows])


def test_a_block_cannot_leave_the_integers_that_float64_holds():
    """The largest product of two limbs is (2**16)**2; a block of such columns sums to at most 2**53."""
    assert gram.BLOCK_COLUMNS * (2**16) ** 2 <= 2**53


@given(rows_of(-32768, 32767))
def test_products_norms_and_distances_are_pythons_integers(rows):
    matrix = torch.tensor(rows, dtype=torch.int16)
    found = gram.products(matrix)
    assert found.inner.tolist() == [[dot(x, y) for y in rows] for x in rows]
    assert found.squared.tolist() == [
        [sum((a - b) ** 2 for a, b in zip(x, y, strict=True)) for y in rows] for x in rows
    ]
    assert gram.integers_on_tensors(matrix).tolist() == found.inner.tolist()
    assert gram.squared_norms(matrix) == [dot(x, x) for x in rows]


@given(st.integers(1, 40), st.integers(1, 9000), st.integers(0, 2**32 - 1), st.sampled_from([3, 500, 6000, 32768]))
def test_kernels_and_tensors_agree_at_every_size(clients, dim, seed, magnitude):
    """Ragged tiles, runs and panels; small numbers take the short way, large ones the way by limbs."""
    numbers = np.random.default_rng(seed).integers(-magnitude, magnitude, (clients, dim), dtype=np.int16)
    matrix = torch.from_numpy(numbers)
    assert gram.products(matrix).inner.tolist() == gram.integers_on_tensors(matrix).tolist()


@pytest.mark.parametrize("dtype", [torch.int16, torch.float64])
@pytest.mark.parametrize("beyond", [1, 31, 33, 1025])
def test_what_an_earlier_panel_left_behind_is_not_multiplied(beyond, dtype):
    """The last run is ragged, and its buffer is full of older numbers."""
    matrix = torch.full((3, kernels.PANEL + beyond), 30_000, dtype=dtype)
    assert gram.products(matrix).inner.tolist() == [[30_000**2 * (kernels.PANEL + beyond)] * 3] * 3


@given(rows_of(-32768, 32767, most=6), st.data())
def test_inner_products_with_any_int32_are_pythons_integers(rows, data):
    dim = len(rows[0])
    vector = data.draw(st.lists(st.integers(-(2**31), 2**31 - 1), min_size=dim, max_size=dim))
    matrix = torch.tensor(rows, dtype=torch.int16)
    assert gram.inner(matrix, torch.tensor(vector, dtype=torch.int32)) == [dot(x, vector) for x in rows]


@pytest.mark.parametrize("beyond", [-1, 0, 1, 4097])
def test_extremes_over_many_blocks_stay_exact(beyond):
    """Constant rows at +-32767 and their neighbours: every expected number is a product of three integers."""
    dim = 40 * 2**14 + beyond
    values = (32767, -32767, -32768, 32766, 1)
    matrix = torch.tensor(values, dtype=torch.int16).unsqueeze(1).repeat(1, dim)
    matrix[:, -1] = 0
    matrix[0, -1] = 3
    last = (3, 0, 0, 0, 0)
    wanted = [
        [a * b * (dim - 1) + p * q for b, q in zip(values, last, strict=True)]
        for a, p in zip(values, last, strict=True)
    ]
    assert gram.products(matrix).inner.tolist() == wanted
    assert gram.squared_norms(matrix) == [wanted[i][i] for i in range(5)]
    vector = torch.full((dim,), -(2**31), dtype=torch.int32)
    assert gram.inner(matrix, vector) == [-(2**31) * (a * (dim - 1) + p) for a, p in zip(values, last, strict=True)]


@pytest.mark.parametrize("value", [5791, 5792, 5793])
def test_lanes_are_exact_on_both_sides_of_the_bound(value):
    """A run of 1,024 columns adds 64 squares a lane; 64 * 5792.6**2 = 2**31."""
    matrix = torch.full((3, registers.RUN), value, dtype=torch.int16)
    matrix[1] = -value
    assert gram.products(matrix).inner[0].tolist() == [value**2 * 1024, -(value**2) * 1024, value**2 * 1024]


def test_large_matrices_are_multiplied_with_a_vector_exactly(monkeypatch):
    """By kernels or on tensors, over many spans, of the largest numbers there are: the same integers, those of Python."""
    columns = 3 * spans.SPAN + 5
    matrix = torch.full((3, columns), -(2**15), dtype=torch.int16)
    matrix[1], matrix[2, ::3] = 2**15 - 1, 7
    vector = torch.full((columns,), -(2**31), dtype=torch.int32)
    vector[::2] = 2**31 - 1
    found = {}
    for least in (1, 2**40):
        monkeypatch.setattr(gram, "_LARGE", least)
        found[least] = gram.inner(matrix, vector), gram.squared_norms(matrix)
    assert found[1] == found[2**40]
    odd = columns // 2
    assert found[1][0][0] == -(2**15) * ((columns - odd) * (2**31 - 1) - odd * 2**31)
    assert found[1][1][:2] == [2**30 * columns, (2**15 - 1) ** 2 * columns]


def test_shapes_and_dtypes_in_signatures_are_checked_under_pytest():
    """The whole package is imported through jaxtyping's hook: a wrong axis stops at the call."""
    with pytest.raises(jaxtyping.TypeCheckError):
        gram.products(torch.zeros(3))
    with pytest.raises(jaxtyping.TypeCheckError):
        gram.inner(torch.zeros(2, 3, dtype=torch.int16), torch.zeros(4, dtype=torch.int32))


def test_other_numbers_are_refused_by_type():
    with pytest.raises(errors.LatticeError, match="int64: expected int16"):
        gram.products(torch.zeros(2, 3, dtype=torch.int64))


@pytest.mark.parametrize("dtype", [torch.int16, torch.float32])
def test_no_columns_add_nothing(dtype):
    """A shard may hold none of the columns that were drawn."""
    assert gram.products(torch.zeros(3, 0, dtype=dtype)).squared.tolist() == [[0] * 3] * 3


def test_a_small_distance_between_long_vectors_is_not_lost():
    """float32 would say 0: the norms are near 1e14, the distance is 1."""
    matrix = torch.full((2, 100_000), 32767, dtype=torch.int16)
    matrix[1, 99_999] = 32766
    assert gram.products(matrix).squared.tolist() == [[0, 1], [1, 0]]


@pytest.mark.parametrize("dtype", [torch.int16, torch.float32, torch.float64])
def test_a_slice_of_columns_is_the_slice(dtype):
    """Rows far apart, columns that do not begin at the first, and every second column."""
    generator = torch.Generator().manual_seed(3)
    matrix = torch.randint(-32768, 32767, (7, 20_000), dtype=torch.int16, generator=generator).to(dtype)
    for part in (matrix[:, 123:15_000], matrix[::2, 5:6], matrix[:, ::2], matrix[:1], matrix[3].expand(4, -1)):
        assert np.array_equal(gram.products(part).inner, gram.products(part.clone()).inner)


@pytest.mark.parametrize("dtype", [torch.int16, torch.float32, torch.float64])
def test_the_number_of_threads_does_not_show(dtype):
    generator = torch.Generator().manual_seed(4)
    matrix = (torch.randn(6, 200_001, generator=generator) * 1000).to(dtype)
    before = torch.get_num_threads()
    try:
        found = []
        for threads in (1, 2, 4):
            torch.set_num_threads(threads)
            products = gram.products(matrix)
            found.append((products.inner.tobytes(), products.squared.tobytes()))
    finally:
        torch.set_num_threads(before)
    assert found[0] == found[1] == found[2]


def test_products_of_parts_add_up():
    matrix = torch.randint(-32768, 32767, (4, 999), dtype=torch.int16, generator=torch.Generator().manual_seed(5))
    both, whole = gram.products(matrix[:, :400]) + gram.products(matrix[:, 400:]), gram.products(matrix)
    assert both.inner.tolist() == whole.inner.tolist()
    assert both.squared.tolist() == whole.squared.tolist()


@pytest.mark.parametrize("on", ["kernels", "tensors"])
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize("case", ["plain", "clustered", "clusters", "nested", "wild", "tiny", "copies"])
def test_float_distances_keep_six_digits(case, dtype, on):
    """However close rows lie for their length, and whatever one of them holds."""
    matrix = torch.randn(9, 3000, dtype=torch.float64, generator=torch.Generator().manual_seed(6))
    if case == "clustered":
        matrix += 1000
    elif case == "clusters":
        matrix[:4] += 1000
        matrix[6:] -= 5000
    elif case == "nested":
        matrix[:6] = matrix[:6] * 0.01 + 100
        matrix[:3] = matrix[0] + (matrix[:3] - matrix[0]) * 0.01
    elif case == "wild":
        matrix += 1000
        matrix[2] *= 1e27
    elif case == "tiny":
        matrix *= 1e-25
    elif case == "copies":
        matrix[3] = matrix[5] = matrix[1]
    matrix = matrix.to(dtype)
    found = gram.products(matrix) if on == "kernels" else gram._sharpened(gram.floats_on_tensors(matrix), 9)
    # 3000 doubles of 24 bits, or differences of 53: float64 keeps ten digits of the differences' squares.
    wide = matrix.to(torch.float64)
    wanted = (wide[:, None] - wide[None, :]).square().sum(2).numpy()
    np.testing.assert_allclose(found.squared, wanted, rtol=1e-6, atol=0)
    np.testing.assert_allclose(np.diag(found.inner), wide.square().sum(1).numpy(), rtol=1e-6)


@given(st.lists(st.lists(st.floats(-1e6, 1e6, width=32), min_size=4, max_size=4), min_size=1, max_size=7))
def test_narrow_float_matrices_are_the_fractions(rows):
    matrix = torch.tensor(rows, dtype=torch.float32)
    np.testing.assert_allclose(gram.products(matrix).squared, exact_distances(matrix), rtol=1e-9, atol=1e-300)


@pytest.mark.parametrize("bad", [float("nan"), float("inf"), -float("inf")])
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_floats_that_are_not_finite_are_refused_by_row(bad, dtype):
    """On either path, also where they stand in the last column of a wide matrix."""
    matrix = torch.zeros(7, 70_001, dtype=dtype)
    matrix[5, -1] = bad
    with pytest.raises(errors.LatticeError, match="row 5 holds"):
        gram.products(matrix)
    with pytest.raises(errors.LatticeError, match="row 5 holds"):
        gram._sharpened(gram.floats_on_tensors(matrix), 7)


def test_magnitudes_whose_squares_pass_float64_are_refused():
    matrix = torch.zeros(2, 2, dtype=torch.float64)
    matrix[1, 0] = 1e200
    with pytest.raises(errors.LatticeError, match="row 1 holds"):
        gram.products(matrix)

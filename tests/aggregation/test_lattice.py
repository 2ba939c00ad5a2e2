"""The lattice against exact fractions, and against what may come from outside."""

from fractions import Fraction

import numpy as np
import pytest
import torch
from hypothesis import example, given
from hypothesis import strategies as st

from aggregation import errors, lattice


def tensor(*values, dtype=torch.float64):
    return torch.tensor(values, dtype=dtype)


def one(exponent, size=1, bound=32767):
    return lattice.Lattice(sizes=(size,), exponents=(exponent,), bound=bound)


def test_halves_go_to_the_even_neighbour():
    values = tensor(0.5, 1.5, 2.5, -0.5, -1.5, -2.5, 32766.5)
    assert lattice.encode(one(0, 7), values).integers.tolist() == [0, 2, 2, 0, -2, -2, 32766]


def test_coordinates_beyond_the_bound_are_cut_and_counted_after_rounding():
    values = tensor(100.4, 100.6, -100.5, -101.0, 1e38, -float(2**1000))
    encoded = lattice.encode(one(0, 6, bound=100), values)
    assert encoded.integers.tolist() == [100, 100, -100, -100, 100, -100]
    assert encoded.saturated == 4


@given(st.integers(-20, 10), st.lists(st.integers(-(2**24), 2**24), min_size=1, max_size=20), st.integers(0, 9))
def test_encoding_is_the_nearest_multiple_of_the_step(exponent, numerators, shift):
    """Equals Python's exact rounding of value / 2**exponent; decoding gives that multiple back within half a step."""
    grid = one(exponent, len(numerators))
    exact = [Fraction(q, 2**shift) * Fraction(2) ** exponent for q in numerators]
    encoded = lattice.encode(grid, tensor(*map(float, exact), dtype=torch.float32))
    nearest = [round(value / Fraction(2) ** exponent) for value in exact]
    assert encoded.integers.tolist() == [min(max(q, -32767), 32767) for q in nearest]
    assert encoded.saturated == sum(abs(q) > 32767 for q in nearest)
    decoded = [Fraction(value) for value in lattice.decode(grid, encoded.integers).tolist()]
    for value, back, q in zip(exact, decoded, nearest, strict=True):
        if abs(q) <= 32767:
            assert abs(value - back) <= Fraction(2) ** exponent / 2


def test_every_tensor_has_its_own_step_also_across_blocks():
    """A tensor longer than one block, between two short ones; numpy's rint is the other implementation."""
    grid = lattice.Lattice(sizes=(3, 140_001, 2), exponents=(-3, -9, 1))
    values = np.random.default_rng(1).normal(0, 20, grid.dim).astype(np.float32)
    steps = np.repeat([2.0**-3, 2.0**-9, 2.0], [3, 140_001, 2])
    wanted = np.clip(np.rint(values.astype(np.float64) / steps), -32767, 32767)
    encoded = lattice.encode(grid, torch.from_numpy(values))
    assert np.array_equal(encoded.integers.numpy(), wanted)
    assert np.array_equal(lattice.decode(grid, encoded.integers).numpy(), wanted * steps)


@pytest.mark.parametrize("bad", [float("nan"), float("inf"), -float("inf")])
def test_values_that_are_not_finite_are_refused_where_they_are(bad):
    """Attack 28: NaN and infinity; the message names the tensor and the position in it."""
    grid = lattice.Lattice(sizes=(3, 70_000), exponents=(0, 0))
    values = torch.zeros(grid.dim)
    values[3 + 69_000] = bad
    with pytest.raises(errors.LatticeError, match=r"in tensor 1 at 69000: expected finite") as caught:
        lattice.encode(grid, values)
    assert caught.value.code == "off-lattice"
    with pytest.raises(errors.LatticeError, match="tensor 1 at 69000"):
        lattice.initial(grid.sizes, values, headroom_bits=3)


def test_denormals_and_huge_values_have_a_place():
    """Attack 28: a denormal is zero, 1e38 is the bound, also where scaling overflows float64."""
    encoded = lattice.encode(one(-60, 4), tensor(5e-324, -1e-40, 1e38, -1e308))
    assert encoded.integers.tolist() == [0, 0, 32767, -32767]
    assert encoded.saturated == 2


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
def test_narrow_floats_are_cut_to_the_bound(dtype):
    """The bound 32767 is not a number of these types: cut there, it would be 32768 and wrap around."""
    encoded = lattice.encode(one(0, 3), tensor(60_000, -60_000, 3, dtype=dtype))
    assert encoded.integers.tolist() == [32767, -32767, 3]
    assert encoded.saturated == 2


@pytest.mark.parametrize(
    ("integers", "message"),
    [
        (torch.tensor([0, -32768], dtype=torch.int16), "-32768 at coordinate 1: expected at most 32767"),
        (torch.tensor([0, 1], dtype=torch.int32), "torch.int32: expected torch.int16"),
        (torch.tensor([0.0, 1.0]), "torch.float32: expected torch.int16"),
        (torch.tensor([0, 1, 2], dtype=torch.int16), r"\(3,\): expected \(2,\)"),
        (torch.tensor([[0, 1]], dtype=torch.int16), r"\(1, 2\): expected \(2,\)"),
        (torch.tensor([], dtype=torch.int16), r"\(0,\): expected \(2,\)"),
    ],
)
def test_integers_from_outside_that_are_no_lattice_point_are_refused(integers, message):
    """Attack 28: integers outside the lattice, of another type, or of another length."""
    with pytest.raises(errors.LatticeError, match=message):
        lattice.validate(one(0, 2), integers)


@pytest.mark.parametrize("q", [101, -101])
def test_a_narrower_bound_is_held_on_both_sides(q):
    grid = one(0, 2, bound=100)
    lattice.validate(grid, torch.tensor([100, -100], dtype=torch.int16))
    with pytest.raises(errors.LatticeError, match=f"{q} at coordinate 0: expected at most 100"):
        lattice.validate(grid, torch.tensor([q, 0], dtype=torch.int16))


@pytest.mark.parametrize(
    ("sizes", "exponents", "bound", "message"),
    [
        ((), (), 1, "one or more tensors"),
        ((3, 0), (0, 0), 1, "at least one element"),
        ((3,), (0, 0), 1, "2 exponents for 1 tensors"),
        ((3,), (31,), 1, "exponent 31"),
        ((3,), (-61,), 1, "exponent -61"),
        ((3,), (0,), 0, "bound 0"),
        ((3,), (0,), 32768, "bound 32768"),
    ],
)
def test_a_malformed_lattice_is_refused(sizes, exponents, bound, message):
    with pytest.raises(errors.LatticeError, match=message):
        lattice.Lattice(sizes=sizes, exponents=exponents, bound=bound)


def follow(grid, refined):
    return lattice.following(grid, refined, headroom_bits=3)


@pytest.mark.parametrize("call", [lattice.encode, lattice.decode, follow, lattice.decode_refined])
def test_a_vector_of_another_length_is_refused(call):
    types = {lattice.encode: torch.float32, lattice.decode: torch.int16}
    with pytest.raises(errors.LatticeError, match=r"\(2,\): expected \(3,\)"):
        call(one(0, 3), torch.zeros(2, dtype=types.get(call, torch.int32)))


def test_the_first_lattice_covers_the_weights_with_headroom():
    """32767 * 2**-15 just misses 1, so 1 needs -14; zeros take the largest; headroom 3 adds 3."""
    weights = tensor(0.5, -1.0, 0.0, 0.0, 6.0, dtype=torch.float32)
    assert lattice.initial((2, 2, 1), weights, headroom_bits=0).exponents == (-14, -12, -12)
    assert lattice.initial((2, 2, 1), weights, headroom_bits=3).exponents == (-11, -9, -9)
    assert lattice.initial((1,), tensor(32767 / 32768), headroom_bits=0).exponents == (-15,)
    assert lattice.initial((2,), torch.zeros(2), headroom_bits=0).exponents == (-14,)
    with pytest.raises(errors.LatticeError, match=r"\(2,\): expected \(3,\)"):
        lattice.initial((2, 1), torch.zeros(2), headroom_bits=3)


def test_exponents_stay_in_their_range():
    assert lattice.initial((1, 1), tensor(1e30, 1e-40), headroom_bits=3).exponents == (30, -60)


@given(st.floats(2.0**-40, 2.0**39), st.integers(0, 5))
@example(1.0, 0)
def test_the_first_step_is_the_smallest_that_covers(peak, headroom_bits):
    (exponent,) = lattice.initial((1,), tensor(peak), headroom_bits=headroom_bits).exponents
    wanted = Fraction(peak) * 2**headroom_bits
    assert wanted <= 32767 * Fraction(2) ** exponent
    assert wanted > 32767 * Fraction(2) ** (exponent - 1)


def test_the_next_lattice_follows_the_aggregate():
    """At headroom 0 a peak of 32767 steps keeps the exponent, half of it takes one less; zeros always keep it."""
    grid = lattice.Lattice(sizes=(2, 1, 2, 1), exponents=(-7, -7, -7, 2))
    refined = torch.tensor([5, -32767 * 256, 32767 * 128, 0, 0, 32767 * 128 + 1], dtype=torch.int32)
    assert lattice.following(grid, refined, headroom_bits=0).exponents == (-7, -8, -7, 2)
    assert lattice.following(grid, refined, headroom_bits=3).exponents == (-4, -5, -7, 5)
    lowest = torch.tensor([-(2**31), 5], dtype=torch.int32)
    assert lattice.following(one(-20, 2), lowest, headroom_bits=0).exponents == (-11,)
    assert lattice.following(one(0, 1, bound=1), torch.tensor([256], dtype=torch.int32), headroom_bits=3).exponents == (
        3,
    )


@given(st.integers(-(2**31), 2**31 - 1).filter(bool), st.integers(-20, -5), st.integers(1, 32767))
@example(-(2**31), -5, 1)
def test_the_next_step_is_the_smallest_that_covers(refined, exponent, bound):
    after = lattice.following(one(exponent, 1, bound), torch.tensor([refined], dtype=torch.int32), headroom_bits=2)
    wanted = abs(refined) * Fraction(2) ** (exponent - 8 + 2)
    assert wanted <= bound * Fraction(2) ** after.exponents[0]
    assert wanted > bound * Fraction(2) ** (after.exponents[0] - 1)
    assert after.bound == bound


def test_refining_rounds_halves_of_a_256th_to_even():
    aggregate = tensor(1 / 512, 3 / 512, -1 / 512, -3 / 512, 1 / 3, 32767.0, -32767.0)
    assert lattice.refine(aggregate).tolist() == [0, 2, 0, -2, 85, 32767 * 256, -32767 * 256]


@pytest.mark.parametrize("bad", [float("nan"), float("inf"), 2.0**23, -(2.0**23)])
def test_an_aggregate_that_does_not_fit_is_refused(bad):
    with pytest.raises(errors.LatticeError, match="expected less than"):
        lattice.refine(tensor(0.0, bad))


@given(st.lists(st.integers(-(2**31), 2**31 - 1), min_size=2, max_size=9), st.integers(-60, 30))
def test_a_refined_aggregate_decodes_exactly(refined, exponent):
    grid = lattice.Lattice(sizes=(1, len(refined) - 1), exponents=(exponent, 0))
    values = lattice.decode_refined(grid, torch.tensor(refined, dtype=torch.int32))
    wanted = [refined[0] * Fraction(2) ** (exponent - 8)] + [Fraction(r, 256) for r in refined[1:]]
    assert [Fraction(value) for value in values.tolist()] == wanted


def test_an_aggregate_of_many_blocks_is_refined_as_a_whole():
    """Rounded coordinate by coordinate, and refused wherever one is too large."""
    draw = torch.Generator().manual_seed(5)
    aggregate = torch.randn(2 * lattice._BLOCK + 9, generator=draw, dtype=torch.float64) * 1000
    assert torch.equal(lattice.refine(aggregate), (aggregate * 256).round().to(torch.int32))
    aggregate[-1] = 2.0**23
    with pytest.raises(errors.LatticeError, match="8388608"):
        lattice.refine(aggregate)

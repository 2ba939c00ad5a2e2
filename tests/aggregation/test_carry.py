"""The last aggregate on a new lattice."""

from fractions import Fraction

import torch
from hypothesis import given
from hypothesis import strategies as st

from aggregation import carry, lattice


@given(st.data())
def test_it_is_the_nearest_point_half_to_even_within_the_bound(data):
    """Against fractions, exponents up and down."""
    refined = data.draw(st.lists(st.integers(-(2**31), 2**31 - 1), min_size=3, max_size=3))
    old, new = (data.draw(st.lists(st.integers(-60, 30), min_size=2, max_size=2)) for _ in range(2))
    before, now = (lattice.Lattice(sizes=(1, 2), exponents=tuple(each)) for each in (old, new))
    shifts = [old[0] - 8 - new[0], *[old[1] - 8 - new[1]] * 2]
    wanted = [
        min(max(round(value * Fraction(2) ** shift), -32767), 32767)
        for value, shift in zip(refined, shifts, strict=True)
    ]
    assert carry.carried(before, torch.tensor(refined, dtype=torch.int32), now).tolist() == wanted

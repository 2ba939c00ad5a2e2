"""Krum, Multi-Krum and Bulyan's selection against the papers' scores, written out."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from aggregation import geometry, krum


def squared(x, y):
    return sum((a - b) ** 2 for a, b in zip(x, y, strict=True))


def geometry_of(rows, dtype=np.int64):
    inner = [[sum(a * b for a, b in zip(x, y, strict=True)) for y in rows] for x in rows]
    distances = [[squared(x, y) for y in rows] for x in rows]
    return geometry.Geometry(inner=np.array(inner, dtype=dtype), squared=np.array(distances, dtype=dtype))


def literal_order(rows, neighbours):
    """Blanchard et al. 2017, section 4: s(i) sums |x_i - x_j|^2 over the nearest j; ties to the lower i."""
    scores = []
    for i, x in enumerate(rows):
        distances = sorted(squared(x, y) for j, y in enumerate(rows) if j != i)
        scores.append((sum(distances[:neighbours]), i))
    return [i for _, i in sorted(scores)]


def literal_bulyan(rows, f):
    """El Mhamdi et al. 2018, section 4: Krum on what is left, n - 2 f times."""
    left, chosen = list(range(len(rows))), []
    while len(chosen) < len(rows) - 2 * f:
        best = left[literal_order([rows[i] for i in left], max(len(left) - f - 2, 1))[0]]
        chosen.append(best)
        left.remove(best)
    return sorted(chosen)


@st.composite
def cases(draw, reach, per_f=2, max_clients=9):
    """Rows and an f with `per_f * f + 3 <= clients`."""
    clients, dim = draw(st.integers(3, max_clients)), draw(st.integers(1, 4))
    row = st.lists(st.integers(-reach, reach), min_size=dim, max_size=dim)
    rows = draw(st.lists(row, min_size=clients, max_size=clients))
    return rows, draw(st.integers(0, (clients - 3) // per_f))


def chosen(decided):
    """The rows of equal, exact weights that sum to one."""
    assert decided.numerators.dtype == np.int64
    assert set(decided.numerators.tolist()) <= {0, 1}
    assert decided.total == decided.numerators.sum()
    return np.flatnonzero(decided.numerators).tolist()


@pytest.mark.parametrize(("reach", "dtype"), [(2, np.int64), (32767, np.int64), (3, np.float64), (2**40, np.object_)])
@given(data=st.data())
def test_krum_chooses_by_the_score_of_the_paper(reach, dtype, data):
    """Small entries make many ties: they go to the lower row. Large ones leave int64."""
    rows, f = data.draw(cases(reach))
    order = literal_order(rows, len(rows) - f - 2)
    among = geometry_of(rows, dtype)
    assert chosen(krum.krum(among, f)) == order[:1]
    assert chosen(krum.multi_krum(among, f)) == sorted(order[: len(rows) - f])


@pytest.mark.parametrize(("reach", "dtype"), [(1, np.int64), (32767, np.int64), (3, np.float64), (2**40, np.object_)])
@given(data=st.data())
def test_bulyan_takes_the_krum_of_what_is_left(reach, dtype, data):
    rows, f = data.draw(cases(reach, per_f=4, max_clients=16))
    assert krum.bulyan_selection(geometry_of(rows, dtype), f) == literal_bulyan(rows, f)


def test_bulyan_withstands_two_that_sit_far_out():
    """Eleven rows, f = 2: seven are kept, none of them far out, though the last choices are among few."""
    rows = [[1000], *([q] for q in (0, 1, 2, 3, 4, 5, 6, 7, 8)), [-1000]]
    assert krum.bulyan_selection(geometry_of(rows), 2) == literal_bulyan(rows, 2)
    assert not {0, 10} & set(krum.bulyan_selection(geometry_of(rows), 2))


def test_scores_beyond_int64_do_not_wrap():
    """Rows 2**31 apart: four such squares are 2**64, which int64 would take for 0 and prefer."""
    rows = [[-(2**30)], [2**30], [2**30 - 1], [2**30 - 2], [2**30 - 3], [2**30 - 4], [2**30 - 5]]
    assert chosen(krum.krum(geometry_of(rows), 1)) == [3]
    assert 0 not in chosen(krum.multi_krum(geometry_of(rows), 1))


@given(st.permutations(range(9)))
def test_without_ties_the_order_of_rows_does_not_show(order):
    """Powers of two on a line: all distances, and here all scores, differ."""
    rows = [[2**k, -(2**k) // 3] for k in range(9)]
    among, permuted = geometry_of(rows), geometry_of([rows[i] for i in order])
    for rule in (krum.krum, krum.multi_krum):
        assert sorted(order[i] for i in chosen(rule(permuted, 3))) == chosen(rule(among, 3))


@given(st.permutations(range(16)))
def test_without_ties_bulyan_does_not_see_the_order_of_rows(order):
    """With f = 3 it sums two neighbours at the end. Of one neighbour the two that are closest always tie."""
    rows = np.random.default_rng(0).integers(-1000, 1000, size=(16, 20)).tolist()
    moved = krum.bulyan_selection(geometry_of([rows[i] for i in order]), 3)
    assert sorted(order[i] for i in moved) == krum.bulyan_selection(geometry_of(rows), 3)


@given(cases(9, per_f=4, max_clients=12), st.integers(-30000, 30000), st.integers(1, 1000))
def test_the_choice_sees_neither_place_nor_scale(case, shift, factor):
    rows, f = case
    moved = geometry_of([[factor * q + shift for q in row] for row in rows])
    among = geometry_of(rows)
    for rule in (krum.krum, krum.multi_krum):
        assert chosen(rule(moved, f)) == chosen(rule(among, f))
    assert krum.bulyan_selection(moved, f) == krum.bulyan_selection(among, f)


def test_wild_rows_are_not_chosen():
    """Seven honest near the origin, two colluders at the far corner: both rules ignore the corner.

    The five nearest of 2, 3 and 4 lie at 1 1 2 2 3: equal scores, and 2 has the lowest row.
    """
    among = geometry_of([[32767, 32767], *([i, -i] for i in range(7)), [32767, 32767]])
    assert chosen(krum.krum(among, 2)) == [3]
    assert chosen(krum.multi_krum(among, 2)) == [1, 2, 3, 4, 5, 6, 7]

"""Krum and Multi-Krum against the paper's score, written out."""

from fractions import Fraction

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from aggregation import krum


def literal_order(rows, f):
    """Blanchard et al. 2017, section 4: s(i) sums |x_i - x_j|^2 over the n - f - 2 nearest j; ties to the lower i."""
    scores = []
    for i, x in enumerate(rows):
        distances = sorted(sum((a - b) ** 2 for a, b in zip(x, y, strict=True)) for j, y in enumerate(rows) if j != i)
        scores.append((sum(distances[: len(rows) - f - 2]), i))
    return [i for _, i in sorted(scores)]


@st.composite
def cases(draw, low, high):
    clients = draw(st.integers(3, 9))
    dim = draw(st.integers(1, 4))
    rows = draw(
        st.lists(st.lists(st.integers(low, high), min_size=dim, max_size=dim), min_size=clients, max_size=clients)
    )
    return rows, draw(st.integers(0, (clients - 3) // 2))


@pytest.mark.parametrize("reach", [2, 32767])
@given(data=st.data())
def test_krum_is_the_update_with_the_smallest_score(reach, data):
    """Small entries make many ties: they go to the lower row."""
    rows, f = data.draw(cases(-reach, reach))
    matrix = torch.tensor(rows, dtype=torch.int16)
    order = literal_order(rows, f)
    assert krum.krum(matrix, f).tolist() == rows[order[0]]
    chosen = [rows[i] for i in order[: len(rows) - f]]
    wanted = [float(Fraction(sum(column), len(chosen))) for column in zip(*chosen, strict=True)]
    assert krum.multi_krum(matrix, f).tolist() == wanted


@given(cases(-(2**31), 2**31 - 1), st.integers(1, 9))
def test_sums_are_scored_exactly_and_divided_once(case, count):
    """Scores beyond 2**63 too: two clients at opposite ends cannot wrap around to a small score."""
    rows, f = case
    matrix = torch.tensor(rows, dtype=torch.int32)
    order = literal_order(rows, f)
    assert krum.krum(matrix, f, count=count).tolist() == [float(Fraction(q, count)) for q in rows[order[0]]]
    chosen = [rows[i] for i in order[: len(rows) - f]]
    wanted = [float(Fraction(sum(column), len(chosen) * count)) for column in zip(*chosen, strict=True)]
    assert krum.multi_krum(matrix, f, count=count).tolist() == wanted


@given(st.randoms(use_true_random=False))
def test_without_ties_the_order_of_clients_does_not_show(randomness):
    """Powers of two on a line: all distances, and here all scores, differ."""
    rows = [[2**k, -(2**k) // 3] for k in range(9)]
    matrix = torch.tensor(rows, dtype=torch.int16)
    shuffled = torch.tensor(randomness.sample(rows, 9), dtype=torch.int16)
    for rule in (krum.krum, krum.multi_krum):
        assert rule(matrix, 3).numpy().tobytes() == rule(shuffled, 3).numpy().tobytes()


@given(cases(-9, 9), st.integers(-30000, 30000))
def test_krum_moves_with_a_translation(case, shift):
    rows, f = case
    matrix = torch.tensor(rows, dtype=torch.int16)
    assert torch.equal(krum.krum(matrix, f) + shift, krum.krum(matrix + shift, f))


def test_wild_clients_are_not_chosen():
    """Seven honest near the origin, two colluders at the far corner: both rules ignore the corner.

    The five nearest of 2, 3 and 4 lie at 1 1 2 2 3: equal scores, and 2 has the lowest row.
    """
    honest = [[i, -i] for i in range(7)]
    matrix = torch.tensor([[32767, 32767], *honest, [32767, 32767]], dtype=torch.int16)
    assert krum.krum(matrix, 2).tolist() == [2.0, -2.0]
    assert krum.multi_krum(matrix, 2).tolist() == [3.0, -3.0]

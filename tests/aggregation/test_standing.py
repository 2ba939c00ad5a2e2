"""Standing: who works against the aggregates over the rounds is set aside, at most f, until the means say otherwise."""

import math

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from aggregation import lattice, standing

NEW = standing.Standing()


def rows(*values):
    return torch.tensor(values, dtype=torch.int16)


def judged(matrix, rounds, f, before=None):
    """The judgement after the same round several times."""
    known = before or [NEW] * (len(matrix) - 1)
    for _ in range(rounds):
        found = standing.judge(matrix, known, f)
        known = found.standings
    return found


def test_the_numbers_are_moving_means_of_clipped_products():
    """Lengths 5, 10 and 0, cut to the median 5; the last aggregate is (1, 0): gains 3, 3, 0 of a reach of 1."""
    matrix = rows([3, 4], [6, 8], [0, 0], [1, 0])
    first, second, third = standing.judge(matrix, [NEW] * 3, 1).standings
    assert (first.gain, first.length, first.reach, first.rounds) == (0.02 * 3.0, 0.02 * 25.0, 0.02, 1)
    assert second == first
    assert (third.gain, third.length, third.reach) == (0.0, 0.0, 0.02)
    assert first.cosine == pytest.approx(0.6)
    again = standing.judge(matrix, [first, second, third], 1).standings[0]
    assert again.gain == 0.98 * first.gain + 0.02 * 3.0
    assert again.rounds == 2


def test_who_pulls_back_is_set_aside():
    """The clearest first, and no more than f of them."""
    matrix = rows([10, 0], [10, 3], [10, -3], [-4, 10], [-10, 0], [10, 0])
    assert judged(matrix, 2, 1).kept == (0, 1, 2, 3)
    assert judged(matrix, 2, 2).kept == (0, 1, 2)
    assert judged(matrix, 2, 0).kept == (0, 1, 2, 3, 4)


def test_who_claims_far_more_than_the_others_is_set_aside():
    """Gains of 4, 4, 4 and 11: more than 2.5 times the median. Of 10 it is not."""
    for claim, kept in ((11, (0, 1, 2)), (10, (0, 1, 2, 3))):
        matrix = rows([4, 12], [4, -12], [4, 12], [claim, 0], [1, 0])
        assert judged(matrix, 1, 1).kept == kept


def test_one_good_round_does_not_clear_a_bad_record():
    """Ten rounds against, one with: the means remember."""
    bad = judged(rows([10, 0], [10, 3], [10, -3], [-10, 0], [10, 0]), 10, 1)
    assert standing.judge(rows([10, 0], [10, 3], [10, -3], [10, 0], [10, 0]), bad.standings, 1).kept == (0, 1, 2)


def test_where_the_many_lose_the_few_who_win_are_set_aside():
    """An aggregate that the attackers own goes against the honest: that is when agreement gives one away."""
    matrix = rows([-10, 1], [-10, 0], [-10, -1], [10, 0], [9, 5], [10, 0])
    assert judged(matrix, 2, 1).kept == (0, 1, 2, 4)
    assert judged(matrix, 2, 2).kept == (0, 1, 2)


def test_equal_ones_go_by_their_row():
    matrix = rows([10, 0], [10, 0], [10, 0], [-10, 0], [-10, 0], [10, 0])
    assert judged(matrix, 2, 1).kept == (0, 1, 2, 4)


def test_without_an_aggregate_nothing_changes():
    """The first round, and a round after one that moved nothing."""
    before = [standing.Standing(gain=1.0, length=2.0, reach=3.0, rounds=4)] * 3
    found = standing.judge(rows([1], [-1], [1], [0]), before, 1)
    assert found == standing.Judgement(standings=tuple(before), kept=(0, 1, 2))


@given(st.data())
def test_at_most_f_are_set_aside_and_the_order_of_clients_does_not_show(data):
    """Any rows, any past: a permutation of the clients permutes what is said of them, where no two are equal."""
    clients = data.draw(st.integers(3, 8))
    f = data.draw(st.integers(0, 3))
    values = st.lists(st.integers(-32767, 32767), min_size=4, max_size=4)
    matrix = data.draw(st.lists(values, min_size=clients, max_size=clients, unique_by=tuple))
    last = data.draw(values)
    order = data.draw(st.permutations(range(clients)))
    plain = judged(rows(*matrix, last), 2, f)
    moved = judged(rows(*[matrix[place] for place in order], last), 2, f)
    assert clients - len(plain.kept) <= f
    assert moved.standings == tuple(plain.standings[place] for place in order)
    gains = [each.gain for each in plain.standings]
    if len(set(gains)) == clients and len({each.cosine for each in plain.standings}) == clients:
        assert {order[row] for row in moved.kept} == set(plain.kept)


@given(st.floats(-1e300, 1e300), st.integers(-20, 20))
def test_another_lattice_changes_the_unit_and_nothing_else(gain, bits):
    """Steps of half the size: gains of four times as many; the cosine stays."""
    before = standing.Standing(gain=gain / 1e200, length=1e100, reach=2.0, rounds=3)
    after = before.moved(bits)
    assert after.gain == math.ldexp(before.gain, 2 * bits)
    assert after.rounds == 3
    assert after.cosine == pytest.approx(before.cosine)


def test_the_largest_tensor_gives_the_unit():
    """Of the sizes 2, 3, 3 the first 3: exponents -4 to -6 are two bits."""
    before = lattice.Lattice(sizes=(2, 3, 3), exponents=(0, -4, 9))
    now = lattice.Lattice(sizes=(2, 3, 3), exponents=(5, -6, 1))
    assert standing.moved_by(before, now) == 2

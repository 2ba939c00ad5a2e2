"""Credit scores against their definition, and against those who would be paid for nothing."""

import math

import torch
from hypothesis import assume, given
from hypothesis import strategies as st

from aggregation import coordinatewise, credit, lattice

ROWS = st.integers(1, 5).flatmap(
    lambda dim: st.lists(st.lists(st.integers(-32767, 32767), min_size=dim, max_size=dim), min_size=2, max_size=7)
)


def dot(x, y):
    return sum(a * b for a, b in zip(x, y, strict=True))


def scored(rows):
    matrix = torch.tensor(rows, dtype=torch.int16)
    return credit.gram_scores(matrix, lattice.refine(coordinatewise.mean(matrix)))


@given(ROWS, st.data())
def test_a_score_is_the_projection_rounded_down(rows, data):
    """The largest integer s with s |x| <= p, that is s^2 |x|^2 <= p^2, for p = n <x, a> - 2**8 <x, x>."""
    dim = len(rows[0])
    refined = data.draw(st.lists(st.integers(-(2**23), 2**23), min_size=dim, max_size=dim))
    scores = credit.gram_scores(torch.tensor(rows, dtype=torch.int16), torch.tensor(refined, dtype=torch.int32))
    for x, score in zip(rows, scores, strict=True):
        projection, square = len(rows) * dot(x, refined) - 256 * dot(x, x), dot(x, x)
        if projection <= 0 or square == 0:
            assert score == 0
        else:
            assert score**2 * square <= projection**2 < (score + 1) ** 2 * square


def test_the_mean_gives_the_length_of_the_others_along_the_update():
    """(3, 4), (6, 8), (0, 5), (0, 0): for the first, the others' sum is (6, 13), along (3, 4) / 5 that is 14."""
    rows = [[3, 4], [6, 8], [0, 5], [0, 0]]
    others = [(6, 13), (3, 9), (9, 12), None]
    wanted = [256 * dot(x, o) // math.isqrt(dot(x, x)) if o else 0 for x, o in zip(rows, others, strict=True)]
    assert scored(rows) == wanted == [256 * 14, 256 * 9, 256 * 12, 0]


def test_free_riders_and_opponents_get_nothing():
    """Attack 21: zeros. Attack 29: a sign flip, however large, scores 0."""
    honest = [[100, 90], [90, 100], [95, 95]]
    scores = scored([*honest, [0, 0], [-32, -32], [-280, -280]])
    assert scores[3:] == [0, 0, 0]


@given(st.integers(1, 16), ROWS)
def test_inflating_an_update_pays_nothing(factor, rows):
    """With the mean the others' sum stays: the score of k x is that of x, up to what refining rounds away."""
    small = [[q // 16 for q in row] for row in rows]
    assume(any(small[0]))
    inflated = [[factor * q for q in small[0]], *small[1:]]
    before, after = scored(small)[0], scored(inflated)[0]
    # refine moves a coordinate of the aggregate by at most 1/2: along a unit vector, times n, that is n sqrt(dim) / 2.
    assert abs(before - after) <= len(rows) * math.isqrt(len(rows[0]) + 3) + 2

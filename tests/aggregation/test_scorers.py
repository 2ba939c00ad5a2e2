"""Cross-holder scoring: what f liars of n can move, and what a commitment binds."""

from fractions import Fraction

import pytest
from hypothesis import given
from hypothesis import strategies as st

from aggregation import scorers

MOST = 1000
SCORES = st.integers(0, MOST)
SPLITS = st.integers(1, 9).flatmap(
    lambda honest: st.tuples(
        st.lists(SCORES, min_size=honest, max_size=honest), st.lists(SCORES, min_size=0, max_size=honest - 1)
    )
)


@given(SPLITS)
def test_liars_move_the_median_between_honest_scores(split):
    """Must-show 5: with f < n / 2, whatever they say, the median lies within the bounds, and these are honest scores."""
    honest, lies = split
    found = scorers.combine([[each] for each in [*honest, *lies]], [1] * (len(honest) + len(lies)))
    low, high = scorers.bounds(honest, len(lies))
    assert min(honest) <= low <= found.medians[0] <= high <= max(honest)
    assert found.means[0] <= found.medians[0]


@given(SPLITS)
def test_the_bounds_are_reached(split):
    """All liars at 0, or all at the top: theory and effect are equal."""
    honest, lies = split
    reached = [
        scorers.combine([[each] for each in [*honest, *[lie] * len(lies)]], [1] * (len(honest) + len(lies))).medians[0]
        for lie in (0, MOST)
    ]
    assert reached == list(scorers.bounds(honest, len(lies)))


@given(st.lists(SCORES, min_size=1, max_size=7), st.integers(1, 4), st.data())
def test_a_mean_loses_at_most_each_liars_part(honest, weight, data):
    """One low liar of n takes at most 1 / n of the cut scores' range off the mean."""
    lie = data.draw(SCORES)
    n = len(honest) + 1
    found = scorers.combine([[each] for each in [*honest, lie]], [weight] * n)
    truthful = sum(min(each, found.medians[0]) for each in honest)
    assert found.means[0] - Fraction(truthful, n) == Fraction(min(lie, found.medians[0]), n)


def test_half_of_the_weight_stands_behind_the_median():
    """Weights 3, 1, 1 for 5, 9, 7: three of five stand behind 5 and more, two behind 7; the means are cut to 5."""
    found = scorers.combine([[5], [9], [7]], [3, 1, 1])
    assert (found.medians, found.means) == ((5,), (Fraction(5),))


def test_only_what_was_committed_to_counts():
    """Another salt, another score, another round, another scorer's commitment, no commitment: not counted."""
    said = scorers.Reveal(salt=bytes(32), scores=(3, 4))
    bound = {name: scorers.commitment("run", 1, name, said) for name in ("ann", "bo", "cy", "di")}
    reveals = {
        "ann": said,
        "bo": scorers.Reveal(salt=bytes(31) + b"a", scores=(3, 4)),
        "cy": scorers.Reveal(salt=bytes(32), scores=(3, 5)),
        "eve": said,
    }
    assert scorers.counted("run", 1, bound, reveals, 2, MOST) == {"ann": (3, 4)}
    assert scorers.counted("run", 2, bound, reveals, 2, MOST) == {}
    assert scorers.counted("run", 1, {"di": bound["ann"]}, {"di": said}, 2, MOST) == {}
    assert scorers.counted("run", 1, bound, {"ann": said}, 3, MOST) == {}


def test_scores_are_cut_to_the_range():
    said = scorers.Reveal(salt=bytes(32), scores=(-5, 2000))
    bound = {"ann": scorers.commitment("run", 1, "ann", said)}
    assert scorers.counted("run", 1, bound, {"ann": said}, 2, MOST) == {"ann": (0, MOST)}


def test_a_guessable_salt_is_refused():
    with pytest.raises(ValueError, match="a salt of 4 bytes: expected 32"):
        scorers.commitment("run", 1, "ann", scorers.Reveal(salt=b"1234", scores=(1,)))

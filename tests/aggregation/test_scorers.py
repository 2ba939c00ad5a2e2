"""Cross-holder scoring: what f liars of n can move, and what a commitment binds."""

from fractions import Fraction

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from aggregation import scorers

MOST = 1000
SCORES, SIGNED = st.integers(0, MOST), st.integers(-MOST, MOST)
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
    """Another salt, another score, another round, another scorer's commitment, no word: each is left out by its name."""
    said = scorers.Reveal(salt=bytes(32), scores=(3, -4))
    bound = scorers.commitment("run", 1, "ann", said)
    assert scorers.verdict("run", 1, "ann", bound, said, 2) == "counted"
    assert scorers.verdict("run", 1, "ann", bound, said, 3) == "misfit"
    assert scorers.verdict("run", 1, "ann", bound, None, 2) == "unrevealed"
    assert scorers.verdict("run", 1, "ann", None, said, 2) == "silent"
    others = (scorers.Reveal(salt=bytes(31) + b"a", scores=(3, -4)), scorers.Reveal(salt=bytes(32), scores=(3, -5)))
    for number, name, other in ((1, "ann", others[0]), (1, "ann", others[1]), (2, "ann", said), (1, "bo", said)):
        assert scorers.verdict("run", number, name, bound, other, 2) == "otherwise"


def test_a_quorum_is_more_than_half():
    """With f < n / 2 that lie or are silent there is always one; with half or fewer, liars could be the majority."""
    assert [scorers.quorate(counted, 4) for counted in range(5)] == [False, False, False, True, True]
    assert [scorers.quorate(counted, 5) for counted in range(6)] == [False, False, False, True, True, True]


def test_a_digest_is_of_these_models_in_this_order():
    models = torch.tensor([[1.0, 2.0], [3.0, 4.0]])
    digests = {scorers.digest(each) for each in (models, models.flip(0), models.reshape(1, 4), models + 1)}
    assert len(digests) == 4
    assert scorers.digest(models.clone()) in digests


@given(st.data())
def test_the_silent_move_no_more_than_liars(data):
    """With s silent and l lying, s + l = f < n / 2, the median of the others lies within the bounds of f liars."""
    n = data.draw(st.integers(3, 9))
    f = data.draw(st.integers(0, (n - 1) // 2))
    lying = data.draw(st.integers(0, f))
    honest = data.draw(st.lists(SIGNED, min_size=n - f, max_size=n - f))
    lies = data.draw(st.lists(SIGNED, min_size=lying, max_size=lying))
    assert scorers.quorate(len(honest) + len(lies), n)
    found = scorers.combine([[each] for each in [*honest, *lies]], [1] * (len(honest) + len(lies)))
    low, high = scorers.bounds(honest, f)
    assert low <= found.medians[0] <= high


def test_a_guessable_salt_is_refused():
    with pytest.raises(ValueError, match="a salt of 4 bytes: expected 32"):
        scorers.commitment("run", 1, "ann", scorers.Reveal(salt=b"1234", scores=(1,)))

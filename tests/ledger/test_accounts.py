"""Splitting a pool."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ledger import accounts

WEIGHTS = st.dictionaries(st.text("abc", min_size=1, max_size=4), st.integers(0, 2**60), max_size=12)


@given(st.integers(0, 2**53 - 1), WEIGHTS)
def test_the_pool_is_spent_exactly(pool, weights):
    """Shares sum to the pool, or all are zero when nobody has weight."""
    shares = accounts.split(pool, weights)
    assert shares.keys() == weights.keys()
    assert sum(shares.values()) == (pool if any(weights.values()) else 0)


@given(st.integers(0, 2**53 - 1), WEIGHTS)
def test_a_share_is_its_quota_rounded_down_or_up(pool, weights):
    """The quota rule: no share is a whole micro-credit from its exact value."""
    total = sum(weights.values())
    for name, share in accounts.split(pool, weights).items():
        assert not total or abs(share * total - pool * weights[name]) < total


@given(st.integers(0, 10**9), WEIGHTS, st.randoms())
def test_order_does_not_matter(pool, weights, random):
    """The same weights in another order give the same shares, listed by name."""
    shuffled = list(weights.items())
    random.shuffle(shuffled)
    assert list(accounts.split(pool, dict(shuffled)).items()) == sorted(accounts.split(pool, weights).items())


@pytest.mark.parametrize(
    ("pool", "weights", "shares"),
    [
        (10, {"c": 1, "b": 1, "a": 1}, {"a": 4, "b": 3, "c": 3}),
        (11, {"c": 1, "b": 1, "a": 1}, {"a": 4, "b": 4, "c": 3}),
        # Quotas 1.25, 3.75, 5: the one left over goes to the largest remainder, not to the first name.
        (10, {"a": 1, "b": 3, "c": 4}, {"a": 1, "b": 4, "c": 5}),
        (7, {"a": 0, "b": 0}, {"a": 0, "b": 0}),
        (7, {"a": 0, "b": 5}, {"a": 0, "b": 7}),
        (7, {}, {}),
    ],
)
def test_by_hand(pool, weights, shares):
    """Small splits, worked out on paper."""
    assert accounts.split(pool, weights) == shares


@pytest.mark.parametrize(("pool", "weights"), [(-1, {"a": 1}), (1, {"a": 2, "b": -1})])
def test_negative_numbers_are_a_programming_error(pool, weights):
    """A negative pool or weight is never split."""
    with pytest.raises(ValueError, match="negative"):
        accounts.split(pool, weights)

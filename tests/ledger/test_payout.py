"""Payouts add up, and stay between floor and cap."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ledger import accounts, payout, statements, transfers

SCORES = st.dictionaries(st.sampled_from("abcdefgh"), st.integers(-5, 10) | st.integers(0, 10**18), min_size=1)


@given(SCORES, st.integers(0, 10**6), st.integers(0, 1000), st.integers(0, 10**6), st.integers(0, 3))
def test_a_payout_adds_up(scores, pool, floor, room, rate):
    """At most the pool; whole unless all are capped; nobody below the floor or above the cap; nothing for no score."""
    cap = floor + room if room else 0
    schedule = "linear" if rate else "proportional"
    found = payout.payout(scores, pool=pool, schedule=schedule, rate=rate, floor=floor, cap=cap)
    paid = {name: amount for name, amount in found.items() if scores[name] > 0}
    assert list(found) == sorted(scores)
    assert sum(found.values()) <= pool
    assert all(found[name] == 0 for name in scores if name not in paid)
    if paid:
        assert min(paid.values()) >= min(floor, pool // len(paid))
    if cap:
        assert all(amount <= cap for amount in paid.values())
    if paid and schedule == "proportional":
        assert sum(found.values()) == pool or set(paid.values()) == {cap}


@given(SCORES, st.integers(0, 10**6), st.integers(0, 1000), st.integers(0, 10**6), st.integers(0, 3))
def test_each_transfer_of_a_payout_sums_to_nothing(scores, pool, floor, room, rate):
    """By any schedule, floor and cap: what is issued is what is paid, the log's rules admit it, and its reversal leaves 0."""
    terms = {"pool": pool, "schedule": "linear" if rate else "proportional", "cap": floor + room if room else 0}
    found = payout.payout(scores, rate=rate, floor=floor, **terms)
    postings = transfers.payment(found)
    where = {"author": "coordinator", "run": "0" * 64, "round": 1}
    paid = statements.CreditTransfer(**where, id="round/1", code="round", reverses="", postings=postings)
    assert sum(amount for _, amount in postings) == 0
    assert transfers.changes(postings) == {name: amount for name, amount in found.items() if amount}
    assert -dict(postings).get("issued", 0) == sum(found.values())
    transfers.check_payment(paid, accepted=scores, **payout.terms(terms))
    both = transfers.add(dict(postings), transfers.opposite(postings))
    assert set(both.values()) <= {0}


@given(SCORES, st.integers(0, 10**6))
def test_without_bounds_it_is_the_split(scores, pool):
    """`proportional` is largest remainder over the positive scores."""
    weights = {name: max(score, 0) for name, score in scores.items()}
    assert payout.payout(scores, pool=pool, schedule="proportional") == accounts.split(pool, weights)


@pytest.mark.parametrize(("pool", "wanted"), [(1000, {"a": 20, "b": 4}), (12, {"a": 10, "b": 2})])
def test_a_price_pays_for_what_was_done(pool, wanted):
    """2 micro-credits for 1,000 units: 10,000 and 2,000 units are 20 and 4, or what the pool holds, in proportion."""
    assert payout.payout({"a": 10_000, "b": 2_000}, pool=pool, schedule="linear", rate=2) == wanted


def test_what_the_capped_do_not_get_goes_to_the_others():
    """Of 100 by 8 : 1 : 1, capped at 50: 50, 25, 25. With a floor of 30 and no cap: 40, 30, 30."""
    scores = {"a": 8, "b": 1, "c": 1}
    assert payout.payout(scores, pool=100, schedule="proportional", cap=50) == {"a": 50, "b": 25, "c": 25}
    assert payout.payout(scores, pool=100, schedule="proportional", floor=30) == {"a": 40, "b": 30, "c": 30}

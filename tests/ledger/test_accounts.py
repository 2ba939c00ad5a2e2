"""Splitting a pool, and accounts as a fold over the log: what members hold is what was issued."""

import dataclasses

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ledger import accounts, errors, leaf, transfers

WEIGHTS = st.dictionaries(st.text("abc", min_size=1, max_size=4), st.integers(0, 2**60), max_size=12)
NAMES = ("ash", "birch", "cedar", "0", "a-")
EARNED = st.dictionaries(st.sampled_from(NAMES), st.integers(0, 2**40))


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


def made_of(payments, taken=()):
    """Transfers that pay these in order, the rounds in `taken` being taken back at the end."""
    made = []
    for number, earned in enumerate(payments, start=1):
        made.append(transfer(len(made), transfers.round_id(number), "round", "", number, transfers.payment(earned)))
    for number in sorted(taken):
        paid = made[number - 1]
        back = transfers.opposite(paid.postings)
        made.append(transfer(len(made), transfers.reversal_id(number), "reversal", paid.id, number, back))
    return made


def transfer(seq, name, code, reverses, number, postings):
    return accounts.Transfer(
        seq=seq, eid=f"{seq:064x}", id=name, code=code, reverses=reverses, round=number, postings=postings
    )


def test_the_log_holds_every_transfer_with_its_place(paid):
    """In order, thirty payments and one reversal, each with the position, eid and postings of its entry."""
    made = list(paid.transfers())
    assert [each.code for each in made].count("round") == paid.ROUNDS
    assert [each.id for each in made if each.code == "reversal"] == ["reversal/17"]
    assert [each.seq for each in made] == sorted(each.seq for each in made)
    for each in made:
        assert each.eid == paid.entries[each.seq].eid
        assert sum(amount for _, amount in each.postings) == 0


def test_balances_are_those_of_the_history(paid):
    """Two ways to the same figures: the rules' own fold, and this one."""
    held = accounts.balances(paid.transfers())
    assert sum(held.values()) == 0
    assert -held["issued"] == 1_000_000 * (paid.ROUNDS - 2)  # one is taken back, and one paid nobody
    assert transfers.changes(tuple(held.items())) == paid.run.history.balances
    assert list(held) == sorted(held)
    assert len(set(held.values())) == len(held)


def test_a_running_balance_ends_in_the_balance(paid):
    """Each posting continues its account; the last one of each is what the account holds."""
    held = {}
    for posting in accounts.postings(paid.transfers()):
        assert posting.balance == held.get(posting.account, 0) + posting.amount
        assert (posting.account, posting.amount) in posting.transfer.postings
        held[posting.account] = posting.balance
    assert held == accounts.balances(paid.transfers())


@given(st.lists(EARNED, max_size=8), st.data())
def test_all_accounts_sum_to_zero(payments, data):
    """After every single transfer, whatever is paid and taken back; with all taken back, each holds nothing."""
    taken = data.draw(st.sets(st.sampled_from(range(1, len(payments) + 1)))) if payments else set()
    made = made_of(payments, taken)
    for stop in range(len(made) + 1):
        assert sum(accounts.balances(made[:stop]).values()) == 0
    assert set(accounts.balances(made_of(payments, range(1, len(payments) + 1))).values()) <= {0}


def test_balances_are_in_order_of_account():
    """Whoever is paid first; so every export lists accounts alike."""
    assert list(accounts.balances(made_of([{"birch": 1}, {"ash": 1}]))) == ["issued", "member:ash", "member:birch"]


@pytest.mark.parametrize("payload", [b"{}", b"not JSON"])
def test_an_entry_that_is_no_statement_is_refused(paid, payload):
    """Nothing is passed over in silence."""
    entry = paid.entries[-1]
    foreign = dataclasses.replace(entry.envelope, payload=payload)
    wrong = leaf.Entry.chain(entry.seq, leaf.NO_HEAD, foreign)
    with pytest.raises(errors.StatementError):
        list(accounts.transfers([wrong]))

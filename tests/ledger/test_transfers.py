"""Double entry: what a round pays, and what takes it back."""

import dataclasses

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ledger import errors, statements, transfers

ROUND = "round/1"


@pytest.fixture
def paid(run):
    """A run whose first round is paid and over, and that transfer."""
    transfer = run.until("committed").credit()
    run.say(transfer)
    run.until("idle")
    return run, transfer


@pytest.mark.parametrize("phase", ["idle", "open", "sealed", "committed", "credited"])
def test_a_reversal_fits_any_phase_and_moves_none(paid, phase):
    """Whenever it is said, the balances go back, and the round in progress goes on as if nothing had been said."""
    run, transfer = paid
    run.until(phase)
    before = run.history
    run.say(run.reversal(transfer))
    assert run.history.balances["ash"] == before.balances["ash"] - 600
    assert run.history.balances["birch"] == before.balances["birch"] - 400
    kept = {"payments": before.payments, "balances": before.balances, "size": before.size}
    assert dataclasses.replace(run.history, **kept) == before
    run.until("idle").until("committed")


def test_the_present_round_can_be_reversed_too(run):
    """As soon as it is credited, not before; no round to come."""
    run.until("committed")
    transfer = run.credit()
    assert run.refused(run.reversal(transfer)) == "unknown-transfer"
    run.say(transfer)
    run.say(run.reversal(transfer))
    assert (run.history.phase, run.history.balances) == ("credited", {"ash": 0, "birch": 0})
    run.say(run.disclose())


def test_a_round_is_taken_back_once(paid):
    """The second time, also with other postings, is refused, and after further rounds too."""
    run, transfer = paid
    run.say(run.reversal(transfer))
    assert run.refused(run.reversal(transfer)) == "duplicate-reversal"
    run.until("open").until("idle")
    assert run.refused(run.reversal(transfer)) == "duplicate-reversal"
    assert run.refused(run.reversal(transfer, postings=())) == "duplicate-reversal"


def test_a_reversal_is_the_exact_opposite(paid):
    """A part, other members or the payment itself again: refused."""
    run, transfer = paid
    for postings in (
        (),
        transfer.postings,
        transfers.opposite(transfers.payment({"ash": 600})),
        transfers.opposite(transfers.payment({"ash": 601, "birch": 399})),
        transfers.opposite(transfers.payment({"ash": 600, "cedar": 400})),
    ):
        assert run.refused(run.reversal(transfer, postings=postings)) == "wrong-postings"
    run.say(run.reversal(transfer))


def test_a_reversal_may_say_why(paid):
    """In its id, as a reason code, whatever code it is; once all the same, and the id without one is read as before."""
    run, transfer = paid
    assert transfers.reversal_id(1) == "reversal/1"
    assert [transfers.reason(each) for each in (ROUND, "reversal/1", "reversal/1/audit")] == ["", "", "audit"]
    run.say(run.reversal(transfer, id=transfers.reversal_id(1, "audit-difference")))
    assert run.history.balances == {"ash": 0, "birch": 0}
    for own in (transfers.reversal_id(1), transfers.reversal_id(1, "other")):
        assert run.refused(run.reversal(transfer, id=own)) == "duplicate-reversal"


@pytest.mark.parametrize("own", ["reversal/1/", "reversal/1/9", "reversal/1/a/b", "reversal/1/a.b", "reversal/2/audit"])
def test_what_is_no_reason_is_no_id(paid, own):
    """Nothing after the slash, what is no reason code, more of it, another round."""
    run, transfer = paid
    assert run.refused(run.reversal(transfer, id=own)) == "wrong-id"


@pytest.mark.parametrize(
    "change",
    [{"id": "reversal/2"}, {"id": ROUND}, {"reverses": ""}, {"reverses": "round/2"}, {"reverses": "reversal/1"}],
)
def test_a_reversal_names_its_round(paid, change):
    """Id, round and what it reverses belong together."""
    run, transfer = paid
    assert run.refused(run.reversal(transfer, **change)) == "wrong-id"


def test_no_reversal_of_what_is_not_there(paid):
    """Of a round that nobody paid."""
    run, transfer = paid
    later = dataclasses.replace(transfer, round=2, id="round/2")
    assert run.refused(run.reversal(later)) == "unknown-transfer"
    assert run.refused(run.reversal(dataclasses.replace(transfer, round=2**53 - 1, id="round/x"), reverses=ROUND)) == (
        "wrong-id"
    )


def test_only_the_coordinator_takes_back(paid):
    """A member cannot undo another's credit, nor its own."""
    run, transfer = paid
    assert run.refused(run.reversal(transfer, author="ash")) == "not-entitled"
    with pytest.raises(errors.SignatureError):
        run.say(run.reversal(transfer), run.keys["ash"])


def test_an_empty_payment_is_taken_back_by_an_empty_one(run):
    """A round that paid nobody is a transfer like any other."""
    empty = run.until("committed").credit(postings=())
    run.say(empty)
    run.say(run.reversal(empty))
    assert run.refused(run.reversal(empty)) == "duplicate-reversal"


def made(number, amount):
    fields = {"author": "moot", "run": "a" * 64, "round": number, "reverses": ""}
    postings = transfers.payment({"ash": amount})
    return statements.CreditTransfer(**fields, id=transfers.round_id(number), code="round", postings=postings)


@given(
    st.sampled_from([0, 1, 1000, 1022, 1023, 1024, 2046]),
    st.lists(st.integers(0, 9), min_size=1, max_size=5),
    st.data(),
)
@settings(max_examples=40, deadline=None)
def test_payments_remember_each_round(earlier, amounts, data):
    """Whatever was paid before and after: each round can be taken back by its own opposite, once, and by no other."""
    paid = [5] * earlier + amounts
    payments = transfers.NONE
    for number, amount in enumerate(paid, start=1):
        payments = payments.paid(made(number, amount))
    number = data.draw(st.integers(1, len(paid)))
    right = made(number, paid[number - 1])
    undone = {"id": transfers.reversal_id(number), "code": "reversal", "reverses": right.id}
    back = dataclasses.replace(right, **undone, postings=transfers.opposite(right.postings))
    assert reason(payments, dataclasses.replace(back, postings=made(number, 10).postings)) == "wrong-postings"
    after = payments.reversed(back)
    assert reason(after, back) == "duplicate-reversal"
    others = [n for n in (1, number - 1, number + 1, len(paid)) if 0 < n <= len(paid) and n != number]
    for other in others:
        theirs = made(other, paid[other - 1])
        undone = {"id": transfers.reversal_id(other), "code": "reversal", "reverses": theirs.id}
        after.reversed(dataclasses.replace(theirs, **undone, postings=transfers.opposite(theirs.postings)))
    beyond = {"round": len(paid) + 1, "id": transfers.reversal_id(len(paid) + 1), "reverses": f"round/{len(paid) + 1}"}
    assert reason(after, dataclasses.replace(back, **beyond)) == "unknown-transfer"


def reason(payments, statement):
    with pytest.raises(errors.HistoryError) as caught:
        payments.reversed(statement)
    return caught.value.reason

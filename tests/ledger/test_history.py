"""The protocol, step by step and out of step."""

import dataclasses

import pytest

from ledger import dsse, errors, history, leaf, transfers

PHASES = ["empty", "idle", "open", "sealed", "committed", "credited"]


def test_a_run_of_two_rounds(run, cid):
    """The whole protocol, and what the log says after each step."""
    assert run.history == history.EMPTY
    run.until("idle")
    assert run.history.run == run.envelopes[0].eid
    assert (run.history.coordinator, run.history.plan) == ("moot", run.plan)
    assert (run.history.round, run.history.checkpoint, run.history.open_round) == (0, cid("start"), None)
    roles = {name: (member.role, member.enrolled_at) for name, member in run.history.members.items()}
    assert roles == {"moot": ("coordinator", 0), "ash": ("holder", 1), "birch": ("holder", 3), "cedar": ("holder", 5)}

    run.until("open")
    offer = run.offer("ash")
    seq = run.say(offer)
    assert run.history.offers == {"ash": (seq, offer)}
    assert run.history.seal is None
    run.say(run.offer("birch"))
    run.say(run.seal(offers=(seq,)))
    assert run.history.seal.offers == (seq,)
    assert run.history.current.sealed == {"ash"}

    run.say(run.commit(accepted=("ash",), rejected=(("birch", "late"), ("cedar", "no-offer"))))
    assert (run.history.round, run.history.checkpoint) == (1, cid("after round 1"))
    assert (run.history.phase, run.history.commit.accepted) == ("committed", ("ash",))
    run.say(run.credit(postings=transfers.payment({"ash": 1_000})))
    assert (run.history.phase, run.history.balances) == ("credited", {"ash": 1_000})
    run.say(run.disclose())
    assert run.history.phase == "idle"
    assert (run.history.open_round, run.history.offers, run.history.seal, run.history.commit) == (None, {}, None, None)
    assert run.history.finished.disclose.round == 1

    run.until("credited").until("idle")
    assert (run.history.round, run.history.size) == (2, len(run.envelopes))
    assert run.history.balances == {"ash": 1_600, "birch": 400}
    assert run.history.times_accepted == {"ash": 2, "birch": 1}
    assert run.history.times_rejected == {"birch": 1, "cedar": 2}


def test_replay_is_the_fold(run):
    """Folding the log's entries gives what was folded along the way."""
    run.until("credited")
    entries, prev = [], leaf.NO_HEAD
    for seq, envelope in enumerate(run.envelopes):
        entries.append(leaf.Entry.chain(seq, prev, envelope))
        prev = entries[-1].hash.hex()
    assert history.replay(entries) == run.history


def test_only_a_public_plan_is_disclosed(run_of):
    """Without public disclosure the round is over with its credit, and publishing its identity is refused."""
    run = run_of({"credit": {"pool": 1_000}, "disclosure": "none"}).until("committed")
    disclose = run.disclose()
    run.say(run.credit())
    assert run.history.phase == "idle"
    assert run.refused(disclose) == "out-of-order"
    run.until("open")


@pytest.mark.parametrize("phase", PHASES)
@pytest.mark.parametrize(
    ("said", "fits"),
    [
        ("genesis", "empty"),
        ("open", "idle"),
        ("offer", "open"),
        ("decline", "open"),
        ("seal", "open"),
        ("commit", "sealed"),
        ("credit", "committed"),
        ("disclose", "credited"),
    ],
)
def test_each_statement_has_its_phase(run_of, said, fits, phase):
    """Of everything that can be said at a phase only the next step fits: early, late, twice is refused (attack 22)."""
    run = run_of()
    if phase != "empty":
        run.until(phase)
    statement = getattr(run, said)(*["cedar"] * (said in ("offer", "decline")))
    if phase == fits:
        run.say(statement)
    else:
        assert run.refused(statement) == "out-of-order"


@pytest.mark.parametrize("said", ["enrol", "role"])
def test_nothing_comes_before_genesis(run, said):
    """Enrolments and roles need a run."""
    assert run.refused(getattr(run, said)("ash")) == "out-of-order"


@pytest.mark.parametrize(
    "plan",
    [
        {},
        {"credit": {"pool": 1}},
        {"credit": {"pool": -1}, "disclosure": "public"},
        {"credit": {"pool": True}, "disclosure": "public"},
        {"credit": {"pool": "1"}, "disclosure": "public"},
        {"credit": 1, "disclosure": "public"},
        {"credit": {"pool": 1}, "disclosure": "auditors"},
        {"credit": {"pool": 1}, "disclosure": ["public"]},
    ],
)
def test_a_plan_says_pool_and_disclosure(run, plan):
    """A run whose credit or disclosure is left open does not start."""
    assert run.refused(run.genesis(plan=plan)) == "bad-plan"


@pytest.mark.parametrize("said", ["open", "seal", "commit", "credit", "disclose"])
def test_only_the_coordinator_steers(run_of, said):
    """A holder's signature under a coordinator's statement is not entitled; under the coordinator's name it is no signature."""
    before = dict(zip(["open", "seal", "commit", "credit", "disclose"], PHASES[1:], strict=True))[said]
    run = run_of().until(before)
    statement = getattr(run, said)()
    assert run.refused(dataclasses.replace(statement, author="ash")) == "not-entitled"
    with pytest.raises(errors.SignatureError):
        run.say(statement, run.keys["ash"])
    run.say(statement)


@pytest.mark.parametrize("said", ["offer", "decline", "seal", "commit", "credit", "disclose"])
def test_a_statement_of_another_run_or_round_is_refused(run_of, cid, said):
    """Of an earlier round, a later round or another run: refused by name (attack 14)."""
    steps = ["offer", "decline", "seal", "commit", "credit", "disclose"]
    before = dict(zip(steps, ["open", "open", *PHASES[2:]], strict=True))[said]
    run = run_of().until("credited").until("idle").until(before)
    number = run.history.open_round.round
    assert number == 2
    who = ["cedar"] if said in ("offer", "decline") else []
    for wrong in (1, 3):
        assert run.refused(getattr(run, said)(*who, round=wrong)) == "wrong-round"
    assert run.refused(getattr(run, said)(*who, run="a" * 64)) == "wrong-run"


def test_a_round_follows_the_last(run, cid):
    """Rounds count up by one, from the last checkpoint, in this run."""
    run.until("credited").until("idle")
    assert run.refused(run.open(round=1)) == "wrong-round"
    assert run.refused(run.open(round=3)) == "wrong-round"
    assert run.refused(run.open(parent=cid("start"))) == "wrong-parent"
    assert run.refused(run.open(run="a" * 64)) == "wrong-run"
    run.say(run.open())


def test_an_offer_fits_its_round(run, cid):
    """Another parent, another's context, a member outside the cohort: refused by name (attacks 14, 16)."""
    run.until("idle").say(run.open(cohort=("ash", "birch")))
    assert run.refused(run.offer("ash", parent=cid("other"))) == "wrong-parent"
    assert run.refused(run.offer("ash", context=run.offer("birch").context)) == "wrong-context"
    assert run.refused(run.offer("cedar")) == "not-in-cohort"
    assert run.refused(run.offer("moot")) == "not-in-cohort"
    assert run.refused(dataclasses.replace(run.offer("ash"), author="elm"), run.keys["ash"]) == "unknown-member"
    with pytest.raises(errors.SignatureError):
        run.say(run.offer("ash"), run.keys["birch"])
    run.say(run.offer("ash"))


def test_equivocation_is_told_from_a_retry(run):
    """The same offer twice is a duplicate; another one by the same member is equivocation (attack 19)."""
    offer = run.until("open").offer("ash")
    run.say(offer)
    assert run.refused(offer) == "duplicate-offer"
    assert run.refused(run.offer("ash", content="other")) == "equivocation"
    assert run.history.offers["ash"][1] == offer


def test_a_decline_is_the_one_answer_of_its_member(run):
    """A member of the cohort offers or declines, once: a round sealed on the strength of a decline left no offer out."""
    run.until("idle").say(run.open(cohort=("ash", "birch")))
    run.say(run.decline("ash", reason="policy-tasks"))
    assert run.history.current.declined == {"ash": "policy-tasks"}
    assert run.refused(run.decline("ash", reason="policy-tasks")) == "declined"
    assert run.refused(run.decline("ash", reason="policy-rounds")) == "declined"
    assert run.refused(run.offer("ash")) == "declined"
    run.say(run.offer("birch"))
    assert run.refused(run.decline("birch")) == "offered"
    assert run.refused(run.decline("cedar")) == "not-in-cohort"
    assert run.refused(run.decline("moot")) == "not-in-cohort"
    with pytest.raises(errors.SignatureError):
        run.say(run.decline("ash"), run.keys["birch"])
    run.say(run.seal())
    assert run.refused(run.decline("cedar")) == "out-of-order"
    run.say(run.commit(accepted=("birch",), rejected=(("ash", "declined"),)))


def test_what_a_member_declined_ends_with_its_round(run):
    """The next round asks again."""
    run.until("open").say(run.decline("ash"))
    for name in ("birch", "cedar"):
        run.say(run.offer(name))
    run.say(run.seal())
    run.say(run.commit(accepted=("birch", "cedar"), rejected=(("ash", "declined"),)))
    run.say(run.credit(postings=transfers.payment({"birch": 1_000})))
    run.say(run.disclose())
    run.until("open")
    assert run.history.current.declined == {}
    run.say(run.offer("ash"))


def test_a_seal_lists_offers_of_its_round(run):
    """Positions of anything else, or of an earlier round's offers, are unknown."""
    run.until("open").until("sealed")
    earlier = run.history.seal.offers
    run.until("idle").until("open")
    seq = run.say(run.offer("ash", content="2"))
    for offers in ((0,), (seq - 1,), earlier, (seq, seq + 1)):
        assert run.refused(run.seal(offers=offers)) == "unknown-offer"
    run.say(run.seal(offers=(seq,)))


def test_a_commit_accounts_for_the_cohort(run):
    """Every member once, nobody else, and nobody accepted whose offer is not sealed."""
    run.until("sealed")
    assert run.refused(run.commit(rejected=())) == "wrong-cohort"
    assert run.refused(run.commit(rejected=(("cedar", "late"), ("moot", "late")))) == "wrong-cohort"
    assert run.refused(run.commit(accepted=("ash", "birch", "cedar"), rejected=())) == "not-sealed"
    run.say(run.commit(accepted=(), rejected=tuple((name, "off-lattice") for name in ("ash", "birch", "cedar"))))
    assert run.history.times_rejected == {"ash": 1, "birch": 1, "cedar": 1}


def test_credit_is_the_pool_for_the_accepted(run):
    """Another pool, pay for the rejected or by a member, is refused; nobody paid is allowed."""
    run.until("committed")
    issued = ("issued", -1_000)
    assert run.refused(run.credit(postings=transfers.payment({"ash": 999}))) == "wrong-pool"
    assert run.refused(run.credit(postings=(("member:ash", 5), ("member:birch", -5)))) == "wrong-pool"
    assert run.refused(run.credit(postings=transfers.payment({"ash": 500, "cedar": 500}))) == "not-accepted"
    taken = (issued, ("member:ash", 1_001), ("member:birch", -1))
    assert run.refused(run.credit(postings=taken)) == "wrong-postings"
    assert run.history.balances == {}
    run.say(run.credit(postings=()))
    assert (run.history.phase, run.history.balances) == ("credited", {})


def test_a_rounds_credit_names_its_round(run):
    """Another id, or one that claims to reverse, pays nothing."""
    run.until("committed")
    assert run.refused(run.credit(id="round/2")) == "wrong-id"
    assert run.refused(run.credit(id="reversal/1")) == "wrong-id"
    assert run.refused(run.credit(reverses="round/1")) == "wrong-id"
    run.say(run.credit())


def test_an_entry_stands_at_its_position(run):
    """A statement folded at another position than the next is refused."""
    run.until("idle")
    envelope = run.sign(run.open())
    for seq in (run.history.size - 1, run.history.size + 1):
        with pytest.raises(errors.HistoryError) as caught:
            history.apply(run.history, seq, envelope)
        assert caught.value.reason == "out-of-order"


def test_history_cannot_be_written(run):
    """Neither the value nor its maps can be changed, and the fold leaves its argument as it was."""
    run.until("credited").until("idle").until("open")
    before, frozen = run.history, dataclasses.replace(run.history)
    run.say(run.offer("ash"))
    assert before == frozen
    assert before.offers == {}
    for mapping in (run.history.offers, run.history.members, run.history.balances, run.history.times_accepted):
        with pytest.raises(TypeError):
            mapping["ash"] = 1
    with pytest.raises(dataclasses.FrozenInstanceError):
        run.history.round = 5


def test_a_payload_that_is_no_statement_is_refused(run):
    """Well signed, but not a statement (attack 18)."""
    with pytest.raises(errors.StatementError):
        history.apply(run.history, 0, dsse.sign(b"{}", run.keys["moot"]))

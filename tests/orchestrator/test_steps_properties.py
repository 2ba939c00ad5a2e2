"""Whatever happens in whatever order: never two seals, never a round without enough, and an end when all have answered."""

import dataclasses

from hypothesis import given, settings
from hypothesis import strategies as st

from client import quorum
from ledger import history, keys, membership, rounds, statements
from orchestrator import steps

NAMES = tuple(f"holder-{number}" for number in range(6))
CID = "bafkreihdwdcefgh4dqkjv67uzcmw7ojee6xedzdetojuzjevtenxquvyku"
RUN = "ab" * 32
_KEYS = [keys.SigningKey.generate().public for _ in NAMES]


def members(present: tuple[str, ...], revoked: frozenset[str] = frozenset()) -> membership.Members:
    known = membership.Members()
    for place, name in enumerate(present):
        gone = place if name in revoked else None
        member = membership.Member(name=name, key=_KEYS[place], role="holder", enrolled_at=place, revoked_at=gone)
        known = known.having(member)
    return known


def opening(cohort: tuple[str, ...], number: int) -> statements.RoundOpen:
    return statements.RoundOpen(
        author="coordinator",
        run=RUN,
        round=number,
        parent=CID,
        cohort=cohort,
        recipients=("age1",),
        exponents=(0,),
        task=RUN,
        rule=RUN,
        deadline=10,
    )


def offer(name: str, number: int) -> statements.UpdateOffer:
    return statements.UpdateOffer(
        author=name,
        run=RUN,
        round=number,
        parent=CID,
        ciphertext=CID,
        size=1,
        examples=1,
        saturated=0,
        context=RUN,
        runtime={},
    )


class World:
    """A ledger that obeys, and holders that do as they like."""

    def __init__(self, state: steps.State) -> None:
        self.state = state
        self.now = 0.0
        self.seals: list[int] = []
        self.waits: list[steps.Wait] = []
        self.finished = False

    def tell(self, event: steps.Event) -> None:
        self.state, effects = steps.step(self.state, event, self.now)
        for effect in effects:
            self.perform(effect)

    def perform(self, effect: steps.Effect) -> None:
        known = self.state.history
        match effect:
            case steps.Open(number=number):
                present = quorum.holders(known)
                assert not self.state.waits or len(present) >= self.state.minimum
                self.become(dataclasses.replace(known, current=rounds.RoundRecord(open=opening(present, number))))
            case steps.Append(member=member, said=b"offer"):
                self.offered(member)
            case steps.Append(member=member):
                self.declined(member)
            case steps.Seal():
                assert known.current is not None
                assert known.phase == history.Phase.OPEN
                assert known.current.open.round not in self.seals
                listed = tuple(seq for seq, _ in known.offers.values())
                seal = statements.RoundSeal(author="coordinator", run=RUN, round=known.round + 1, offers=listed)
                assert quorum.lawful(known, seal, minimum=self.state.minimum)
                self.seals.append(known.round + 1)
                self.become(dataclasses.replace(known, current=dataclasses.replace(known.current, seal=seal)))
            case steps.Settle():
                self.become(dataclasses.replace(known, current=None, round=known.round + 1))
            case steps.Wait():
                self.waits.append(effect)
            case steps.Finish():
                self.finished = True

    def become(self, after: history.History) -> None:
        self.tell(steps.Recorded(history=after))

    def offered(self, name: str) -> None:
        known = self.state.history
        if known.phase == history.Phase.OPEN and name in quorum.unanswered(known) and known.current is not None:
            said = {**known.offers, name: (100 + len(known.offers), offer(name, known.round + 1))}
            self.become(dataclasses.replace(known, current=dataclasses.replace(known.current, offers=said)))

    def declined(self, name: str) -> None:
        known = self.state.history
        if known.phase == history.Phase.OPEN and name in quorum.unanswered(known) and known.current is not None:
            said = {**known.current.declined, name: "busy"}
            self.become(dataclasses.replace(known, current=dataclasses.replace(known.current, declined=said)))

    def revoked(self, name: str) -> None:
        known = self.state.history
        gone = frozenset({name, *(each for each in known.members if known.members[each].revoked_at is not None)})
        self.become(dataclasses.replace(known, members=members(tuple(known.members), gone)))

    def came(self, name: str) -> None:
        known = self.state.history
        if name not in known.members:
            gone = frozenset(each for each in known.members if known.members[each].revoked_at is not None)
            self.become(dataclasses.replace(known, members=members((*known.members, name), gone)))


acts = st.lists(
    st.tuples(
        st.sampled_from(
            ["offered", "declined", "revoked", "came", "answered", "refused", "failed", "ticked", "outrun", "again"]
        ),
        st.sampled_from(NAMES),
        st.sampled_from([0.0, 1.0, 10.0]),
    ),
    max_size=60,
)


def world(minimum: int, enough: int, present: int) -> World:
    known = history.History(run=RUN, members=members(NAMES[:present]), checkpoint=CID)
    state = steps.State(rounds=3, deadline=10, history=known, minimum=minimum, enough=enough, waits=True)
    return World(state)


@settings(max_examples=300, deadline=None)
@given(st.integers(1, 4), st.integers(0, 5), st.integers(0, 6), acts)
def test_no_order_of_events_breaks_the_rules(minimum: int, enough: int, present: int, said: list) -> None:
    """Every opening has enough holders, every seal is lawful and the only one; whoever waits says so once for each reason."""
    went = world(minimum, max(minimum, enough) if enough else 0, present)
    went.tell(steps.Recorded(history=went.state.history))
    for act, name, seconds in said:
        went.now += seconds
        match act:
            case "answered":
                if name in quorum.unanswered(went.state.history):
                    went.tell(steps.Answered(member=name, offer=b"offer"))
            case "refused":
                if name in quorum.unanswered(went.state.history):
                    went.tell(steps.Answered(member=name, offer=None, decline=b"decline"))
            case "failed":
                went.tell(steps.Answered(member=name, offer=None))
            case "ticked":
                went.tell(steps.Ticked())
            case "outrun":
                went.tell(steps.Outrun(history=went.state.history))
            case "again":
                went.tell(steps.Recorded(history=went.state.history))
            case _:
                getattr(went, act)(name)
    assert all(left != right for left, right in zip(went.waits, went.waits[1:], strict=False))


@settings(max_examples=100, deadline=None)
@given(
    st.integers(1, 4), st.integers(4, 6), st.lists(st.sampled_from(["offered", "declined"]), min_size=18, max_size=18)
)
def test_a_run_ends_when_all_answer(minimum: int, present: int, answers: list) -> None:
    """Whether they offer or decline, without the deadline ever passing: all three rounds are sealed, then it is over."""
    went = world(minimum, 0, present)
    went.tell(steps.Recorded(history=went.state.history))
    for place, answer in enumerate(answers):
        getattr(went, answer)(NAMES[place % 6])
    assert went.finished
    assert went.seals == [1, 2, 3]


def test_a_round_waits_for_the_minimum_and_is_sealed_as_it_comes() -> None:
    """After the deadline too: it names who is missing, once, and the offer that makes it enough seals it."""
    went = world(2, 0, 3)
    went.tell(steps.Recorded(history=went.state.history))
    went.offered("holder-0")
    went.now = 10.0
    went.tell(steps.Ticked())
    went.tell(steps.Ticked())
    assert went.waits == [steps.Wait(number=1, present=1, needed=2, missing=("holder-1", "holder-2"))]
    assert went.seals == []
    went.now = 99.0
    went.offered("holder-2")
    assert went.seals == [1]


def test_enough_offers_seal_at_once() -> None:
    """Over-selection: four are asked, the first two suffice, and nobody waits for the slow."""
    went = world(2, 2, 4)
    went.tell(steps.Recorded(history=went.state.history))
    went.offered("holder-3")
    assert went.seals == []
    went.offered("holder-1")
    assert went.seals == [1]


def test_a_round_opens_when_enough_holders_are_there() -> None:
    """Until then it says how many are; one who comes, then another, and it opens."""
    went = world(2, 0, 0)
    went.tell(steps.Recorded(history=went.state.history))
    went.came("holder-0")
    assert went.state.history.current is None
    assert [(wait.present, wait.needed) for wait in went.waits] == [(0, 2), (1, 2)]
    went.came("holder-1")
    assert went.state.history.open_round is not None


def test_whoever_arrived_is_made_a_holder_first() -> None:
    """Between rounds no round opens over the head of somebody who has arrived."""
    went = world(1, 0, 1)
    event = steps.Recorded(history=went.state.history, joined=("holder-1",))
    assert steps.step(went.state, event, 0.0)[1] == (steps.Entitle(members=("holder-1",)),)

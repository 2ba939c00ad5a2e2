"""What the coordinator does next: a pure function of what the ledger says and of who has answered.

    step(state, event, now) -> state, effects

The shell (`orchestrator.coordinator`) carries effects out and reports back as events. After a crash the ledger is replayed
and `resume` gives the same next step, so no state lives outside the ledger but the patience with slow members.

    idle -> Open -> [open: Ask, Append ...] -> Seal -> [sealed] -> Settle -> idle ... -> Finish
"""

import dataclasses

from ledger import history


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Open:
    """Open round `number`."""

    number: int


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Ask:
    """Ask these members to contribute to the open round."""

    members: tuple[str, ...]


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Append:
    """Append this member's offer."""

    member: str
    offer: bytes


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Seal:
    """Seal the open round with the offers on the ledger."""


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Settle:
    """Open, aggregate and commit the sealed round."""


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Finish:
    """All rounds of the plan are done."""


Effect = Open | Ask | Append | Seal | Settle | Finish


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Recorded:
    """The ledger moved to `history`, by this process or before it started."""

    history: history.History


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Answered:
    """A member answered: with an offer, or with None when it declined or failed."""

    member: str
    offer: bytes | None


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Ticked:
    """Time passed."""


Event = Recorded | Answered | Ticked


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class State:
    """What the coordinator knows.

    Attributes:
        rounds: of the plan.
        deadline: seconds a round stays open for those that have not answered.
        history: what the ledger says.
        asked: monotonic second when this process asked the open round's members, or None if it has not.
        answered: members that answered this process in the open round.
        sealing: the open round is about to be sealed; an event that was on its way does not seal it twice.
    """

    rounds: int
    deadline: int
    history: history.History
    asked: float | None = None
    answered: frozenset[str] = frozenset()
    sealing: bool = False


def step(state: State, event: Event, now: float) -> tuple[State, tuple[Effect, ...]]:
    """The next state, and what to do to get beyond it.

    Args:
        state: as the step before left it.
        event: what happened.
        now: seconds on any clock that never goes back.

    Reference: docs/protocol.md P16.
    """
    match event:
        case Recorded():
            return _recorded(dataclasses.replace(state, history=event.history), now)
        case Answered():
            waiting = dataclasses.replace(state, answered=state.answered | {event.member})
            append = (Append(member=event.member, offer=event.offer),) if event.offer is not None else ()
            after, seal = (waiting, ()) if _missing(waiting) else _seal(waiting)
            return after, append + seal
        case Ticked():
            late = state.asked is not None and now - state.asked >= state.deadline
            return _seal(state) if late and state.history.phase == history.Phase.OPEN else (state, ())


def _recorded(state: State, now: float) -> tuple[State, tuple[Effect, ...]]:
    phase = state.history.phase
    if phase == history.Phase.IDLE:
        fresh = dataclasses.replace(state, asked=None, answered=frozenset(), sealing=False)
        done = state.history.round >= state.rounds
        return fresh, (Finish(),) if done else (Open(number=state.history.round + 1),)
    if phase == history.Phase.OPEN:
        if state.asked is not None:
            return state, ()
        asked = dataclasses.replace(state, asked=now)
        missing = _missing(state)
        return (asked, (Ask(members=missing),)) if missing else _seal(asked)
    return state, (Settle(),)


def _seal(state: State) -> tuple[State, tuple[Effect, ...]]:
    return dataclasses.replace(state, sealing=True), () if state.sealing else (Seal(),)


def _missing(state: State) -> tuple[str, ...]:
    """Members of the open round that have neither offered nor answered."""
    opening = state.history.open_round
    if opening is None:
        return ()
    return tuple(name for name in opening.cohort if name not in state.history.offers and name not in state.answered)

"""What the coordinator does next: a pure function of what the ledger says and of who has answered.

    step(state, event, now) -> state, effects

The shell (`orchestrator.coordinator`) carries effects out and reports back as events. After a crash the ledger is replayed
and `resume` gives the same next step, so no state lives outside the ledger but the patience with slow members.

    idle -> [Entitle] -> Open -> [open: Ask, Append ...] -> Seal -> [sealed] -> Settle -> idle ... -> Finish

Where too few holders are there for a round, or too few have offered when its time is over, it waits and says so (Wait).
"""

import dataclasses

from client import quorum
from ledger import history


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Entitle:
    """Make these members holders: they came as they were invited or expected."""

    members: tuple[str, ...]


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
    """Append what this member said: an offer or a decline."""

    member: str
    said: bytes


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Seal:
    """Seal the open round with the offers on the ledger."""


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Settle:
    """Open, aggregate and commit the sealed round."""


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Wait:
    """Nothing can go on until others act.

    Attributes:
        number: the round that waits, open or yet to be opened.
        present: holders that there are, or offers that are in.
        needed: how many there must be.
        missing: members of the open round's cohort that have not answered; nobody while the round is not open.
    """

    number: int
    present: int
    needed: int
    missing: tuple[str, ...] = ()


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Finish:
    """All rounds of the plan are done."""


Effect = Entitle | Open | Ask | Append | Seal | Settle | Wait | Finish


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Recorded:
    """The ledger moved to `history`, by this process, by another or before it started.

    Attributes:
        history: what it says now.
        joined: members without a role that came as they were invited or expected.
    """

    history: history.History
    joined: tuple[str, ...] = ()


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Outrun:
    """Others appended first, and what was to be said no longer fits: it is decided anew.

    Attributes:
        history: what the ledger says now.
    """

    history: history.History


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Answered:
    """A member answered: with an offer, with a decline, or with neither when nothing can be had of it."""

    member: str
    offer: bytes | None
    decline: bytes | None = None


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Ticked:
    """Time passed."""


Event = Recorded | Outrun | Answered | Ticked


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class State:
    """What the coordinator knows.

    Attributes:
        rounds: of the plan.
        deadline: seconds a round stays open for those that have not answered.
        history: what the ledger says.
        minimum: offers that a seal must list, unless everybody has answered; holders that a round must have to be opened.
        enough: offers on the ledger that suffice to seal at once; 0 for those of the whole cohort.
        waits: whether holders may still come, so that a round for which there are too few waits for them.
        asked: monotonic second when this process asked the open round's members, or None if it has not.
        answered: members that answered this process in the open round.
        sealing: the open round is about to be sealed; an event that was on its way does not seal it twice.
        said: what was last waited for, so that it is said once.
    """

    rounds: int
    deadline: int
    history: history.History
    minimum: int = 0
    enough: int = 0
    waits: bool = False
    asked: float | None = None
    answered: frozenset[str] = frozenset()
    sealing: bool = False
    said: Wait | None = None


Step = tuple[State, tuple[Effect, ...]]


def step(state: State, event: Event, now: float) -> Step:
    """The next state, and what to do to get beyond it.

    Args:
        state: as the step before left it.
        event: what happened.
        now: seconds on any clock that never goes back.

    Reference: docs/protocol.md P16.
    """
    match event:
        case Recorded():
            entitle = (Entitle(members=event.joined),) if event.joined else ()
            known = dataclasses.replace(state, history=event.history)
            after, effects = _recorded(known, now, joining=bool(entitle))
            return after, entitle + effects
        case Outrun():
            return _recorded(dataclasses.replace(state, history=event.history, sealing=False), now, joining=False)
        case Answered():
            waiting = dataclasses.replace(state, answered=state.answered | {event.member})
            if event.decline is not None:
                return waiting, (Append(member=event.member, said=event.decline),)  # and the ledger moves once more
            if event.offer is None:
                return _weighed(waiting, now)
            after, seal = (waiting, ()) if _missing(waiting) else _weighed(waiting, now, coming=event.member)
            return after, (Append(member=event.member, said=event.offer), *seal)
        case Ticked():
            return _weighed(state, now)


def _recorded(state: State, now: float, *, joining: bool) -> Step:
    phase = state.history.phase
    if phase == history.Phase.IDLE:
        return _between(dataclasses.replace(state, asked=None, answered=frozenset(), sealing=False), joining=joining)
    if phase != history.Phase.OPEN:
        return state, (Settle(),)
    if state.asked is not None:
        return _weighed(state, now)
    asked = dataclasses.replace(state, asked=now, said=None)
    missing = _missing(state)
    return (asked, (Ask(members=missing),)) if missing else _weighed(asked, now)


def _between(state: State, *, joining: bool) -> Step:
    number, present = state.history.round + 1, len(quorum.holders(state.history))
    if number > state.rounds:
        return state, (Finish(),)
    if joining:
        return state, ()  # the ledger moves once more, when they are entitled
    if state.waits and present < state.minimum:
        return _waiting(state, Wait(number=number, present=present, needed=state.minimum))
    return state, (Open(number=number),)


def _weighed(state: State, now: float, *, coming: str | None = None) -> Step:
    """Seal the open round, or wait on.

    Args:
        state: as it stands.
        now: as for `step`.
        coming: a member whose offer is appended before the next event.
    """
    if state.asked is None or state.sealing or state.history.phase != history.Phase.OPEN:
        return state, ()
    offered = state.history.offers.keys() | ({coming} if coming else set())
    missing = _missing(state)
    suffices = state.enough and len(offered) >= state.enough
    if missing and not suffices and now - state.asked < state.deadline:
        return state, ()
    unanswered = tuple(name for name in quorum.unanswered(state.history) if name != coming)
    if len(offered) >= state.minimum or not unanswered:
        return dataclasses.replace(state, sealing=True), (Seal(),)
    number = state.history.round + 1
    return _waiting(state, Wait(number=number, present=len(offered), needed=state.minimum, missing=unanswered))


def _waiting(state: State, wait: Wait) -> Step:
    return dataclasses.replace(state, said=wait), () if state.said == wait else (wait,)


def _missing(state: State) -> tuple[str, ...]:
    """Members of the open round that have answered neither on the ledger nor this process."""
    return tuple(name for name in quorum.unanswered(state.history) if name not in state.answered)

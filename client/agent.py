"""A holder that takes part in a run from anywhere: it follows the log, and says in it what its turn is to say.

    follow   client.hearing -> client.follower: nothing is acted on before a checkpoint of the coordinator's covers it
    join     client.joining
    turn     client.turn, in each round that names it

It opens every connection itself, and keeps nothing in memory that it could not read again from its folder.

Reference: docs/protocol.md P24, P25.
"""

import math
import time

from client import agreement, backoff, errors, hearing, joining, turn, view
from ledger import history, statements

PATIENCE = 5.0
"""Seconds between two looks at what is due when nothing comes."""

QUIET = 10.0
"""Seconds without a first checkpoint after which that is said."""


class Agent:
    """A holder in its place.

    Args:
        means: what it works with.
        seat: its place in the run.
        tell: is told what happens, each thing once.
    """

    def __init__(self, means: turn.Means, seat: joining.Seat, tell: turn.Tell) -> None:
        self._means = means
        self._follows = means.follows
        self._seat = seat
        self._tell = tell
        self._told: turn.Event | None = None
        self._line = hearing.Hearing(means.service, means.follows, covered=self._report, broken=self._broken)
        self._waits = backoff.Backoff()
        self._not_before = 0.0
        self._turn: turn.Turn | None = None
        self._reported = self._follows.covered.known.round
        self._founded: agreement.Agreement | None = None

    def found(self) -> agreement.Agreement:
        """What the run's members agreed on, once a checkpoint covers it. Nothing but GET is sent.

        Raises:
            ForkError, StaleError: the log is not the one that was followed before.
            PlanError, TaskError: the run is none that this machine can take part in.
        """
        late = time.monotonic() + QUIET
        while self._follows.covered.genesis is None:
            self._line.listen(min(PATIENCE, max(0.05, late - time.monotonic())))
            if self._follows.covered.genesis is None and time.monotonic() >= late:
                self._say("waiting", "waiting for the coordinator's first checkpoint")
                late = math.inf
        return self._agreed(0)

    def run(self, trainer: turn.Trainer, *, announces: bool = False) -> view.View:
        """The log at the run's end, taken part in till then.

        Args:
            trainer: who trains.
            announces: whether refusals are said in the log.

        Raises:
            ForkError, StaleError, ForkedError: the log is not the one followed so far, or somebody else uses our key.
            JoinError: the place is not to be had, or no longer.
            StoreError, LedgerError, OSError: a fault of this machine.
        """
        self._turn = turn.Turn(self._means, self._seat, self._heard, trainer, announces=announces)
        while not self._follows.covered.over:
            self._line.listen(0.0 if self._act(self._turn) else self._pause())
        self._report()
        return self._follows.covered

    def leave(self) -> bool:
        """Whether the open round was declined, which it is if it waits for an offer of ours and there is none yet."""
        opened = self._asked()
        return opened is not None and self._turn is not None and self._turn.leave(opened)

    def _pause(self) -> float:
        return min(PATIENCE, max(0.05, self._not_before - time.monotonic()))

    def _act(self, turns: turn.Turn) -> bool:
        """Whether something was done, so that there may be more to do at once."""
        if time.monotonic() < self._not_before:
            return False
        try:
            done = self._next(turns)
        except errors.ServiceError as error:
            wait = self._waits.failed(least=error.wait)
            self._not_before = time.monotonic() + wait
            self._say("unreachable", f"{error}; again in {wait:.0f} s")
            return False
        if done:
            self._waits.succeeded()
        return done

    def _next(self, turns: turn.Turn) -> bool:
        known = self._follows.covered.known
        stage = joining.stage(known, self._seat)
        if stage != joining.Stage.ENTITLED:
            return self._join(stage)
        self._means.place.settled()
        opened, envelope = self._asked(), self._follows.covered.opening
        if opened is None or envelope is None:
            self._wait(known)
            return False
        if turns.taken(envelope):
            return False
        turns.take(self._agreed(self._follows.covered.before), envelope, opened)
        return True

    def _join(self, stage: joining.Stage) -> bool:
        # By the latest entries: what we have said already need not be said again while no checkpoint covers it.
        statement = joining.due(self._follows.latest.known, self._seat)
        if statement is None:
            what = "its first checkpoint" if stage != joining.Stage.ENROLLED else "the coordinator to make it a holder"
            self._say("waiting", f"{self._seat.name} is enrolled, and waits for {what}", stage=str(stage))
            return False
        seq = self._means.service.append(statement)
        self._say("joined", f"{self._seat.name} has its own key in the run, entry {seq}", seq=seq)
        return False

    def _asked(self) -> statements.RoundOpen | None:
        """The round that waits for an offer of ours, as the covered entries say; None if there is none."""
        covered, latest = self._follows.covered.known, self._follows.latest.known
        opened = covered.open_round
        if opened is None or covered.phase != history.Phase.OPEN or self._seat.name not in opened.cohort:
            return None
        if latest.open_round != opened or latest.phase != history.Phase.OPEN or latest.current is None:
            return None
        return None if self._seat.name in {*latest.current.offers, *latest.current.declined} else opened

    def _agreed(self, rotations: int) -> agreement.Agreement:
        """What was agreed, as its coordinator signs after so many changes of its key."""
        covered = self._follows.covered
        if self._founded is None and covered.genesis is not None:
            self._founded = agreement.Agreement.read(covered.genesis)
        if self._founded is None:
            raise errors.ServiceError("no checkpoint covers the genesis yet")
        agreed = self._founded
        for envelope in covered.rotations[:rotations]:
            agreed = agreed.rotated(envelope)
        return agreed

    def _wait(self, known: history.History) -> None:
        opened = known.open_round
        if opened is None:
            self._say("waiting", f"waiting for round {known.round + 1}", round=known.round + 1)
        elif self._seat.name not in opened.cohort:
            self._say("waiting", f"round {opened.round} goes on without {self._seat.name}", round=opened.round)
        else:
            self._say("waiting", f"round {opened.round}: waiting for the others", round=opened.round)

    def _report(self) -> None:
        """Tell what became of the last round, once."""
        known = self._follows.covered.known
        if known.round <= self._reported:
            return
        self._reported = known.round
        record = known.finished if known.current is None or known.current.commit is None else known.current
        if record is None or record.commit is None or self._seat.name not in record.open.cohort:
            return
        rejected = dict(record.commit.rejected).get(self._seat.name)
        text = f"round {known.round}: {'accepted' if rejected is None else f'not accepted, {rejected}'}"
        credit = known.balances.get(self._seat.name, 0)
        self._say("outcome", text, round=known.round, accepted=rejected is None, reason=rejected or "", credit=credit)

    def _broken(self, sentence: str) -> None:
        self._say("unreachable", sentence)

    def _say(self, kind: str, text: str, **data: object) -> None:
        self._heard(turn.Event(kind=kind, text=text, data=data))

    def _heard(self, event: turn.Event) -> None:
        if event != self._told:
            self._told = event
            self._tell(event)

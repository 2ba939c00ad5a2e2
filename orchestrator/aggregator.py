"""An aggregator: it follows a run as a holder does, opens each round's updates itself, and says whether the commit is right.

    recipient   named for the rounds to come; its identity is on disk before
    word        round.cosign, or round.dispute with what differs; on disk before anybody hears it, one for each commit, for good
    destroy     where nobody discloses identities: once the round's audit window is over and its word is said

It may be killed at any moment. It has nothing to do with whether the run goes on (docs/protocol.md P26).
"""

import time
from typing import Any

from aggregation import errors as aggregation_errors
from client import agreement, backoff, errors, hearing, joining, turn, view
from exchange import errors as exchange_errors
from ledger import dsse, history, statements
from orchestrator import cases, identities, retention, words
from orchestrator import errors as our_errors

ROLE = "aggregator"
AHEAD = 2
"""Rounds beyond the one that opens next for which a recipient is named."""
PATIENCE = 5.0
_LATE = ("wrong-round", "duplicate-recipient", "duplicate-cosign", "duplicate-destroy", "unknown-recipient")
_UNKNOWN = (exchange_errors.PeerError, exchange_errors.BlockMissingError)


class Aggregator:
    """One aggregator in one run; made by `orchestrator.station`.

    Args:
        means: what it works with.
        seat: its place in the run.
        tell: is told what happens.
    """

    def __init__(self, means: turn.Means, seat: joining.Seat, tell: turn.Tell) -> None:
        self._means = means
        self._follows = means.follows
        self._seat = seat
        self._tell = tell
        self._told: turn.Event | None = None
        self._line = hearing.Hearing(means.service, means.follows, covered=self._fold, broken=self._broken)
        self._cases = cases.Cases()
        self._identities = identities.Identities(root=means.place.root / "keys" / "rounds")
        self._waits = backoff.Backoff()
        self._not_before = 0.0
        self._agreed: agreement.Agreement | None = None
        self._words = words.Words(root=means.place.root / "words")
        self._mute = 0

    def run(self) -> view.View:
        """The log at the run's end, watched till then.

        Raises:
            ForkError, StaleError, ForkedError: the log is not the one followed so far, or somebody else uses our key.
            JoinError: the place is not to be had, or no longer.
            PlanError, TaskError: the run is none that this machine can recompute.
            StoreError, LedgerError, OSError: a fault of this machine.
        """
        self._fold()
        while True:
            done = self._act()
            if not done and self._follows.covered.over:
                return self._follows.covered  # what could not be said now is said when this is started again
            self._line.listen(0.0 if done else min(PATIENCE, max(0.05, self._not_before - time.monotonic())))

    def _fold(self) -> None:
        for entry in self._follows.entries(self._cases.known.size):
            self._cases.fold(entry)

    def _act(self) -> bool:
        """Whether something was said, so that there may be more to say at once."""
        if time.monotonic() < self._not_before or self._follows.covered.genesis is None:
            return False
        try:
            said = self._next(self._cases.known)
        except (errors.ServiceError, *_UNKNOWN) as error:
            wait = self._waits.failed(least=getattr(error, "wait", 0.0))
            self._not_before = time.monotonic() + wait
            self._broken(f"{error}; again in {wait:.0f} s")
            return False
        self._waits.succeeded()
        return said

    def _next(self, known: history.History) -> bool:
        if self._agreed is None and self._follows.covered.genesis is not None:
            self._agreed = agreement.Agreement.read(self._follows.covered.genesis)
        if self._agreed is None or joining.stage(known, self._seat) != joining.Stage.ENTITLED:
            return self._join(known)
        self._means.place.settled()
        return self._name(self._agreed) or self._judge(self._agreed) or self._destroy(known, self._agreed)

    def _join(self, known: history.History) -> bool:
        statement = joining.due(self._follows.latest.known, self._seat)
        if statement is not None and joining.stage(known, self._seat) != joining.Stage.ENTITLED:
            seq = self._means.service.append(statement)
            self._say("joined", f"{self._seat.name} has its own key in the run, entry {seq}", seq=seq)
        else:
            self._say("waiting", "waiting for the coordinator")
        return False

    def _name(self, agreed: agreement.Agreement) -> bool:
        """Name a recipient for each of the next rounds that has none of ours; by the latest entries, none is named twice."""
        latest = self._follows.latest.known
        following = (latest.round if latest.current is None else latest.current.open.round) + 1
        for number in range(following, min(following + AHEAD, agreed.plan.rounds) + 1):
            if self._seat.name in latest.recipients.of(number):
                continue
            recipient = str(identities.recipient(self._identities.made(number)))
            self._append(statements.RoundRecipient(**self._of(number), recipient=recipient))
        return False

    def _judge(self, agreed: agreement.Agreement) -> bool:
        """Have our word on the last commit, if it waits for it."""
        case = self._unspoken()
        if case is None:
            self._say("waiting", f"waiting for round {self._cases.known.round + 1}")
            return False
        word = self._words.on(case.commit) or self._found(case, agreed)
        if word is not None:
            self._append(word)
        self._mute = case.number  # the log has it, and a checkpoint will cover it
        return word is not None

    def _unspoken(self) -> cases.Case | None:
        """The round that waits for our word; None if there is none, or the log has it."""
        case, latest = self._cases.due(), self._follows.latest.known
        if case is None or case.number <= self._mute or latest.finished is None:
            return None
        heard = latest.finished if latest.finished.open.round == case.number else None
        said = heard is None or self._seat.name in heard.cosigned or self._seat.name in heard.disputed
        return None if said else case

    def _found(self, case: cases.Case, agreed: agreement.Agreement) -> words.Word | None:
        """Our word on a commit, kept; None where the round's updates cannot be opened, so nothing can be said."""
        secret = self._identity(case, agreed)
        if secret is None:
            self._say("waiting", f"round {case.number}: not sealed to us, or no longer to be opened; nothing is said")
            return None
        self._say("recomputing", f"round {case.number}: recomputing")
        try:
            cases.judge(case, agreed, self._means.store, secret)
        except our_errors.AuditError as error:
            self._say("disputed", f"round {case.number}: disputed: {error}", round=case.number, reason=error.code)
            word: words.Word = self._disputed(case, error.code)
        except _UNKNOWN:
            raise
        except (errors.CheckpointError, exchange_errors.ExchangeError, aggregation_errors.AggregationError) as error:
            self._say("disputed", f"round {case.number}: disputed: {error}", round=case.number, reason="unreadable")
            word = self._disputed(case, "unreadable")
        else:
            self._say("cosigned", f"round {case.number}: the very same, cosigned", round=case.number)
            word = statements.RoundCosign(**self._of(case.number), commit=case.commit)
        self._words.keep(word)
        return word

    def _identity(self, case: cases.Case, agreed: agreement.Agreement) -> str | None:
        disclosed = case.record.disclose
        if disclosed is not None:
            return disclosed.identity
        secret = self._identities.kept(case.number)
        if secret is None or cases.draws(agreed):
            return None
        return secret if str(identities.recipient(secret)) in case.record.open.recipients else None

    def _disputed(self, case: cases.Case, reason: str) -> statements.RoundDispute:
        return statements.RoundDispute(**self._of(case.number), commit=case.commit, reason=reason)

    def _destroy(self, known: history.History, agreed: agreement.Agreement) -> bool:
        """Destroy the identities whose window is over, and say so; our word on those rounds is had by now."""
        if known.finished is None:
            return False
        name = self._seat.name
        due = retention.overdue(known, agreed.plan, name)
        kept = {number for number, _ in known.identities.kept_by(name)} - {number for number, _ in due}
        self._identities.forget(known.finished.open.round, but=kept)
        gone = {number for number, _ in self._follows.latest.known.identities.kept_by(name)}
        for number, recipient in due:
            if number in gone:
                self._append(statements.RoundDestroy(**self._of(number), recipient=recipient))
        return False

    def _append(self, statement: statements.Predicate) -> None:
        """Have it said; a log that has moved on, or that has the same already, is owed nothing."""
        try:
            self._means.service.append(dsse.sign(statements.build(statement), self._seat.key))
        except errors.RejectedError as error:
            if error.code == "equivocation":
                said = f"the log has another word of {self._seat.name}"
                hint = "somebody else uses our key, or an older copy of our folder"
                raise errors.ForkedError(f"{said}: {hint}") from error
            if error.code not in _LATE:
                raise

    def _of(self, number: int) -> dict[str, Any]:
        return {"author": self._seat.name, "run": self._seat.run, "round": number}

    def _broken(self, sentence: str) -> None:
        self._say("unreachable", sentence)

    def _say(self, kind: str, text: str, **data: object) -> None:
        event = turn.Event(kind=kind, text=text, data=data)
        if event != self._told:
            self._told = event
            self._tell(event)

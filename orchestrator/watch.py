"""What people are told of aggregators while a run goes on: which rounds are final, and who has not cosigned, and why."""

import time
from collections.abc import Callable, Sequence

from ledger import history
from orchestrator import finality, listener

GRACE = 5.0
"""Seconds for which the end of a round waits for words on the one before, of whoever was not late before."""

LONGEST = 30.0
"""Seconds for which a run that is over waits for words on its last round."""


class Watch:
    """The words on the rounds of one run; the run goes on whatever they are.

    Args:
        needed: cosignatures that the plan asks for.
        listeners: those of them that hear sentences are told.
    """

    def __init__(self, needed: int, listeners: Sequence[listener.Listener]) -> None:
        self._needed = needed
        self._hearers = [each for each in listeners if isinstance(each, listener.Hearer)]
        self._last: finality.Words | None = None
        self._late: frozenset[str] = frozenset()
        self._final = 0

    def heard(self, known: history.History) -> None:
        """Take up what the log says now."""
        record = known.finished
        if record is None:
            return
        words = finality.Words.of(record, known)
        if self._last is not None and self._last.round < words.round:
            self._close(self._last)
        self._last = words
        if self._needed and words.final(self._needed) and words.round > self._final:
            self._final = words.round
            self._say(f"round {words.round} is final: cosigned by {', '.join(sorted(words.cosigned))}")

    def grace(self, refreshed: Callable[[], history.History]) -> None:
        """Let aggregators have their word on the round before, which is not heard any more after the end of this one.

        Whoever is late is not waited for again until it has had its word in time.
        """
        until = time.monotonic() + GRACE
        self.heard(refreshed())
        while self._needed and self._last is not None and time.monotonic() < until:
            self._late -= self._last.cosigned | self._last.disputed.keys()
            if not self._last.silent - self._late:
                return
            time.sleep(0.05)
            self.heard(refreshed())
        if self._last is not None:
            self._late |= self._last.silent

    def wait(self, refreshed: Callable[[], history.History], seconds: float) -> None:
        """Wait until everybody who can has said something of the last round and has destroyed its identities.

        Args:
            refreshed: what the log says, read anew.
            seconds: at most; never more than LONGEST.
        """
        until = time.monotonic() + min(seconds, LONGEST)
        self.heard(refreshed())
        known = refreshed()
        while self._last is not None and self._owed(self._last, known) and time.monotonic() < until:
            time.sleep(0.1)
            known = refreshed()
            self.heard(known)
        if self._last is not None:
            self._close(self._last)

    def _owed(self, words: finality.Words, known: history.History) -> bool:
        spoken = words.cosigned | words.disputed.keys()
        return bool(words.silent - self._late) or any(known.identities.kept_by(name) for name in spoken)

    def _close(self, words: finality.Words) -> None:
        """A round of which nothing more can be said."""
        if self._needed and not words.final(self._needed):
            self._say(
                f"round {words.round} is not final, with {len(words.cosigned)} of {self._needed}: {words.sentence}"
            )
        elif words.disputed or words.silent:
            self._say(f"round {words.round}: {words.sentence}")

    def _say(self, sentence: str) -> None:
        for each in self._hearers:
            each.said(sentence)

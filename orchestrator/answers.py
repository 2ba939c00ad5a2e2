"""What members answered, on its way to the ledger: the offers that came together in one transaction."""

import dataclasses
import logging
from collections.abc import Sequence

from client import phases, worker
from ledger import dsse
from ledger import errors as ledger_errors
from orchestrator import journal, listener, record, retention, steps

logger = logging.getLogger(__name__)


class Answers:
    """The replies of one run's pool.

    Args:
        record: the run's log.
        kept: pins what is offered.
        listeners: are told of each answer.

    Attributes:
        spans: where the time of those that answered went, since the caller last emptied it.
    """

    def __init__(
        self, record: journal.Journal, kept: retention.Retention, listeners: Sequence[listener.Listener]
    ) -> None:
        self._journal = record
        self._kept = kept
        self._listeners = listeners
        self.spans: list[phases.Span] = []

    def taken(self, replies: Sequence[worker.Reply]) -> Sequence[steps.Event]:
        """What follows from replies that came together; where several offer, their offers are on the ledger by now.

        Raises:
            LogError: the log cannot be written.
        """
        heard = [self._heard(reply) for reply in replies]
        said = [each.offer for each in heard if each.offer is not None]
        if len(said) < 2:
            return heard
        try:
            envelopes = [dsse.Envelope.parse(offer) for offer in said]
        except ledger_errors.StatementError:
            return heard  # each is judged alone, and the one that is not well-formed is named
        outcomes = iter(self._journal.admit(envelopes))
        self._kept.offered()
        left: list[steps.Answered] = []
        for each in heard:
            outcome = next(outcomes) if each.offer is not None else None
            if isinstance(outcome, ledger_errors.LedgerError):
                logger.warning("offer of %s refused: %s", each.member, outcome)
            if each.member not in self._journal.history.offers:  # it may have said again what another says
                left.append(dataclasses.replace(each, offer=None))
        return [*left, steps.Recorded(history=self._journal.history)]

    def append(self, member: str, said: bytes) -> bool:
        """Append a member's word; one that the ledger's rules refuse is dropped and named, and the round goes on."""
        try:
            self._journal.append(dsse.Envelope.parse(said))
        except record.REFUSALS as error:
            logger.warning("offer of %s refused: %s", member, error)
            return False
        self._kept.offered()
        return True

    def _heard(self, reply: worker.Reply) -> steps.Answered:
        self.spans += reply.spans
        if reply.offer is None:
            logger.warning("%s did not offer: %s", reply.member, reply.reason)
        for each in self._listeners:
            each.answered(reply)
        return steps.Answered(member=reply.member, offer=reply.offer, decline=reply.decline)

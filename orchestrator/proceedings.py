"""What the coordinator says of a round: its opening, its seal and its outcome, each as the plan prescribes it.

Others write to the ledger too. What is signed here rests on what it said a moment before; where that holds no more when it is
appended, a ConflictError asks to decide anew.
"""

import logging

import torch

from client import agreement, checkpoint, phases, quorum, testset, training
from exchange import recipients
from exchange import store as stores
from ledger import history, statements
from orchestrator import errors, folder, journal, jury, listener, opening, retention, settlement

logger = logging.getLogger(__name__)


class Proceedings:
    """The coordinator's part in each round of one run.

    Args:
        where: the run folder, for the rounds' identities.
        agreed: the run.
        record: its log.
        store: its files.
        kept: what it keeps of them.
        ask: has scorers say their part, where the plan has any.
    """

    def __init__(
        self,
        where: folder.RunFolder,
        agreed: agreement.Agreement,
        record: journal.Journal,
        store: stores.Store,
        kept: retention.Retention,
        ask: jury.Ask = jury.nobody,
    ) -> None:
        self._folder = where
        self._agreed = agreed
        self._journal = record
        self._store = store
        self._kept, self._ask = kept, ask
        self._model = training.FlatModel(agreed.task.model(), torch.device("cpu"))

    def open(self, number: int) -> None:
        """Open round `number`.

        Raises:
            RoundError: too few holders are left for the plan's rule.
            ConflictError: the holders, or the aggregators' recipients, are others now; decide anew.
        """
        identity = recipients.parse_identity(self._folder.round_identity(number))
        before = self._journal.history
        prescribed = opening.prescribe(self._agreed, before, str(identity.recipient), self.read)

        def still(known: history.History) -> bool:
            if known is before:
                return True
            size = self._agreed.plan.cohort.size
            if known.phase != history.Phase.IDLE or opening.cohort(known, size=size) != prescribed.cohort:
                return False
            return opening.readers(known, prescribed.recipients[0]) == prescribed.recipients

        self._journal.append(*self._journal.sign(prescribed), still=still)

    def seal(self) -> None:
        """Seal the open round with every offer on the ledger.

        Raises:
            ConflictError: there are other offers now, or there are too few; decide anew.
        """
        known = self._journal.history
        seal = statements.RoundSeal(
            author=self._agreed.founder,
            run=self._agreed.run,
            round=known.round + 1,
            offers=tuple(sorted(seq for seq, _ in known.offers.values())),
        )
        minimum = quorum.least(self._agreed.plan)

        def still(now: history.History) -> bool:
            return now.offers == known.offers and quorum.lawful(now, seal, minimum=minimum)

        self._journal.append(*self._journal.sign(seal), still=still)

    def settle(self) -> listener.RoundReport:
        """Open, aggregate and commit the sealed round, and publish it.

        Raises:
            RoundError: the identity that its updates are sealed to is lost.
        """
        watch = phases.Stopwatch()
        known = self._journal.history
        if known.current is None:
            raise errors.RoundError("no round is open, so none can be settled")
        opened = known.current.open
        identity = self._identity(opened)
        offers = settlement.sealed_offers(known)
        parent = checkpoint.read(self.read(opened.parent), opened.parent, self._agreed.specs)
        with watch.timed("aggregate"):
            outcome = settlement.settle(
                self._agreed,
                opened,
                offers,
                identity,
                parent,
                self._store,
                finished=known.finished,
                declined=known.current.declined,
                ask=self._ask,
            )
            self._kept.settled(outcome)
        with watch.timed("evaluate"):
            made, weights = self._agreed.task, outcome.checkpoint.weights
            judged = training.judge(made, self._model, weights, lambda: testset.load(made, self._store))
        for name, verdict in sorted(_unheard(outcome)):
            logger.warning("round %s: the scores of %s do not count: %s", opened.round, name, verdict)
        closing = settlement.closing(outcome, self._agreed, opened, identity, judged)
        # One transaction: a crash leaves commit, credit and disclosure together or not at all.
        written = [each for each in (closing.commit, closing.credit, closing.disclose) if each is not None]
        self._journal.append(*self._journal.sign(*written))
        self._kept.expire()
        self._journal.publish()
        received = sum(offer.size for offer in offers)
        return listener.RoundReport(commit=closing.commit, spans=watch.taken(), ciphertext_bytes=received)

    def read(self, cid: str) -> bytes:
        """The bytes of one of the run's checkpoints or aggregates."""
        return self._store.get(cid, limit=settlement.file_limit(self._agreed))

    def _identity(self, opened: statements.RoundOpen) -> str:
        identity = self._folder.round_identity(opened.round)
        if str(recipients.parse_identity(identity).recipient) != opened.recipients[0]:
            raise errors.RoundError(
                f"keys/rounds/{opened.round}.age is lost, or not the identity that round was opened with"
            )
        return identity


def _unheard(outcome: settlement.Settlement) -> list[tuple[str, str]]:
    heard = None if outcome.book is None else outcome.book.heard
    return [] if heard is None else [each for each in heard.verdicts.items() if each[1] != "counted"]

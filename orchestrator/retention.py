"""What a run keeps, and for how long: pins in its block store, and the age identities of its rounds.

    pinned       the initial checkpoint; of each round its aggregate, standing, state and checkpoint, before the commit names
                 them; each ciphertext from its offer on
    destroyed    where the plan does not disclose identities: that of a round `audit_window` rounds after it, and all that are
                 left at the run's end; then the round's accepted ciphertexts are unpinned, since nobody opens them again

A file is deleted, durably, before the ledger says so. Whoever is killed in between says so when it starts again: what is due
follows from the ledger alone (docs/protocol.md P22).
"""

import logging
from collections.abc import Iterable

from client import agreement, plan
from exchange import errors as exchange_errors
from exchange import gathering
from exchange import store as stores
from ledger import history, statements
from orchestrator import folder, journal, settlement

logger = logging.getLogger(__name__)


class Retention:
    """What one run keeps.

    Args:
        where: the run folder.
        store: the run's files.
        agreed: the run.
        record: the run's log, to which destructions are added.
    """

    def __init__(
        self, where: folder.RunFolder, store: stores.Store, agreed: agreement.Agreement, record: journal.Journal
    ) -> None:
        self._folder = where
        self._store = store
        self._agreed = agreed
        self._journal = record
        self._secret = agreed.plan.disclosure == "none"
        self._pinned: set[str] = set()
        self._accepted: dict[int, tuple[str, ...]] = {}
        self._keep_initial()
        if self._secret:
            self._take_up(record.said())
        self.offered()

    def offered(self) -> None:
        """Pin the ciphertexts that are offered to the round in progress, but for those that are not all here."""
        limit = settlement.update_limit(self._agreed)
        offers = [offer for _, offer in self._journal.history.offers.values() if offer.size <= limit]
        wanted = {offer.ciphertext: offer.author for offer in offers if offer.ciphertext not in self._pinned}
        refused = gathering.pin(self._store, tuple(wanted))
        for name, error in refused.items():
            logger.info("the ciphertext of %s is not pinned: %s", wanted[name], error)
        self._pinned |= wanted.keys() - refused.keys()

    def settled(self, outcome: settlement.Settlement) -> None:
        """Store and pin what a round came to and came from, before its commit is appended."""
        kept = (outcome.standing_file, outcome.sketches_file, outcome.book_file, outcome.state_file)
        for file in (outcome.aggregate_file, *kept, outcome.checkpoint_file):
            if file is not None:
                self._store.pin(self._store.put(file))
        self.offered()  # what was elsewhere is here since it was opened
        self._pinned.clear()
        if self._secret:
            opened, offers = self._journal.history.open_round, self._journal.history.offers
            if opened is not None:
                self._accepted[opened.round] = tuple(offers[name][1].ciphertext for name in outcome.accepted)

    def expire(self) -> bool:
        """Delete each identity whose time is over, and say so on the ledger; whether anything was said."""
        known = self._journal.history
        due = overdue(known, self._agreed.plan)
        mine = known.identities.kept_by(known.coordinator or "")
        kept = {number for number, _ in mine if number not in dict(due)}
        self._folder.forget_identities(known.round, but=kept)
        if due:
            author, run = self._agreed.founder, self._agreed.run
            said = [statements.RoundDestroy(author=author, run=run, round=n, recipient=r) for n, r in due]
            self._journal.append(*self._journal.sign(*said))
        for number, _ in due:
            # Never a rejected one: its name is its sender's choice, and may be that of a file that others need.
            self._release(self._accepted.pop(number, ()))
        return bool(due)

    def _keep_initial(self) -> None:
        name = self._agreed.checkpoint
        try:
            self._store.pin(name)
        except exchange_errors.BlockMissingError:
            self._store.get(name, limit=settlement.file_limit(self._agreed))  # elsewhere, and from now on here
            self._store.pin(name)

    def _release(self, names: Iterable[str]) -> None:
        for name in names:
            self._store.unpin(name)

    def _take_up(self, said: Iterable[statements.Predicate]) -> None:
        """Read which ciphertexts were accepted, and unpin those that a process which was killed had yet to."""
        offers: dict[str, str] = {}
        gone: list[str] = []
        for each in said:
            match each:
                case statements.UpdateOffer():
                    offers[each.author] = each.ciphertext
                case statements.RoundCommit():
                    self._accepted[each.round] = tuple(offers[name] for name in each.accepted)
                    offers = {}
                case statements.RoundDestroy():
                    gone += self._accepted.pop(each.round, ())
        if gone:
            self._release({str(name) for name in self._store.pins()}.intersection(gone))


def overdue(known: history.History, agreed: plan.Plan, name: str | None = None) -> list[tuple[int, str]]:
    """(round, recipient) of each identity of a member that the log has not destroyed, although its window is over.

    Args:
        known: what the log says.
        agreed: the plan; with its last round every window is over.
        name: whose identities; the coordinator's if left out.
    """
    last = known.round if known.round >= agreed.rounds else known.round - agreed.audit_window
    mine = known.identities.kept_by(name or known.coordinator or "")
    return [(number, recipient) for number, recipient in mine if number <= last]

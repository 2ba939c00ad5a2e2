"""What an aggregator judges: a committed round with all that was known when it was opened and sealed.

    opening   what the plan prescribes after the round before
    seal      lawful, by the offers that there were
    commit    verdicts, aggregate, checkpoint and credit, recomputed from the ciphertext up

An auditor judges the same with `orchestrator.replay`, years later; an aggregator while the run goes on.
"""

import collections
import contextlib
import io
from collections.abc import Callable
from dataclasses import dataclass

from aggregation import rules
from client import agreement
from exchange import errors as exchange_errors
from exchange import store as stores
from ledger import history, leaf, rounds, statements
from orchestrator import opening, recount, settlement

DRAWN = "bucketing"
"""The pre-aggregation that draws at random."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Case:
    """A round that is over.

    Attributes:
        record: all that was said in it.
        before_open: what the log said before it was opened.
        before_seal: what it said before the seal.
    """

    record: rounds.RoundRecord
    before_open: history.History
    before_seal: history.History

    @property
    def number(self) -> int:
        """The round's."""
        return self.record.open.round

    @property
    def commit(self) -> str:
        """Hex eid of the commit."""
        return self.record.commit_eid or ""


class Cases:
    """A log folded entry by entry, its signatures verified before; the last round that is over can be judged.

    Attributes:
        known: what the entries so far say.
    """

    def __init__(self) -> None:
        self.known = history.EMPTY
        self._opened: dict[int, history.History] = {}
        self._sealed: dict[int, history.History] = {}

    def fold(self, entry: leaf.Entry) -> None:
        """Take up one more entry."""
        before = self.known
        self.known = history.apply(before, entry.seq, entry.envelope, verify=lambda *_: None)
        if self.known.phase == before.phase:
            return
        opened = self.known.open_round
        if opened is not None and self.known.phase == history.Phase.OPEN:
            self._opened[opened.round] = before
            for kept in (self._opened, self._sealed):
                kept.pop(opened.round - 2, None)
        if opened is not None and self.known.phase == history.Phase.SEALED:
            self._sealed[opened.round] = before

    def due(self) -> Case | None:
        """The last round that is over, of which an aggregator may still speak; None before the first."""
        record = self.known.finished
        if record is None:
            return None
        number = record.open.round
        return Case(record=record, before_open=self._opened[number], before_seal=self._sealed[number])


def draws(agreed: agreement.Agreement) -> bool:
    """Whether the plan's rule draws at random, by the coordinator's identity of the round (docs/protocol.md P12)."""
    return rules.RULES[agreed.plan.rule.name].samples > 0 or DRAWN in agreed.plan.rule.pre


def judge(
    case: Case,
    agreed: agreement.Agreement,
    store: stores.Store,
    identity: str,
    *,
    progress: Callable[[], None] = lambda: None,
) -> None:
    """Nothing, if a round comes to what was committed.

    Args:
        case: the round.
        agreed: the run.
        store: the run's files.
        identity: text of an age identity that opens the round's updates; the coordinator's, if the plan's rule draws.
        progress: is called after each ciphertext that was fetched.

    Raises:
        AuditError: it does not; `code` says in what.
        BlockMissingError, PeerError: a ciphertext cannot be had, so nothing can be said of the round.
        ExchangeError, ClientError: a file that the round starts from is none.
    """
    again = recount.Recount(agreed, store, collections.Counter())
    opening.compare(agreed, case.before_open, case.record.open, again.get)
    if case.record.seal is not None:
        opening.require_lawful(agreed, case.before_seal, case.record.seal)
    commit = case.record.commit
    unavailable = (
        {} if commit is None else {name: why for name, why in commit.rejected if why in settlement.UNAVAILABLE}
    )
    for name in sorted(case.record.sealed - unavailable.keys()):
        _fetch(store, case.record.offers[name][1], settlement.update_limit(agreed))
        progress()
    again.whole(case.record, case.before_open.finished, identity)


def _fetch(store: stores.Store, offer: statements.UpdateOffer, limit: int) -> None:
    """Have a sealed update here; one that is not what was offered is for the settlement to refuse."""
    if offer.size <= limit:
        with contextlib.suppress(exchange_errors.TooLargeError, exchange_errors.BlockCorruptError):
            store.get_file(offer.ciphertext, io.BytesIO(), limit=offer.size)

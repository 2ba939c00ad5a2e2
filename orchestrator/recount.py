"""Rounds on record, worked out again: what an auditor does with what is disclosed, and an aggregator with its own identity."""

import collections
import dataclasses

from client import agreement, checkpoint, training
from exchange import errors as exchange_errors
from exchange import recipients, unixfs
from exchange import store as stores
from ledger import rounds, statements
from orchestrator import aggregate, crediting, errors, findings, optimizer, scorebook, settlement


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Recounted:
    """A round that came to the same again.

    Attributes:
        outcome: what it came to.
        offers: the sealed ones.
        on_word: of these how many were rejected because their bytes could not be had, which nobody can recompute.
    """

    outcome: settlement.Settlement
    offers: tuple[statements.UpdateOffer, ...]
    on_word: int


class Recount:
    """The rounds of one run, each of which must come to what is on record.

    Args:
        agreed: the run.
        store: its files.

    Attributes:
        checked: how many of each kind were recomputed.
        unheard: of scorers that were left out of a round's scores, how often and why, by (name, verdict).
    """

    def __init__(self, agreed: agreement.Agreement, store: stores.Store, checked: collections.Counter[str]) -> None:
        self._agreed = agreed
        self._store = store
        self.checked = checked
        self.unheard = collections.Counter[tuple[str, str]]()

    def whole(self, record: rounds.RoundRecord, finished: rounds.RoundRecord | None, identity: str) -> Recounted:
        """A round that was credited, again from the ciphertext up.

        Args:
            record: the round.
            finished: the one before; None in the first.
            identity: text of an age identity that opens its updates.

        Raises:
            AuditError: it comes to something else; `code` says to what: `accepted`, `aggregate`, `checkpoint` or `credit`.
            ExchangeError, ClientError: a file that it starts from cannot be had, or is none.
        """
        commit, credit = record.commit, record.credit
        if commit is None or credit is None:
            raise errors.AuditError(f"round {record.open.round}: recomputed before it was credited")
        parent = self.model(record.open.parent)
        offers = tuple(record.offers[name][1] for name in sorted(record.sealed))
        unavailable = {
            member: reason
            for member, reason in commit.rejected
            if reason in settlement.UNAVAILABLE and member in record.sealed
        }
        sealed = (offers, identity, parent, self._store, unavailable, finished)
        outcome = settlement.settle(
            self._agreed, record.open, *sealed, declined=record.declined, ask=lambda _: record.scorers
        )
        findings.verdicts(commit, outcome)
        unjudged = training.Judged(correct=0, total=1, loss=0.0)
        again = settlement.closing(outcome, self._agreed, record.open, identity, unjudged)
        self._require_book(commit, outcome)
        self._hear(outcome)
        claims = {name: getattr(commit, name) for name in ("correct", "total", "loss_micro")}
        findings.same(record.open.round, "commit", commit, dataclasses.replace(again.commit, **claims))
        findings.payments(record.open.round, credit, again.credit)
        return Recounted(outcome=outcome, offers=offers, on_word=len(unavailable))

    def disclosed(self, record: rounds.RoundRecord, finished: rounds.RoundRecord | None, identity: str) -> Recounted:
        """As `whole`, with the identity that the coordinator disclosed; the files it names are looked at too."""
        opened, commit = record.open, record.commit
        if commit is None or record.credit is None:
            raise errors.AuditError(f"round {opened.round}: disclosed before it was committed")
        if str(recipients.parse_identity(identity).recipient) != opened.recipients[0]:
            raise errors.AuditError(f"round {opened.round}: the disclosed identity is not the one it was opened with")
        found = self.whole(record, finished, identity)
        if self.get(commit.aggregate) != found.outcome.aggregate_file:
            raise errors.AuditError(f"round {opened.round}: the stored aggregate is not the recomputed one")
        self._require_standing(commit.aggregate)
        self._require_scores(found.outcome)
        self.checked.update({"ciphertexts": len(found.offers) - found.on_word, "aggregates": 1, "checkpoints": 1})
        self.checked["credits"] += len(commit.accepted)
        self._require_state(commit.checkpoint)
        return found

    def undisclosed(self, record: rounds.RoundRecord | None) -> list[statements.UpdateOffer]:
        """Without any identity: the checkpoint follows from the aggregate. The accepted offers, for later."""
        if record is None or record.commit is None:
            raise errors.AuditError("a round was credited before it was committed")
        opened, commit = record.open, record.commit
        values = settlement.read_aggregate(self.get(commit.aggregate), self._agreed.specs)
        self._require_standing(commit.aggregate)
        parent = self.model(opened.parent)
        moved = optimizer.step(self._agreed, opened, parent, values, self._get_state)
        if self.get(commit.checkpoint) != moved.checkpoint_file:
            raise errors.AuditError(f"round {opened.round}: the checkpoint is not what its aggregate leads to")
        self.checked.update(["aggregates", "checkpoints"])
        self._require_state(commit.checkpoint)
        return [record.offers[name][1] for name in sorted(record.sealed.intersection(commit.accepted))]

    def model(self, cid: str) -> checkpoint.Checkpoint:
        """A checkpoint of the run."""
        return checkpoint.decode(self.get(cid), cid, self._agreed.specs)

    def get(self, cid: str) -> bytes:
        """The bytes of one of the run's checkpoints or aggregates."""
        return self._store.get(cid, limit=settlement.file_limit(self._agreed))

    def _require_standing(self, cid: str) -> None:
        """The members' standing that an aggregate names, if it names one: the next round starts from it."""
        named = aggregate.decode(self.get(cid), self._agreed.specs).standing
        if named:
            aggregate.decode_standings(self._store.get(named, limit=aggregate.MOST_BYTES))
            self.checked["standings"] += 1

    def _require_scores(self, outcome: settlement.Settlement) -> None:
        """A recomputed book and its sketches are there: the next round starts from them."""
        limit = crediting.book_limit(self._agreed)
        for file in filter(None, (outcome.book_file, outcome.sketches_file)):
            if self._store.get(str(unixfs.of(file)), limit=limit) != file:
                raise errors.AuditError("a stored book of scores, or its sketches, is not the recomputed one")

    def _hear(self, outcome: settlement.Settlement) -> None:
        """Count the scorers of a round, and those that were left out."""
        heard = None if outcome.book is None else outcome.book.heard
        if heard is not None:
            self.checked["scorers"] += sum(verdict == "counted" for verdict in heard.verdicts.values())
            self.unheard.update(each for each in heard.verdicts.items() if each[1] != "counted")

    def _require_book(self, commit: statements.RoundCommit, outcome: settlement.Settlement) -> None:
        """The scores on record, where another aggregate file is because of them: so that a difference is named by its score."""
        if outcome.book is None or commit.aggregate == outcome.aggregate:
            self.checked["scores"] += len(outcome.book.members) if outcome.book is not None else 0
            return
        try:
            named = aggregate.decode(self.get(commit.aggregate), self._agreed.specs).scores
            recorded = (
                scorebook.decode(self._store.get(named, limit=crediting.book_limit(self._agreed))) if named else None
            )
        except (exchange_errors.ExchangeError, errors.RoundError):
            return  # no such file: that the commit names another aggregate is said next
        if recorded is not None:
            findings.books(commit.round, recorded, outcome.book)

    def _require_state(self, cid: str) -> None:
        """A checkpoint, once recomputed, with what the outer optimizer remembers: the next round starts from both."""
        if optimizer.remembered(self._agreed, self.model(cid), self._get_state) is not None:
            self.checked["states"] += 1

    def _get_state(self, cid: str) -> bytes:
        return self._store.get(cid, limit=optimizer.limit(self._agreed))

"""`folkmoot audit`: every statement checked and every result recomputed, from the genesis on, with no key but those disclosed.

An auditor trusts nothing it has not recomputed: hashes and links of the log, its signed checkpoints, each signature by the key
that was valid at that position, what each round had to be, and from the ciphertext up what it came to. What it cannot check
it lists as claims: they depend on a machine's floating point, or on what only a holder knows.
"""

import collections
import dataclasses
import time
from collections.abc import Callable, Mapping

from aggregation import errors as aggregation_errors
from client import agreement, checkpoint, training
from client import errors as client_errors
from exchange import errors as exchange_errors
from exchange import places, recipients
from ledger import errors as ledger_errors
from ledger import history, log, merkle, statements
from orchestrator import aggregate, errors, findings, folder, journal, opening, optimizer, recall, settlement

OURS = (
    aggregation_errors.AggregationError,
    client_errors.ClientError,
    exchange_errors.ExchangeError,
    ledger_errors.LedgerError,
)


class Replay:
    """One audit of one run folder.

    Args:
        where: the folder; nothing in it is written.
        progress: is told of each round that was checked, and of how many the plan has.
        brought: what the log is held to beside its own words.
    """

    def __init__(
        self,
        where: folder.RunFolder,
        progress: Callable[[int, int], None],
        brought: recall.Recall = recall.Recall(),  # noqa: B008  frozen, and without memory
    ) -> None:
        self._folder = where
        self._brought = brought
        self._store = places.open(where.place)
        self._progress = progress
        self._known = history.EMPTY
        self._frontier = merkle.Frontier()
        self._checked = collections.Counter[str]()
        self._recomputed = 0
        self._on_word = 0
        self._left_out = 0
        self._reversals = 0
        self._signed = 0
        self._recipients: set[str] = set()

    def audit(self) -> findings.Report:
        """The report, if everything is as the protocol says.

        Raises:
            AuditError: the first thing that is not, by name.

        Reference: docs/protocol.md P15.
        """
        start = time.perf_counter()
        try:
            published = (
                journal.read_note(self._folder.existing().checkpoint) if self._folder.checkpoint.exists() else b""
            )
            with journal.published(self._folder.existing().ledger) as record:
                notes = dict(record.notes())
                # Witnesses' lines are added at the end; whoever was killed between store and file left a note without them.
                if not any(signed.startswith(published) for signed in notes.values()):
                    message = f"the published checkpoint {self._folder.checkpoint} is not one the log ever signed"
                    raise errors.AuditError(message)
                for entry in record.entries():
                    self._entry(entry, notes.pop(entry.seq + 1, None))
                head = record.head
                if self._known.commit is not None:  # committed, and its identity not yet disclosed
                    self._undisclosed(self._known)
                self._require_whole(notes)
                standing = self._brought.check(record, published, self._known)
        except OURS as error:
            raise errors.AuditError(str(error)) from error
        return findings.Report(
            run=self._agreed.run,
            coordinator=journal.coordinator(self._known).key.fingerprint,
            planned=self._agreed.plan.rounds,
            checked=dict(self._checked),
            rounds=self._known.round,
            recomputed=self._recomputed,
            on_word=self._on_word,
            left_out=self._left_out,
            reversals=self._reversals,
            unsigned=self._frontier.size - self._signed,
            before=standing.before,
            witnesses=standing.witnesses,
            checkpoint=self._known.checkpoint or "",
            head=head,
            seconds=time.perf_counter() - start,
        )

    def _require_whole(self, unmet: Mapping[int, bytes]) -> None:
        if self._known.run is None:
            raise errors.AuditError("the log is empty: it begins no run")
        if unmet:
            message = f"the log ends after {self._frontier.size} entries, but a signed checkpoint promises {min(unmet)}"
            raise errors.AuditError(message)

    def _entry(self, entry: log.Entry, signed_note: bytes | None) -> None:
        before = self._known
        try:
            self._known = history.apply(before, entry.seq, entry.envelope)
            statement = statements.parse(entry.envelope.payload)
        except ledger_errors.LedgerError as error:
            raise errors.AuditError(f"entry {entry.seq}: {error}") from error
        self._frontier.append(merkle.leaf_hash(entry.leaf))
        self._checked.update(["entries", "links", "signatures"])
        match statement:
            case statements.Genesis():
                self._agreed = agreement.Agreement.read(entry.envelope)
                initial = self._read_checkpoint(statement.checkpoint)
                if (initial.round, initial.parent, initial.outer) != (0, "", ""):
                    follows = initial.parent or initial.outer
                    raise errors.AuditError(f"the initial checkpoint {initial.cid} says it follows {follows}")
            case statements.RoundOpen():
                self._opening(statement, before)
            case statements.RoundSeal():
                self._left_out += len(before.offers) - len(statement.offers)
            case statements.RoundDisclose():
                self._disclosed(statement, before)
            case statements.CreditTransfer(code="reversal"):
                self._reversals += 1
            case statements.CreditTransfer() if self._agreed.plan.disclosure != "public":
                self._undisclosed(before)
            case statements.RoundCosign():
                self._checked["cosignatures"] += 1
        if signed_note is not None:
            self._note(signed_note)

    def _opening(self, statement: statements.RoundOpen, before: history.History) -> None:
        if statement.round > self._agreed.plan.rounds:
            message = f"round {statement.round} is opened, the plan ends with round {self._agreed.plan.rounds}"
            raise errors.AuditError(message)
        holders = sum(member.role == "holder" for member in before.members.values())
        if holders != self._agreed.plan.task.holders:
            message = f"the ledger has {holders} holders, the plan {self._agreed.plan.task.holders}"
            raise errors.AuditError(f"round {statement.round}: {message}")
        try:
            prescribed = opening.prescribe(self._agreed, before, statement.recipients, self._get)
        except errors.RoundError as error:
            raise errors.AuditError(str(error)) from error
        # The task's code digest is the holders' business: an auditor may have another version of the code.
        prescribed = dataclasses.replace(prescribed, task=statement.task)
        findings.same(statement.round, "opening", statement, prescribed)
        if len(statement.recipients) != 1 or not self._recipients.isdisjoint(statement.recipients):
            message = f"{len(statement.recipients)} recipients, some of earlier rounds perhaps; expected one, and fresh"
            raise errors.AuditError(f"round {statement.round}: opening names {message}")
        self._recipients.update(statement.recipients)

    def _disclosed(self, statement: statements.RoundDisclose, before: history.History) -> None:
        """With the round's identity: everything again, from the ciphertext up."""
        record = before.current
        if record is None or record.commit is None or record.credit is None:
            raise errors.AuditError(f"round {statement.round}: disclosed before it was committed")
        opened, commit = record.open, record.commit
        if str(recipients.parse_identity(statement.identity).recipient) not in opened.recipients:
            raise errors.AuditError(f"round {opened.round}: the disclosed identity is not the one it was opened with")
        parent = self._read_checkpoint(opened.parent)
        offers = settlement.sealed_offers(before)
        offered = {offer.author for offer in offers}
        unavailable = {
            member: reason
            for member, reason in commit.rejected
            if reason in settlement.UNAVAILABLE and member in offered
        }
        outcome = settlement.settle(
            self._agreed, opened, offers, statement.identity, parent, self._store.get, unavailable, before.finished
        )
        findings.verdicts(commit, outcome)
        unjudged = training.Judged(correct=0, total=1, loss=0.0)
        again = settlement.closing(outcome, self._agreed, opened, statement.identity, unjudged)
        claims = {name: getattr(commit, name) for name in ("correct", "total", "loss_micro")}
        findings.same(opened.round, "commit", commit, dataclasses.replace(again.commit, **claims))
        findings.same(opened.round, "credit", record.credit, again.credit)
        if self._get(commit.aggregate) != outcome.aggregate_file:
            raise errors.AuditError(f"round {opened.round}: the stored aggregate is not the recomputed one")
        self._require_standing(commit.aggregate)
        self._recomputed += 1
        self._on_word += len(unavailable)
        self._checked.update({"ciphertexts": len(offers) - len(unavailable), "aggregates": 1, "checkpoints": 1})
        self._checked["credits"] += len(commit.accepted)
        self._require_state(commit.checkpoint)
        self._progress(opened.round, self._agreed.plan.rounds)

    def _note(self, signed_note: bytes) -> None:
        """A signed checkpoint of the log at this very size."""
        signed = journal.verify(signed_note, self._known)
        if (signed.size, signed.root) != (self._frontier.size, self._frontier.root()):
            message = f"the signed checkpoint of {signed.size} entries has root {signed.root.hex()}"
            raise errors.AuditError(f"{message}, the entries have {self._frontier.root().hex()}")
        self._signed = signed.size
        self._checked["roots"] += 1

    def _undisclosed(self, before: history.History) -> None:
        """Without the round's identity: the bytes are those named, and the checkpoint follows from the aggregate."""
        record = before.current
        if record is None or record.commit is None:
            raise errors.AuditError("a round was credited before it was committed")
        opened, commit = record.open, record.commit
        for offer in settlement.sealed_offers(before):
            if offer.author in commit.accepted:
                limit = min(offer.size, settlement.update_limit(self._agreed))
                if len(self._store.get(offer.ciphertext, limit=limit)) != offer.size:
                    message = f"{offer.author} offered {offer.size} bytes, the store has another number"
                    raise errors.AuditError(f"round {opened.round}: {message}")
                self._checked["ciphertexts"] += 1
        values = settlement.read_aggregate(self._get(commit.aggregate), self._agreed.specs)
        self._require_standing(commit.aggregate)
        parent = self._read_checkpoint(opened.parent)
        moved = optimizer.step(self._agreed, opened, parent, values, self._get_state)
        if self._get(commit.checkpoint) != moved.checkpoint_file:
            raise errors.AuditError(f"round {opened.round}: the checkpoint is not what its aggregate leads to")
        self._checked.update(["aggregates", "checkpoints"])
        self._require_state(commit.checkpoint)
        self._progress(opened.round, self._agreed.plan.rounds)

    def _require_standing(self, cid: str) -> None:
        """The members' standing that an aggregate names, if it names one: the next round starts from it."""
        named = aggregate.decode(self._get(cid), self._agreed.specs).standing
        if named:
            aggregate.decode_standings(self._store.get(named, limit=aggregate.MOST_BYTES))
            self._checked["standings"] += 1

    def _require_state(self, cid: str) -> None:
        """A checkpoint, once recomputed, with what the outer optimizer remembers: the next round starts from both."""
        if optimizer.remembered(self._agreed, self._read_checkpoint(cid), self._get_state) is not None:
            self._checked["states"] += 1

    def _read_checkpoint(self, cid: str) -> checkpoint.Checkpoint:
        return checkpoint.decode(self._get(cid), cid, self._agreed.specs)

    def _get(self, cid: str) -> bytes:
        return self._store.get(cid, limit=settlement.file_limit(self._agreed))

    def _get_state(self, cid: str) -> bytes:
        return self._store.get(cid, limit=optimizer.limit(self._agreed))

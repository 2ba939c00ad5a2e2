"""`folkmoot audit`: every statement checked and every result recomputed, from the genesis on, with no key but those disclosed.

An auditor trusts nothing it has not recomputed: hashes and links of the log, its signed checkpoints, each signature by the key
that was valid at that position, what each round had to be, and from the ciphertext up what it came to. What it cannot check
it lists as claims: they depend on a machine's floating point, or on what only a holder knows.
"""

import collections
import time
from collections.abc import Callable, Mapping

from client import agreement
from ledger import errors as ledger_errors
from ledger import history, leaf, merkle, statements, transfers
from orchestrator import (
    errors,
    evidence,
    finality,
    findings,
    journal,
    opening,
    recall,
    recount,
    retention,
    settlement,
    subject,
    withheld,
)


class Replay:
    """One audit of one run.

    Args:
        place: where the run is; nothing is written there.
        progress: is told of each round that was checked, and of how many the plan has.
        brought: what the log is held to beside its own words.
    """

    def __init__(
        self,
        place: subject.Place,
        progress: Callable[[int, int], None],
        brought: recall.Recall = recall.Recall(),  # noqa: B008  frozen, and without memory
    ) -> None:
        self._place = place
        self._brought = brought
        self._progress = progress
        self._known = history.EMPTY
        self._frontier = merkle.Frontier()
        self._checked = collections.Counter[str]()
        self._tally = finality.Tally()
        self._recomputed = 0
        self._on_word = 0
        self._left_out = 0
        self._taken_back: dict[int, str] = {}
        self._signed = 0
        self._head = leaf.NO_HEAD
        self._recipients: set[str] = set()

    def audit(self) -> findings.Report:
        """The report, if everything is as the protocol says.

        Raises:
            AuditError: the first thing that is not, by name.
            UnreachedError: the run's service does not hand out what is to be audited.

        Reference: docs/protocol.md P15.
        """
        start = time.perf_counter()
        try:
            with subject.opened(self._place) as found:
                standing = self._read(found)
                beyond = found.beyond
        except evidence.REFUSALS as error:
            raise errors.AuditError(str(error)) from error
        known, plan = self._known, self._agreed.plan
        needed = plan.cohort.cosignatures
        overdue = {name: len(retention.overdue(known, plan, name)) for name in known.members}
        return findings.Report(
            run=self._agreed.run,
            coordinator=journal.coordinator(known).key.fingerprint,
            planned=plan.rounds,
            checked=dict(self._checked),
            rounds=known.round,
            recomputed=self._recomputed,
            destroyed=findings.spans(self._withheld.destroyed),
            overdue=overdue.pop(known.coordinator or ""),
            on_word=self._on_word,
            left_out=self._left_out,
            cosignatures=needed,
            final=self._tally.final(needed),
            pending=self._tally.pending(needed),
            aggregators=self._tally.aggregators(),
            lingering={name: count for name, count in overdue.items() if count},
            reversals=len(self._taken_back),
            taken_back=self._taken_back,
            unheard={" ".join(each): count for each, count in sorted(self._rounds.unheard.items())},
            unsigned=self._frontier.size - self._signed + beyond,
            before=standing.before,
            witnesses=standing.witnesses,
            checkpoint=known.checkpoint or "",
            head=self._head,
            seconds=time.perf_counter() - start,
        )

    def _read(self, found: subject.Subject) -> recall.Standing:
        """All of a log, from its first entry on."""
        self._store = found.store
        notes = dict(found.notes)
        for entry in found.record.entries(0, found.stop):
            self._entry(entry, notes.pop(entry.seq + 1, None))
        if self._known.commit is not None:  # committed, and its identity not yet disclosed
            self._undisclosed(self._known)
        self._require_whole(notes)
        self._withheld.check()
        found.finish()
        return self._brought.check(found.record, found.published, self._known)

    def _require_whole(self, unmet: Mapping[int, bytes]) -> None:
        if self._known.run is None:
            raise errors.AuditError("the log is empty: it begins no run")
        if unmet:
            message = f"the log ends after {self._frontier.size} entries, but a signed checkpoint promises {min(unmet)}"
            raise errors.AuditError(message)

    def _entry(self, entry: leaf.Entry, signed_note: bytes | None) -> None:
        before = self._known
        try:
            self._known = history.apply(before, entry.seq, entry.envelope)
            statement = statements.parse(entry.envelope.payload)
        except ledger_errors.LedgerError as error:
            raise errors.AuditError(f"entry {entry.seq}: {error}") from error
        hashed = merkle.leaf_hash(entry.leaf)
        self._frontier.append(hashed)
        self._head = hashed.hex()
        self._checked.update(["entries", "links", "signatures"])
        self._tally.heard(self._known)
        match statement:
            case statements.Genesis():
                self._agreed = agreement.Agreement.read(entry.envelope)
                self._founded(statement)
            case statements.RoundOpen():
                self._opening(statement, before)
            case statements.RoundSeal():
                opening.require_lawful(self._agreed, before, statement)
                self._left_out += len(before.offers) - len(statement.offers)
            case statements.RoundDisclose():
                self._disclosed(statement, before)
            case statements.CreditTransfer(code="reversal"):
                self._taken_back[statement.round] = transfers.reason(statement.id)
            case statements.CreditTransfer() if self._agreed.plan.disclosure != "public":
                self._undisclosed(before)
            case statements.RoundDestroy() if statement.author == self._known.coordinator:
                self._withheld.gone(statement.round)
            case statements.RoundCosign():
                self._checked["cosignatures"] += 1
        if signed_note is not None:
            self._note(signed_note)

    def _founded(self, statement: statements.Genesis) -> None:
        limit = settlement.update_limit(self._agreed)
        self._rounds = recount.Recount(self._agreed, self._store, self._checked)
        self._withheld = withheld.Withheld(self._store, limit, lambda n: self._checked.update(ciphertexts=n))
        initial = self._rounds.model(statement.checkpoint)
        if (initial.round, initial.parent, initial.outer) != (0, "", ""):
            follows = initial.parent or initial.outer
            raise errors.AuditError(f"the initial checkpoint {initial.cid} says it follows {follows}")

    def _opening(self, statement: statements.RoundOpen, before: history.History) -> None:
        opening.compare(self._agreed, before, statement, self._rounds.get)
        own = statement.recipients[0]
        if own in self._recipients:
            message = f"opening names the coordinator's recipient of an earlier round, {own}; expected a fresh one"
            raise errors.AuditError(f"round {statement.round}: {message}")
        self._recipients.add(own)

    def _disclosed(self, statement: statements.RoundDisclose, before: history.History) -> None:
        """With the round's identity: everything again, from the ciphertext up."""
        if before.current is None:
            raise errors.AuditError(f"round {statement.round}: disclosed before it was committed")
        again = self._rounds.disclosed(before.current, before.finished, statement.identity)
        self._recomputed += 1
        self._on_word += again.on_word
        self._progress(statement.round, self._agreed.plan.rounds)

    def _undisclosed(self, before: history.History) -> None:
        """Without the round's identity: what can be checked; its ciphertexts are looked for later."""
        accepted = self._rounds.undisclosed(before.current)
        self._withheld.over(before.round, accepted)
        self._progress(before.round, self._agreed.plan.rounds)

    def _note(self, signed_note: bytes) -> None:
        """A signed checkpoint of the log at this very size."""
        signed = journal.verify(signed_note, self._known)
        if (signed.size, signed.root) != (self._frontier.size, self._frontier.root()):
            message = f"the signed checkpoint of {signed.size} entries has root {signed.root.hex()}"
            raise errors.AuditError(f"{message}, the entries have {self._frontier.root().hex()}")
        self._signed = signed.size
        self._checked["roots"] += 1

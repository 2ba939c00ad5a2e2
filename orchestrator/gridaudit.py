"""The audit of a run that a Flower strategy led: everything checked but what the strategy computed.

    checked   every statement, link and signature; each brief, and that a phase asked exactly those whom it names; each reply
              opened again from its ciphertext; the verdicts, and which replies the strategy was given
    claimed   what the strategy made of it: the next brief is its word (docs/adr/0019). Whoever has the same strategy can run
              it on the opened replies and compare

Reference: docs/protocol.md P27.
"""

import collections
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass

from client import brief, gridplan, records
from exchange import recipients, unixfs
from ledger import history, leaf, merkle, rounds, statements
from orchestrator import errors, evidence, harvest, journal, phases, recall, subject

MOST_BRIEF = 1 << 34
"""Bytes of a brief: personal models for many nodes."""

CHECKED = ("entries", "links", "signatures", "briefs", "contents", "replies", "harvests", "roots", "cosignatures")
"""What is counted, in the order in which it is told."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Report:
    """An audit that found no difference.

    Attributes:
        run: hex eid of the genesis.
        coordinator: fingerprint of the key that signed it.
        app: name of the ClientApp, and digest of its source.
        server: what led the run, in the coordinator's words.
        checked: how many of each kind were checked or recomputed.
        phases: committed.
        opened: phases whose replies were opened again; fewer where identities were not disclosed.
        rejected: replies that did not count, by reason.
        left_out: offers that were on the log in time and that the coordinator did not seal.
        unsigned: entries after the last signed checkpoint of the log.
        before: how the published checkpoint stands to what was accepted of this log before; empty if nobody looked.
        witnesses: when each witness of the given policy cosigned it, in seconds since 1970, by name.
        checkpoint: CID of the last brief.
        final: whether it holds a final model.
        head: hash of the last entry.
        seconds: wall time.
    """

    run: str
    coordinator: str
    app: str
    server: str
    checked: Mapping[str, int]
    phases: int
    opened: int
    rejected: Mapping[str, int]
    left_out: int
    unsigned: int
    before: str
    witnesses: Mapping[str, int]
    checkpoint: str
    final: bool
    head: str
    seconds: float

    @property
    def text(self) -> str:
        """The report for people."""
        lines = [f"{name:11} {count}" for name, count in self.checked.items()]
        lost = ", ".join(f"{count} {reason}" for reason, count in sorted(self.rejected.items())) or "none"
        lines += [
            "",
            f"phases      {self.opened} of {self.phases} opened again, from their ciphertext",
            f"rejected    {lost}; left out {self.left_out}",
            f"claims      the next model is the strategy's word ({self.server or 'not named'}); metrics, examples, runtime too",
            f"app         {self.app}",
            f"run         {self.run}",
            f"signed by   {self.coordinator}",
            f"checkpoint  {self.checkpoint}{', with the final model' if self.final else ''}",
            f"log head    {self.head}; {self.unsigned} entries unsigned",
            f"memory      {self.before or 'not asked, and not remembered'}",
            f"no difference, {self.seconds:.1f} s",
        ]
        return "\n".join(lines)


class GridAudit:
    """One audit of one run; arguments as for `replay.Replay`."""

    def __init__(
        self,
        place: subject.Place,
        progress: Callable[[int, int], None],
        brought: recall.Recall = recall.Recall(),  # noqa: B008  frozen, and without memory
    ) -> None:
        self._place = place
        self._progress = progress
        self._brought = brought
        self._known = history.EMPTY
        self._frontier = merkle.Frontier()
        self._checked = collections.Counter[str]()
        self._rejected = collections.Counter[str]()
        self._recipients: set[str] = set()
        self._signed = self._opened = self._left_out = 0
        self._head = leaf.NO_HEAD

    def audit(self) -> Report:
        """The report, if everything that can be checked is as the protocol says.

        Raises:
            AuditError: the first thing that is not, by name.
        """
        start = time.perf_counter()
        try:
            with subject.opened(self._place) as found:
                standing = self._read(found)
                beyond = found.beyond
        except evidence.REFUSALS as error:
            raise errors.AuditError(str(error)) from error
        return Report(
            run=self._known.run or "",
            coordinator=journal.coordinator(self._known).key.fingerprint,
            app=f"{self._plan.app}, source {self._plan.code}",
            server=self._plan.server,
            checked={name: self._checked[name] for name in CHECKED if self._checked[name]},
            phases=self._known.round,
            opened=self._opened,
            rejected=dict(self._rejected),
            left_out=self._left_out,
            unsigned=self._frontier.size - self._signed + beyond,
            before=standing.before,
            witnesses=standing.witnesses,
            checkpoint=self._known.checkpoint or "",
            final=not self._brief.messages and bool(self._brief.contents),
            head=self._head,
            seconds=time.perf_counter() - start,
        )

    def _read(self, found: subject.Subject) -> recall.Standing:
        self._store = found.store
        notes = dict(found.notes)
        for entry in found.record.entries(0, found.stop):
            self._entry(entry, notes.pop(entry.seq + 1, None))
        if self._known.run is None:
            raise errors.AuditError("the log is empty: it begins no run")
        if notes:
            message = f"the log ends after {self._frontier.size} entries, but a signed checkpoint promises {min(notes)}"
            raise errors.AuditError(message)
        standing = self._brought.check(found.record, found.published, self._known)
        found.finish()
        return standing

    def _entry(self, entry: leaf.Entry, signed_note: bytes | None) -> None:
        before = self._known
        self._known = history.apply(before, entry.seq, entry.envelope)
        hashed = merkle.leaf_hash(entry.leaf)
        self._frontier.append(hashed)
        self._head = hashed.hex()
        self._checked.update(["entries", "links", "signatures"])
        match statements.parse(entry.envelope.payload):
            case statements.Genesis() as said:
                self._plan = gridplan.GridPlan.from_record(said.plan)
                self._told(said.checkpoint, number=1, parent="")
            case statements.RoundOpen() as said:
                self._require_opening(said)
            case statements.RoundSeal() as said:
                self._left_out += len(before.offers) - len(said.offers)
            case statements.RoundCommit() as said:
                self._rejected.update(reason for _, reason in said.rejected)
            case statements.CreditTransfer() as said if said.postings:
                raise errors.AuditError(f"round {said.round}: credit in a run that a strategy leads", "credit")
            case statements.CreditTransfer() if self._plan.disclosure != "public":
                self._over(self._known.finished, None)
            case statements.RoundDisclose() as said:
                self._over(before.current, said.identity)
        if signed_note is not None:
            self._note(signed_note)

    def _told(self, cid: str, *, number: int, parent: str) -> None:
        """The next brief, all of whose contents are records."""
        found = brief.decode(self._store.get(cid, limit=MOST_BRIEF))
        if (found.number, found.parent) != (number, parent):
            said = f"brief {cid} is number {found.number} after {found.parent or 'nothing'}"
            raise errors.AuditError(f"{said}, expected number {number} after {parent or 'nothing'}", "checkpoint")
        for content in found.contents:
            records.decode(content)
        self._brief = found
        self._checked.update({"briefs": 1, "contents": len(found.contents)})

    def _require_opening(self, said: statements.RoundOpen) -> None:
        expected = (tuple(sorted(self._brief.messages)), self._plan.code, self._plan.digest(), (), phases.DEADLINE)
        if (said.cohort, said.task, said.rule, said.exponents, said.deadline) != expected:
            raise errors.AuditError(f"round {said.round}: the opening is not that of its brief and the plan", "opening")
        if len(said.recipients) != 1 or said.recipients[0] in self._recipients:
            raise errors.AuditError(f"round {said.round}: expected one fresh recipient", "opening")
        self._recipients.update(said.recipients)

    def _over(self, record: rounds.RoundRecord | None, identity: str | None) -> None:
        """A phase that is over; with its identity its replies are opened again."""
        if record is None or record.commit is None:
            raise errors.AuditError("a phase is over before it was committed")
        number, commit = record.open.round, record.commit
        if identity is not None:
            if str(recipients.parse_identity(identity).recipient) != record.open.recipients[0]:
                raise errors.AuditError(f"round {number}: the disclosed identity is not the one it was opened with")
            again = harvest.gathered(record, self._store, identity)
            verdicts = tuple(sorted(again.ciphertexts)), tuple(sorted(again.rejected.items()))
            if verdicts != (commit.accepted, commit.rejected):
                raise errors.AuditError(f"round {number}: other replies open than were accepted", "accepted")
            self._opened += 1
            self._checked.update({"replies": len(again.ciphertexts)})
        given = {name: record.offers[name][1].ciphertext for name in commit.accepted if name in record.sealed}
        told = harvest.Harvest(contents={}, ciphertexts=given, rejected={})
        if len(given) != len(commit.accepted) or str(unixfs.of(told.encode())) != commit.aggregate:
            raise errors.AuditError(f"round {number}: the strategy was given something else", "aggregate")
        self._checked["harvests"] += 1
        self._told(commit.checkpoint, number=number + 1, parent=record.open.parent)
        self._progress(number, number)

    def _note(self, signed_note: bytes) -> None:
        signed = journal.verify(signed_note, self._known)
        if (signed.size, signed.root) != (self._frontier.size, self._frontier.root()):
            raise errors.AuditError(f"the signed checkpoint of {signed.size} entries has another root than the entries")
        self._signed = signed.size
        self._checked["roots"] += 1

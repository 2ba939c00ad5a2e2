"""The ledger's part in a run that a Flower strategy leads: one phase, of messages and replies, is one round.

    genesis (checkpoint: brief 1) -> open 1 (from brief 1) -> offers -> seal -> replies opened -> the strategy does its own
    commit 1 (checkpoint: brief 2) -> open 2 ... -> commit n (checkpoint: the closing brief)

What the strategy made of a phase shows in what it says next, so a phase is committed when the next brief is there. `aggregate`
names the harvest (orchestrator.harvest), which says exactly what the strategy was given.

The ledger grows twice a phase, each time in one transaction: by the commit before and the opening; by offers and the seal.

Reference: docs/protocol.md P27.
"""

import io
import time
from collections.abc import Mapping, Sequence
from typing import Any

from client import brief, gridnode, gridplan
from exchange import blocks, places, recipients, unixfs
from ledger import dsse, history, keys, statements, transfers
from orchestrator import errors as our_errors
from orchestrator import folder, founding, harvest, journal

DEADLINE = 3600
PUBLISHING = 1.0
"""Seconds between two checkpoints of the log, at least."""


class Phases:
    """The phases of one run, in a folder that the caller has locked.

    Args:
        where: the run folder.
        plan: of the run.
    """

    def __init__(self, where: folder.RunFolder, plan: gridplan.GridPlan) -> None:
        self._folder = where
        self._plan = plan
        self._store = places.open(where.place)
        self._journal = journal.Journal(where.ledger, where.coordinator_key())
        if self._journal.history.phase != history.Phase.EMPTY:
            self._journal_closed()
            raise our_errors.FolderError(
                f"{where.root} holds a run already, of {self._journal.history.round} phases, and a strategy cannot resume: "
                "choose another folder; folkmoot audit reads this one"
            )
        self._run = ""
        self._parent = ""
        self._due = 0.0
        self._harvest: harvest.Harvest | None = None

    @property
    def parent(self) -> str:
        """CID of the brief that is being replied to; empty before the first."""
        return self._parent

    @property
    def number(self) -> int:
        """Of the phase that opens next, from 1."""
        return self._journal.history.round + (1 if self._harvest is None else 2)

    def open(self, said: brief.Brief) -> tuple[bytes, bytes]:
        """Begin the phase of a brief, the one before being committed: the signed opening, and the brief's file."""
        file = said.encode()
        before = self._told(file)
        identity = recipients.parse_identity(self._folder.round_identity(said.number))
        opened = statements.RoundOpen(
            author=founding.COORDINATOR,
            run=self._run,
            round=said.number,
            parent=self._parent,
            cohort=tuple(sorted(said.messages)),
            recipients=(str(identity.recipient),),
            exponents=(),
            task=self._plan.code,
            rule=self._plan.digest(),
            deadline=DEADLINE,
        )
        (envelope,) = self._journal.sign(opened)
        self._journal.append(*before, envelope)
        if time.monotonic() >= self._due:
            # Whoever is killed leaves a log that can be audited: to here, and what follows as entries that nobody signed for.
            self._journal.publish()
            self._due = time.monotonic() + PUBLISHING
        return envelope.to_bytes(), file

    def settle(self, replies: Sequence[gridnode.Reply]) -> harvest.Harvest:
        """Store what nodes sealed, append what they say and the seal, and open it: nothing before all of it is durable."""
        known = self._journal.history
        number = known.round + 1
        stored = self._put([each.sealed for each in replies if each.sealed])
        said = [(each, each.offer or each.decline) for each in replies]
        answers = [(each, dsse.Envelope.parse(text)) for each, text in said if text]
        offers = tuple(known.size + place for place, (each, _) in enumerate(answers) if each.offer)
        seal = self._journal.sign(statements.RoundSeal(**self._where(number), offers=offers))
        self._journal.append(*(envelope for _, envelope in answers), *seal)
        current = self._journal.history.current
        if current is None:
            raise our_errors.RoundError("the phase that was sealed is not there")
        self._harvest = harvest.gathered(current, self._store, self._folder.round_identity(number), stored)
        return self._harvest

    def close(self, final: bytes | None) -> str:
        """Commit the last phase; CID of the closing brief.

        Args:
            final: records of the final model; None where nobody said what it is.
        """
        try:
            if self._harvest is not None:
                contents = [] if final is None else [final]
                closing = brief.Brief(number=self.number, parent=self._parent, messages={}, contents=contents)
                self._journal.append(*self._told(closing.encode()))
            self._journal.keep_published()
            return self._parent
        finally:
            self._journal_closed()

    def _journal_closed(self) -> None:
        self._journal.__exit__()
        self._store.close()

    def _put(self, files: Sequence[bytes]) -> dict[str, bytes]:
        """Files by the CIDs that they were stored under, to stay; stored in one, where the store can."""
        if isinstance(self._store, blocks.BlockStore):
            names = [root.cid for root in self._store.pack(map(io.BytesIO, files))]
        else:
            names = [self._store.put(file) for file in files]
            for name in names:
                self._store.pin(name)
        return {str(name): file for name, file in zip(names, files, strict=True)}

    def _told(self, file: bytes) -> list[dsse.Envelope]:
        """Store a brief; what it makes of the phase before, which it is the outcome of, is to be appended next."""
        (name,) = self._put([file])
        came, self._harvest, self._parent = self._harvest, None, name
        if came is not None:
            return self._committed(name, came)
        keys_of = {each: self._folder.holder_key(each) for each in node_names(self._plan.nodes)}
        began = founded(self._plan, self._folder.coordinator_key(), keys_of, name)
        self._run = began[0].eid
        return began

    def _committed(self, checkpoint: str, came: harvest.Harvest) -> list[dsse.Envelope]:
        number = self._journal.history.round + 1
        where = self._where(number)
        commit = statements.RoundCommit(
            **where,
            accepted=tuple(sorted(came.ciphertexts)),
            rejected=tuple(sorted(came.rejected.items())),
            aggregate=str(unixfs.of(came.encode())),
            checkpoint=checkpoint,
            correct=0,
            total=1,
            loss_micro=0,
        )
        paid = statements.CreditTransfer(**where, id=transfers.round_id(number), code="round", reverses="", postings=())
        public = self._plan.disclosure == "public"
        identity = self._folder.round_identity(number)
        disclose = (statements.RoundDisclose(**where, identity=identity),) if public else ()
        return self._journal.sign(commit, paid, *disclose)

    def _where(self, number: int) -> dict[str, Any]:
        return {"author": founding.COORDINATOR, "run": self._run, "round": number}


def node_names(nodes: int) -> tuple[str, ...]:
    """Names of the nodes: `node-00`, `node-01`, and so on; their order is that of the app's partitions."""
    return tuple(name.replace("holder", "node") for name in founding.member_names(nodes))


def founded(
    plan: gridplan.GridPlan, coordinator: keys.SigningKey, nodes: Mapping[str, keys.SigningKey], checkpoint: str
) -> list[dsse.Envelope]:
    """Signed statements that begin a run: genesis, then each node's enrolment and role."""
    genesis = statements.Genesis(
        author=founding.COORDINATOR, plan=plan.to_record(), key=str(coordinator.public), checkpoint=checkpoint
    )
    return founding.enrolled(dsse.sign(statements.build(genesis), coordinator), coordinator, nodes)


def batches(messages: Sequence[Any]) -> list[list[Any]]:
    """Flower's messages in order, in as few phases as it takes for no node to be in one twice."""
    batches: list[list[Any]] = []
    counts: dict[int, int] = {}
    for message in messages:
        node = message.metadata.dst_node_id
        place = counts.get(node, 0)
        counts[node] = place + 1
        if place == len(batches):
            batches.append([])
        batches[place].append(message)
    return batches

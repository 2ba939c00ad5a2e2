"""The ledger's part in a run that a Flower strategy leads: one phase, of messages and replies, is one round.

    genesis (checkpoint: brief 1) -> open 1 (from brief 1) -> offers -> seal -> replies opened -> the strategy does its own
    commit 1 (checkpoint: brief 2) -> open 2 ... -> commit n (checkpoint: the closing brief)

What the strategy made of a phase shows in what it says next, so a phase is committed when the next brief is there. `aggregate`
names the harvest, which says exactly what the strategy was given:

    {"format":"folkmoot-harvest/v1","replies":{"node-00":"<hex sha256 of the reply's records>", ...}}

Reference: docs/protocol.md P27.
"""

import dataclasses
from collections.abc import Mapping, Sequence
from typing import Any

from client import brief, errors, gridnode, gridplan, records
from exchange import errors as exchange_errors
from exchange import places, recipients, sealing
from exchange import store as stores
from ledger import canonical, context, dsse, history, keys, rounds, statements, transfers
from orchestrator import errors as our_errors
from orchestrator import folder, founding, journal

HARVEST = "folkmoot-harvest/v1"
MOST_HARVEST = 1 << 26
DEADLINE = 3600
REFUSALS = (
    exchange_errors.BlockMissingError,
    exchange_errors.BlockCorruptError,
    exchange_errors.TooLargeError,
    exchange_errors.SealError,
    errors.RecordsError,
)


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Harvest:
    """What came of a sealed phase.

    Attributes:
        contents: records by node, of the replies that opened.
        digests: hex sha256 of the bytes of each.
        rejected: every other node, with its reason code.
    """

    contents: Mapping[str, Any]
    digests: Mapping[str, str]
    rejected: Mapping[str, str]

    def encode(self) -> bytes:
        """The file that the commit names."""
        return canonical.encode({"format": HARVEST, "replies": dict(self.digests)}, limit=MOST_HARVEST)


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
                f"{where.root} holds a run already, and a strategy cannot resume: choose another"
            )
        self._run = ""
        self._parent = ""
        self._harvest: Harvest | None = None

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
        self._told(file)
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
        self._journal.append(envelope)
        return envelope.to_bytes(), file

    def hear(self, said: Sequence[bytes]) -> None:
        """Append nodes' offers and declines."""
        if said:
            self._journal.append(*(dsse.Envelope.parse(each) for each in said))

    def seal(self) -> Harvest:
        """What the replies are, all of which are opened only now."""
        known = self._journal.history
        offers = tuple(sorted(seq for seq, _ in known.offers.values()))
        self._append(statements.RoundSeal(**self._where(known.round + 1), offers=offers))
        current = self._journal.history.current
        if current is None:
            raise our_errors.RoundError("the phase that was sealed is not there")
        self._harvest = harvest(current, self._store, self._folder.round_identity(known.round + 1))
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
                self._told(closing.encode())
                self._journal.publish()
            return self._parent
        finally:
            self._journal_closed()

    def _journal_closed(self) -> None:
        self._journal.__exit__()
        self._store.close()

    def _told(self, file: bytes) -> None:
        """Store a brief, and put it on the ledger: with the genesis, or as the outcome of the phase before."""
        name = str(self._store.put(file))
        self._store.pin(name)
        if self._harvest is None:
            self._found(name)
        else:
            self._commit(name, self._harvest)
            self._harvest = None
        self._parent = name

    def _found(self, checkpoint: str) -> None:
        names = node_names(self._plan.nodes)
        keys_of = {name: self._folder.holder_key(name) for name in names}
        coordinator = self._folder.coordinator_key()
        self._journal.append(*founded(self._plan, coordinator, keys_of, checkpoint))
        self._run = self._journal.history.run or ""

    def _commit(self, checkpoint: str, came: Harvest) -> None:
        number = self._journal.history.round + 1
        file = came.encode()
        aggregate = str(self._store.put(file))
        self._store.pin(aggregate)
        where = self._where(number)
        commit = statements.RoundCommit(
            **where,
            accepted=tuple(sorted(came.digests)),
            rejected=tuple(sorted(came.rejected.items())),
            aggregate=aggregate,
            checkpoint=checkpoint,
            correct=0,
            total=1,
            loss_micro=0,
        )
        paid = statements.CreditTransfer(**where, id=transfers.round_id(number), code="round", reverses="", postings=())
        public = self._plan.disclosure == "public"
        identity = self._folder.round_identity(number)
        disclose = (statements.RoundDisclose(**where, identity=identity),) if public else ()
        self._journal.append(*self._journal.sign(commit, paid, *disclose))

    def _append(self, *said: statements.Predicate) -> None:
        self._journal.append(*self._journal.sign(*said))

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


def harvest(record: rounds.RoundRecord, store: stores.Store, identity: str) -> Harvest:
    """What the replies of a sealed phase are: the coordinator opens them, and an auditor again.

    Args:
        record: the phase.
        store: where ciphertext is read from.
        identity: text of the age identity that its replies are sealed to.
    """
    readers = [recipients.parse_identity(identity)]
    contents: dict[str, Any] = {}
    digests: dict[str, str] = {}
    rejected = dict.fromkeys(record.open.cohort, "no-offer") | dict.fromkeys(record.declined, "declined")
    for name in sorted(record.sealed):
        offer = record.offers[name][1]
        bound = context.context_digest(offer.run, offer.round, offer.parent, name)
        try:
            file = sealing.collect(store, offer.ciphertext, size=offer.size, identities=readers, context=bound)
            reply = gridnode.opened_file(file, bound)
            contents[name] = records.decode(reply)
        except REFUSALS as error:
            rejected[name] = error.code
        else:
            digests[name] = gridnode.digest(reply)
            del rejected[name]
    return Harvest(contents=contents, digests=digests, rejected=rejected)


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

"""The shell around `orchestrator.steps`: carries out its effects on ledger, store and pool, and reports back what happened.

All it knows is on the ledger and in the block store. Kill it at any moment and construct it again on the same folder: it goes
on from the last entry, and the final checkpoint is the same.
"""

import dataclasses
import logging
import time
from collections import deque
from collections.abc import Mapping, Sequence
from typing import Protocol

import numpy as np
import torch

from client import agreement, checkpoint, plan, training, worker
from exchange import places, recipients
from ledger import dsse, history, policy, statements
from ledger import errors as ledger_errors
from orchestrator import errors, folder, founding, journal, opening, pool, settlement, steps

logger = logging.getLogger(__name__)

PATIENCE = 0.5


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class RoundReport:
    """A committed round, for people.

    Attributes:
        commit: what was committed.
        seconds: wall by phase: `train`, `seal` and `store` summed over workers; `ledger`, `aggregate` and `round` here.
        ciphertext_bytes: of the updates that were offered.
    """

    commit: statements.RoundCommit
    seconds: Mapping[str, float]
    ciphertext_bytes: int


class Listener(Protocol):
    """Whoever shows how the run goes on."""

    def opened(self, number: int, total: int) -> None:
        """Round `number` of `total` is open."""

    def answered(self, reply: worker.Reply) -> None:
        """A member of the open round has answered."""

    def committed(self, report: RoundReport) -> None:
        """A round is on the ledger."""


class Coordinator:
    """One run on one folder, which the caller has locked.

    Args:
        where: the run folder.
        agreed: the plan; it must be the one the folder was founded with.
        hostile: behaviour by name of the holders that are not honest (a simulation's secret, not part of the plan).
        workers: who trains.
        threads: torch threads of a worker.
        listeners: are told what happens.
        witnesses: who is asked to cosign what is published; None for nobody.
    """

    def __init__(
        self,
        where: folder.RunFolder,
        agreed: plan.Plan,
        *,
        hostile: Mapping[str, str],
        workers: pool.Pool,
        threads: int,
        listeners: Sequence[Listener],
        witnesses: policy.Policy | None = None,
    ) -> None:
        self._witnesses = witnesses
        self._folder = where
        self._store = places.open(where.place)
        self._plan = agreed
        self._hostile = hostile
        self._pool = workers
        self._threads = threads
        self._listeners = listeners
        self._seconds: dict[str, float] = {}
        self._opened_at = 0.0

    def run(self) -> None:
        """Carry the run to its end.

        Raises:
            FolderError: the folder holds a run with another plan, or a change of key that was cut short.
            LedgerError: the ledger is damaged.
            PoolError: workers keep dying.
        """
        self._folder.require_settled_keys()
        names = founding.member_names(self._plan.task.holders)
        self._opened_at = time.perf_counter()
        with journal.Journal(
            self._folder.ledger, self._folder.coordinator_key(), self._witnesses, self._folder.second_key()
        ) as self._journal:
            if self._journal.history.phase == history.Phase.EMPTY:
                holders = {name: self._folder.holder_key(name) for name in names}
                founders = founding.found(self._plan, self._folder.coordinator_key(), holders, self._store)
                self._journal.append(*founders)
            self._journal.publish()
            self._agreed = agreement.Agreement.read(self._journal.genesis)
            for rotation in self._journal.rotations:
                self._agreed = self._agreed.rotated(rotation)
            self._require_same_plan()
            self._folder.forget_identities(self._journal.history.round)
            if self._journal.history.round < self._plan.rounds:
                self._model = training.FlatModel(self._agreed.task.model(), torch.device("cpu"))
                self._start_pool(names)
                self._loop()

    def _start_pool(self, names: tuple[str, ...]) -> None:
        self._pool.start(
            worker.Settings(
                genesis=self._journal.genesis.to_bytes(),
                holders=self._folder.holders.resolve(),
                store=self._folder.place,
                members={name: number for number, name in enumerate(names)},
                hostile=dict(self._hostile),
                threads=self._threads,
                rotations=tuple(rotation.to_bytes() for rotation in self._journal.rotations),
            )
        )

    def _loop(self) -> None:
        now = self._journal.history
        state = steps.State(rounds=self._plan.rounds, deadline=self._plan.cohort.deadline, history=now)
        events: deque[steps.Event] = deque([steps.Recorded(history=now)])
        while True:
            while events:
                state, effects = steps.step(state, events.popleft(), time.monotonic())
                for effect in effects:
                    if isinstance(effect, steps.Finish):
                        return
                    if self._perform(effect):
                        events.append(steps.Recorded(history=self._journal.history))
            events.extend(self._heard(reply) for reply in self._pool.wait(PATIENCE))
            events.append(steps.Ticked())

    def _heard(self, reply: worker.Reply) -> steps.Answered:
        for phase, seconds in reply.seconds.items():
            self._seconds[phase] = self._seconds.get(phase, 0.0) + seconds
        if reply.offer is None:
            logger.warning("%s did not offer: %s", reply.member, reply.reason)
        for listener in self._listeners:
            listener.answered(reply)
        return steps.Answered(member=reply.member, offer=reply.offer)

    def _perform(self, effect: steps.Effect) -> bool:
        """Carry out one effect; True if the ledger moved."""
        match effect:
            case steps.Open(number=number):
                self._open(number)
            case steps.Ask(members=members):
                self._ask(members)
                return False
            case steps.Append(member=member, offer=offer):
                return self._append_offer(member, offer)
            case steps.Seal():
                self._seal()
            case steps.Settle():
                self._settle()
        return True

    def _open(self, number: int) -> None:
        identity = recipients.parse_identity(self._folder.round_identity(number))
        prescribed = opening.prescribe(self._agreed, self._journal.history, [str(identity.recipient)], self._get)
        self._journal.append(*self._journal.sign(prescribed))

    def _ask(self, members: tuple[str, ...]) -> None:
        self._seconds, self._opened_at, self._journal.seconds = {}, time.perf_counter(), 0.0
        envelope = self._journal.opening
        if envelope is None:
            raise errors.RoundError("no round is open, so nobody can be asked")
        parent = self._agreed.opening(envelope).parent
        for listener in self._listeners:
            listener.opened(self._journal.history.round + 1, self._plan.rounds)
        self._pool.ask(members, envelope.to_bytes(), np.frombuffer(self._get(parent), dtype=np.uint8))

    def _append_offer(self, member: str, offer: bytes) -> bool:
        """Append a member's offer; one that the ledger's rules refuse is dropped and named, and the round goes on."""
        try:
            self._journal.append(dsse.Envelope.parse(offer))
        except (ledger_errors.StatementError, ledger_errors.SignatureError, ledger_errors.HistoryError) as error:
            logger.warning("offer of %s refused: %s", member, error)
            return False
        return True

    def _seal(self) -> None:
        known = self._journal.history
        seal = statements.RoundSeal(
            author=self._agreed.founder,
            run=self._agreed.run,
            round=known.round + 1,
            offers=tuple(sorted(seq for seq, _ in known.offers.values())),
        )
        self._journal.append(*self._journal.sign(seal))

    def _settle(self) -> None:
        start = time.perf_counter()
        opened = self._journal.history.open_round
        if opened is None:
            raise errors.RoundError("no round is open, so none can be settled")
        identity = self._folder.round_identity(opened.round)
        if str(recipients.parse_identity(identity).recipient) not in opened.recipients:
            raise errors.RoundError(
                f"keys/rounds/{opened.round}.age is lost, or not the identity that round was opened with"
            )
        offers = settlement.sealed_offers(self._journal.history)
        parent = checkpoint.decode(self._get(opened.parent), opened.parent, self._agreed.specs)
        outcome = settlement.settle(
            self._agreed, opened, offers, identity, parent, self._store.get, finished=self._journal.history.finished
        )
        self._store.put(outcome.aggregate_file)
        for remembered in (outcome.standing_file, outcome.state_file):
            if remembered is not None:
                self._store.put(remembered)
        self._store.put(outcome.checkpoint_file)
        judged = training.evaluate(self._model, outcome.checkpoint.weights, self._agreed.task.test())
        closing = settlement.closing(outcome, self._agreed, opened, identity, judged)
        self._seconds["aggregate"] = time.perf_counter() - start
        # One transaction: a crash leaves commit, credit and disclosure together or not at all.
        written = [each for each in (closing.commit, closing.credit, closing.disclose) if each is not None]
        self._journal.append(*self._journal.sign(*written))
        self._journal.publish()
        self._folder.forget_identities(opened.round)
        self._seconds |= {"ledger": self._journal.seconds, "round": time.perf_counter() - self._opened_at}
        received = sum(offer.size for offer in offers)
        report = RoundReport(commit=closing.commit, seconds=self._seconds, ciphertext_bytes=received)
        for listener in self._listeners:
            listener.committed(report)

    def _get(self, cid: str) -> bytes:
        return self._store.get(cid, limit=settlement.file_limit(self._agreed))

    def _require_same_plan(self) -> None:
        ours, theirs = self._plan.to_record(), self._agreed.plan.to_record()
        differing = sorted(key for key in ours if ours[key] != theirs[key])
        if differing:
            message = f"{self._folder.root} holds a run with another plan (it differs in {', '.join(differing)})"
            raise errors.FolderError(f"{message}: choose another folder with dir=NEW, or repeat its configuration")

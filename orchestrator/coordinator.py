"""The shell around `orchestrator.steps`: carries out its effects on ledger, store and pool, and reports back what happened.

All it knows is on the ledger and in the block store. Kill it at any moment and construct it again on the same folder: it goes
on from the last entry, and the final checkpoint is the same. Others write to the same ledger, and it goes by what they say.
"""

import dataclasses
import logging
import time
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from types import MappingProxyType

import numpy as np

from client import agreement, groups, phases, plan, quorum, worker
from exchange import places
from ledger import errors as ledger_errors
from ledger import history, policy
from orchestrator import (
    answers,
    errors,
    folder,
    founding,
    journal,
    listener,
    pool,
    proceedings,
    reception,
    retention,
    scoring,
    steps,
    watch,
)

logger = logging.getLogger(__name__)

PATIENCE = 0.5
SOON = 1.0


class Coordinator:
    """One run on one folder, which the caller has locked.

    Args:
        where: the run folder.
        agreed: the plan; it must be the one the folder was founded with.
        hostile: behaviour by name of the holders that are not honest (a simulation's secret, not part of the plan).
        workers: who trains.
        threads: torch threads of a worker.
        together: holders that train side by side at most, as `client.groups.most` reads it.
        listeners: are told what happens.
        witnesses: who is asked to cosign what is published; None for nobody.
        guests: names to invite, each with its role, where the plan's holders are invited.
        acting: is called before anything is said; raises where another coordinator has taken over.
    """

    def __init__(
        self,
        where: folder.RunFolder,
        agreed: plan.Plan,
        *,
        hostile: Mapping[str, str],
        workers: pool.Pool,
        threads: int,
        together: int = groups.AUTO,
        listeners: Sequence[listener.Listener],
        witnesses: policy.Policy | None = None,
        guests: Mapping[str, str] = MappingProxyType({}),
        acting: Callable[[], None] = lambda: None,
    ) -> None:
        self._witnesses = witnesses
        self._acting = acting
        self._folder = where
        self._store = places.open(where.place, settle=True)
        self._plan = agreed
        self._hostile = hostile
        self._pool = workers
        self._threads, self._together = threads, together
        self._listeners = listeners
        self._guests = guests
        self._opened_at = phases.now()

    def run(self) -> None:
        """Carry the run to its end.

        Raises:
            FolderError: the folder holds a run with another plan, or a change of key that was cut short.
            LedgerError: the ledger is damaged.
            PoolError: workers keep dying.
        """
        self._folder.require_settled_keys()
        keys = self._folder.coordinator_key(), self._witnesses, self._folder.second_key(), self._acting
        with self._store, journal.Journal(self._folder.ledger, *keys) as self._journal:
            if self._journal.history.phase == history.Phase.EMPTY:
                self._found()
            self._journal.publish()
            self._agreed = agreement.Agreement.read(self._journal.genesis)
            for rotation in self._journal.rotations:
                self._agreed = self._agreed.rotated(rotation)
            founding.require_same(self._plan, self._agreed.plan, self._folder.root)
            self._kept = retention.Retention(self._folder, self._store, self._agreed, self._journal)
            if self._kept.expire():
                self._journal.publish()
            if self._journal.history.round < self._plan.rounds:
                ask = scoring.Scoring(self._agreed, self._journal, self._pool).gathered
                self._proceedings = proceedings.Proceedings(
                    self._folder, self._agreed, self._journal, self._store, self._kept, ask
                )
                self._answers = answers.Answers(self._journal, self._kept, self._listeners)
                self._start()
                self._loop()
                self._watch.wait(self._refreshed, self._plan.cohort.deadline)

    def _found(self) -> None:
        holders = {name: self._folder.holder_key(name) for name in self._played()}
        self._journal.append(*founding.found(self._plan, self._folder.coordinator_key(), holders, self._store))

    def _played(self) -> tuple[str, ...]:
        """Names of the holders that the pool plays."""
        return founding.member_names(self._plan.task.holders) if self._plan.cohort.members == "fixed" else ()

    def _refreshed(self) -> history.History:
        self._journal.refresh()
        if self._reception.opened:
            self._journal.keep_published()
        return self._journal.history

    def _start(self) -> None:
        self._watch = watch.Watch(self._plan.cohort.cosignatures, self._listeners)
        invited = self._plan.cohort.members == "invited"
        self._reception = reception.Reception(self._folder, self._journal, self._listeners, opened=invited)
        self._reception.invite(self._guests)
        self._journal.keep_published()
        self._pool.start(
            worker.Settings(
                genesis=self._journal.genesis.to_bytes(),
                holders=self._folder.holders.resolve(),
                store=self._folder.place,
                members={name: number for number, name in enumerate(self._played())},
                hostile=dict(self._hostile),
                threads=self._threads,
                together=self._together,
                rotations=tuple(rotation.to_bytes() for rotation in self._journal.rotations),
            )
        )
        if invited:
            self._reception.announce()

    def _loop(self) -> None:
        state = steps.State(
            rounds=self._plan.rounds,
            deadline=self._plan.cohort.deadline,
            history=self._journal.history,
            minimum=quorum.least(self._plan),
            enough=self._plan.cohort.enough,
            waits=self._reception.opened,
        )
        events: deque[steps.Event] = deque([self._recorded()])
        while True:
            while events:
                state, effects = steps.step(state, events.popleft(), time.monotonic())
                for effect in effects:
                    if isinstance(effect, steps.Finish):
                        return
                    events.extend(self._perform(effect))
            if self._reception.opened:
                self._journal.keep_published(SOON)  # holders act on nothing that is under no checkpoint
            events.extend(self._answers.taken(self._pool.wait(PATIENCE)))
            if self._journal.refresh():
                self._kept.offered()
                self._reception.tell(self._journal.history)
                self._watch.heard(self._journal.history)
                events.append(self._recorded())
            events.append(steps.Ticked())

    def _recorded(self) -> steps.Recorded:
        return steps.Recorded(history=self._journal.history, joined=self._reception.arrived())

    def _perform(self, effect: steps.Effect) -> Sequence[steps.Event]:
        """Carry out one effect; what follows from it."""
        try:
            return (self._recorded(),) if self._moved(effect) else ()
        except ledger_errors.ConflictError as error:
            logger.debug("%s: %s", effect, error)
            self._journal.refresh()
            return (steps.Outrun(history=self._journal.history),)

    def _moved(self, effect: steps.Effect) -> bool:
        """Carry out one effect; True if the ledger moved."""
        match effect:
            case steps.Entitle(members=members):
                self._reception.admit(members)
            case steps.Open(number=number):
                self._proceedings.open(number)
            case steps.Ask(members=members):
                self._ask(members)
                return False
            case steps.Append(member=member, said=said):
                return self._answers.append(member, said)
            case steps.Seal():
                self._proceedings.seal()
            case steps.Settle():
                self._watch.grace(self._refreshed)
                self._settle()
            case steps.Wait():
                self._wait(effect)
                return False
        return True

    def _wait(self, wait: steps.Wait) -> None:
        if not wait.missing:
            self._reception.say(f"round {wait.number} waits for holders: {wait.present} of {wait.needed} are here")
            return
        said = f"round {wait.number} has {wait.present} offers after its deadline, and needs {wait.needed}"
        logger.warning("%s: waiting for %s", said, reception.listed(wait.missing))

    def _ask(self, members: tuple[str, ...]) -> None:
        self._answers.spans, self._opened_at = [], phases.now()
        self._journal.watch.taken()
        envelope = self._journal.opening
        if envelope is None:
            raise errors.RoundError("no round is open, so nobody can be asked")
        parent = self._agreed.opening(envelope).parent
        for each in self._listeners:
            each.opened(self._journal.history.round + 1, self._plan.rounds)
        self._pool.ask(members, envelope.to_bytes(), np.frombuffer(self._proceedings.read(parent), dtype=np.uint8))

    def _settle(self) -> None:
        report = self._proceedings.settle()
        whole = phases.since("round", self._opened_at)
        spans = (*self._answers.spans, *report.spans, *self._journal.watch.taken(), whole)
        for each in self._listeners:
            each.committed(dataclasses.replace(report, spans=spans))

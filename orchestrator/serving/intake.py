"""The one thread that appends: what waits goes into one durable transaction, and each asker gets an answer of its own.

    request ... request | take up to BATCH | judge one after the other | append | answer each

What is answered is durable. A statement that the rules refuse costs its own asker alone. Whoever else writes the log is read
under its lock first (`orchestrator.record`), so no answer rests on an old log.
"""

import asyncio
import contextlib
import dataclasses
import logging
import queue
import threading
from collections.abc import Sequence
from pathlib import Path

from ledger import dsse, errors, history, keys, served, statements
from orchestrator import folder, journal, record
from orchestrator.serving import admission, answer, gauges, limits

BATCH = 256
IDLE_SECONDS = 1.0
RETRY_SECONDS = 0.25

logger = logging.getLogger(__name__)


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Founded:
    """What the log says of itself: the run, its origin, and where its entries are."""

    run: str
    origin: str
    place: Path | str


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class _Job:
    """What is asked of the thread: to append an envelope, or to judge one without appending it."""

    envelope: dsse.Envelope
    cid: str | None
    future: "asyncio.Future[object]"
    loop: asyncio.AbstractEventLoop


class Intake:
    """Takes statements in, from the moment the run folder has a genesis.

    Args:
        where: the run folder.
        allowed: what it gives.
        counted: where it is counted.
    """

    def __init__(self, where: folder.RunFolder, allowed: limits.Limits, counted: gauges.Gauges) -> None:
        self._where = where
        self._expected = where.root / "expected.json"
        self._jobs: queue.Queue[_Job | None] = queue.Queue(allowed.waiting)
        self._counted = counted
        self._measure = admission.Measure(burst=allowed.said, rate=allowed.said_rate)
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._run, name="intake", daemon=True)
        self.known = history.EMPTY
        self.founded: Founded | None = None

    def start(self) -> None:
        """Nothing; the thread runs."""
        self._thread.start()

    def stop(self) -> None:
        """Nothing; what is being appended is, and what waits is refused."""
        self._over.set()
        with contextlib.suppress(queue.Full):  # then it is not asleep
            self._jobs.put_nowait(None)
        if self._thread.is_alive():
            self._thread.join()
        self._refuse(answer.busy("the service is stopping"))

    async def append(self, envelope: dsse.Envelope) -> int:
        """The position of a statement, which is durable.

        Raises:
            Refusal: it is not.
        """
        return int(str(await self._ask(envelope, None)))

    async def judge(self, envelope: dsse.Envelope, cid: str) -> statements.UpdateOffer:
        """The offer in an envelope that may announce the file `cid` now; nothing is appended.

        Raises:
            Refusal: it may not.
        """
        found = await self._ask(envelope, cid)
        if not isinstance(found, statements.UpdateOffer):
            raise answer.busy("the offer was not judged")
        return found

    async def _ask(self, envelope: dsse.Envelope, cid: str | None) -> object:
        if self.known.run is None:
            raise answer.busy("the log is being read")
        loop = asyncio.get_running_loop()
        job = _Job(envelope=envelope, cid=cid, future=loop.create_future(), loop=loop)
        try:
            self._jobs.put_nowait(job)
        except queue.Full:
            raise answer.busy(f"{self._jobs.maxsize} statements are waiting already") from None
        return await job.future

    def _run(self) -> None:
        said = ""
        while not self._over.is_set():
            try:
                founded = find(self._where)
                if founded is not None:
                    with record.opened(self._where.ledger, founded.origin):
                        self.founded = founded  # who only reads need not wait until all of it is judged
                        with record.Record(self._where.ledger, founded.origin) as held:
                            self.known, said = held.history, ""
                            self._serve(held)
            except (errors.LedgerError, OSError) as error:
                self._refuse(answer.busy("the log cannot be written now"))
                if str(error) != said:
                    said = str(error)
                    logger.warning("the log: %a", said)
            self._over.wait(RETRY_SECONDS)

    def _serve(self, held: record.Record) -> None:
        while not self._over.is_set():
            batch = self._taken()
            try:
                held.refresh()
                outcomes = self._answered(held, batch)
            except BaseException:
                _settle([(job, answer.busy("the log cannot be written now")) for job in batch])
                raise
            self.known = held.history  # before anybody is told: who was judged by it may come back at once
            _settle(outcomes)

    def _taken(self) -> list[_Job]:
        batch: list[_Job | None] = []
        with contextlib.suppress(queue.Empty):
            batch.append(self._jobs.get(timeout=IDLE_SECONDS))
            while len(batch) < BATCH:
                batch.append(self._jobs.get_nowait())
        return [job for job in batch if job is not None]

    def _answered(self, held: record.Record, batch: Sequence[_Job]) -> list[tuple[_Job, object]]:
        """What each is to be told, once all of it is durable."""
        outcomes: list[tuple[_Job, object]] = []
        judged: list[_Job] = []
        for job in batch:
            try:
                if job.cid is None:
                    self._screen(held, job.envelope)
                    judged.append(job)
                else:
                    outcomes.append((job, _judged(held.history, job.envelope, job.cid)))
            except answer.Refusal as refusal:
                outcomes.append((job, refusal))
        if judged:
            size = held.history.size
            admitted = held.admit([job.envelope for job in judged])
            placed = zip(judged, admitted, strict=True)
            new = {place: job.envelope for job, place in placed if isinstance(place, int) and place >= size}
            self._measure.spend([_parsed(envelope) for envelope in new.values()])
            outcomes += [(job, _said(outcome)) for job, outcome in zip(judged, admitted, strict=True)]
            self._counted.batches.observe(len(judged))
        return outcomes

    def _screen(self, held: record.Record, envelope: dsse.Envelope) -> None:
        """Nothing, if it may be judged: somebody who may say it here, and so much, or who has said it before."""
        try:
            said = _parsed(envelope)
            admission.check(held.history, said, self._expected)
            self._measure.check(said)
        except answer.Refusal:
            if held.find(envelope.eid) is None:
                raise

    def _refuse(self, refusal: answer.Refusal) -> None:
        with contextlib.suppress(queue.Empty):
            while True:
                if (job := self._jobs.get_nowait()) is not None:
                    _settle([(job, refusal)])


def find(where: folder.RunFolder) -> Founded | None:
    """What the log in a run folder says of itself; None where there is no genesis yet.

    Raises:
        LogError: the store cannot be read.
        StatementError: its first entry is no genesis.
    """
    if not where.ledger.is_file():
        return None
    place = where.server or where.ledger
    with contextlib.closing(served.opened(place)) as source:
        first = served.genesis(source)
    if first is None:
        return None
    said = statements.parse(first.envelope.payload)
    if not isinstance(said, statements.Genesis):
        raise errors.StatementError(f"the first entry is a {type(said).__name__}, expected the genesis")
    name = journal.origin(keys.PublicKey.parse(said.key).fingerprint)
    return Founded(run=first.eid, origin=name, place=place)


def _judged(known: history.History, envelope: dsse.Envelope, cid: str) -> statements.UpdateOffer:
    outcome: errors.LedgerError | None = None
    try:
        history.apply(known, known.size, envelope)
    except record.REFUSALS as error:
        outcome = error
    return admission.offered(known, _parsed(envelope), outcome, cid)


def _parsed(envelope: dsse.Envelope) -> statements.Predicate:
    try:
        return statements.parse(envelope.payload)
    except errors.StatementError as error:
        raise answer.of(error) from error


def _said(outcome: int | errors.LedgerError) -> object:
    return outcome if isinstance(outcome, int) else answer.of(outcome)


def _settle(outcomes: Sequence[tuple[_Job, object]]) -> None:
    """Nothing; whoever asked is told, those of one loop at one go."""
    by_loop: dict[asyncio.AbstractEventLoop, list[tuple[_Job, object]]] = {}
    for job, outcome in outcomes:
        by_loop.setdefault(job.loop, []).append((job, outcome))
    for loop, told in by_loop.items():
        with contextlib.suppress(RuntimeError):  # the loop is closed: nobody waits
            loop.call_soon_threadsafe(_tell, told)


def _tell(told: Sequence[tuple[_Job, object]]) -> None:
    for job, outcome in told:
        if not job.future.done():
            if isinstance(outcome, Exception):
                job.future.set_exception(outcome)
            else:
                job.future.set_result(outcome)

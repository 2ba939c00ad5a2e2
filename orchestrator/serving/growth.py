"""The log as it grows, watched in one place for all tails.

One thread looks for new entries and a new checkpoint, whoever wrote them, every POLL seconds, or less often where there are
many tails, and writes each entry once, as the event that every tail sends. The newest events are kept, within KEPT bytes; a
reader further back gets pages read from the log. So a tail has no queue of its own: it holds a position, and one piece of bytes
that others hold too.
"""

import asyncio
import bisect
import collections
import contextlib
import dataclasses
import logging
import threading
import time
from collections.abc import Iterable, Iterator
from pathlib import Path

from ledger import checkpoint, errors, leaf, note, served
from orchestrator.serving import gauges, intake, reading

POLL = 0.04  # seconds
SENDS = 1000  # a second, over all tails: the more there are, the more each is sent at once
BEAT = 10.0  # seconds after which a silent tail says that it is alive
KEPT = 16 * 1024 * 1024
PIECE = 64 * 1024
PAGE = 64
_PAGES = 16
_MOST = 4096  # entries taken up at one look

logger = logging.getLogger(__name__)


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Piece:
    """Events of consecutive entries.

    Attributes:
        start: position of the first.
        ends: where each event ends in `data`.
        data: the events.
    """

    start: int
    ends: tuple[int, ...]
    data: bytes

    @property
    def stop(self) -> int:
        """The position after the last."""
        return self.start + len(self.ends)

    def since(self, seq: int) -> bytes:
        """The events from position `seq` on."""
        return self.data if seq == self.start else self.data[self.ends[seq - self.start - 1] :]


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Seen:
    """What is known of the log at one moment.

    Attributes:
        size: entries.
        signed: entries under the newest checkpoint; never more than `size`.
        note: that checkpoint, empty before the first.
        beat: a number that goes up every BEAT seconds.
        over: whether the service is stopping.
    """

    size: int = 0
    signed: int = 0
    note: bytes = b""
    beat: int = 0
    over: bool = False


class Growth:
    """Watches the log of a run folder from the moment that `source` has opened it; used by the loop that it was started in.

    Attributes:
        seen: what is known now.
        tails: how many listen.
        fault: why the log cannot be read; empty where it can.
    """

    def __init__(self, published: Path, source: intake.Intake, pages: reading.Readers, counted: gauges.Gauges) -> None:
        self._published = published
        self._source = source
        self._pages = pages
        self._counted = counted
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run, name="growth", daemon=True)
        self._recent: collections.deque[Piece] = collections.deque()
        self._kept = 0
        self._older: collections.OrderedDict[tuple[int, int], asyncio.Future[Piece]] = collections.OrderedDict()
        self._loop: asyncio.AbstractEventLoop
        self._changed = asyncio.Event()
        self.seen = Seen()
        self.tails = 0
        self.fault = ""

    def start(self) -> None:
        """Nothing; the thread runs."""
        self._loop = asyncio.get_running_loop()
        self._thread.start()

    def close(self) -> None:
        """Nothing; every tail is told to end."""
        self._see(dataclasses.replace(self.seen, over=True))

    def stop(self) -> None:
        """Nothing; the thread has ended."""
        self._stop.set()
        if self._thread.is_alive():
            self._thread.join()

    async def changed(self, seen: Seen) -> Seen:
        """What is known of the log, once it is other than `seen`."""
        while self.seen is seen:
            await self._changed.wait()
        return self.seen

    async def piece(self, seq: int) -> Piece:
        """Events from position `seq`, which is less than the size, or a little before it, on.

        Raises:
            LogError: the log cannot be read.
        """
        if self._recent and self._recent[0].start <= seq:
            at = bisect.bisect_right(self._recent, seq, key=lambda piece: piece.start)
            return self._recent[at - 1]
        return await self._page(seq // PAGE * PAGE)

    async def _page(self, start: int) -> Piece:
        """A page of older entries, read once for all who ask at the same time."""
        stop = min(start + PAGE, self.seen.size)
        task = self._older.get((start, stop))
        if task is None:
            task = asyncio.ensure_future(self._pages.run(lambda source: piece(served.entries(source, start, stop))))
            self._older[start, stop] = task
            while len(self._older) > _PAGES:
                self._older.popitem(last=False)
        try:
            return await asyncio.shield(task)
        except errors.LedgerError:
            self._older.pop((start, stop), None)
            raise

    def _see(self, seen: Seen, added: Iterable[Piece] = ()) -> None:
        for each in added:
            self._recent.append(each)
            self._kept += len(each.data)
        while self._kept > KEPT:
            self._kept -= len(self._recent.popleft().data)
        self.seen = dataclasses.replace(seen, over=seen.over or self.seen.over)
        self._counted.entries.set(seen.size)
        self._counted.signed.set(seen.signed)
        self._changed, changed = asyncio.Event(), self._changed
        changed.set()

    def _run(self) -> None:
        while not self._stop.is_set():
            founded = self._source.founded
            if founded is not None:
                try:
                    with contextlib.closing(reading.opened(founded.place)) as source:
                        self._watch(source, founded.origin)
                except (errors.LedgerError, OSError) as error:
                    if str(error) != self.fault:
                        logger.warning("the log: %a", str(error))
                    self.fault = str(error)
                except RuntimeError:  # the loop is closed: nobody listens
                    return
            self._stop.wait(5 * POLL)

    def _watch(self, source: served.Store, origin: str) -> None:
        told = self.seen
        # What was there before the first look is read in pages, by whoever asks for it.
        size = told.size or source.size()
        while not self._stop.is_set():
            signed, data = self._note(origin, told)
            found = source.size()
            if found < max(size, signed):
                raise errors.RollbackError(f"{found} entries, expected the {max(size, signed)} that there were")
            stop = min(found, size + _MOST)
            added = list(pieces(served.entries(source, size, stop)))
            size, self.fault = stop, ""
            if signed > size:
                signed, data = told.signed, told.note
            seen = Seen(size=size, signed=signed, note=data, beat=int(time.monotonic() / BEAT))
            if seen != dataclasses.replace(told, over=False):
                self._loop.call_soon_threadsafe(self._see, seen, added)
                told = seen
            self._stop.wait(max(POLL, self.tails / SENDS))

    def _note(self, origin: str, told: Seen) -> tuple[int, bytes]:
        """The newest published checkpoint: entries under it, and its bytes."""
        try:
            with self._published.open("rb") as file:
                data = file.read(note.MAX_BYTES + 1)
        except FileNotFoundError:
            return told.signed, told.note
        if data == told.note:
            return told.signed, told.note
        return checkpoint.unverified(data, origin).size, data


def piece(entries: Iterable[leaf.Entry]) -> Piece:
    """The events of entries that follow one another, at least one."""
    first, ends, data = 0, list[int](), bytearray()
    for entry in entries:
        first = first if ends else entry.seq
        data += event(entry)
        ends.append(len(data))
    return Piece(start=first, ends=tuple(ends), data=bytes(data))


def pieces(entries: Iterable[leaf.Entry]) -> Iterator[Piece]:
    """The events of entries that follow one another, in pieces of little more than PIECE bytes at most."""
    waiting: list[leaf.Entry] = []
    size = 0
    for entry in entries:
        waiting.append(entry)
        size += len(entry.leaf)
        if size > PIECE:
            yield piece(waiting)
            waiting, size = [], 0
    if waiting:
        yield piece(waiting)


def event(entry: leaf.Entry) -> bytes:
    """The event of an entry. A leaf is one line.

    Reference: WHATWG HTML, "Server-sent events"; docs/protocol.md P24.
    """
    return b"id: %d\nevent: entry\ndata: %s\n\n" % (entry.seq, entry.leaf)


def signed_event(data: bytes) -> bytes:
    """The event of a checkpoint: each line of the note, the empty one too, is a line of data.

    Reference: docs/protocol.md P24.
    """
    lines = data.removesuffix(b"\n").split(b"\n")
    return b"event: checkpoint\n" + b"".join(b"data: %s\n" % line for line in lines) + b"\n"

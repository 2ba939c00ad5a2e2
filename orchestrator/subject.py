"""What an audit reads: the log of a run and its files, in a run folder, behind the URL of its service, or in a bundle."""

import contextlib
import dataclasses
import json
import tempfile
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TypeAlias

from client import gridplan
from exchange import errors as exchange_errors
from exchange import places, reading
from exchange import store as stores
from ledger import errors as ledger_errors
from ledger import source, statements, tiled
from orchestrator import archive, bundle, bundling, errors, evidence, folder, journal

MAX_INDEX = 65_536
PAUSES = (0.25, 0.5, 1.0)
"""Seconds between two questions to a service that does not answer."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Served:
    """A run as its service shows it.

    Attributes:
        url: of the service.
        store: folder whose `blocks/` keeps what was fetched; None for one that goes with the audit.
    """

    url: str
    store: Path | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Bundled:
    """A run in a bundle.

    Attributes:
        path: the file.
        told: is told now and then what goes on while it is read for the first time.
    """

    path: Path
    told: Callable[[str], object]


Inspected: TypeAlias = folder.RunFolder | Served | Bundled


@dataclass(frozen=True, slots=True, kw_only=True)
class Exported:
    """A run that becomes a bundle once it was audited, whether that found a difference or none.

    Attributes:
        place: where it is.
        path: the file to write.
        replace: whether there may be one already.
        told: is told now and then what goes on while it is written.
    """

    place: Inspected
    path: Path
    replace: bool
    told: Callable[[str], object]


Place: TypeAlias = Inspected | Exported


@dataclass(frozen=True, slots=True, kw_only=True)
class Subject:
    """A run to be audited; nothing is written where it lies.

    Attributes:
        record: its log.
        published: the published note.
        notes: size -> note, of all signed checkpoints that can be read here.
        store: its files.
        stop: the position that the audit ends before; None for all entries.
        beyond: entries after those that are audited; nothing is known of them.
        finish: is called when all was read; raises AuditError if there is something that was not needed for that.
    """

    record: archive.Record
    published: bytes
    notes: dict[int, bytes]
    store: stores.Store
    stop: int | None = None
    beyond: int = 0
    finish: Callable[[], object] = lambda: None


@contextlib.contextmanager
def opened(place: Place) -> Iterator[Subject]:
    """The run at a place.

    Raises:
        FolderError: there is none.
        AuditError: its published checkpoint is none of its log, or it is no whole bundle.
        UnreachedError: the service does not answer, or the file cannot be read.
        LedgerError: the log cannot be read, or is not what its checkpoint promises.
    """
    match place:
        case Exported():
            chosen = _exported(place)
        case Bundled():
            chosen = _bundled(place)
        case Served():
            chosen = _served(place)
        case _:
            chosen = _held(place)
    with chosen as found:
        yield found


@contextlib.contextmanager
def _held(where: folder.RunFolder) -> Iterator[Subject]:
    place = where.existing().ledger
    published = journal.read_note(where.checkpoint) if where.checkpoint.exists() else b""
    with places.open(where.place) as store, journal.published(place) as record:
        notes = dict(record.notes())
        # Witnesses' lines are added at the end; whoever was killed between store and file left a note without them.
        if not any(signed.startswith(published) for signed in notes.values()):
            message = f"the published checkpoint {where.checkpoint} is not one the log ever signed"
            raise errors.AuditError(message)
        yield Subject(record=record, published=published, notes=notes, store=store)


@contextlib.contextmanager
def _served(place: Served) -> Iterator[Subject]:
    fetch = _reached(source.url(place.url))
    record = tiled.TiledLog.open(fetch, archive.claimed)
    with contextlib.ExitStack() as stack:
        kept = place.store or Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="folkmoot-audit-")))
        notes = {record.size: record.note}
        beyond = max(0, _size(fetch) - record.size)
        try:
            store = stack.enter_context(places.fetched(kept, place.url))
            yield Subject(record=record, published=record.note, notes=notes, store=store, beyond=beyond)
        except exchange_errors.PeerError as error:
            raise errors.UnreachedError(str(error)) from error


@contextlib.contextmanager
def _bundled(place: Bundled) -> Iterator[Subject]:
    with bundle.opened(place.path, place.told) as found:
        yield Subject(
            record=found.record,
            published=found.published,
            notes=dict(found.notes),
            store=found.store,
            finish=found.finish,
        )


@contextlib.contextmanager
def _exported(place: Exported) -> Iterator[Subject]:
    with contextlib.ExitStack() as stack:
        try:
            found = stack.enter_context(opened(place.place))
        except evidence.FINDINGS as error:
            raise evidence.beside(error, "no bundle of it was written, for it does not open") from error
        noted = reading.Noted(found.store.block)
        # What is signed and no more: a block that only the entries after it lead to would be a stray one in the bundle.
        size = bundle.claimed(found.published).size
        notes = {at: signed for at, signed in found.notes.items() if at <= size}
        wanted = bundling.Contents(record=found.record, published=found.published, notes=notes, noted=noted)
        read = evidence.Finish(found.finish)
        try:
            yield dataclasses.replace(
                found,
                notes=notes,
                store=reading.Reading(noted, "a run that is exported"),
                stop=size,
                beyond=found.beyond + found.record.size - size,
                finish=read,
            )
        except exchange_errors.PeerError:
            raise
        except evidence.FINDINGS as error:
            if isinstance(place.place, Bundled):
                words = f"{place.path} was not written: {place.place.path} is the evidence"
            else:
                words = evidence.written(wanted, place.path, replace=place.replace, told=place.told, whole=read.done)
            raise evidence.beside(error, words) from error
        if noted.lacking is not None:
            raise noted.lacking
        bundling.write(wanted, place.path, replace=place.replace, told=place.told)


def _size(fetch: source.Source) -> int:
    """Entries that a service says it has; 0 where there are only files."""
    try:
        said = json.loads(fetch("", MAX_INDEX) or b"{}")
    except (ValueError, RecursionError, ledger_errors.LedgerError):
        return 0
    size = said.get("size") if isinstance(said, dict) else None
    return size if isinstance(size, int) and not isinstance(size, bool) else 0


def _reached(fetch: source.Source) -> source.Source:
    """The same source, which is asked again where it does not answer, and whose silence is no finding."""

    def reached(path: str, limit: int) -> bytes | None:
        for pause in PAUSES:
            with contextlib.suppress(ledger_errors.LogError):
                return fetch(path, limit)
            time.sleep(pause)
        try:
            return fetch(path, limit)
        except ledger_errors.LogError as error:
            raise errors.UnreachedError(str(error)) from error

    return reached


def led(place: Place) -> bool:
    """Whether a Flower strategy led the run at a place; False where that cannot be known, and the audit says why.

    Raises:
        UnreachedError: its service does not answer.
    """
    try:
        with opened(place) as found:
            first = next(iter(found.record.entries()), None)
            said = None if first is None else statements.parse(first.envelope.payload)
    except (ledger_errors.LedgerError, exchange_errors.ExchangeError, errors.AuditError):
        return False
    return isinstance(said, statements.Genesis) and gridplan.leads(said.plan)

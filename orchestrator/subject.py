"""What an audit reads: the log of a run and its files, in a run folder or behind the URL of its service."""

import contextlib
import json
import tempfile
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TypeAlias

from client import gridplan
from exchange import errors as exchange_errors
from exchange import places
from exchange import store as stores
from ledger import errors as ledger_errors
from ledger import source, statements, tiled
from orchestrator import archive, errors, folder, journal

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


Place: TypeAlias = folder.RunFolder | Served


@dataclass(frozen=True, slots=True, kw_only=True)
class Subject:
    """A run to be audited; nothing is written where it lies.

    Attributes:
        record: its log.
        published: the published note.
        notes: size -> note, of all signed checkpoints that can be read here.
        store: its files.
        beyond: entries that its service says are there, after those of the published note; nothing is known of them.
    """

    record: archive.Record
    published: bytes
    notes: dict[int, bytes]
    store: stores.Store
    beyond: int = 0


@contextlib.contextmanager
def opened(place: Place) -> Iterator[Subject]:
    """The run at a place.

    Raises:
        FolderError: there is none.
        AuditError: its published checkpoint is none of its log.
        UnreachedError: the service does not answer.
        LedgerError: the log cannot be read, or is not what its checkpoint promises.
    """
    with _served(place) if isinstance(place, Served) else _held(place) as found:
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
        store = stack.enter_context(places.fetched(kept, place.url))
        notes = {record.size: record.note}
        beyond = max(0, _size(fetch) - record.size)
        yield Subject(record=record, published=record.note, notes=notes, store=store, beyond=beyond)


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

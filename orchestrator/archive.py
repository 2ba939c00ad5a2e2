"""Logs to read, wherever they lie: in a run folder, as published files in a folder or below a URL, or in a bundle."""

import contextlib
import dataclasses
import time
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import TypeAlias

from ledger import (
    checkpoint,
    damage,
    errors,
    fsck,
    history,
    keys,
    leaf,
    log,
    merkle,
    places,
    policy,
    rows,
    source,
    tiled,
    verification,
    vkey,
)
from orchestrator import bundle, folder, journal, recall
from orchestrator import errors as our_errors

RUNS = Path("runs")
claimed = bundle.claimed
Record: TypeAlias = log.Log | tiled.TiledLog


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Archive:
    """An open log and the checkpoint that it was found with; whose it is, `verify` tells.

    Attributes:
        record: the log.
        note: its published note.
        promise: what that states.
        place: where it was found.
        bundled: size -> note, of the signed checkpoints that a bundle has.
    """

    record: Record
    note: bytes
    promise: checkpoint.LogCheckpoint
    place: str
    bundled: Mapping[int, bytes] = dataclasses.field(default_factory=dict)

    @property
    def notes(self) -> dict[int, bytes]:
        """Size -> note, of all checkpoints that can be read here."""
        if isinstance(self.record, log.Log):
            return dict(self.record.notes())
        return {self.promise.size: self.note} | dict(self.bundled)


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Verified:
    """What was found in a log of which every entry is signed by its author and fits.

    Attributes:
        entries: how many, each chained to the one before, with its signature.
        notes: signed checkpoints, each with the tree's root at its size.
        unsigned: entries after the last of them.
        run: eid of the genesis.
        members: enrolled.
        rounds: committed.
        origin: the log's name.
        head: hash of the last leaf.
        root: of the tree.
        memory: how it stands to what was accepted of it before, a phrase; empty where nothing is remembered.
        witnesses: when each witness of the given policy cosigned it, in seconds since 1970, by name.
        seconds: that it took.
    """

    entries: int
    notes: int
    unsigned: int
    run: str
    members: int
    rounds: int
    origin: str
    head: str
    root: str
    memory: str
    witnesses: Mapping[str, int]
    seconds: float


@contextlib.contextmanager
def opened(place: str | None) -> Iterator[Archive]:
    """The log at `place`: a run folder, published files in a folder or at a URL, a bundle; without it, the latest run's.

    Raises:
        FolderError: there is no log.
        AuditError: the bundle is none, or damaged.
        LedgerError: it cannot be read, or is not what its checkpoint promises.
    """
    if place is not None and place.startswith(("http://", "https://")):
        record = tiled.TiledLog.open(source.url(place), claimed)
        yield Archive(record=record, note=record.note, promise=record.checkpoint, place=place)
        return
    path = folder.newest(RUNS).root if place is None else Path(place)
    if path.is_file():
        with bundle.opened(path) as found:
            promise = claimed(found.published)
            yield Archive(
                record=found.record, note=found.published, promise=promise, place=str(path), bundled=found.notes
            )
        return
    where = folder.RunFolder(root=path)
    if not where.ledger.is_file() and (path / "tile").is_dir():
        record = tiled.TiledLog.open(source.folder(path), claimed)
        yield Archive(record=record, note=record.note, promise=record.checkpoint, place=str(path))
        return
    if not where.ledger.is_file():
        expected = "expected a run folder, a folder of published files (checkpoint, tile/), the URL of one, or a bundle"
        raise our_errors.FolderError(f"{path} holds no log: {expected}")
    with journal.published(where.ledger) as stored:
        signed = stored.last_note() or b""
        yield Archive(record=stored, note=signed, promise=claimed(signed), place=str(path))


def verify(
    archive: Archive, *, workers: int | None, progress: Callable[[int], None], brought: recall.Recall
) -> Verified:
    """What the log comes to, from its first entry on, in constant memory.

    Args:
        archive: the log.
        workers: processes that verify signatures; None for one a core, 0 for this one alone.
        progress: is told how many entries are done, now and then.
        brought: what the newest checkpoint is held to; where nothing speaks against it, it is remembered.

    Raises:
        LedgerError: the first thing that is wrong.

    Reference: docs/protocol.md P4, P5, P6.
    """
    start = time.perf_counter()
    tree, promised, signed, met = merkle.Frontier(), archive.notes, 0, set[int]()

    def through() -> Iterator[leaf.Entry]:
        for entry in archive.record.entries():
            tree.append(entry.hash)
            if tree.size in promised:
                _require_root(promised[tree.size], tree)
                met.add(tree.size)
            yield entry

    known = verification.replay(through(), workers=workers, progress=progress)
    if promised.keys() - met:
        message = f"a checkpoint is stored for size {min(promised.keys() - met)}, the log has 1 to {tree.size} entries"
        raise errors.CorruptError(message)
    for note in promised.values():
        signed = max(signed, journal.verify(note, known).size)
    standing = brought.check(archive.record, archive.note, known)
    return Verified(
        entries=tree.size,
        notes=len(promised),
        unsigned=tree.size - signed,
        run=known.run or "",
        members=len(known.members),
        rounds=known.round,
        origin=archive.promise.origin,
        head=archive.record.head,
        root=tree.root().hex(),
        memory=standing.before,
        witnesses=standing.witnesses,
        seconds=time.perf_counter() - start,
    )


def check(root: Path | None, progress: Callable[[int, int], None]) -> damage.Report:
    """All damage of the log of a run folder, which need not be one that still opens.

    Args:
        root: the run folder; None for the latest.
        progress: is told how many entries are done, and of how many.

    Raises:
        FolderError: there is no log.
        LedgerError, OSError: its checkpoint, or its store, cannot be read at all.
    """
    where = folder.newest(RUNS) if root is None else folder.RunFolder(root=root).existing()
    place = where.server or where.ledger
    signers = _signers(place)
    try:
        origin = claimed(journal.read_note(where.checkpoint)).origin
    except (errors.LedgerError, OSError):
        if not signers:
            raise
        origin = journal.origin(signers[0].fingerprint)
    return fsck.check(place, origin=origin, published=where.checkpoint, signers=signers, progress=progress)


def _signers(place: Path | str) -> list[keys.PublicKey]:
    """The keys that the coordinator has had, the first one first, as far as the log can be read; none where it cannot."""
    known = history.EMPTY
    with contextlib.suppress(errors.LedgerError), contextlib.closing(places.store(place)) as stored:
        for entry in rows.entries(stored, 0, stored.size()):
            known = history.apply(known, entry.seq, entry.envelope)
    if known.run is None:
        return []
    member = journal.coordinator(known)
    return [*(earlier for _, earlier in member.rotations), member.key]


def trusting(key: str) -> Callable[[bytes], checkpoint.LogCheckpoint]:
    """What gives the checkpoint of a note that the log of this verifier key signed, and refuses any other.

    Raises:
        KeyFileError: the text is no verifier key.
    """
    log_key = vkey.parse(key)
    alone = policy.Policy(logs=(log_key,), witnesses={}, groups={}, quorum=policy.NONE)
    return lambda note: alone.accept(note, log_key.name).checkpoint


def proven(archive: Archive) -> history.History:
    """What the log says, verified in this process."""
    known = history.replay(archive.record.entries())
    journal.verify(archive.note, known)
    return known


def _require_root(note: bytes, tree: merkle.Frontier) -> None:
    promise = claimed(note)
    if (promise.size, promise.root) != (tree.size, tree.root()):
        message = f"the signed checkpoint of {tree.size} entries has size {promise.size}, root {promise.root.hex()}"
        raise errors.CorruptError(f"{message}, expected root {tree.root().hex()}")

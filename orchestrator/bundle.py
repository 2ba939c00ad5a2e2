"""Bundles: all that a stranger needs to audit a run, in one file that is read where it lies.

    CAR file, blocks in ascending order of their CIDs (exchange.crate), its one root the CID of the index:
    {"checkpoint":"<note>","format":"folkmoot-bundle/v1","notes":["<note>",...],"tiles":["<CID>",...]}
    canonical JSON; the files of the published log; the blocks that an audit of it reads, and no others

Names of files are nowhere in it: the log names them, and what the log does not lead to is refused. The identities of disclosed
rounds are statements of the log.

Reference: docs/protocol.md P28.
"""

import contextlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Self

from exchange import crate, reading
from exchange import errors as exchange_errors
from ledger import canonical, errors, source, tiled, tiles
from ledger import checkpoint as checkpoints
from ledger import note as notes
from orchestrator import errors as our_errors

FORMAT = "folkmoot-bundle/v1"
MAX_INDEX = 64 * 1024 * 1024
"""Bytes of an index: that of a log of some hundred million entries."""


def claimed(note: bytes) -> checkpoints.LogCheckpoint:
    """The log checkpoint that a note states; its signature is for whoever has read whose key counts."""
    return checkpoints.LogCheckpoint.parse(notes.split(note)[0])


@dataclass(frozen=True, slots=True, kw_only=True)
class Index:
    """What a bundle's root names.

    Attributes:
        checkpoint: the published note.
        notes: the other signed notes of the log up to that one, in ascending order of size.
        tiles: CIDs of the published files, in the order of `ledger.tiles.files`.
    """

    checkpoint: bytes
    notes: tuple[bytes, ...]
    tiles: tuple[str, ...]

    def to_bytes(self) -> bytes:
        """The file.

        Raises:
            StatementError: it would have more than `MAX_INDEX` bytes.
        """
        value: dict[str, canonical.Json] = {
            "checkpoint": self.checkpoint.decode(),
            "format": FORMAT,
            "notes": [note.decode() for note in self.notes],
            "tiles": list(self.tiles),
        }
        return canonical.encode(value, limit=MAX_INDEX)

    @classmethod
    def parse(cls, data: bytes) -> Self:
        """The index in a file.

        Raises:
            StatementError: not the one byte form of an index, or notes or tiles that no log of that checkpoint has.

        Reference: docs/protocol.md P28.
        """
        match canonical.decode(data, limit=MAX_INDEX):
            case {"checkpoint": str(note), "format": str(form), "notes": list(kept), "tiles": list(names), **rest}:
                pass
            case _:
                raise errors.StatementError(f"{data[:60]!r} is no index of a bundle")
        if form != FORMAT or rest:
            raise errors.StatementError(f"an index of the format {form[:60]!a}, expected {FORMAT}")
        if not all(isinstance(each, str) for each in (*kept, *names)):
            raise errors.StatementError("an index with notes or tiles that are no strings")
        found = cls(checkpoint=note.encode(), notes=tuple(map(_encoded, kept)), tiles=tuple(map(str, names)))
        found._require_fit()
        return found

    def _require_fit(self) -> None:
        promise = claimed(self.checkpoint)
        last = 0
        for note in self.notes:
            size = claimed(note).size
            # Witnesses' lines are added at the end: who published before they came has a shorter note of the same size.
            longer = size == promise.size and note != self.checkpoint and note.startswith(self.checkpoint)
            if not (last < size < promise.size or (last < size and longer)):
                message = f"a note of {size} entries after one of {last}, the checkpoint having {promise.size}"
                raise errors.StatementError(f"an index with {message}")
            last = size
        expected = tiles.files(promise.size)
        if sum(1 for _ in zip(self.tiles, expected, strict=False)) < len(self.tiles) or any(True for _ in expected):
            message = f"an index of {len(self.tiles)} published files, expected those of {promise.size} entries"
            raise errors.StatementError(message)


def _encoded(text: object) -> bytes:
    return str(text).encode()


class Bundle:
    """An open bundle.

    Attributes:
        record: the log in it, every entry of which is proven as it is read.
        published: its published note.
        notes: size -> note, of all signed checkpoints in it.
        store: the run's files in it.
    """

    def __init__(self, path: Path, found: crate.Crate) -> None:
        self._path = path
        self._crate = found
        self.store = reading.Reading(found.block, str(path))
        index = Index.parse(self.store.get(found.root, limit=MAX_INDEX))
        self.published = index.checkpoint
        self.notes = {claimed(note).size: note for note in (index.checkpoint, *index.notes)}
        self.record = tiled.TiledLog.open(self._files(index), claimed)

    def finish(self) -> None:
        """Nothing, if all that is in the bundle was asked for.

        Raises:
            AuditError: something was not; an audit that has read all of the run needs nothing else.
        """
        stray = self._crate.unwanted()
        if stray is not None:
            raise our_errors.AuditError(f"block {stray} of {self._path} belongs to nothing in it")

    def _files(self, index: Index) -> source.Source:
        places = dict(
            zip((tile.path for tile in tiles.files(claimed(index.checkpoint).size)), index.tiles, strict=True)
        )

        def fetch(path: str, limit: int) -> bytes | None:
            if path == "checkpoint":
                return index.checkpoint
            return self.store.get(places[path], limit=limit) if path in places else None

        return fetch


@contextlib.contextmanager
def opened(path: Path, told: Callable[[str], object] = lambda _: None) -> Iterator[Bundle]:
    """The bundle in a file; nothing of it is unpacked anywhere.

    Args:
        path: where it lies.
        told: is told now and then what goes on.

    Raises:
        AuditError: it is none, is damaged, or has an index that fits no log.
        UnreachedError: it cannot be read.
        LedgerError: the tiles do not lead to its checkpoint.
    """
    with contextlib.ExitStack() as stack:
        try:
            held = stack.enter_context(crate.Crate.opened(path, lambda count: told(f"reading block {count:,}")))
            found = Bundle(path, held)
        except errors.StatementError as error:
            raise our_errors.AuditError(f"no whole bundle: {path}: {error}") from error
        except exchange_errors.ExchangeError as error:
            if type(error) is exchange_errors.StoreError:  # the system's refusal, which says nothing of the run
                raise our_errors.UnreachedError(str(error)) from error
            raise our_errors.AuditError(f"no whole bundle: {error}") from error
        yield found

"""Writing a bundle: the log as its published files, and the blocks that an audit read, in the one order that they have.

The tiles are made from the log as they are written, and are in memory one at a time, as blocks are.
"""

import functools
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

from exchange import cid as cids
from exchange import crate, reading, staged, unixfs
from exchange import errors as exchange_errors
from ledger import tiles
from orchestrator import archive, bundle, errors, target

_PACE = 100  # blocks between two words on how far it is


@dataclass(frozen=True, slots=True, kw_only=True)
class Contents:
    """What goes into a bundle.

    Attributes:
        record: the log.
        published: its published note; entries after it are left out.
        notes: size -> note, of all signed checkpoints.
        noted: what gave an audit its blocks, which all go in.
    """

    record: archive.Record
    published: bytes
    notes: dict[int, bytes]
    noted: reading.Noted


def write(wanted: Contents, path: Path, *, replace: bool, told: Callable[[str], object]) -> None:
    """Nothing; the bundle is in the file `path`, durably and all at once.

    Args:
        wanted: what goes in.
        path: where it is written to.
        replace: whether there may be a file already.
        told: is told now and then how far it is.

    Raises:
        FolderError: there is a file already, or the file system refuses.
        StoreError, LedgerError: a block or an entry cannot be had any more.
    """
    target.require_free(path, replace=replace)
    pieces = encode(wanted, told)
    try:
        with staged.writing(path, mode=0o666) as file:  # as other programs make files: all in it is public
            for piece in pieces:
                file.write(piece)
            target.require_free(path, replace=replace)
    except exchange_errors.StoreError as error:
        if type(error) is exchange_errors.StoreError:
            raise errors.FolderError(str(error)) from error
        raise


def encode(wanted: Contents, told: Callable[[str], object] = lambda _: None) -> Iterator[bytes]:
    """The pieces of a bundle, as they are taken; the same contents give the same bytes.

    Args:
        wanted: what goes in.
        told: is told now and then how far it is.

    Raises:
        StoreError, LedgerError: a block or an entry cannot be had any more.

    Reference: docs/protocol.md P28.
    """
    record, size = wanted.record, bundle.claimed(wanted.published).size
    held: dict[cids.Cid, tiles.Tile] = {}
    names: list[str] = []
    for tile in tiles.files(size):
        told(f"hashing entry {tile.index * tiles.WIDTH:,} of {size:,}")
        root, blocks = _blocks(_file(record, tile))
        names.append(str(root))
        held |= dict.fromkeys(blocks, tile)
    others = tuple(note for at, note in sorted(wanted.notes.items()) if at <= size and note != wanted.published)
    index = bundle.Index(checkpoint=wanted.published, notes=others, tiles=tuple(names))
    root, own = _blocks(index.to_bytes())
    every = own.keys() | held.keys() | wanted.noted.names
    fetch = _Fetch(wanted, own, held, lambda count: told(f"writing block {count:,} of {len(every):,}"))
    return crate.encode(root, every, fetch)


class _Fetch:
    """Gives each block of a bundle as it is written."""

    def __init__(
        self,
        wanted: Contents,
        own: dict[cids.Cid, bytes],
        held: dict[cids.Cid, tiles.Tile],
        told: Callable[[int], object],
    ) -> None:
        self._own = own
        self._held = held
        self._noted = wanted.noted
        self._told = told
        self._given = 0
        self._tile = functools.lru_cache(1)(lambda tile: _blocks(_file(wanted.record, tile))[1])

    def __call__(self, cid: cids.Cid, /, *, limit: int) -> bytes:
        if self._given % _PACE == 0:
            self._told(self._given)
        self._given += 1
        if cid in self._own:
            return self._own[cid]
        if cid in self._held:
            return self._tile(self._held[cid])[cid]
        return self._noted(cid, limit=limit)


def _file(record: archive.Record, tile: tiles.Tile) -> bytes:
    """The bytes of one of the log's published files."""
    start = tile.index * tiles.WIDTH
    if tile.level is None:
        return tiles.bundle([entry.leaf for entry in record.entries(start, start + tile.width)])
    level = tile.level * tiles.HEIGHT
    return b"".join(record.node(level, at) for at in range(start, start + tile.width))


def _blocks(data: bytes) -> tuple[cids.Cid, dict[cids.Cid, bytes]]:
    """The name of a file, and its blocks."""
    kept: dict[cids.Cid, bytes] = {}

    def keep(name: cids.Cid, block: bytes | memoryview) -> None:
        kept[name] = bytes(block)

    return unixfs.assemble(unixfs.slices(memoryview(data)), keep).cid, kept

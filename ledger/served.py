"""The files of a published log, made from its store as they are asked for; no copy of them lies anywhere.

A tile is a function of the log's leaves, so it has the bytes that `publication` writes. Stored hashes are handed out as they
are: a reader holds them against the signed root (`tiled`).

Reference: C2SP tlog-tiles; docs/protocol.md P19.
"""

from collections.abc import Iterator

from ledger import errors, leaf, places, rows, store, tiles

Store = store.Store
opened = places.store


def tile(source: store.Store, wanted: tiles.Tile, size: int) -> bytes | None:
    """The bytes of a tile of a log of `size` entries; None where the log has fewer than its width in it.

    Args:
        source: the log's store, of `size` entries or more.
        wanted: which tile; a partial one may be asked for although the full one is there.
        size: of the published checkpoint.

    Raises:
        CorruptError: a row is missing, or a leaf does not have its hash.
        LogError: the store refused.
    """
    if tiles.width(size, wanted.level or 0, wanted.index) < wanted.width:
        return None
    start = wanted.index * tiles.WIDTH
    stop = start + wanted.width
    if wanted.level is None:
        return tiles.bundle([entry.leaf for entry in rows.entries(source, start, stop)])
    level = wanted.level * tiles.HEIGHT
    hashes = list(rows.pages(lambda first, last: source.hashes(level, first, last), start, stop))
    return b"".join(found for _, found in hashes)


def entries(source: store.Store, start: int, stop: int) -> Iterator[leaf.Entry]:
    """The entries from `start` to before `stop`, each checked against its row and the one before it.

    Raises:
        CorruptError: at the first entry that is missing or differs.
        LogError: the store refused.
    """
    return rows.entries(source, start, stop)


def genesis(source: store.Store) -> leaf.Entry | None:
    """The first entry; None in an empty log.

    Raises:
        CorruptError: it is damaged.
        LogError: the store refused.
    """
    return next(rows.entries(source, 0, min(1, source.size())), None)


def shrunk(source: store.Store, size: int) -> None:
    """Nothing, if the store has at least `size` entries.

    Raises:
        RollbackError: it has fewer.
    """
    if (found := source.size()) < size:
        raise errors.RollbackError(f"{found} entries, where there were {size}")

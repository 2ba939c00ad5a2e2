"""What a log has promised: its signed notes, in the store and in the file of the last published one.

The file is the log's high-water mark outside its database. Without the key a log reads its own notes unverified: what
they promise is held against the tree, and whoever has the key verifies.
"""

from pathlib import Path

from ledger import checkpoint, durable, errors, keys, merkle, nodes, note, store


def read(path: Path, origin: str) -> checkpoint.LogCheckpoint | None:
    """What the log's last published checkpoint promises; None without the file.

    Raises:
        CorruptError: The file is no note, or one of another log.
        LogError: It cannot be read.
    """
    try:
        with path.open("rb") as file:
            data = file.read(note.MAX_BYTES + 1)
    except FileNotFoundError:
        return None
    except OSError as error:
        raise errors.LogError(f"{path} cannot be read: {error}") from error
    return parse(data, origin)


def parse(data: bytes, origin: str, size: int | None = None) -> checkpoint.LogCheckpoint:
    """What a note that this log once signed promises; its signatures are not verified.

    Args:
        data: The note.
        origin: The log's name.
        size: The size that the note is stored for, where it is.

    Raises:
        CorruptError: It is no note, or one of another log or size.
    """
    try:
        promise = checkpoint.unverified(data, origin)
    except errors.StatementError as error:
        raise errors.CorruptError(f"the last checkpoint is damaged, or of another log: {error}") from error
    if size is not None and promise.size != size:
        raise errors.CorruptError(f"the checkpoint stored for size {size} names {promise.size}")
    return promise


def last(source: store.Store, origin: str) -> checkpoint.LogCheckpoint | None:
    """What the stored note of the largest size promises; None before the first.

    Raises:
        CorruptError: That note is damaged, or of another log.
    """
    found = source.last_note()
    return None if found is None else parse(found[1], origin, found[0])


def check(source: store.Store, published: Path, origin: str) -> None:
    """Nothing; the store keeps what the published file and its own last note promise.

    Raises:
        RollbackError: It has fewer entries than one of them names, or another root at its size.
        CorruptError: A note is damaged or of another log, or a row is.
        LogError: The file cannot be read.

    Reference: docs/protocol.md P5.
    """
    for promise in (last(source, origin), read(published, origin)):
        if promise is not None:
            _require_kept(source, promise)


def verified(source: store.Store, published: Path, origin: str, size: int | None = None) -> checkpoint.LogCheckpoint:
    """The checkpoint to sign next: from the last signed one on, all is recomputed from the leaves.

    The published file is looked at again, as when the log was opened: behind an open connection a server may have been
    replaced by a standby that never had what was published.

    Args:
        source: The store.
        published: The file of the last published checkpoint.
        origin: The log's name.
        size: Entries to sign; None for all. Fewer than were signed already is as many as were.

    Raises:
        RollbackError: The store no longer has what was published.
        CorruptError: The stored tree does not have the last signed root, or a leaf, hash or node after it is damaged.
    """
    outside = read(published, origin)
    if outside is not None:
        _require_kept(source, outside)
    promise = last(source, origin)
    edge = nodes.Edge.read(source, 0 if promise is None else promise.size)
    if promise is not None and edge.root() != promise.root:
        message = f"root {edge.root().hex()} at size {promise.size}, expected the signed {promise.root.hex()}"
        raise errors.CorruptError(message)
    nodes.grow(source, edge, source.size() if size is None else max(edge.size, size))
    return checkpoint.LogCheckpoint(origin=origin, size=edge.size, root=edge.root())


def signed(source: store.Store, published: Path, origin: str, key: keys.SigningKey, size: int | None = None) -> bytes:
    """The signed note of the checkpoint to sign next, stored; a size that was signed once keeps its note.

    Args:
        source: The store, which nobody else writes to meanwhile.
        published: The file of the last published checkpoint.
        origin: The log's name.
        key: Who signs.
        size: As for `verified`.

    Raises:
        RollbackError, CorruptError: As `verified`; nothing was signed.
        SignatureError: This size was signed already, by another key.
    """
    current = verified(source, published, origin, size)
    stored = source.note(current.size)
    made = checkpoint.sign(current, key) if stored is None else stored
    checkpoint.verify(made, origin, key.public)
    if stored is None:
        source.put_note(current.size, made)
    return made


def merge(stored: bytes, endorsed: bytes) -> bytes:
    """A stored note with the lines of another copy of it, of those keys that it has no line of yet.

    Raises:
        StatementError: The texts differ, or there would be more than `note.MAX_SIGNATURES` lines.
    """
    (text, lines), (said, more) = note.split(stored), note.split(endorsed)
    if said != text:
        raise errors.StatementError(f"a note of the text {said[:200]!r}, expected {text[:200]!r}")
    known = {(line.name, line.key_id): line for line in lines}
    for line in more:
        known.setdefault((line.name, line.key_id), line)
    added = list(known.values())[len({(line.name, line.key_id) for line in lines}) :]
    merged = stored + "".join(map(str, added)).encode()
    note.split(merged)
    return merged


def release(source: store.Store, path: Path) -> None:
    """Nothing; the file holds the note of the largest size, and before that, at every moment, the one before.

    Raises:
        LogError: The store or the file system refused.
    """
    newest = source.last_note()
    if newest is not None:
        _replace(path, newest[1])


def _require_kept(source: store.Store, promise: checkpoint.LogCheckpoint) -> None:
    size = source.size()
    if promise.size > size:
        raise errors.RollbackError(f"{size} entries, expected the {promise.size} of the last checkpoint")
    root = merkle.root(promise.size, nodes.tree(source))
    if root != promise.root:
        nodes.grow(source, nodes.Edge(), size)  # where a row is what differs, this names it
        message = f"root {root.hex()} at size {promise.size}, expected {promise.root.hex()} of the checkpoint"
        raise errors.RollbackError(message)


def _replace(path: Path, data: bytes) -> None:
    try:
        durable.write(path, data)
    except OSError as error:
        raise errors.LogError(f"{path} cannot be written: {error}") from error

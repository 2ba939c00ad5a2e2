"""A log of several tiles, and what it looks like when it is published."""

import functools
import itertools

from ledger import checkpoint, dsse, keys, log, source, tiled

ORIGIN = "folkmoot.test/log"
KEY = keys.SigningKey.generate()
VERIFY = functools.partial(checkpoint.verify, origin=ORIGIN, public_key=KEY.public)

_ENVELOPES = [dsse.sign(b'{"n":%d}' % n, KEY) for n in range(620)]


def grow(record, size):
    """The note of the log brought to this size."""
    record.append(_ENVELOPES[record.size : size], head=record.head)
    return record.publish(KEY)


def make(path, sizes):
    """A log at `path`, with a checkpoint of each size."""
    path.parent.mkdir(parents=True, exist_ok=True)
    record = log.Log.open(path, origin=ORIGIN)
    for size in sizes:
        grow(record, size)
    return record


def files(folder):
    """Path -> bytes of everything in a folder."""
    paths = sorted(path for path in folder.rglob("*") if path.is_file())
    return {str(path.relative_to(folder)): path.read_bytes() for path in paths}


def read(folder):
    """What is published in a folder, proven."""
    return tiled.TiledLog.open(source.folder(folder), VERIFY)


def agrees(reader, record):
    """That a reader has the log's entries, roots and proofs at its size."""
    size = reader.size
    assert list(reader.entries()) == list(record.entries(0, size))
    assert reader.root() == record.root(size)
    for old, new in itertools.product({0, 1, size // 2, size}, {size // 2, size}):
        if old <= new:
            assert reader.consistency(old, new) == record.consistency(old, new)
    for index in {0, size // 3, size - 1}:
        if 0 <= index < size:
            assert reader.inclusion(index) == record.inclusion(index, size)

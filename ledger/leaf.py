"""Leaves: what the log hashes, an envelope chained to the leaf before it.

::

    {"dsse":{<the envelope>},"prev":"<hex hash of the leaf before, 64 zeros for the first>","seq":<position>,"v":1}

as canonical JSON. The chain lies inside what the tree hashes, so chain and tree cannot cover different bytes.
"""

from dataclasses import dataclass
from typing import Self

from ledger import canonical, dsse, errors, merkle

NO_HEAD = "0" * 64
"""What the first leaf names as the leaf before it, and the head of an empty log."""

MAX_BYTES = 65_535
"""Most bytes of a leaf: the entry length of C2SP tlog-tiles is an uint16."""

_PREFIX = b'{"dsse":'


@dataclass(frozen=True, slots=True, kw_only=True)
class Entry:
    """One entry of the log: its position, its leaf and the leaf's hash, the envelope within and that one's eid."""

    seq: int
    leaf: bytes
    hash: bytes
    envelope: dsse.Envelope
    eid: str

    @classmethod
    def chain(cls, seq: int, prev: str, envelope: dsse.Envelope) -> Self:
        """The entry of an envelope at position `seq`, after the leaf of hex hash `prev`."""
        data = written(seq, prev, envelope)
        return cls(seq=seq, leaf=data, hash=merkle.leaf_hash(data), envelope=envelope, eid=envelope.eid)

    @classmethod
    def parse(cls, data: bytes, *, seq: int, prev: str) -> Self:
        """The entry of a leaf that must stand at `seq`, after the leaf of hex hash `prev`.

        Raises:
            StatementError: Anything but the one byte form of the leaf of this envelope in this place.

        Reference: docs/protocol.md P4.
        """
        suffix = _suffix(seq, prev)
        if not (data.startswith(_PREFIX) and data.endswith(suffix)):
            # By bytes and not by value: in Python true equals 1. Whether it is JSON at all decides the reason.
            canonical.decode(data, limit=MAX_BYTES)
            expected = f"version 1, entry {seq} after {prev}"
            raise errors.StatementError(f"leaf {data[-120:]!r}, expected {expected}", code="non-canonical")
        envelope = dsse.Envelope.parse(data[len(_PREFIX) : len(data) - len(suffix)])
        return cls(seq=seq, leaf=data, hash=merkle.leaf_hash(data), envelope=envelope, eid=envelope.eid)


def written(seq: int, prev: str, envelope: dsse.Envelope) -> bytes:
    """The leaf of an envelope at position `seq`, after the leaf of hex hash `prev`.

    Reference: docs/protocol.md P4.
    """
    return _PREFIX + envelope.to_bytes() + _suffix(seq, prev)


def _suffix(seq: int, prev: str) -> bytes:
    return b',"prev":"%s","seq":%d,"v":1}' % (prev.encode(), seq)

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
        value: canonical.Json = {"dsse": envelope.to_json(), "prev": prev, "seq": seq, "v": 1}
        data = canonical.encode(value, limit=MAX_BYTES)
        return cls(seq=seq, leaf=data, hash=merkle.leaf_hash(data), envelope=envelope, eid=envelope.eid)

    @classmethod
    def parse(cls, data: bytes, *, seq: int, prev: str) -> Self:
        """The entry of a leaf that must stand at `seq`, after the leaf of hex hash `prev`.

        Raises:
            StatementError: Anything but the one byte form of the leaf of this envelope in this place.

        Reference: docs/protocol.md P4.
        """
        match canonical.decode(data, limit=MAX_BYTES):
            case {"dsse": dict(wrapped)}:
                entry = cls.chain(seq, prev, dsse.Envelope.from_json(wrapped))
            case _:
                raise errors.StatementError(f"{data[:80]!r} is no leaf")
        # By bytes and not by value: in Python true equals 1.
        if entry.leaf != data:
            expected = f"version 1, entry {seq} after {prev}"
            raise errors.StatementError(f"leaf {data[-120:]!r}, expected {expected}", code="non-canonical")
        return entry

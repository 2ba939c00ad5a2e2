"""Proof files: that an entry is in a log, in one file to keep and to check offline.

::

    c2sp.org/tlog-proof@v1 LF
    extra <base64> LF                         only where there is extra data, which nothing authenticates
    index <decimal> LF
    <base64 of 32 bytes> LF                   the audit path, lowest node first
    LF
    <the checkpoint, a signed note>

Such a file is named `.tlog-proof`. It does not hold the entry: whoever checks it brings the leaf.

Reference: C2SP tlog-proof; docs/protocol.md P19.
"""

import base64
import binascii
import re
from collections.abc import Callable
from dataclasses import dataclass
from typing import Self

from ledger import checkpoint, errors, merkle, note

MAX_HASHES = 63
MAX_EXTRA = 64 * 1024
MAX_BYTES = note.MAX_BYTES + 2 * MAX_EXTRA
"""Bytes of a proof file that are looked at: the note, the extra data in base64, and what is small beside them."""

_FIRST = "c2sp.org/tlog-proof@v1"
_INDEX = re.compile(r"index (0|[1-9][0-9]{0,15})")


@dataclass(frozen=True, slots=True, kw_only=True)
class Proof:
    """An audit path with the note of the checkpoint it leads to; nothing of it is verified yet.

    Attributes:
        index: Position of the entry.
        path: Hashes, lowest node first.
        note: The checkpoint, signed.
        extra: Bytes beside the proof that nothing authenticates.
    """

    index: int
    path: tuple[bytes, ...]
    note: bytes
    extra: bytes = b""

    @classmethod
    def parse(cls, data: bytes) -> Self:
        """The proof of its file.

        Raises:
            StatementError: Anything but the one byte form.

        Reference: C2SP tlog-proof, "Format"; docs/protocol.md P19.
        """
        if len(data) > MAX_BYTES:
            raise errors.StatementError(f"proof of {len(data)} bytes, expected at most {MAX_BYTES}", code="too-large")
        head, _, signed = data.partition(b"\n\n")
        try:
            _, *lines = head.decode("ascii").split("\n")
        except UnicodeDecodeError as error:
            raise errors.StatementError(f"proof {data[:60]!r} is not ASCII before its checkpoint: {error}") from error
        has_extra = bool(lines) and lines[0].startswith("extra ")
        extra = _decoded(lines.pop(0).removeprefix("extra ")) if has_extra else b""
        index = _INDEX.fullmatch(lines[0]) if lines else None
        if index is None:
            raise errors.StatementError(f"proof {data[:80]!r}, expected the lines {_FIRST!r} and 'index <decimal>'")
        proof = cls(index=int(index[1]), path=tuple(map(_decoded, lines[1:])), note=signed, extra=extra)
        if proof.to_bytes() != data:
            raise errors.StatementError(f"proof {data[:80]!r} is not in its one form", code="non-canonical")
        return proof

    def __post_init__(self) -> None:
        if len(self.path) > MAX_HASHES or any(len(step) != 32 for step in self.path):
            sizes = [len(step) for step in self.path]
            raise errors.StatementError(f"audit path of {str(sizes)[:100]} bytes, expected up to {MAX_HASHES} times 32")
        if len(self.extra) > MAX_EXTRA:
            message = f"{len(self.extra)} bytes of extra data, expected at most {MAX_EXTRA}"
            raise errors.StatementError(message, code="too-large")

    def to_bytes(self) -> bytes:
        """The one byte form."""
        extra = [f"extra {_encoded(self.extra)}"] if self.extra else []
        lines = [_FIRST, *extra, f"index {self.index}", *map(_encoded, self.path), "", ""]
        return "\n".join(lines).encode() + self.note

    def verify(self, leaf: bytes, verify: Callable[[bytes], checkpoint.LogCheckpoint]) -> checkpoint.LogCheckpoint:
        """The checkpoint of the log that has this leaf at this index.

        Args:
            leaf: The bytes of the leaf.
            verify: The checkpoint of a note, or a refusal, such as `checkpoint.verify` with a log's name and key.

        Raises:
            StatementError: The note is none, or one of another log.
            SignatureError: It is not signed as it has to be.
            ProofError: The path does not lead from the leaf to the root.

        Reference: RFC 9162 section 2.1.3.2; docs/protocol.md P19.
        """
        promise = verify(self.note)
        merkle.verify_inclusion(merkle.leaf_hash(leaf), self.index, promise.size, self.path, promise.root)
        return promise


def _encoded(data: bytes) -> str:
    return base64.b64encode(data).decode()


def _decoded(text: str) -> bytes:
    try:
        return base64.b64decode(text, validate=True)
    except (binascii.Error, ValueError) as error:
        raise errors.StatementError(f"{text[:60]!r} is not standard padded base64: {error}") from error

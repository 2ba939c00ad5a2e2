"""Checkpoints of the log: its size and root, in a signed note.

::

    <origin> LF
    <size, decimal> LF
    <base64 of the 32-byte root> LF

There are no extension lines: the last leaf commits to the head of the chain, so the checkpoint need not.
"""

import base64
import binascii
import re
from dataclasses import dataclass
from typing import Self

from ledger import errors, keys, note

_SIZE = re.compile(r"0|[1-9][0-9]{0,15}")


@dataclass(frozen=True, slots=True, kw_only=True)
class LogCheckpoint:
    """What a log promises: that at `size` entries its tree has this `root`."""

    origin: str
    size: int
    root: bytes

    @classmethod
    def parse(cls, text: str) -> Self:
        """The checkpoint of a note's text.

        Raises:
            StatementError: Anything but the three lines, each in its one form.

        Reference: C2SP tlog-checkpoint 1.0.0; docs/protocol.md P5.
        """
        lines = text.split("\n")
        if len(lines) != 4 or not lines[0] or not _SIZE.fullmatch(lines[1]):
            raise errors.StatementError(f"checkpoint {text[:100]!r}, expected origin, size and root lines, no more")
        try:
            root = base64.b64decode(lines[2], validate=True)
        except (binascii.Error, ValueError) as error:
            raise errors.StatementError(f"checkpoint root {lines[2][:60]!r} is not base64: {error}") from error
        checkpoint = cls(origin=lines[0], size=int(lines[1]), root=root)
        if len(root) != 32 or str(checkpoint) != text:
            raise errors.StatementError(f"checkpoint root {lines[2][:60]!r}, expected 32 bytes in canonical base64")
        return checkpoint

    def __str__(self) -> str:
        return f"{self.origin}\n{self.size}\n{base64.b64encode(self.root).decode()}\n"


def sign(checkpoint: LogCheckpoint, key: keys.SigningKey, *more: note.Signs, now: int = 0) -> bytes:
    """The signed note of a checkpoint; the key goes by the name of the log's origin.

    Args:
        checkpoint: What is promised.
        key: The log's Ed25519 key.
        more: Who signs too, after it, such as `cosignature.Signer` with an ML-DSA-44 key under the log's origin.
        now: Seconds since 1970, for signatures that state a time.

    Raises:
        StatementError: The origin cannot be a key name.
    """
    return note.sign(str(checkpoint), [note.Signer(name=checkpoint.origin, key=key), *more], now)


def verify(data: bytes, origin: str, public_key: keys.PublicKey) -> LogCheckpoint:
    """The checkpoint in a note that this log's key signed.

    Raises:
        StatementError: Not a note, not a checkpoint, or one of another log.
        SignatureError: Not signed by this key under this origin.

    Reference: C2SP tlog-checkpoint 1.0.0; docs/protocol.md P5.
    """
    return _of_origin(note.open(data, [note.Verifier(name=origin, key=public_key)]).text, origin)


def unverified(data: bytes, origin: str) -> LogCheckpoint:
    """The checkpoint a note claims, for the log itself, which holds what it once signed but not the key.

    Raises:
        StatementError: Not a note, not a checkpoint, or one of another log.
    """
    text, _ = note.split(data)
    return _of_origin(text, origin)


def _of_origin(text: str, origin: str) -> LogCheckpoint:
    checkpoint = LogCheckpoint.parse(text)
    if checkpoint.origin != origin:
        raise errors.StatementError(f"checkpoint of {checkpoint.origin[:60]!r}, expected one of {origin!r}")
    return checkpoint

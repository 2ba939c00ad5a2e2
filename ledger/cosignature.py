r"""Cosignatures: that a witness, at a stated time, found a checkpoint consistent with all it saw of that log before.

The signature of a line is ``uint64 time (seconds since 1970, big-endian) | signature``. What is signed:

::

    type 04, Ed25519      cosignature/v1 LF "time " <decimal> LF <the checkpoint's text>
    type 06, ML-DSA-44    "subtree/v1\n\0" | uint8 length, name of the key | uint64 time | uint8 length, origin |
                          uint64 0 | uint64 size | root (32 bytes)

A log too signs with type 06, beside its line of type 01, and states time 0 or its own clock's.

Reference: C2SP tlog-cosignature (v1 and subtree/v1 of whole trees); docs/protocol.md P5.
"""

import struct
from dataclasses import dataclass

from ledger import checkpoint, errors, keys, mldsa, note

ED25519 = 0x04
ML_DSA_44 = 0x06
_LAST = 2**63 - 1
_SUBTREE = b"subtree/v1\n\0"


@dataclass(frozen=True, slots=True, kw_only=True)
class Verifier:
    """A named key whose signatures are cosignatures; its algorithm decides the type."""

    name: str
    key: keys.PublicKey | mldsa.PublicKey

    @property
    def type(self) -> int:
        """04 of an Ed25519 key, 06 of an ML-DSA-44 key."""
        return ML_DSA_44 if isinstance(self.key, mldsa.PublicKey) else ED25519

    @property
    def raw(self) -> bytes:
        """The key's bytes: 32 or 1,312."""
        return self.key.raw

    def verify(self, text: str, signature: bytes) -> int:
        """The time at which the holder of the key says that it saw this checkpoint, in seconds since 1970.

        0 under type 06 means that it says nothing of when, nor that it knows no larger checkpoint.

        Raises:
            SignatureError: It is not this key's cosignature of this checkpoint, or states a time past 2^63-1.
            StatementError: The text is no checkpoint.
        """
        time = int.from_bytes(signature[:8], "big")
        if len(signature) < 9 or time > _LAST:
            raise errors.SignatureError(f"cosignature {signature[:8].hex()} by {self.name}, expected a time and more")
        self.key.verify(signature[8:], message(self, text, time))
        return time


@dataclass(frozen=True, slots=True, kw_only=True)
class Signer:
    """A named key that cosigns checkpoints; its algorithm decides the type."""

    name: str
    key: keys.SigningKey | mldsa.SigningKey

    @property
    def verifier(self) -> Verifier:
        """The public half."""
        return Verifier(name=self.name, key=self.key.public)

    def line(self, text: str, now: int) -> note.SignatureLine:
        """The signature line over a checkpoint's text, stating the time `now`, in seconds since 1970.

        Raises:
            StatementError: The text is no checkpoint.
        """
        signature = struct.pack(">Q", now) + self.key.sign(message(self.verifier, text, now))
        return note.SignatureLine(self.name, note.key_id(self.verifier), signature)


def message(verifier: Verifier, text: str, time: int) -> bytes:
    """The bytes that the key signs to state that it saw the checkpoint `text` at `time`, in seconds since 1970.

    Raises:
        StatementError: The text is no checkpoint, or a name is longer than 255 bytes.
    """
    promise = checkpoint.LogCheckpoint.parse(text)
    if verifier.type == ED25519:
        return f"cosignature/v1\ntime {time}\n{text}".encode()
    name, origin = _short(verifier.name), _short(promise.origin)
    return _SUBTREE + name + struct.pack(">Q", time) + origin + struct.pack(">QQ", 0, promise.size) + promise.root


def _short(text: str) -> bytes:
    data = text.encode()
    if not 1 <= len(data) <= 255:
        raise errors.StatementError(f"name of {len(data)} bytes, expected 1 to 255")
    return bytes([len(data)]) + data

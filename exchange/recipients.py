"""Whom a file is sealed for: age recipients (public) and identities (secret), classical and post-quantum.

    age1...      X25519Recipient    32 bytes            AGE-SECRET-KEY-1...       X25519Identity    32 bytes
    age1pq1...   HybridRecipient    1,184 + 32 bytes    AGE-SECRET-KEY-PQ-1...    HybridIdentity    a 32-byte seed

A recipient wraps a file key into a stanza, an identity unwraps it. The hybrid is HPKE over ML-KEM-768 and X25519
(X-Wing): who records a ciphertext today cannot open it with a quantum computer tomorrow.

Reference: C2SP age v1, "Native X25519 recipient" and "Native hybrid recipient"; RFC 7748; RFC 9180; FIPS 203.
"""

import functools
import os
from dataclasses import dataclass, field
from typing import ClassVar, Self

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives import hashes, hpke
from cryptography.hazmat.primitives.asymmetric import mlkem, x25519
from cryptography.hazmat.primitives.ciphers.aead import ChaCha20Poly1305

from exchange import bech32, errors, header

WRAPPED_SIZE = header.FILE_KEY_SIZE + 16  # bytes: the file key and its Poly1305 tag
CURVE_SIZE = 32  # bytes: an X25519 key or share
LATTICE_SIZE = 1184  # bytes: an ML-KEM-768 encapsulation key
LATTICE_SHARE_SIZE = 1088  # bytes: an ML-KEM-768 ciphertext
SEED_SIZE = 32  # bytes
X25519_INFO = b"age-encryption.org/v1/X25519"
HYBRID_INFO = b"age-encryption.org/mlkem768x25519"
HYBRID_SUITE = hpke.Suite(hpke.KEM.MLKEM768_X25519, hpke.KDF.HKDF_SHA256, hpke.AEAD.CHACHA20_POLY1305)
ZERO_NONCE = bytes(12)  # each wrapping key encrypts once
_ANY = x25519.X25519PrivateKey.from_private_bytes(bytes(CURVE_SIZE))  # finds points of low order, and is no secret


@dataclass(frozen=True, slots=True, kw_only=True)
class _Key:
    """Bytes with an age text form; `raw` stays out of every repr because it may be a secret."""

    TYPE: ClassVar[str]
    PREFIX: ClassVar[str]
    SIZE: ClassVar[int]
    raw: bytes = field(repr=False)

    @classmethod
    def parse(cls, text: str) -> Self:
        """The key that `text` holds; raises KeyTextError unless it is the one text that `str()` gives for it."""
        prefix, raw = bech32.decode(text)
        if prefix != cls.PREFIX or len(raw) != cls.SIZE:
            found = f"{len(raw)} bytes under the prefix {prefix[:20]!r}"
            raise errors.KeyTextError(f"{found}, expected {cls.SIZE} under {cls.PREFIX!r}")
        return cls(raw=raw)

    def __str__(self) -> str:
        text = bech32.encode(self.PREFIX.lower(), self.raw)
        return text.upper() if self.PREFIX.isupper() else text


@dataclass(frozen=True, slots=True, kw_only=True)
class X25519Recipient(_Key):
    """An age1... recipient: `raw` is an X25519 public key of 32 bytes, not of low order (SealError)."""

    TYPE: ClassVar[str] = "X25519"
    PREFIX: ClassVar[str] = "age"
    SIZE: ClassVar[int] = CURVE_SIZE
    _key: x25519.X25519PublicKey = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        _refuse_low_order(self.raw)
        object.__setattr__(self, "_key", x25519.X25519PublicKey.from_public_bytes(self.raw))

    def wrap(self, file_key: bytes) -> header.Stanza:
        """A stanza from which only this recipient's identity gets the 16-byte file key."""
        ephemeral = x25519.X25519PrivateKey.generate()
        share = ephemeral.public_key().public_bytes_raw()
        key = header.derive(ephemeral.exchange(self._key), salt=share + self.raw, info=X25519_INFO)
        body = ChaCha20Poly1305(key).encrypt(ZERO_NONCE, file_key, None)
        return header.Stanza(args=(self.TYPE, header.encode_base64(share)), body=body)


@dataclass(frozen=True, slots=True, kw_only=True)
class X25519Identity(_Key):
    """The secret key to `recipient`: `raw` is an X25519 private key of 32 bytes."""

    TYPE: ClassVar[str] = "X25519"
    PREFIX: ClassVar[str] = "AGE-SECRET-KEY-"
    SIZE: ClassVar[int] = CURVE_SIZE
    recipient: X25519Recipient = field(init=False, compare=False)
    _key: x25519.X25519PrivateKey = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        key = x25519.X25519PrivateKey.from_private_bytes(self.raw)
        object.__setattr__(self, "_key", key)
        object.__setattr__(self, "recipient", X25519Recipient(raw=key.public_key().public_bytes_raw()))

    @classmethod
    def generate(cls) -> Self:
        """A fresh random identity."""
        return cls(raw=os.urandom(cls.SIZE))

    def unwrap(self, stanza: header.Stanza) -> bytes | None:
        """The 16-byte file key, or None if the stanza is of another type or for somebody else.

        Raises:
            SealError: an X25519 stanza with wrong arguments or lengths, or with a share of low order.

        Reference: C2SP age v1, "Native X25519 recipient"; docs/protocol.md P10.
        """
        share = _share(stanza, self.TYPE, CURVE_SIZE)
        if share is None:
            return None
        try:
            shared = self._key.exchange(x25519.X25519PublicKey.from_public_bytes(share))
        except ValueError:  # zero, which any private key gives
            raise errors.SealError(f"X25519 point {share.hex()} is of low order") from None
        key = header.derive(shared, salt=share + self.recipient.raw, info=X25519_INFO)
        try:
            return ChaCha20Poly1305(key).decrypt(ZERO_NONCE, stanza.body, None)
        except InvalidTag:
            return None


@dataclass(frozen=True, slots=True, kw_only=True)
class HybridRecipient(_Key):
    """An age1pq1... recipient: `raw` is an ML-KEM-768 and then an X25519 public key, both checked (SealError)."""

    TYPE: ClassVar[str] = "mlkem768x25519"
    PREFIX: ClassVar[str] = "age1pq"
    SIZE: ClassVar[int] = LATTICE_SIZE + CURVE_SIZE
    _key: hpke.MLKEM768X25519PublicKey = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        try:
            lattice = mlkem.MLKEM768PublicKey.from_public_bytes(self.raw[:LATTICE_SIZE])
        except ValueError:
            raise errors.KeyTextError("hybrid recipient holds no valid ML-KEM-768 encapsulation key") from None
        _refuse_low_order(self.raw[LATTICE_SIZE:])
        point = x25519.X25519PublicKey.from_public_bytes(self.raw[LATTICE_SIZE:])
        key = hpke.MLKEM768X25519PublicKey(lattice, point)
        object.__setattr__(self, "_key", key)

    def wrap(self, file_key: bytes) -> header.Stanza:
        """A stanza from which only this recipient's identity gets the 16-byte file key."""
        sealed = HYBRID_SUITE.encrypt(file_key, self._key, HYBRID_INFO)
        share, body = sealed[:-WRAPPED_SIZE], sealed[-WRAPPED_SIZE:]
        return header.Stanza(args=(self.TYPE, header.encode_base64(share)), body=body)


@dataclass(frozen=True, slots=True, kw_only=True)
class HybridIdentity(_Key):
    """The secret key to `recipient`: `raw` is the 32-byte seed that both private keys grow from."""

    TYPE: ClassVar[str] = "mlkem768x25519"
    PREFIX: ClassVar[str] = "AGE-SECRET-KEY-PQ-"
    SIZE: ClassVar[int] = SEED_SIZE
    recipient: HybridRecipient = field(init=False, compare=False)
    _key: hpke.MLKEM768X25519PrivateKey = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        # X-Wing: SHAKE256(seed, 96) is the ML-KEM seed (64) followed by the X25519 scalar (32).
        shake = hashes.Hash(hashes.SHAKE256(96))
        shake.update(self.raw)
        stream = shake.finalize()
        lattice = mlkem.MLKEM768PrivateKey.from_seed_bytes(stream[:64])
        curve = x25519.X25519PrivateKey.from_private_bytes(stream[64:])
        public = lattice.public_key().public_bytes_raw() + curve.public_key().public_bytes_raw()
        object.__setattr__(self, "_key", hpke.MLKEM768X25519PrivateKey(lattice, curve))
        object.__setattr__(self, "recipient", HybridRecipient(raw=public))

    @classmethod
    def generate(cls) -> Self:
        """A fresh random identity."""
        return cls(raw=os.urandom(cls.SIZE))

    def unwrap(self, stanza: header.Stanza) -> bytes | None:
        """The 16-byte file key, or None if the stanza is of another type or for somebody else.

        Raises:
            SealError: an mlkem768x25519 stanza with wrong arguments or lengths, or with a share of low order.

        Reference: C2SP age v1, "Native hybrid recipient"; docs/protocol.md P10.
        """
        share = _share(stanza, self.TYPE, LATTICE_SHARE_SIZE + CURVE_SIZE)
        if share is None:
            return None
        _refuse_low_order(share[LATTICE_SHARE_SIZE:])
        try:
            return HYBRID_SUITE.decrypt(share + stanza.body, self._key, HYBRID_INFO)
        except InvalidTag:
            return None


Recipient = X25519Recipient | HybridRecipient
Identity = X25519Identity | HybridIdentity


@functools.lru_cache(maxsize=64)
def parse_recipient(text: str) -> Recipient:
    """The recipient that `text` names, of the type its prefix says; raises KeyTextError if it is none."""
    if text.startswith(HybridRecipient.PREFIX + "1"):
        return HybridRecipient.parse(text)
    return X25519Recipient.parse(text)


def parse_identity(text: str) -> Identity:
    """The identity that `text` holds, of the type its prefix says; raises KeyTextError, which never repeats it."""
    if text.startswith(HybridIdentity.PREFIX + "1"):
        return HybridIdentity.parse(text)
    return X25519Identity.parse(text)


def _share(stanza: header.Stanza, kind: str, size: int) -> bytes | None:
    """The sender's share in a stanza of type `kind`, None if it is of another type; SealError if it is malformed."""
    if stanza.args[0] != kind:
        return None
    if len(stanza.args) != 2:
        raise errors.SealError(f"{kind} stanza with {len(stanza.args) - 1} arguments, expected 1")
    share = header.decode_base64(stanza.args[1])
    # Lengths before any decryption: a longer body could hold several ciphertexts (partitioning oracle).
    if len(share) != size or len(stanza.body) != WRAPPED_SIZE:
        found = f"share of {len(share)} and body of {len(stanza.body)} bytes"
        raise errors.SealError(f"{kind} stanza with a {found}, expected {size} and {WRAPPED_SIZE}")
    return share


_ANY = x25519.X25519PrivateKey.from_private_bytes(bytes(CURVE_SIZE))


def _refuse_low_order(point: bytes) -> None:
    """Refuse an X25519 point with which every exchange gives zero, a secret that everybody knows."""
    try:
        # Private keys are multiples of the cofactor, so any one of them shows it.
        _ANY.exchange(x25519.X25519PublicKey.from_public_bytes(point))
    except ValueError:
        raise errors.SealError(f"X25519 point {point.hex()} is of low order") from None

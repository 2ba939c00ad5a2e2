"""ML-DSA-44 keys, for signature lines that must outlast quantum computers.

A private key is an unencrypted PKCS#8 file in PEM (the 32-byte seed, RFC 9881) that only its owner can read; `openssl
genpkey -algorithm ML-DSA-44` of OpenSSL 3.5 writes such files too. A public key has 1,312 bytes, a signature 2,420.
"""

from dataclasses import dataclass
from pathlib import Path
from typing import Self

from cryptography.exceptions import InvalidSignature, UnsupportedAlgorithm
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import mldsa

from ledger import errors, keys

RAW_BYTES = 1_312
SIGNATURE_BYTES = 2_420


@dataclass(frozen=True, slots=True, kw_only=True)
class PublicKey:
    """An ML-DSA-44 public key: `raw` is its 1,312 bytes."""

    raw: bytes

    def __post_init__(self) -> None:
        if len(self.raw) != RAW_BYTES:
            raise errors.KeyFileError(f"ML-DSA-44 public key of {len(self.raw)} bytes, expected {RAW_BYTES}")

    def verify(self, signature: bytes, data: bytes) -> None:
        """Nothing; a signature that does not verify raises.

        Raises:
            SignatureError: The signature is not this key's over these bytes.

        Reference: FIPS 204 algorithm 3, with an empty context.
        """
        try:
            mldsa.MLDSA44PublicKey.from_public_bytes(self.raw).verify(signature, data)
        except InvalidSignature as error:
            message = f"signature {signature[:8].hex()}... is not by ML-DSA-44 key {self.raw[:8].hex()}..."
            raise errors.SignatureError(f"{message} over these {len(data)} bytes") from error


class SigningKey:
    """An ML-DSA-44 private key. It has no printable form."""

    __slots__ = ("_private", "public")

    def __init__(self, private: mldsa.MLDSA44PrivateKey) -> None:
        self._private = private
        self.public = PublicKey(raw=private.public_key().public_bytes_raw())

    @classmethod
    def generate(cls) -> Self:
        """A fresh key from the operating system's randomness."""
        return cls(mldsa.MLDSA44PrivateKey.generate())

    @classmethod
    def load(cls, path: Path) -> Self:
        """The key of a PKCS#8 file.

        Raises:
            KeyFileError: The file is missing, a symlink, not a regular file, open to group or others, protected by a
                passphrase, or holds anything but one ML-DSA-44 key.

        Reference: RFC 9881 section 6; docs/protocol.md P5.
        """
        data = keys.read_private(path)
        try:
            private = serialization.load_pem_private_key(data, password=None)
        except TypeError as error:
            raise errors.KeyFileError(f"{path} is protected by a passphrase, expected a plain key") from error
        except (ValueError, UnsupportedAlgorithm) as error:
            raise errors.KeyFileError(f"{path} is not a PKCS#8 private key in PEM: {error}") from error
        if not isinstance(private, mldsa.MLDSA44PrivateKey):
            raise errors.KeyFileError(f"{path} holds {type(private).__name__}, expected an ML-DSA-44 key")
        return cls(private)

    def save(self, path: Path) -> None:
        """Nothing; the key is on disk at `path`, readable by its owner alone, complete or not there at all.

        Raises:
            KeyFileError: Something is at `path` already, or the file system refuses.
        """
        data = self._private.private_bytes(
            serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
        )
        keys.write_private(path, data)

    def sign(self, data: bytes) -> bytes:
        """The 2,420-byte signature over `data`; it is randomized, so no two are alike (FIPS 204 algorithm 2)."""
        return self._private.sign(data)

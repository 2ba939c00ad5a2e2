r"""Ed25519 keys in the files and lines of OpenSSH.

A public key is the line ``ssh-ed25519 <base64>`` without comment, its blob the 51 bytes::

    00 00 00 0b "ssh-ed25519" 00 00 00 20 <32 bytes>

and its fingerprint ``SHA256:<base64 of sha256(blob), no padding>``, as `ssh-keygen -l` prints it. A private key is an
`openssh-key-v1` file that only its owner can read, plain or under a passphrase (bcrypt and AES-256-CTR, as OpenSSH does it).
"""

import base64
import binascii
import contextlib
import hashlib
import os
import stat
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import Self

from cryptography.exceptions import InvalidSignature, UnsupportedAlgorithm
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ed25519

from ledger import errors

_LINE = "ssh-ed25519 "
_BLOB = b"\x00\x00\x00\x0bssh-ed25519\x00\x00\x00\x20"
_MAX_FILE = 16 * 1024
MAX_PASSPHRASE = 1023
_PRIME = 2**255 - 19
# The y coordinates of the eight points of small order. Under such a key a stranger can make signatures that verify.
# Reference: libsodium, ed25519_ref10.c, ge25519_has_small_order.
_SMALL_ORDER = frozenset(
    (
        0,
        1,
        _PRIME - 1,
        int.from_bytes(bytes.fromhex("26e8958fc2b227b045c3f489f2ef98f0d5dfac05d3c63339b13802886d53fc05"), "little"),
        int.from_bytes(bytes.fromhex("c7176a703d4dd84fba3c0b760d10670f2a2053fa2c39ccc64ec7fd7792ac037a"), "little"),
    )
)


@dataclass(frozen=True, slots=True, kw_only=True)
class PublicKey:
    """An Ed25519 public key: `raw` is its 32 bytes, canonical and not of small order."""

    raw: bytes

    def __post_init__(self) -> None:
        y = int.from_bytes(self.raw, "little") & (2**255 - 1)
        if len(self.raw) != 32 or y >= _PRIME or y in _SMALL_ORDER:
            raise errors.KeyFileError(f"public key {self.raw[:40].hex()}, expected a point of large order in 32 bytes")

    @classmethod
    def parse(cls, text: str) -> Self:
        """The key of one `ssh-ed25519 <base64>` line, without comment or line end.

        Raises:
            KeyFileError: Any other text; there is one text for each key.

        Reference: RFC 8709 section 4; docs/protocol.md P2.
        """
        try:
            blob = base64.b64decode(text.removeprefix(_LINE), validate=True)
        except (binascii.Error, ValueError) as error:
            raise errors.KeyFileError(f"{text[:100]!r} is no key, expected 'ssh-ed25519 <base64>': {error}") from error
        key = cls(raw=blob[len(_BLOB) :])
        if str(key) != text:
            raise errors.KeyFileError(f"{text[:100]!r} is no key, expected 'ssh-ed25519 <base64>' and nothing more")
        return key

    def __str__(self) -> str:
        return _LINE + base64.b64encode(_BLOB + self.raw).decode()

    @property
    def digest(self) -> bytes:
        """The 32-byte sha256 of the key's blob."""
        return hashlib.sha256(_BLOB + self.raw).digest()

    @property
    def fingerprint(self) -> str:
        """`SHA256:` and 43 characters of base64, as `ssh-keygen -l` prints it."""
        return "SHA256:" + base64.b64encode(self.digest).decode().rstrip("=")

    def verify(self, signature: bytes, data: bytes) -> None:
        """Nothing; a signature that does not verify raises.

        Raises:
            SignatureError: The signature is not this key's over these bytes.

        Reference: RFC 8032 section 5.1.7.
        """
        try:
            ed25519.Ed25519PublicKey.from_public_bytes(self.raw).verify(signature, data)
        except InvalidSignature as error:
            message = f"signature {signature[:8].hex()}... is not by {self.fingerprint} over these {len(data)} bytes"
            raise errors.SignatureError(message) from error


class SigningKey:
    """An Ed25519 private key. It has no printable form."""

    __slots__ = ("_private", "public")

    def __init__(self, private: ed25519.Ed25519PrivateKey) -> None:
        self._private = private
        self.public = PublicKey(raw=private.public_key().public_bytes_raw())

    @classmethod
    def generate(cls) -> Self:
        """A fresh key from the operating system's randomness."""
        return cls(ed25519.Ed25519PrivateKey.generate())

    @classmethod
    def from_seed(cls, seed: bytes) -> Self:
        """The key of a 32-byte seed: the private key itself in RFC 8032 section 5.1.5."""
        return cls(ed25519.Ed25519PrivateKey.from_private_bytes(seed))

    @classmethod
    def load(cls, path: Path, passphrase: bytes | None = None) -> Self:
        """The key of an OpenSSH private key file.

        Args:
            path: The file.
            passphrase: What it is protected by, 1 to 1,023 bytes; a plain key is read whatever is given.

        Raises:
            ProtectedKeyError: It is protected, and no passphrase was given.
            PassphraseError: It is protected by another passphrase.
            KeyFileError: The file is missing, a symlink, not a regular file, open to group or others, or holds anything
                but one Ed25519 key.

        Reference: OpenSSH PROTOCOL.key; docs/protocol.md P2.
        """
        data = read_private(path)
        try:
            private = _unlocked(data, path, passphrase)
        except (ValueError, UnsupportedAlgorithm) as error:
            raise errors.KeyFileError(f"{path} is not an OpenSSH private key: {error}") from error
        if not isinstance(private, ed25519.Ed25519PrivateKey):
            raise errors.KeyFileError(f"{path} holds {type(private).__name__}, expected an Ed25519 key")
        return cls(private)

    def save(self, path: Path, passphrase: bytes | None = None) -> None:
        """Nothing; the key is on disk at `path`, readable by its owner alone, complete or not there at all.

        Args:
            path: Where nothing is yet.
            passphrase: What to protect the file by, 1 to 1,023 bytes; None for a plain key.

        Raises:
            KeyFileError: Something is at `path` already, or the file system refuses.
            PassphraseError: The passphrase has another length.
        """
        protection: serialization.KeySerializationEncryption = serialization.NoEncryption()
        if passphrase is not None:
            if not 1 <= len(passphrase) <= MAX_PASSPHRASE:
                raise errors.PassphraseError(f"a passphrase of {len(passphrase)} bytes, expected 1 to {MAX_PASSPHRASE}")
            protection = serialization.BestAvailableEncryption(passphrase)
        data = self._private.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.OpenSSH, protection)
        write_private(path, data)

    def sign(self, data: bytes) -> bytes:
        """The 64-byte signature over `data` (RFC 8032 section 5.1.6)."""
        return self._private.sign(data)


def _unlocked(data: bytes, path: Path, passphrase: bytes | None) -> object:
    try:
        return serialization.load_ssh_private_key(data, password=None)
    except TypeError:
        pass  # what the library says of a protected key, before it looks at anything else
    if not passphrase:
        raise errors.ProtectedKeyError(f"{path} is protected by a passphrase, and none was given")
    try:
        return serialization.load_ssh_private_key(data, password=passphrase)
    except ValueError as error:
        # OpenSSH's own test: the same random number twice at the start of what was encrypted.
        if "checksum" not in str(error) and len(passphrase) <= MAX_PASSPHRASE:
            raise
        raise errors.PassphraseError(f"{path} does not open with this passphrase") from error


def read_private(path: Path) -> bytes:
    """The bytes of a file that only its owner can read.

    Raises:
        KeyFileError: The file is missing, a symlink, not a regular file, open to group or others, or too long for a key.
    """
    # O_NONBLOCK so that a FIFO in the place of the key cannot hang us; the checks are on the descriptor we then read.
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NOFOLLOW | os.O_NONBLOCK)
        with os.fdopen(descriptor, "rb") as file:
            mode = os.fstat(file.fileno()).st_mode
            if not stat.S_ISREG(mode) or stat.S_IMODE(mode) & 0o077:
                raise errors.KeyFileError(f"{path} has mode {stat.filemode(mode)}, expected -rw------- or less")
            data = file.read(_MAX_FILE + 1)
    except OSError as error:
        raise errors.KeyFileError(f"{path} cannot be read as a key file: {error}") from error
    if len(data) > _MAX_FILE:
        raise errors.KeyFileError(f"{path} is longer than {_MAX_FILE} bytes, expected a key")
    return data


def write_private(path: Path, data: bytes) -> None:
    """Nothing; `data` is on disk at `path`, readable by its owner alone, complete or not there at all.

    Raises:
        KeyFileError: Something is at `path` already, or the file system refuses.
    """
    try:
        _create_private(path, data)
    except FileExistsError as error:
        raise errors.KeyFileError(f"{path} exists, and a key is never overwritten") from error
    except OSError as error:
        raise errors.KeyFileError(f"{path} cannot be written: {error}") from error


def _create_private(path: Path, data: bytes) -> None:
    # mkstemp gives O_EXCL and mode 0600; link, unlike rename, refuses when the name is taken.
    descriptor, temporary = tempfile.mkstemp(dir=path.parent, prefix=".key-")
    try:
        with os.fdopen(descriptor, "wb") as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
        os.link(temporary, path)
    finally:
        with contextlib.suppress(FileNotFoundError):
            os.unlink(temporary)  # noqa: PTH108 - mkstemp speaks in strings
    folder = os.open(path.parent, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(folder)
    finally:
        os.close(folder)

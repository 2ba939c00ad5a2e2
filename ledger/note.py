"""Signed notes: a text, an empty line, and signature lines.

::

    <text, one or more lines>
    <empty line>
    U+2014 SP <name> SP <base64 of key id (4 bytes) | signature> LF

The key id is the first four bytes of sha256(name | 0A | type | public key). Lines of unknown keys are passed over; a bad
line of a known key condemns the whole note. Type 01, Ed25519 over the text, is here; types 04 and 06 are cosignatures.

Reference: C2SP signed-note 1.0.0; docs/protocol.md P5.
"""

import base64
import binascii
import hashlib
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass
from typing import NamedTuple, Protocol

from ledger import errors, keys

MAX_BYTES = 64 * 1024
MAX_SIGNATURES = 64

_ED25519 = 0x01
_PREFIX = "\u2014 "


class SignatureLine(NamedTuple):
    """One signature line, not verified."""

    name: str
    key_id: bytes
    signature: bytes

    def __str__(self) -> str:
        return f"{_PREFIX}{self.name} {base64.b64encode(self.key_id + self.signature).decode()}\n"


class Verifies(Protocol):
    """A named public key that can judge signature lines: `type` is the byte that says how, `raw` the key's encoding."""

    @property
    def name(self) -> str:
        """The key's name."""

    @property
    def type(self) -> int:
        """The signature type identifier byte."""

    @property
    def raw(self) -> bytes:
        """The public key, as it stands in a verifier key after the type."""

    def verify(self, text: str, signature: bytes) -> int:
        """The time that the signature states, in seconds since 1970; 0 where it states none.

        Raises:
            SignatureError: It is not this key's over this text.
        """


class Signs(Protocol):
    """A named private key that can sign notes."""

    @property
    def verifier(self) -> Verifies:
        """The public half."""

    def line(self, text: str, now: int) -> SignatureLine:
        """The signature line over `text`; one that states a time states `now`, in seconds since 1970."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Verifier:
    """A named Ed25519 key whose signatures are over the text itself: type 01."""

    name: str
    key: keys.PublicKey

    @property
    def type(self) -> int:
        """01."""
        return _ED25519

    @property
    def raw(self) -> bytes:
        """The 32 bytes of the key."""
        return self.key.raw

    def verify(self, text: str, signature: bytes) -> int:
        """0: such a signature states no time.

        Raises:
            SignatureError: It is not this key's over this text.
        """
        self.key.verify(signature, text.encode())
        return 0


@dataclass(frozen=True, slots=True, kw_only=True)
class Signer:
    """A named Ed25519 key that signs texts: type 01."""

    name: str
    key: keys.SigningKey

    @property
    def verifier(self) -> Verifier:
        """The public half."""
        return Verifier(name=self.name, key=self.key.public)

    def line(self, text: str, now: int = 0) -> SignatureLine:  # noqa: ARG002  other types state the time
        """The signature line over `text`."""
        return SignatureLine(self.name, key_id(self.verifier), self.key.sign(text.encode()))


@dataclass(frozen=True, slots=True, kw_only=True)
class Opened:
    """A note that known keys signed.

    Attributes:
        text: What was signed.
        times: Of each known key that signed: the latest time it states, in seconds since 1970, 0 for none.
    """

    text: str
    times: Mapping[Verifies, int]


def key_id(verifier: Verifies) -> bytes:
    """The four bytes by which signature lines name this key, besides its name."""
    return hashlib.sha256(verifier.name.encode() + b"\n" + bytes([verifier.type]) + verifier.raw).digest()[:4]


def vkey(verifier: Verifies) -> str:
    """The verifier key `<name>+<hex key id>+<base64 of type | public key>`, as other tools take it.

    Reference: C2SP signed-note 1.0.0, "Verifier keys"; `ledger.vkey.parse` reads it.
    """
    encoded = base64.b64encode(bytes([verifier.type]) + verifier.raw).decode()
    return f"{verifier.name}+{key_id(verifier).hex()}+{encoded}"


def sign(text: str, signers: Iterable[Signs], now: int = 0) -> bytes:
    """The note of `text` under one signature of each signer.

    Args:
        text: Lines, the last one ended too.
        signers: At least one; their lines stand in this order.
        now: Seconds since 1970, for signatures that state a time.

    Raises:
        StatementError: The text or a name cannot stand in a note.
    """
    check_text(text)
    lines = [signer.line(text, now) for signer in signers]
    for line in lines:
        check_name(line.name)
    return f"{text}\n{''.join(map(str, lines))}".encode()


def open(data: bytes, verifiers: Collection[Verifies]) -> Opened:  # noqa: A001 - C2SP's word for it
    """The text of a note that one of `verifiers` signed, and all of them that did.

    A key that signed more than once is good only if each of its lines is.

    Raises:
        StatementError: Not a note.
        SignatureError: None of the keys signed it, or a line that claims one of them does not verify.
        KeyFileError: Two of the keys have one name and one key id.

    Reference: C2SP signed-note 1.0.0, "Signatures"; docs/protocol.md P5.
    """
    text, lines = split(data)
    known = {(verifier.name, key_id(verifier)): verifier for verifier in verifiers}
    if len(known) != len(verifiers):
        raise errors.KeyFileError(f"of {len(verifiers)} keys only {len(known)} differ in name or key id")
    times: dict[Verifies, int] = {}
    for line in lines:
        verifier = known.get((line.name, line.key_id))
        if verifier is not None:
            times[verifier] = max(verifier.verify(text, line.signature), times.get(verifier, 0))
    if not times:
        wanted = [f"{name}+{identity.hex()}" for name, identity in known]
        raise errors.SignatureError(f"no signature by {' or '.join(wanted)} among {[line.name for line in lines]}")
    return Opened(text=text, times=times)


def split(data: bytes) -> tuple[str, list[SignatureLine]]:
    """The text and the signature lines of a note, nothing verified.

    Raises:
        StatementError: Not a note: no empty line, an unended line, a control character, not UTF-8, a malformed or no
            signature line, over `MAX_BYTES` or `MAX_SIGNATURES`.

    Reference: C2SP signed-note 1.0.0, "Format".
    """
    if len(data) > MAX_BYTES:
        raise errors.StatementError(f"note of {len(data)} bytes, expected at most {MAX_BYTES}", code="too-large")
    try:
        note = data.decode()
    except UnicodeDecodeError as error:
        raise errors.StatementError(f"note {data[:60]!r} is not UTF-8: {error}") from error
    text, separator, signatures = note.rpartition("\n\n")
    if not separator:
        raise errors.StatementError(f"note {note[:60]!r}, expected text, an empty line and signature lines")
    check_text(text + "\n")
    return text + "\n", parse_lines(signatures)


def parse_lines(signatures: str) -> list[SignatureLine]:
    """Signature lines, as they end a note or answer a request for cosignatures; nothing verified.

    Raises:
        StatementError: A malformed line, none, or over `MAX_SIGNATURES`.
    """
    if not signatures.endswith("\n"):
        raise errors.StatementError(f"signature lines {signatures[-60:]!r}, expected ended lines, at least one")
    lines = signatures.removesuffix("\n").split("\n")
    if len(lines) > MAX_SIGNATURES:
        raise errors.StatementError(f"{len(lines)} signatures, expected at most {MAX_SIGNATURES}", code="too-large")
    return [_line(line) for line in lines]


def _line(line: str) -> SignatureLine:
    name, _, encoded = line.removeprefix(_PREFIX).partition(" ")
    try:
        payload = base64.b64decode(encoded, validate=True)
    except (binascii.Error, ValueError) as error:
        raise errors.StatementError(f"signature line {line[:80]!r} holds no base64: {error}") from error
    parsed = SignatureLine(name, payload[:4], payload[4:])
    if len(payload) < 5 or str(parsed) != f"{line}\n":
        raise errors.StatementError(f"signature line {line[:80]!r}, expected '{_PREFIX}name base64'")
    check_name(name)
    return parsed


def check_text(text: str) -> None:
    """Nothing; a text that cannot stand in a note raises StatementError."""
    if not text.endswith("\n") or any(character < " " and character != "\n" for character in text):
        raise errors.StatementError(f"note text {text[:60]!r}, expected ended lines without control characters")


def check_name(name: str) -> None:
    """Nothing; what cannot be the name of a key raises StatementError."""
    if not name.isprintable() or not name or "+" in name or any(character.isspace() for character in name):
        raise errors.StatementError(f"key name {name[:60]!r}, expected one without white space, plus sign or controls")

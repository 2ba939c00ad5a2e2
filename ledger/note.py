"""Signed notes: a text, an empty line, and signature lines.

::

    <text, one or more lines>
    <empty line>
    U+2014 SP <name> SP <base64 of key id (4 bytes) | signature> LF

The key id is the first four bytes of sha256(name | 0A | 01 | public key), where 01 is Ed25519. Lines of unknown keys
(witnesses) are passed over; a bad line of the known key condemns the whole note.

Reference: C2SP signed-note 1.0.0; docs/protocol.md P5.
"""

import base64
import binascii
import hashlib
from typing import NamedTuple

from ledger import errors, keys

MAX_BYTES = 64 * 1024
MAX_SIGNATURES = 64

_ED25519 = b"\x01"
_PREFIX = "\u2014 "


class SignatureLine(NamedTuple):
    """One signature line, not verified."""

    name: str
    key_id: bytes
    signature: bytes


def vkey(name: str, public_key: keys.PublicKey) -> str:
    """The verifier key `<name>+<hex key id>+<base64 of 01 | public key>`, as other tools take it.

    Reference: C2SP signed-note 1.0.0, "Verifier keys".
    """
    encoded = base64.b64encode(_ED25519 + public_key.raw).decode()
    return f"{name}+{_key_id(name, public_key).hex()}+{encoded}"


def sign(text: str, name: str, key: keys.SigningKey) -> bytes:
    """The note of `text` under one signature.

    Args:
        text: Lines, the last one ended too.
        name: Name of the key, without white space or plus sign.
        key: The signer.

    Raises:
        StatementError: The text or the name cannot stand in a note.
    """
    _check_text(text)
    _check_name(name)
    encoded = base64.b64encode(_key_id(name, key.public) + key.sign(text.encode())).decode()
    return f"{text}\n{_PREFIX}{name} {encoded}\n".encode()


def open(data: bytes, name: str, public_key: keys.PublicKey) -> str:  # noqa: A001 - C2SP's word for it
    """The text of a note that the named key signed.

    Raises:
        StatementError: Not a note.
        SignatureError: The key did not sign it, or a line that claims this key does not verify.

    Reference: C2SP signed-note 1.0.0, "Verification"; docs/protocol.md P5.
    """
    text, lines = split(data)
    key_id = _key_id(name, public_key)
    known = [line.signature for line in lines if (line.name, line.key_id) == (name, key_id)]
    if not known:
        raise errors.SignatureError(f"no signature by {name}+{key_id.hex()} among {[line.name for line in lines]}")
    for signature in known:
        public_key.verify(signature, text.encode())
    return text


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
    if not separator or not signatures.endswith("\n"):
        raise errors.StatementError(f"note {note[:60]!r}, expected text, an empty line and signature lines")
    _check_text(text + "\n")
    lines = signatures.removesuffix("\n").split("\n")
    if len(lines) > MAX_SIGNATURES:
        raise errors.StatementError(f"{len(lines)} signatures, expected at most {MAX_SIGNATURES}", code="too-large")
    return text + "\n", [_line(line) for line in lines]


def _line(line: str) -> SignatureLine:
    name, _, encoded = line.removeprefix(_PREFIX).partition(" ")
    try:
        payload = base64.b64decode(encoded, validate=True)
    except (binascii.Error, ValueError) as error:
        raise errors.StatementError(f"signature line {line[:80]!r} holds no base64: {error}") from error
    if len(payload) < 5 or line != f"{_PREFIX}{name} {base64.b64encode(payload).decode()}":
        raise errors.StatementError(f"signature line {line[:80]!r}, expected '{_PREFIX}name base64'")
    _check_name(name)
    return SignatureLine(name, payload[:4], payload[4:])


def _check_text(text: str) -> None:
    if not text.endswith("\n") or any(character < " " and character != "\n" for character in text):
        raise errors.StatementError(f"note text {text[:60]!r}, expected ended lines without control characters")


def _check_name(name: str) -> None:
    if not name.isprintable() or not name or "+" in name or any(character.isspace() for character in name):
        raise errors.StatementError(f"key name {name[:60]!r}, expected one without white space, plus sign or controls")


def _key_id(name: str, public_key: keys.PublicKey) -> bytes:
    return hashlib.sha256(name.encode() + b"\n" + _ED25519 + public_key.raw).digest()[:4]

"""The header of an age file: for whom the file key is wrapped, in text, under a MAC.

    age-encryption.org/v1
    -> X25519 TEiF0ypqr+bpvcqXNyCVJpL7OuwPdVwPL7KQEbFDOCc        a stanza: type and arguments ...
    EmECAEcKN+n/Vs9SbWiV+Hu0r+E8R77DdWYyd83nw7U                  ... and its body, 64 columns, the last line shorter
    -> folkmoot/context v1
    p0kV2vNdCKWGIWJYDaG1QIX4hK7bMWaVSZ1tQGCWiGc
    --- Vn+54jqiiUCE+WZcEVY3f1sqHjlu/z1LCQ/T7Xm7qI0              HMAC-SHA-256 of all above, "---" included

Base64 here is unpadded and canonical. A header has exactly one byte form, so parsing and writing are inverse.
"""

import base64
import binascii
import hmac
import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import BinaryIO

from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.kdf.hkdf import HKDF

from exchange import errors

VERSION = b"age-encryption.org/v1\n"
FILE_KEY_SIZE = 16  # bytes
MAX_HEADER = 64 * 1024  # bytes: 41 hybrid recipients, or 64 of X25519
MAX_STANZAS = 64
MAC_SIZE = 32  # bytes
COLUMNS = 64
_WORD = re.compile(r"[!-~]+")


def encode_base64(data: bytes) -> str:
    """Standard base64 of `data` without padding."""
    return base64.b64encode(data).rstrip(b"=").decode()


def decode_base64(text: str) -> bytes:
    """The bytes of unpadded, canonical standard base64.

    Raises:
        SealError: a foreign character, padding, an impossible length, or unused bits that are not zero.

    Reference: C2SP age v1, "Conventions used in this document"; docs/protocol.md P10.
    """
    try:
        data = base64.b64decode(text + "=" * (-len(text) % 4), validate=True)
    except (binascii.Error, ValueError) as error:
        raise errors.SealError(f"{text[:80]!r} is not base64: {error}") from None
    if encode_base64(data) != text:
        raise errors.SealError(f"{text[:80]!r} is not canonical base64 without padding")
    return data


def derive(secret: bytes, *, salt: bytes, info: bytes) -> bytes:
    """32 bytes of HKDF-SHA-256 (RFC 5869)."""
    return HKDF(hashes.SHA256(), 32, salt, info).derive(secret)


@dataclass(frozen=True, slots=True, kw_only=True)
class Stanza:
    """One entry of a header.

    Attributes:
        args: type and arguments, each of printable ASCII without spaces.
        body: any bytes, often a wrapped file key.

    Raises:
        SealError: no args, or one that is empty or holds a space, a control or a non-ASCII character.
    """

    args: tuple[str, ...]
    body: bytes

    def __post_init__(self) -> None:
        if not self.args or not all(map(_WORD.fullmatch, self.args)):
            shown = " ".join(self.args)[:80]
            raise errors.SealError(f"stanza arguments {shown!r} are not printable ASCII words, one space between them")


@dataclass(frozen=True, slots=True, kw_only=True)
class Header:
    """A parsed header, whose MAC nobody has verified yet.

    Attributes:
        stanzas: in the order of the file, 1 to MAX_STANZAS.
        covered: the bytes that the MAC covers.
        mac: 32 bytes.
    """

    stanzas: tuple[Stanza, ...]
    covered: bytes
    mac: bytes

    def verify(self, file_key: bytes) -> None:
        """Check the MAC.

        Raises:
            SealError: somebody who does not know the file key changed the header.

        Reference: C2SP age v1, "Header MAC"; docs/protocol.md P10.
        """
        if not hmac.compare_digest(_mac(file_key, self.covered), self.mac):
            raise errors.SealError("header MAC does not match: the header was changed after sealing")


def encode(file_key: bytes, stanzas: Sequence[Stanza]) -> bytes:
    """The bytes of a header, MAC included.

    Raises:
        SealError: more than MAX_STANZAS stanzas, or more than MAX_HEADER bytes: nobody here would read it.

    Reference: C2SP age v1, "Header".
    """
    if not 1 <= len(stanzas) <= MAX_STANZAS:
        raise errors.SealError(f"{len(stanzas)} stanzas, expected 1 to {MAX_STANZAS}")
    covered = VERSION + b"".join(_encode_stanza(stanza) for stanza in stanzas) + b"---"
    data = covered + b" " + encode_base64(_mac(file_key, covered)).encode() + b"\n"
    if len(data) > MAX_HEADER:
        raise errors.SealError(f"header of {len(data)} bytes, expected at most {MAX_HEADER}: take fewer recipients")
    return data


def parse(source: BinaryIO) -> Header:
    """The header at the start of `source`, which is left at the first byte after it.

    Args:
        source: binary, with `readline`; at most MAX_HEADER bytes and one line are read.

    Raises:
        SealError: not the one byte form of an age v1 header, or over MAX_HEADER or MAX_STANZAS.

    Reference: C2SP age v1, "Header"; docs/protocol.md P10.
    """
    lines = _Lines(source)
    if lines.take() != VERSION[:-1].decode():
        raise errors.SealError("not an age v1 file: the first line is not 'age-encryption.org/v1'")
    stanzas: list[Stanza] = []
    line = lines.take()
    while not line.startswith("---"):
        if len(stanzas) == MAX_STANZAS:
            raise errors.SealError(f"more than {MAX_STANZAS} stanzas")
        if not line.startswith("-> "):
            raise errors.SealError(f"header line {line[:80]!r}, expected '-> ' or '--- '")
        stanzas.append(Stanza(args=tuple(line[3:].split(" ")), body=_parse_body(lines)))
        line = lines.take()
    if not stanzas or not line.startswith("--- "):
        raise errors.SealError(
            f"header ends {line[:80]!r} after {len(stanzas)} stanzas, expected one or more, then '--- ' and a MAC"
        )
    mac = decode_base64(line[4:])
    if len(mac) != MAC_SIZE:
        raise errors.SealError(f"header MAC of {len(mac)} bytes, expected {MAC_SIZE}")
    covered = lines.read[: -len(line) - 1] + b"---"
    return Header(stanzas=tuple(stanzas), covered=bytes(covered), mac=mac)


class _Lines:
    """The lines of a header, counted against MAX_HEADER and kept for the MAC."""

    def __init__(self, source: BinaryIO) -> None:
        self.source = source
        self.read = bytearray()

    def take(self) -> str:
        allowed = MAX_HEADER - len(self.read)
        line = self.source.readline(allowed)
        self.read += line
        if not line.endswith(b"\n"):
            reason = f"is longer than {MAX_HEADER} bytes" if len(line) == allowed else "is truncated"
            raise errors.SealError(f"header {reason}")
        try:
            return line[:-1].decode("ascii")
        except UnicodeDecodeError:
            raise errors.SealError(f"header line {line[:80]!r} is not ASCII") from None


def _parse_body(lines: _Lines) -> bytes:
    text = ""
    while True:
        line = lines.take()
        if len(line) > COLUMNS:
            raise errors.SealError(f"stanza body line of {len(line)} characters, expected at most {COLUMNS}")
        text += line
        if len(line) < COLUMNS:
            return decode_base64(text)


def _encode_stanza(stanza: Stanza) -> bytes:
    text = encode_base64(stanza.body)
    # A body always ends with a line shorter than 64 columns, if need be an empty one: range() goes one past the end.
    lines = [text[start : start + COLUMNS] for start in range(0, len(text) + 1, COLUMNS)]
    return "\n".join(["-> " + " ".join(stanza.args), *lines, ""]).encode()


def _mac(file_key: bytes, covered: bytes) -> bytes:
    return hmac.digest(derive(file_key, salt=b"", info=b"header"), covered, "sha256")

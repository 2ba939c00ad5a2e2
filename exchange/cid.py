"""Content identifiers: the name of a block is the hash of its bytes.

    "b" + base32( 0x01 | codec | 0x12 0x20 | 32 bytes of sha2-256 )       59 characters, lower case, no padding
    codec 0x55 raw (file bytes: bafkrei...)   0x70 dag-pb (a node of a file: bafybei...)

Every other version, base, codec, hash or spelling is refused, so one block has one name.

Reference: multiformats CID specification, version 1; RFC 4648 section 6.
"""

import base64
import functools
import hashlib
import re
from dataclasses import dataclass
from typing import Self

from exchange import errors

RAW = 0x55
DAG_PB = 0x70
BINARY_SIZE = 36  # bytes
_TEXT = re.compile(r"b[a-z2-7]{58}")
_MULTIHASH = b"\x12\x20"  # sha2-256 of 32 bytes


@dataclass(frozen=True, slots=True, kw_only=True)
class Cid:
    """The name of one block.

    Attributes:
        codec: RAW or DAG_PB.
        digest: the sha2-256 of the block, 32 bytes.
    """

    codec: int
    digest: bytes

    @classmethod
    def of_block(cls, codec: int, block: bytes | memoryview) -> Self:
        """The name of `block`."""
        return cls(codec=codec, digest=hashlib.sha256(block).digest())

    @classmethod
    def parse(cls, text: str) -> Self:
        """The CID that `text` spells.

        Raises:
            CidError: not CIDv1 in lower-case base32, of raw or dag-pb, with a sha2-256 of 32 bytes.

        Reference: CID specification; docs/protocol.md P11.
        """
        return cls.from_bytes(_read(text))

    @classmethod
    def from_bytes(cls, data: bytes) -> Self:
        """The CID in its 36-byte form; raises CidError as `parse` does."""
        codec = data[1] if len(data) == BINARY_SIZE else None
        if codec not in {RAW, DAG_PB} or data[:1] != b"\x01" or data[2:4] != _MULTIHASH:
            raise errors.CidError(f"{data[:40].hex()} is not a CID of version 1, raw or dag-pb, sha2-256 of 32 bytes")
        return cls(codec=codec, digest=data[4:])

    def __bytes__(self) -> bytes:
        return bytes([1, self.codec]) + _MULTIHASH + self.digest

    def __str__(self) -> str:
        return _spelled(bytes(self))


# A block's name is read and written several times on its way: when it is made, stored, pinned, offered and collected.
@functools.lru_cache(maxsize=4096)
def _spelled(data: bytes) -> str:
    return "b" + base64.b32encode(data).decode().rstrip("=").lower()


@functools.lru_cache(maxsize=4096)
def _read(text: str) -> bytes:
    """The bytes that `text` spells and no other text does; raises CidError where there are none."""
    if not _TEXT.fullmatch(text):
        raise errors.CidError(f"{text[:80]!r} is not a CID: expected 'b' and 58 characters of a-z or 2-7")
    data = base64.b32decode(text[1:].upper() + "======")
    if _spelled(data) != text:
        raise errors.CidError(f"{text!r} is not a CID: its last character has unused bits that are not zero")
    return data

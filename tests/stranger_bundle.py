"""A reader of bundles, written from docs/protocol.md P28 alone: nothing of folkmoot is imported.

It covers what the example needs: files of one block, a log of one bundle of entries and one tile of hashes.
"""

import base64
import hashlib
import json


def unpack(data: bytes) -> tuple[list[bytes], list[str], dict[str, bytes]]:
    """(leaves, notes, files of the run by CID) of a bundle; AssertionError at the first thing that is not as P28 says."""
    size, at = varint(data, 0)
    head, at = data[at : at + size], at + size
    assert head[:13] + head[49:] == b"\xa2\x65roots\x81\xd8\x2a\x58\x25\x00\x67version\x01"
    held: dict[str, bytes] = {}
    last = b""
    while at < len(data):
        size, start = varint(data, at)
        name, block, at = data[start : start + 36], data[start + 36 : start + size], start + size
        assert len(block) == size - 36
        assert last < name
        assert name == b"\x01\x55\x12\x20" + hashlib.sha256(block).digest()
        held[spelled(name)], last = block, name
    index = held.pop(spelled(head[13:49]))
    said = json.loads(index)
    assert json.dumps(said, ensure_ascii=False, sort_keys=True, separators=(",", ":")).encode() == index
    assert said.keys() == {"checkpoint", "format", "notes", "tiles"}
    assert said["format"] == "folkmoot-bundle/v1"
    notes = [*said["notes"], said["checkpoint"]]
    sizes = [int(note.split("\n")[1]) for note in notes]
    assert sizes == sorted(set(sizes))
    entries, hashes = (held.pop(name) for name in said["tiles"])
    leaves = []
    while entries:
        size = int.from_bytes(entries[:2])
        leaves.append(entries[2 : 2 + size])
        entries = entries[2 + size :]
    assert sizes[-1] == len(leaves) < 256
    assert hashes == b"".join(hashlib.sha256(b"\0" + leaf).digest() for leaf in leaves)
    return leaves, notes, held


def varint(data: bytes, at: int) -> tuple[int, int]:
    """A length in the fewest bytes, and where it ends."""
    value = shift = 0
    while True:
        byte = data[at]
        value, shift, at = value | (byte & 0x7F) << shift, shift + 7, at + 1
        if byte < 0x80:
            assert byte or shift == 7
            return value, at


def spelled(name: bytes) -> str:
    """A CID as text."""
    return "b" + base64.b32encode(name).decode().rstrip("=").lower()

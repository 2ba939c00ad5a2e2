"""CARs that tests of writing and of reading begin with."""

import io

from exchange import car, cid, nodes, unixfs

MIB = 1 << 20
SMALL = b"a small file"
LARGE = bytes(range(251)) * 12_000  # 2.9 MiB: three leaves and a node
LIMIT = 100 * MIB
HELLO = cid.Cid.of_block(cid.RAW, b"hello")
# {"roots": [HELLO], "version": 1}, as any dag-cbor encoder writes it, then one section.
ROOT = bytes.fromhex("d82a582500") + bytes(HELLO)
HEADER = bytes.fromhex("a265726f6f747381") + ROOT + bytes.fromhex("6776657273696f6e01")
VECTOR = bytes([len(HEADER)]) + HEADER + bytes([41]) + bytes(HELLO) + b"hello"


def framed(*parts: bytes) -> bytes:
    """Each part behind its length."""
    return b"".join(nodes.varint(len(part)) + part for part in parts)


def section(block: bytes, codec: int = cid.RAW) -> bytes:
    return bytes(cid.Cid.of_block(codec, block)) + block


def pack(roots: list[cid.Cid], content: list[tuple[cid.Cid, bytes]]) -> io.BytesIO:
    return io.BytesIO(b"".join(car.encode(roots, content)))


def tree(data: bytes) -> tuple[cid.Cid, list[tuple[cid.Cid, bytes]]]:
    """The root of a file, and its blocks, parents first."""
    found: list[tuple[cid.Cid, bytes]] = []
    root = unixfs.build(io.BytesIO(data), lambda name, block: found.append((name, bytes(block))))
    return root.cid, found[::-1]

"""Bundles taken apart by hand, for who alters them: what each byte is, and how an adversary would pack them again."""

import base64
import hashlib
import json
import random
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

from exchange import car, cid
from ledger import checkpoint, note, statements, tiles
from orchestrator import replay, subject

KINDS = ("header", "length", "name", "index", "entries", "hashes", "identity", "ciphertext", "aggregate", "checkpoint")


@dataclass(frozen=True, kw_only=True)
class Part:
    """So many bytes of a file from `start` to before `stop`, all of one kind; `block` is the one that they are in."""

    kind: str
    start: int
    stop: int
    block: cid.Cid | None = None


def audit(path: Path) -> replay.findings.Report:
    """What an audit of the bundle finds."""
    return replay.Replay(subject.Bundled(path=path, told=lambda _: None), lambda *_: None).audit()


def varint(data: bytes, start: int) -> tuple[int, int]:
    """A length, and where it ends."""
    value, shift = 0, 0
    while True:
        value |= (data[start] & 0x7F) << shift
        shift, start = shift + 7, start + 1
        if data[start - 1] < 0x80:
            return value, start


def framed(data: bytes) -> Iterator[Part]:
    """Header, lengths, names and blocks of a CAR file."""
    size, at = varint(data, 0)
    yield Part(kind="header", start=0, stop=at + size)
    at += size
    while at < len(data):
        size, name = varint(data, at)
        block = cid.Cid.from_bytes(data[name : name + 36])
        yield Part(kind="length", start=at, stop=name)
        yield Part(kind="name", start=name, stop=name + 36)
        yield Part(kind="block", start=name + 36, stop=name + size, block=block)
        at = name + size


def blocks(data: bytes) -> dict[cid.Cid, bytes]:
    """Name -> block of a CAR file, in its order."""
    return {each.block: data[each.start : each.stop] for each in framed(data) if each.block is not None}


def root(data: bytes) -> cid.Cid:
    """The one name in the header."""
    return cid.Cid.from_bytes(data[14:50])


def index(data: bytes) -> dict[str, object]:
    """The index of a bundle, if it is one block."""
    return json.loads(blocks(data)[root(data)])


def leaves(data: bytes) -> list[bytes]:
    """The log of a bundle, if each of its files is one block."""
    found, held = index(data), blocks(data)
    size = checkpoint.LogCheckpoint.parse(note.split(found["checkpoint"].encode())[0]).size
    bundles = [tile for tile in tiles.files(size) if tile.level is None]
    named = [held[cid.Cid.parse(name)] for name in found["tiles"][: len(bundles)]]
    return [each for tile, file in zip(bundles, named, strict=True) for each in tiles.unbundle(file, tile.width)]


def payloads(data: bytes) -> list[bytes]:
    """What each entry states."""
    return [base64.b64decode(json.loads(each)["dsse"]["payload"]) for each in leaves(data)]


def parts(data: bytes) -> list[Part]:
    """What each byte of a bundle is; an identity is in a bundle of entries, so its bytes are of two kinds."""
    said, held = [statements.parse(each) for each in payloads(data)], index(data)
    bundles = -(-len(said) // tiles.WIDTH)
    kinds = {name: "entries" if at < bundles else "hashes" for at, name in enumerate(held["tiles"])}
    kinds[str(root(data))] = "index"
    for each in said:
        if isinstance(each, statements.UpdateOffer):
            kinds[each.ciphertext] = "ciphertext"
        if isinstance(each, statements.RoundCommit):
            kinds |= {each.aggregate: "aggregate", each.checkpoint: "checkpoint"}
        if isinstance(each, statements.Genesis):
            kinds[each.checkpoint] = "checkpoint"
    found = []
    for part in framed(data):
        kind = part.kind if part.block is None else kinds.get(str(part.block), "other")
        found.append(Part(kind=kind, start=part.start, stop=part.stop, block=part.block))
    for each in payloads(data):
        if isinstance(statements.parse(each), statements.RoundDisclose):
            start = data.index(base64.b64encode(each))
            [home] = [part for part in found if part.kind == "entries" and part.start <= start < part.stop]
            stop = start + len(base64.b64encode(each))
            found.append(Part(kind="identity", start=start, stop=stop, block=home.block))
    return found


def positions(data: bytes, count: int, seed: int) -> list[tuple[str, int]]:
    """So many (kind, position), each kind in turn; within a kind each byte is as likely as any other."""
    draw, found = random.Random(seed), parts(data)
    chosen = []
    for number in range(count):
        kind = KINDS[number % len(KINDS)]
        own = [part for part in found if part.kind == kind]
        [part] = draw.choices(own, weights=[part.stop - part.start for part in own])
        chosen.append((kind, draw.randrange(part.start, part.stop)))
    return chosen


def pack(held: Mapping[cid.Cid, bytes], top: cid.Cid) -> bytes:
    """The bundle of these blocks, in their order."""
    return b"".join(car.encode([top], sorted(held.items(), key=lambda each: bytes(each[0]))))


def named(codec: int, block: bytes) -> cid.Cid:
    """The right name of a block."""
    return cid.Cid(codec=codec, digest=hashlib.sha256(block).digest())


def altered(data: bytes, position: int, change: int) -> bytes:
    """The bundle with one byte of a block altered, and all packed again: its name, the index that names it, and the root."""
    [part] = [each for each in framed(data) if each.block is not None and each.start <= position < each.stop]
    held, top = blocks(data), root(data)
    block = bytearray(held.pop(part.block))
    block[position - part.start] ^= change
    name = named(part.block.codec, bytes(block))
    held[name] = bytes(block)
    if part.block == top:
        return pack(held, name)
    file = held.pop(top).replace(str(part.block).encode(), str(name).encode())
    top = named(cid.RAW, file)
    return pack(held | {top: file}, top)


def reindexed(data: bytes, **changes: object) -> bytes:
    """The bundle with another index."""
    held = blocks(data)
    file = json.dumps(index(data) | changes, ensure_ascii=False, separators=(",", ":"), sort_keys=True).encode()
    del held[root(data)]
    top = named(cid.RAW, file)
    return pack(held | {top: file}, top)

"""What every store promises, whoever holds the bytes: each test runs through each store of tests/exchange/stores.py."""

import io
import tracemalloc
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import BinaryIO, cast

import pytest

from exchange import cid, errors, nodes, unixfs
from tests.exchange import stores

MIB = 1 << 20
SMALL = b"a small file"
LARGE = bytes(range(251)) * 12_000  # 2.9 MiB: three leaves and a node
SIZES = {"empty": b"", "small": SMALL, "one leaf": bytes(MIB), "a byte more": bytes(MIB + 1), "large": LARGE}


@pytest.fixture(params=stores.STORES)
def bench(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[stores.Bench]:
    needed = [request.getfixturevalue(name) for name in stores.NEEDS.get(request.param, ())]
    with stores.STORES[request.param](tmp_path / "store", *needed) as opened:
        yield opened


def possible(what: Callable[..., object] | None) -> Callable[..., object]:
    if what is None:
        pytest.skip("this store's bytes cannot be tampered with like that")
    return what


def writable(bench: stores.Bench) -> None:
    if not bench.writable:
        pytest.skip("this store is read-only")


def leaves(data: bytes) -> list[cid.Cid]:
    return [cid.Cid.of_block(cid.RAW, data[start : start + MIB]) for start in range(0, len(data), MIB)]


class Trickle(io.RawIOBase):
    """A file that gives 70,001 bytes at a time, as a pipe may."""

    def __init__(self, data: bytes) -> None:
        self.rest = memoryview(data)

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: memoryview) -> int:
        part = self.rest[: min(len(buffer), 70_001)]
        buffer[: len(part)] = part
        self.rest = self.rest[len(part) :]
        return len(part)


@pytest.mark.parametrize("data", SIZES.values(), ids=SIZES)
def test_a_file_comes_back_by_its_name(bench: stores.Bench, data: bytes) -> None:
    """A file is got by its CID, value or text, whole or as a stream, and its CID is that of the profile."""
    name = bench.seed(data)
    assert name == unixfs.of(data)
    assert bench.store.has(name)
    for spelled in (name, str(name)):
        assert bench.store.get(spelled, limit=len(data)) == data
        sink = io.BytesIO()
        assert bench.store.get_file(spelled, sink, limit=len(data)) == len(data)
        assert sink.getvalue() == data


@pytest.mark.parametrize("data", SIZES.values(), ids=SIZES)
def test_a_stream_gets_the_name_of_its_bytes(bench: stores.Bench, data: bytes) -> None:
    """A stream is stored from its position on, also one that comes in pieces of odd sizes, under the same name."""
    writable(bench)
    source = io.BytesIO(b"before" + data)
    source.seek(6)
    assert bench.store.put_file(source) == unixfs.of(data)
    assert bench.store.put_file(Trickle(data)) == bench.store.put(data) == unixfs.of(data)
    assert bench.store.get(unixfs.of(data), limit=len(data)) == data


def test_blocks_come_one_by_one(bench: stores.Bench) -> None:
    """Each block of a file is had by its own name, hashed; a block is bounded by the limit too."""
    name = bench.seed(LARGE)
    root = bench.store.block(name)
    assert cid.Cid.of_block(cid.DAG_PB, root) == name
    assert b"".join(bench.store.block(link.cid) for link in nodes.links(root)) == LARGE
    with pytest.raises(errors.TooLargeError):
        bench.store.block(name, limit=len(root) - 1)
    with pytest.raises(errors.TooLargeError):
        bench.store.block(str(leaves(LARGE)[0]), limit=MIB - 1)


def test_what_is_not_here_is_missing(bench: stores.Bench) -> None:
    """A file that nobody put is missing, for every way to ask."""
    name = unixfs.of(b"nobody has this")
    assert not bench.store.has(name)
    uses: list[Callable[[], object]] = [
        lambda: bench.store.get(name, limit=100),
        lambda: bench.store.get_file(name, io.BytesIO(), limit=100),
        lambda: bench.store.block(name),
    ]
    for use in uses:
        with pytest.raises(errors.BlockMissingError, match=str(name)):
            use()


@pytest.mark.parametrize("data", [SMALL, LARGE], ids=["leaf", "tree"])
def test_a_file_over_the_limit_is_refused(bench: stores.Bench, data: bytes) -> None:
    """12, 32: one byte over what the caller allows is refused, and a stream stays empty."""
    name, sink = bench.seed(data), io.BytesIO()
    for limit in (len(data) - 1, 0):
        with pytest.raises(errors.TooLargeError):
            bench.store.get(name, limit=limit)
        with pytest.raises(errors.TooLargeError):
            bench.store.get_file(name, sink, limit=limit)
    assert sink.getvalue() == b""


@pytest.mark.parametrize("position", [0, 1, 2])
def test_other_bytes_under_a_name_are_refused(bench: stores.Bench, position: int) -> None:
    """30: with one bit of one leaf flipped, nothing is got, and a stream gets the true beginning and no more."""
    name, sink = bench.seed(LARGE), io.BytesIO()
    target = leaves(LARGE)[position]
    block = LARGE[position * MIB : (position + 1) * MIB]
    possible(bench.damage)(target, block[:-1] + bytes([block[-1] ^ 1]))
    for use in (
        lambda: bench.store.get(name, limit=len(LARGE)),
        lambda: bench.store.get_file(name, sink, limit=len(LARGE)),
        lambda: bench.store.block(target),
    ):
        with pytest.raises((errors.BlockCorruptError, errors.PeerError)):
            use()
    assert sink.getvalue() == LARGE[: position * MIB]


def test_a_block_that_is_gone_is_missing(bench: stores.Bench) -> None:
    """34: of a file whose last leaf was lost after it was stored, the error names that leaf; other files are unaffected."""
    kept, name, sink = bench.seed(SMALL), bench.seed(LARGE), io.BytesIO()
    possible(bench.lose)(leaves(LARGE)[2])
    with pytest.raises(errors.BlockMissingError, match=str(leaves(LARGE)[2])):
        bench.store.get(name, limit=len(LARGE))
    with pytest.raises(errors.BlockMissingError, match=str(leaves(LARGE)[2])):
        bench.store.get_file(name, sink, limit=len(LARGE))
    assert sink.getvalue() == LARGE[: 2 * MIB]
    assert bench.store.get(kept, limit=100) == SMALL


def test_a_root_of_ten_gigabytes_is_refused(bench: stores.Bench) -> None:
    """32: a valid CID of 10 GiB is refused by the size that its root names; if so much is allowed, its blocks are missing."""
    below = nodes.Link(cid=cid.Cid(codec=cid.DAG_PB, digest=bytes(32)), size=1 << 30, total=1 << 31)
    name = possible(bench.plant)(cid.DAG_PB, nodes.encode([below] * 10))
    assert isinstance(name, cid.Cid)
    with pytest.raises(errors.TooLargeError, match="10737418240"):
        bench.store.get(name, limit=1 << 30)
    with pytest.raises(errors.BlockMissingError):
        bench.store.get_file(name, io.BytesIO(), limit=1 << 40)


@pytest.mark.parametrize("size", [6, 8])
def test_a_root_whose_sizes_lie_is_refused(bench: stores.Bench, size: int) -> None:
    """12: a root that names less or more bytes than a leaf has is refused, although every hash is right."""
    plant = possible(bench.plant)
    first, last = plant(cid.RAW, bytes(MIB)), plant(cid.RAW, b"seven..")
    assert isinstance(first, cid.Cid)
    assert isinstance(last, cid.Cid)
    name = plant(
        cid.DAG_PB,
        nodes.encode([nodes.Link(cid=first, size=MIB, total=MIB), nodes.Link(cid=last, size=size, total=size)]),
    )
    assert isinstance(name, cid.Cid)
    for use in (
        lambda: bench.store.get(name, limit=2 * MIB),
        lambda: bench.store.get_file(name, io.BytesIO(), limit=2 * MIB),
    ):
        with pytest.raises(errors.BlockCorruptError, match=str(last)):
            use()


@pytest.mark.parametrize("text", ["../../../etc/passwd", "", "tmp", "QmbFMke1KXqnYyBBWxB74N4c5SBnJMVAiMNRcGu6x1AwQH"])
def test_a_text_that_is_no_name_is_refused(bench: stores.Bench, text: str) -> None:
    """33: a path, nothing, a folder's name and a CID of version 0 are refused before anybody is asked for them."""
    uses: list[Callable[[], object]] = [
        lambda: bench.store.get(text, limit=10),
        lambda: bench.store.get_file(text, io.BytesIO(), limit=10),
        lambda: bench.store.block(text),
        lambda: bench.store.has(text),
        lambda: bench.store.pin(text) if bench.writable else bench.store.block(text),
        lambda: bench.store.unpin(text) if bench.writable else bench.store.block(text),
    ]
    for use in uses:
        with pytest.raises(errors.CidError):
            use()


def test_pins_are_listed_once(bench: stores.Bench) -> None:
    """A file is pinned or not, however often it was asked for, and a pin can be taken back, also one that is not there."""
    writable(bench)
    first, second = bench.seed(SMALL), bench.seed(LARGE)
    before = set(bench.store.pins())
    for name in (first, str(first), second):
        bench.store.pin(name)
    assert sorted(map(str, bench.store.pins())) == sorted({*map(str, before), str(first), str(second)})
    bench.store.unpin(first)
    bench.store.unpin(str(first))
    assert first not in set(bench.store.pins())
    assert second in set(bench.store.pins())


def test_only_a_whole_file_is_pinned(bench: stores.Bench) -> None:
    """34: a file that is not here, or not all of it, cannot be pinned, so a pin is never a promise about nothing."""
    writable(bench)
    absent = unixfs.of(b"nobody has this either")
    with pytest.raises((errors.BlockMissingError, errors.PeerError)):
        bench.store.pin(absent)
    assert absent not in set(bench.store.pins())
    name = bench.seed(LARGE)
    bench.store.unpin(name)
    possible(bench.lose)(leaves(LARGE)[1])
    with pytest.raises(errors.BlockMissingError, match=str(leaves(LARGE)[1])):
        bench.store.pin(name)
    assert name not in set(bench.store.pins())


def test_a_read_only_store_says_so(bench: stores.Bench) -> None:
    """A store that takes nothing refuses with one error for every way to write."""
    if bench.writable:
        pytest.skip("this store can be written to")
    name = bench.seed(SMALL)
    for use in (
        lambda: bench.store.put(SMALL),
        lambda: bench.store.put_file(io.BytesIO(SMALL)),
        lambda: bench.store.pin(name),
        lambda: bench.store.unpin(name),
        lambda: list(bench.store.pins()),
    ):
        with pytest.raises(errors.ReadOnlyError):
            use()


class Endless(io.RawIOBase):
    """A file of `size` bytes that exists only as it is read, no two leaves of it alike."""

    def __init__(self, size: int) -> None:
        self.left = size

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: memoryview) -> int:
        size = min(len(buffer), self.left)
        self.left -= size
        buffer[:size] = self.left.to_bytes(8, "big").ljust(size, b"\0")[:size]
        return size


class Counting(io.RawIOBase):
    """A file that keeps nothing."""

    def __init__(self) -> None:
        self.size = 0

    def writable(self) -> bool:
        return True

    def write(self, data: bytes) -> int:
        self.size += len(data)
        return len(data)


def test_streams_take_constant_memory(bench: stores.Bench) -> None:
    """A file of 64 MiB goes in and out as a stream through less than 8 MiB of memory."""
    writable(bench)
    sink, source = Counting(), Endless(64 * MIB)
    tracemalloc.start()
    try:
        name = bench.store.put_file(cast("BinaryIO", source))
        assert bench.store.get_file(name, cast("BinaryIO", sink), limit=64 * MIB) == sink.size == 64 * MIB
        assert tracemalloc.get_traced_memory()[1] < 8 * MIB
    finally:
        tracemalloc.stop()

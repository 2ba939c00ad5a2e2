"""CAR files: one byte form, written and read in constant memory and within bounds."""

import io
import tracemalloc
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from exchange import assembly, blocks, car, cargo, cid, errors, nodes
from tests.exchange import cars, stores


@pytest.fixture
def store(tmp_path: Path) -> blocks.BlockStore:
    return blocks.BlockStore(tmp_path / "store", fsync="never")


def test_the_bytes_are_these() -> None:
    """A CAR file with one block, spelled out byte for byte, is what we write and what we read."""
    assert b"".join(car.encode([cars.HELLO], [(cars.HELLO, b"hello")])) == cars.VECTOR
    assert car.roots(io.BytesIO(cars.VECTOR)) == (cars.HELLO,)
    assert list(car.sections(io.BytesIO(cars.VECTOR))) == [(cars.HELLO, b"hello")]


@pytest.mark.parametrize("count", [0, 1, 23, 24, 255, 256, 1500])
def test_headers_of_any_length_are_read_back(count: int) -> None:
    """The number of roots is written in one, two or three bytes, as dag-cbor demands."""
    roots = [cid.Cid.of_block(cid.RAW, number.to_bytes(4, "big")) for number in range(count)]
    assert car.roots(io.BytesIO(b"".join(car.encode(roots, [])))) == tuple(roots)


@given(st.lists(st.tuples(st.sampled_from([cid.RAW, cid.DAG_PB]), st.binary(max_size=300)), max_size=8))
def test_sections_inverts_encode(content: list[tuple[int, bytes]]) -> None:
    """Any blocks survive, empty ones too, in their order."""
    named = [(cid.Cid.of_block(codec, block), block) for codec, block in content]
    assert list(car.sections(cars.pack([cars.HELLO], named))) == named


@pytest.mark.parametrize("data", [b"", cars.SMALL, cars.LARGE], ids=["empty", "leaf", "tree"])
def test_a_plain_file_needs_no_store(store: blocks.BlockStore, data: bytes) -> None:
    """Read twice, a file becomes the same CAR file that a store would write, with no block kept but its nodes."""
    source, sink = io.BytesIO(b"before" + data), io.BytesIO()
    source.seek(6)
    root, pieces = car.of_file(source)
    name = store.put(data)
    assert (root.cid, root.size) == (name, len(data))
    car.write([name], store.block, sink)
    assert b"".join(pieces) == sink.getvalue()


def test_a_file_that_changes_while_it_is_read_is_noticed() -> None:
    """Between the two readings a byte is changed: the second ends in an error, not in a CAR file that lies."""
    source = io.BytesIO(cars.LARGE)
    _, pieces = car.of_file(source)
    source.getbuffer()[2 * cars.MIB] ^= 1
    with pytest.raises(errors.BlockCorruptError):
        list(pieces)


@pytest.mark.parametrize(
    "head",
    [
        b"",
        cars.HEADER + b"\0",
        cars.HEADER[:-1] + b"\2",
        cars.HEADER[:-1] + b"\x18\x01",
        cars.HEADER.replace(b"\x65roots\x81" + cars.ROOT, b"") + b"\x65roots\x81" + cars.ROOT,
        b"\xbf" + cars.HEADER[1:] + b"\xff",
        b"\xa3" + cars.HEADER[1:] + b"\x61x\x01",
        b"\xa1" + b"\x67version\x01",
        cars.HEADER.replace(b"\x81" + cars.ROOT, b"\x98\x01" + cars.ROOT),
        cars.HEADER.replace(b"\x81" + cars.ROOT, b"\x9a\xff\xff\xff\xff" + cars.ROOT),
        cars.HEADER.replace(b"\x81" + cars.ROOT, b"\x99\xff\xff" + cars.ROOT),
        cars.HEADER.replace(b"\x81" + cars.ROOT, b"\x9f" + cars.ROOT + b"\xff"),
        cars.HEADER.replace(b"\xd8\x2a", b"\xd8\x2b"),
        cars.HEADER.replace(b"\x58\x25\0", b"\x58\x25\1"),
        cars.HEADER.replace(bytes(cars.HELLO), b"\x01\x71\x12\x20" + bytes(32)),
        cars.HEADER.replace(bytes(cars.HELLO), b"\x01\x55\x00\x20" + bytes(32)),
    ],
)
def test_other_headers_are_refused(head: bytes) -> None:
    """33: other versions, key orders, lengths, tags, codecs and hashes in the header are refused."""
    with pytest.raises(errors.CarError):
        car.roots(io.BytesIO(cars.framed(head)))


@pytest.mark.parametrize(
    "body",
    [
        bytes.fromhex("01711220") + bytes(32) + b"x",  # dag-cbor
        bytes.fromhex("01550020") + bytes(32) + b"x",  # identity
        bytes.fromhex("01551114") + bytes(20) + b"x" * 13,  # sha1
        bytes.fromhex("1220") + bytes(32) + b"xxx",  # a CID of version 0
        bytes.fromhex("01551220") + bytes(31),  # shorter than a CID
        b"",
    ],
)
def test_foreign_names_are_refused(body: bytes) -> None:
    """33: a section under another codec, hash or version of CID is refused, and so is one too short for a name."""
    with pytest.raises(errors.CarError):
        list(car.sections(io.BytesIO(cars.framed(cars.HEADER, cars.section(b"hello"), body))))


@pytest.mark.parametrize(
    "length",
    [
        nodes.varint(36 + cars.MIB + 1),
        nodes.varint(1 << 62),
        b"\xff" * 9 + b"\x01",
        b"\xff" * 100,
        b"\xa9\x00",
        b"\xa9\x80\x00",
    ],
)
def test_lengths_are_bounded_and_have_one_form(length: bytes) -> None:
    """32, 36: a length over any block's, or in more bytes than it needs, is refused before a byte is read for it."""
    rest = io.BytesIO(cars.framed(cars.HEADER) + length + cars.section(b"hello") + bytes(2 * cars.MIB))
    with pytest.raises(errors.CarError, match="CAR length"):
        list(car.sections(rest))
    assert rest.tell() <= 1 + len(cars.HEADER) + 10


@pytest.mark.parametrize("size", [0, 1, 35])
def test_a_section_without_room_for_a_name_is_refused(size: int) -> None:
    """36: a section that says it is shorter than the name it begins with is refused, whatever follows it."""
    with pytest.raises(errors.CarError, match=f"CAR section of {size} bytes, expected at least the 36"):
        list(
            car.sections(
                io.BytesIO(
                    cars.framed(cars.HEADER)
                    + bytes([size])
                    + cars.section(b"hello")
                    + cars.framed(cars.section(b"more"))
                )
            )
        )


def test_a_tree_whose_sizes_lie_is_not_written(store: blocks.BlockStore) -> None:
    """12: what a store holds under a root that names less or more bytes than a leaf has does not become a CAR file."""
    stores.plant(store.folder, cid.RAW, b"hello")
    leaf = stores.plant(store.folder, cid.RAW, bytes(cars.MIB))
    for size in (4, 6):
        links = [nodes.Link(cid=leaf, size=cars.MIB, total=cars.MIB), nodes.Link(cid=cars.HELLO, size=size, total=size)]
        name = stores.plant(store.folder, cid.DAG_PB, nodes.encode(links))
        with pytest.raises(errors.BlockCorruptError, match=f"has 5 bytes, its parent says {size}"):
            car.write([name], store.block, io.BytesIO())


def test_a_header_is_bounded() -> None:
    """36: a header that announces more than 64 KiB is refused before it is read."""
    with pytest.raises(errors.CarError, match="expected at most 65536"):
        car.roots(io.BytesIO(nodes.varint(65537) + bytes(65537)))


@given(st.binary(max_size=80), st.integers(0, len(cars.VECTOR)))
def test_garbage_is_refused_with_a_typed_error(garbage: bytes, start: int) -> None:
    """Random bytes after any beginning of a right CAR give our error and no other; what is read has the one byte form."""
    data = cars.VECTOR[:start] + garbage
    try:
        found = car.roots(io.BytesIO(data)), list(car.sections(io.BytesIO(data)))
    except errors.CarError:
        return
    assert b"".join(car.encode(*found)) == data


def test_streams_take_constant_memory(store: blocks.BlockStore, tmp_path: Path) -> None:
    """64 MiB are written and read as CAR through less than 8 MiB of memory."""
    data = tmp_path / "data"
    with data.open("wb") as file:
        for number in range(64):
            file.write(number.to_bytes(4, "big") * (cars.MIB // 4))
    other = blocks.BlockStore(tmp_path / "other", fsync="never")
    tracemalloc.start()
    try:
        with data.open("rb") as file:
            name = store.put_file(file)
        with (tmp_path / "car").open("w+b") as file:
            car.write([name], store.block, file)
            file.seek(0)
            assert cargo.read(file, other, limit=cars.LIMIT).blocks == 65
        with data.open("rb") as file:
            assert sum(len(piece) for piece in car.of_file(file)[1]) == (tmp_path / "car").stat().st_size
        assert tracemalloc.get_traced_memory()[1] < 8 * cars.MIB
    finally:
        tracemalloc.stop()


def test_a_tree_is_walked_with_a_bound(store: blocks.BlockStore) -> None:
    """32: a root of 10 GiB over a missing node ends at that node, with nothing but the root written."""
    below = nodes.Link(cid=cid.Cid(codec=cid.DAG_PB, digest=bytes(32)), size=1 << 30, total=1 << 31)
    name = stores.plant(store.folder, cid.DAG_PB, nodes.encode([below] * 10))
    walked: Iterator[tuple[cid.Cid, bytes]] = assembly.walk(name, store.block)
    assert next(walked)[0] == name
    with pytest.raises(errors.BlockMissingError):
        next(walked)

"""Files that come as CAR are taken into a store whole, or are not seen in it."""

import io
import os
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from exchange import blocks, car, cargo, cid, errors, nodes, unixfs
from tests.exchange import cars, stores

DATA = (bytes(cars.MIB), b"end", b"other end")


@pytest.fixture
def store(tmp_path: Path) -> blocks.BlockStore:
    return blocks.BlockStore(tmp_path / "store", fsync="never")


def names(store: blocks.BlockStore) -> set[str]:
    return {path.name for path in store.folder.glob("blocks/??/*")}


@pytest.mark.parametrize(
    "data", [b"", cars.SMALL, bytes(3 * cars.MIB), cars.LARGE], ids=["empty", "leaf", "same leaves", "tree"]
)
def test_a_file_goes_from_store_to_store(store: blocks.BlockStore, tmp_path: Path, data: bytes) -> None:
    """A file that is written as CAR from one store and read into another is the same file; no block is sent twice."""
    name, sink = store.put(data), io.BytesIO()
    assert car.write([name], store.block, sink) == len(sink.getvalue())
    sink.seek(0)
    other = blocks.BlockStore(tmp_path / "other")
    report = cargo.read(sink, other, limit=cars.LIMIT)
    assert (report.roots, report.duplicates, report.strays) == ((name,), 0, 0)
    assert names(other) == names(store)
    assert report.blocks == len(names(store))
    assert report.size == sum(len(store.block(text)) for text in names(store))
    assert other.get(name, limit=len(data)) == data


def test_several_files_share_their_blocks(store: blocks.BlockStore, tmp_path: Path) -> None:
    """Files with a leaf in common, and one file named twice, take each block once."""
    first, second, sink = store.put(cars.LARGE), store.put(cars.LARGE[: cars.MIB] + b"another end"), io.BytesIO()
    car.write([first, second, first], store.block, sink)
    sink.seek(0)
    assert [name for name, _ in car.sections(sink)].count(cid.Cid.of_block(cid.RAW, cars.LARGE[: cars.MIB])) == 1
    sink.seek(0)
    report = cargo.read(sink, blocks.BlockStore(tmp_path / "other"), limit=cars.LIMIT)
    assert (report.blocks, report.duplicates, report.strays) == (6, 0, 0)


@pytest.mark.parametrize("order", ["parents first", "children first", "twice"])
def test_blocks_may_come_in_any_order(store: blocks.BlockStore, order: str) -> None:
    """Depth first, as nodes send it, or the other way around; blocks that come again are counted and passed over."""
    name, content = cars.tree(cars.LARGE)
    mixed = {"parents first": content, "children first": content[::-1], "twice": content + content}[order]
    report = cargo.read(cars.pack([name], mixed), store, limit=cars.LIMIT)
    assert (report.blocks, report.duplicates) == (4, 4 if order == "twice" else 0)
    assert store.get(name, limit=len(cars.LARGE)) == cars.LARGE


def node(*children: nodes.Link) -> tuple[nodes.Link, bytes]:
    """A node over these children: how a parent links to it, and its bytes."""
    block = nodes.encode(children)
    name, size = cid.Cid.of_block(cid.DAG_PB, block), sum(child.size for child in children)
    return nodes.Link(cid=name, size=size, total=len(block) + sum(child.total for child in children)), block


def test_nodes_are_stored_children_first(store: blocks.BlockStore, monkeypatch: pytest.MonkeyPatch) -> None:
    """37: two files of two levels that share a node: each root gets its name after all that is below it has its own."""
    leaf, end, other = (nodes.Link(cid=unixfs.of(data), size=len(data), total=len(data)) for data in DATA)
    full, full_block = node(*[leaf] * 1024)
    (one, one_block), (two, two_block) = node(end), node(other)
    (first, first_block), (second, second_block) = node(full, one), node(full, two)
    packed = [(link.cid, data) for link, data in zip((leaf, end, other), DATA, strict=True)]
    inner = [(full.cid, full_block), (one.cid, one_block), (two.cid, two_block)]
    placed: list[str] = []
    replace = os.replace

    def note(source: Path, target: Path) -> None:
        replace(source, target)
        placed.append(Path(target).name)

    monkeypatch.setattr(os, "replace", note)
    roots = [(first.cid, first_block), (second.cid, second_block)]
    cargo.read(cars.pack([first.cid, second.cid], [*roots, *inner, *packed]), store, limit=cars.LIMIT)
    order = {name: position for position, name in enumerate(placed)}
    assert len(order) == 8
    for parent, children in (
        (first, (full, one)),
        (second, (full, two)),
        (full, (leaf,)),
        (one, (end,)),
        (two, (other,)),
    ):
        assert all(order[str(child.cid)] < order[str(parent.cid)] for child in children)


@pytest.mark.parametrize("missing", range(4))
def test_a_file_that_is_not_complete_is_not_seen(store: blocks.BlockStore, missing: int) -> None:
    """A CAR that ends well but lacks a block is refused with the block's name, and the store shows no root."""
    name, content = cars.tree(cars.LARGE)
    lost = content.pop(missing)[0]
    with pytest.raises(errors.BlockMissingError, match=str(lost)):
        cargo.read(cars.pack([name], content), store, limit=cars.LIMIT)
    assert not store.has(name)
    store.collect(grace=0)
    assert names(store) == set()


def test_all_files_of_a_car_or_none(store: blocks.BlockStore) -> None:
    """If one of two files lacks a leaf, neither is seen."""
    whole, first = cars.tree(cars.LARGE)
    partial, second = cars.tree(cars.LARGE[::-1])
    with pytest.raises(errors.BlockMissingError):
        cargo.read(cars.pack([whole, partial], first + second[:-1]), store, limit=cars.LIMIT)
    assert not store.has(whole)


def test_strays_are_counted_and_collected(store: blocks.BlockStore) -> None:
    """Blocks that belong to no file of the CAR are reported; stray nodes are not stored, stray leaves are collected."""
    name, content = cars.tree(cars.LARGE)
    node = nodes.encode([nodes.Link(cid=cars.HELLO, size=5, total=5)])
    strays = [(cid.Cid.of_block(cid.RAW, bytes(cars.MIB)), bytes(cars.MIB)), (cid.Cid.of_block(cid.DAG_PB, node), node)]
    report = cargo.read(cars.pack([name], content + strays), store, limit=cars.LIMIT)
    assert (report.blocks, report.strays) == (4, 2)
    store.pin(name)
    assert store.collect(grace=0).blocks == 1
    assert store.get(name, limit=len(cars.LARGE)) == cars.LARGE


@pytest.mark.parametrize("position", range(4))
def test_bytes_that_do_not_match_are_refused(store: blocks.BlockStore, position: int) -> None:
    """30: one bit flipped in any block: refused with its name, and no file is seen."""
    name, content = cars.tree(cars.LARGE)
    wrong, block = content[position]
    content[position] = (wrong, block[:-1] + bytes([block[-1] ^ 1]))
    with pytest.raises(errors.BlockCorruptError, match=str(wrong)):
        cargo.read(cars.pack([name], content), store, limit=cars.LIMIT)
    assert not store.has(name)


def test_a_tree_whose_sizes_lie_is_refused(store: blocks.BlockStore) -> None:
    """12: a root that says of a leaf what it has not is refused, although every hash is right."""
    leaf = cid.Cid.of_block(cid.RAW, bytes(cars.MIB))
    block = nodes.encode(
        [nodes.Link(cid=leaf, size=cars.MIB, total=cars.MIB), nodes.Link(cid=cars.HELLO, size=6, total=6)]
    )
    name = cid.Cid.of_block(cid.DAG_PB, block)
    with pytest.raises(errors.BlockCorruptError, match=f"{cars.HELLO} .* has 5 bytes, its parent says 6"):
        cargo.read(
            cars.pack([name], [(name, block), (leaf, bytes(cars.MIB)), (cars.HELLO, b"hello")]), store, limit=cars.LIMIT
        )
    assert not store.has(name)


def test_more_than_allowed_is_refused_as_it_comes(store: blocks.BlockStore) -> None:
    """12, 32: sections beyond the limit are refused before they are read."""
    name, content = cars.tree(cars.LARGE)
    packed = cars.pack([name], content)
    total = len(packed.getvalue()) - len(b"".join(car.encode([name], []))) - 3 * 3 - 2
    assert cargo.read(packed, store, limit=total).blocks == 4
    packed.seek(0)
    with pytest.raises(errors.TooLargeError, match=f"expected at most {total - 1}"):
        cargo.read(packed, store, limit=total - 1)


def test_a_flood_of_tiny_leaves_is_refused(store: blocks.BlockStore) -> None:
    """32: files of the profile have one short leaf each; a CAR of a million one-byte blocks ends at the second."""
    flood = [(cid.Cid.of_block(cid.RAW, bytes([n])), bytes([n])) for n in range(9)]
    with pytest.raises(errors.CarError, match="2 leaves under 1 MiB, expected at most one for each of 1 files"):
        cargo.read(cars.pack([flood[0][0]], flood), store, limit=cars.LIMIT)
    assert len(names(store)) <= 2


def test_a_flood_of_nodes_is_refused(store: blocks.BlockStore, monkeypatch: pytest.MonkeyPatch) -> None:
    """32: nodes are held until the end, so their bytes are bounded."""
    monkeypatch.setattr(cargo, "MAX_NODES", 1000)
    links = [nodes.encode([nodes.Link(cid=cars.HELLO, size=5, total=n)]) for n in range(20)]
    flood = [(cid.Cid.of_block(cid.DAG_PB, block), block) for block in links]
    with pytest.raises(errors.TooLargeError, match="bytes of nodes, expected at most 1000"):
        cargo.read(cars.pack([cars.HELLO], flood), store, limit=cars.LIMIT)


def test_a_car_without_roots_is_refused(store: blocks.BlockStore) -> None:
    """Nothing in it would be a file."""
    with pytest.raises(errors.CarError, match="no roots"):
        cargo.read(cars.pack([], [(cars.HELLO, b"hello")]), store, limit=cars.LIMIT)


@pytest.mark.parametrize("end", range(len(cars.VECTOR)))
def test_a_car_that_is_cut_off_is_refused(store: blocks.BlockStore, end: int) -> None:
    """2: cut off at any byte: refused as no CAR, or, between two sections, for the block that is missing."""
    expected = errors.BlockMissingError if end == 1 + len(cars.HEADER) else errors.CarError
    with pytest.raises(expected):
        cargo.read(io.BytesIO(cars.VECTOR[:end]), store, limit=cars.LIMIT)
    assert not store.has(cars.HELLO)


@pytest.mark.parametrize("garbage", [b"\0", b"\1", b"x", b"\x80", bytes(100), cars.framed(cars.HEADER)])
def test_trailing_bytes_are_refused(store: blocks.BlockStore, garbage: bytes) -> None:
    """4: padding, a second CAR or anything else behind the last section is refused."""
    with pytest.raises(errors.CarError):
        cargo.read(io.BytesIO(cars.VECTOR + garbage), store, limit=cars.LIMIT)


@given(st.integers(0, len(cars.VECTOR) - 1), st.integers(0, 7))
def test_every_bit_counts(tmp_path_factory: pytest.TempPathFactory, position: int, bit: int) -> None:
    """1: a CAR with one bit flipped is refused: it never stores a file under the old name or another."""
    flipped = bytearray(cars.VECTOR)
    flipped[position] ^= 1 << bit
    store = blocks.BlockStore(tmp_path_factory.getbasetemp() / "bits", fsync="never")
    with pytest.raises(errors.ExchangeError):
        cargo.read(io.BytesIO(flipped), store, limit=cars.LIMIT)


@pytest.mark.timeout(60)
def test_a_petabyte_of_zeros(store: blocks.BlockStore) -> None:
    """12, 32: a few blocks that are a file of 1 TiB, and many roots over them, cost what these blocks cost; pinned too."""
    content = stores.bomb(None, levels=1)
    roots = [content[-1][0]]
    full = nodes.Link(cid=content[1][0], size=1 << 30, total=len(content[1][1]) + (1 << 30))
    for count in range(2, 300):
        link, block = node(*[full] * count)
        roots.append(link.cid)
        content.append((link.cid, block))
    packed = cars.pack(roots + roots, content)
    with pytest.raises(errors.TooLargeError, match="expected at most 1099511627775"):
        cargo.read(packed, store, limit=cars.LIMIT, largest=(1 << 40) - 1)
    packed.seek(0)
    with pytest.raises(errors.TooLargeError, match=f"expected at most {1 << 38}"):
        cargo.read(packed, store, limit=cars.LIMIT)
    assert not any(store.has(root) for root in roots)
    packed.seek(0)
    assert cargo.read(packed, store, limit=cars.LIMIT, largest=1 << 40).blocks == len(content)
    for root in roots[:3]:
        store.pin(root)
    assert [verdict.error for verdict in store.verify()] == [None] * len(content)
    leaf = content[0][0]
    stores.path(store.folder, leaf).unlink()
    assert [verdict.cid for verdict in store.verify() if verdict.error] == [leaf]
    with pytest.raises(errors.BlockMissingError, match=str(leaf)):
        store.pin(roots[5])

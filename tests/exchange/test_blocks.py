"""The block store: what was put is got, or an error; never other bytes, never a part of them."""

import os
import time
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from exchange import blocks, cid, errors, nodes, unixfs

MIB = 1 << 20
SMALL = b"a small file"
LARGE = bytes(range(251)) * 12_000  # 2.9 MiB: three leaves and a node


@pytest.fixture
def store(tmp_path: Path) -> blocks.BlockStore:
    return blocks.BlockStore(tmp_path / "store")


def files(store: blocks.BlockStore) -> dict[str, Path]:
    """The blocks that a reader can see."""
    return {path.name: path for path in store.folder.glob("blocks/??/*")}


def staged(store: blocks.BlockStore) -> list[Path]:
    return list((store.folder / "blocks" / "tmp").iterdir())


@pytest.mark.parametrize("data", [b"", SMALL, bytes(MIB), LARGE], ids=["empty", "small", "one leaf", "large"])
@pytest.mark.parametrize("wrap", [bytes, bytearray, memoryview])
def test_what_was_put_is_got(store: blocks.BlockStore, data: bytes, wrap: type) -> None:
    """A file comes back by its CID, as value or as text, and its CID is the one IPFS gives it."""
    name = store.put(wrap(data))
    assert name == unixfs.of(data)
    assert store.get(name, limit=len(data)) == data
    assert store.get(str(name), limit=len(data) + 1) == data


@given(data=st.binary(max_size=2000), repeat=st.integers(1, 3000))
def test_any_bytes_are_got_back(tmp_path_factory: pytest.TempPathFactory, data: bytes, repeat: int) -> None:
    """Any content survives, also where many leaves are the same block."""
    store = blocks.BlockStore(tmp_path_factory.getbasetemp() / "shared-store")
    content = data * repeat
    assert store.get(store.put(content), limit=len(content)) == content


def test_a_file_can_be_got_by_another_process(store: blocks.BlockStore) -> None:
    """All state is in the folder: a store opened later on the same folder has the same files."""
    name = store.put(LARGE)
    assert blocks.BlockStore(store.folder).get(name, limit=len(LARGE)) == LARGE


def test_one_file_for_each_block_at_its_place(store: blocks.BlockStore) -> None:
    """Blocks lie under the two characters before the last of their CID, by their full CID, and nothing else is left."""
    name = str(store.put(LARGE))
    found = files(store)
    assert len(found) == 4
    assert name in found
    for text, path in found.items():
        assert path.parent.name == text[-3:-1]
        block = path.read_bytes()
        assert cid.Cid.of_block(cid.Cid.parse(text).codec, block) == cid.Cid.parse(text)
    assert staged(store) == []


def test_has_tells_whether_a_file_was_put(store: blocks.BlockStore) -> None:
    """A file is there after it was put, not before, for a store that does not exist yet too."""
    name = unixfs.of(LARGE)
    assert not store.has(name)
    assert not store.folder.exists()
    store.put(LARGE)
    assert store.has(name)
    assert store.has(str(name))
    assert not store.has(unixfs.of(SMALL))


def test_reading_writes_nothing(store: blocks.BlockStore) -> None:
    """A store of which one only reads stays as it is, so a read-only copy can be audited."""
    with pytest.raises(errors.BlockMissingError):
        store.get(unixfs.of(SMALL), limit=100)
    assert not store.folder.exists()


def test_a_block_that_is_there_is_left_alone(store: blocks.BlockStore) -> None:
    """Putting the same file again writes no block again; each is only marked as put now."""
    store.put(LARGE)
    before = {name: path.stat().st_ino for name, path in files(store).items()}
    for path in files(store).values():
        os.utime(path, (0, 0))
    store.put(LARGE)
    assert {name: path.stat().st_ino for name, path in files(store).items()} == before
    assert all(time.time() - path.stat().st_mtime < 60 for path in files(store).values())


@pytest.mark.parametrize("damage", [b"", SMALL[:-1], SMALL[:-1] + b"E", SMALL + b"!"])
def test_a_damaged_block_is_repaired_by_putting_it_again(store: blocks.BlockStore, damage: bytes) -> None:
    """30: a block whose file was truncated, changed or extended is refused, and is whole again after the next put."""
    name = store.put(SMALL)
    files(store)[str(name)].write_bytes(damage)
    with pytest.raises(errors.BlockCorruptError):
        store.get(name, limit=100)
    assert store.put(SMALL) == name
    assert store.get(name, limit=100) == SMALL


@pytest.mark.parametrize("codec", [cid.RAW, cid.DAG_PB])
@pytest.mark.parametrize("damage", ["flip", "truncate", "other block"])
def test_bytes_that_do_not_match_their_cid_are_refused(store: blocks.BlockStore, codec: int, damage: str) -> None:
    """30: one bit flipped, one byte cut off or another block put in place, in a leaf or in a node: nothing is got."""
    name = store.put(LARGE)
    text, path = next((text, path) for text, path in files(store).items() if cid.Cid.parse(text).codec == codec)
    block = path.read_bytes()
    other = nodes.encode([]) if codec == cid.DAG_PB else bytes(len(block))
    flipped = block[:-1] + bytes([block[-1] ^ 1])
    path.write_bytes({"flip": flipped, "truncate": block[:-1], "other block": other}[damage])
    with pytest.raises(errors.BlockCorruptError, match=text):
        store.get(name, limit=len(LARGE))


def test_a_leaf_cut_off_in_its_zeros_is_refused(store: blocks.BlockStore) -> None:
    """30: zeros that are missing from a file on disk are not made up for by memory that happens to be zero."""
    name = store.put(bytes(MIB + 10))
    files(store)[str(unixfs.of(bytes(10)))].write_bytes(bytes(9))
    with pytest.raises(errors.BlockCorruptError):
        store.get(name, limit=2 * MIB)


def test_a_missing_block_is_named(store: blocks.BlockStore) -> None:
    """A file of which any block is missing is not got, and the error names the block."""
    name = store.put(LARGE)
    for text, path in files(store).items():
        block = path.read_bytes()
        path.unlink()
        with pytest.raises(errors.BlockMissingError, match=text):
            store.get(name, limit=len(LARGE))
        path.write_bytes(block)
    assert store.get(name, limit=len(LARGE)) == LARGE


@pytest.mark.parametrize("data", [SMALL, LARGE], ids=["leaf", "tree"])
def test_a_file_larger_than_allowed_is_refused(store: blocks.BlockStore, data: bytes) -> None:
    """12, 32: one byte more than the caller allowed is refused, by the size that the root names."""
    name = store.put(data)
    for limit in (len(data) - 1, 0):
        with pytest.raises(errors.TooLargeError, match=f"expected at most {limit}"):
            store.get(name, limit=limit)


def plant(store: blocks.BlockStore, codec: int, block: bytes) -> cid.Cid:
    """Store a block that `put` would not make, under its right name."""
    store.put(b"")
    name = cid.Cid.of_block(codec, block)
    path = store.folder / "blocks" / str(name)[-3:-1] / str(name)
    path.parent.mkdir(exist_ok=True)
    path.write_bytes(block)
    return name


def test_a_tree_of_ten_gigabytes_is_refused_by_its_root(store: blocks.BlockStore) -> None:
    """32: a valid CID of 10 GiB is refused for its size, or, if so much is allowed, for its missing blocks, in no time."""
    below = nodes.Link(cid=cid.Cid(codec=cid.DAG_PB, digest=bytes(32)), size=1 << 30, total=1 << 31)
    name = plant(store, cid.DAG_PB, nodes.encode([below] * 10))
    with pytest.raises(errors.TooLargeError, match="10737418240 bytes"):
        store.get(name, limit=1 << 30)


def test_a_root_whose_sizes_lie_is_refused(store: blocks.BlockStore) -> None:
    """12: a root that names less or more bytes than its leaf has is refused, although every hash is right."""
    first = plant(store, cid.RAW, bytes(MIB))
    last = plant(store, cid.RAW, b"seven..")
    for size in (6, 8):
        links = [
            nodes.Link(cid=first, size=MIB, total=MIB),
            nodes.Link(cid=last, size=size, total=size),
        ]
        with pytest.raises(errors.BlockCorruptError, match=str(last)):
            store.get(plant(store, cid.DAG_PB, nodes.encode(links)), limit=2 * MIB)


@pytest.mark.parametrize("codec", [cid.RAW, cid.DAG_PB])
def test_a_block_larger_than_any_block_is_refused(store: blocks.BlockStore, codec: int) -> None:
    """32: a leaf over 1 MiB or a node over 64 KiB is refused by its size, before it is read."""
    name = plant(store, codec, bytes(MIB + 1))
    with pytest.raises(errors.TooLargeError, match="has 1048577 bytes"):
        store.get(name, limit=10 * MIB)


@pytest.mark.parametrize("text", ["../../../etc/passwd", "bafkrei" + "../" * 17 + "a", "", "tmp"])
def test_a_path_is_no_cid(store: blocks.BlockStore, text: str) -> None:
    """33: a text that is no CID never becomes a path."""
    for use in (lambda: store.get(text, limit=10), lambda: store.has(text)):
        with pytest.raises(errors.CidError):
            use()

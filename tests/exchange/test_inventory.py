"""What a block store holds: files by their roots, and a verdict on every block."""

import os
from pathlib import Path

import pytest

from exchange import blocks, cid, errors, inventory, unixfs
from tests.exchange import stores

MIB = 1 << 20
SMALL = b"a small file"
LARGE = bytes(range(251)) * 12_000  # 2.9 MiB: three leaves and a node
LEAF = cid.Cid.of_block(cid.RAW, LARGE[:MIB])


@pytest.fixture
def store(tmp_path: Path) -> blocks.BlockStore:
    return blocks.BlockStore(tmp_path / "store")


def test_files_are_listed_by_their_roots(store: blocks.BlockStore) -> None:
    """Each file is listed once with its size, whether it is pinned, and no leaf or inner node beside it."""
    assert list(store.ls()) == []
    small, large = store.put(SMALL), store.put(LARGE)
    store.pin(large)
    assert {(file.cid, file.size, file.pinned) for file in store.ls()} == {
        (small, len(SMALL), False),
        (large, len(LARGE), True),
    }
    store.pin(store.put(LARGE[:MIB]))
    assert inventory.File(cid=LEAF, size=MIB, pinned=True) in list(store.ls())


def test_a_damaged_root_is_listed_without_a_size(store: blocks.BlockStore) -> None:
    """A file whose root cannot be read is still listed, and its leaves then stand for themselves."""
    name = store.put(LARGE)
    stores.damage(store.folder, name, b"changed")
    found = {file.cid: file.size for file in store.ls()}
    assert found[name] is None
    assert len(found) == 4


def test_an_intact_store_has_no_bad_verdict(store: blocks.BlockStore) -> None:
    """Every block is read and judged, with its size."""
    store.pin(store.put(LARGE))
    store.put(SMALL)
    verdicts = list(store.verify())
    assert len(verdicts) == 5
    assert all(verdict.error is None for verdict in verdicts)
    assert sum(verdict.size for verdict in verdicts) == len(LARGE) + len(SMALL) + len(store.block(unixfs.of(LARGE)))


@pytest.mark.parametrize(
    ("damage", "kind"),
    [
        (LARGE[1:MIB] + b"!", errors.BlockCorruptError),
        (LARGE[: MIB - 1], errors.BlockCorruptError),
        (LARGE[: MIB + 1], errors.TooLargeError),
    ],
)
def test_each_damaged_block_is_reported(store: blocks.BlockStore, damage: bytes, kind: type[errors.StoreError]) -> None:
    """30: a block that was changed, cut off or extended is named, and no other is."""
    store.put(LARGE)
    stores.damage(store.folder, LEAF, damage)
    bad = [verdict for verdict in store.verify() if verdict.error is not None]
    assert [(verdict.cid, type(verdict.error)) for verdict in bad] == [(LEAF, kind)]


def test_what_pinned_files_lack_is_reported(store: blocks.BlockStore) -> None:
    """34: a block that a pin needs and that is gone is named once; one that nobody needs is not missed."""
    store.put(SMALL)
    for data in (LARGE, LARGE[:MIB] + b"x"):
        store.pin(store.put(data))
    stores.path(store.folder, LEAF).unlink()
    stores.path(store.folder, unixfs.of(SMALL)).unlink()
    bad = [verdict for verdict in store.verify() if verdict.error is not None]
    assert [(verdict.cid, verdict.size, type(verdict.error)) for verdict in bad] == [
        (LEAF, 0, errors.BlockMissingError)
    ]


def test_a_leaf_of_another_size_is_not_pinned(store: blocks.BlockStore) -> None:
    """30: a pin is no promise about a leaf that was cut off."""
    name = store.put(LARGE)
    stores.damage(store.folder, LEAF, LARGE[: MIB - 1])
    with pytest.raises(errors.BlockCorruptError, match=str(LEAF)):
        store.pin(name)
    assert list(store.pins()) == []


def test_pins_survive_the_process(store: blocks.BlockStore) -> None:
    """A pin is in the folder, for every process that opens it."""
    name = store.put(SMALL)
    store.pin(name)
    assert list(blocks.BlockStore(store.folder).pins()) == [name]
    blocks.BlockStore(store.folder).unpin(name)
    assert list(store.pins()) == []


@pytest.mark.timeout(20)
@pytest.mark.parametrize("data", [b"", SMALL], ids=["empty", "small"])
@pytest.mark.parametrize("kind", ["pipe", "link", "folder"])
def test_what_lies_in_the_place_of_a_block(store: blocks.BlockStore, tmp_path: Path, kind: str, data: bytes) -> None:
    """33: a pipe, a link to the right bytes or a folder is no block: named, not read, not pinned; `put` makes a file of it."""
    name, outside = unixfs.of(data), tmp_path / "outside"
    outside.write_bytes(data)
    store.put(b"something else")
    where = stores.path(store.folder, name)
    where.parent.mkdir(exist_ok=True)
    {"pipe": os.mkfifo, "link": lambda path: path.symlink_to(outside), "folder": Path.mkdir}[kind](where)
    bad = [verdict for verdict in store.verify() if verdict.error is not None]
    assert [(verdict.cid, type(verdict.error)) for verdict in bad] == [(name, errors.BlockCorruptError)]
    assert not store.has(name)
    with pytest.raises(errors.BlockCorruptError, match="not a regular file"):
        store.get(name, limit=100)
    with pytest.raises(errors.BlockMissingError):
        store.pin(name)
    if kind == "folder":
        with pytest.raises(errors.StoreError, match=str(name)):
            store.put(data)
        return
    store.pin(store.put(data))
    outside.unlink()
    assert store.get(name, limit=100) == data
    assert all(verdict.error is None for verdict in store.verify())


def test_a_part_of_a_file_is_marked(store: blocks.BlockStore) -> None:
    """37: a full leaf that nobody pinned looks like a file, and is listed as a block; other files are not."""
    store.put(SMALL)
    name = store.put(LARGE)
    store.pin(store.put(bytes(MIB)))
    assert [file.cid for file in store.ls() if file.block] == []
    stores.path(store.folder, name).unlink()
    assert {file.cid for file in store.ls() if file.block} == {LEAF, unixfs.of(LARGE[MIB : 2 * MIB])}


def test_what_a_file_manager_leaves_is_no_pin(store: blocks.BlockStore) -> None:
    """A hidden file among the pins stops nothing; another name that is none still does."""
    name = store.put(SMALL)
    store.pin(name)
    (store.folder / "blocks" / "pins" / ".DS_Store").write_bytes(b"x")
    assert list(store.pins()) == [name]
    assert len(list(store.ls())) == len(list(store.verify())) == 1
    assert store.collect(grace=0).blocks == 0
    (store.folder / "blocks" / "pins" / "bafkreib").touch()
    with pytest.raises(errors.StoreError, match="holds a pin that is no name"):
        store.collect(grace=0)

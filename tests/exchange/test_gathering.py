"""Several files into a store at once: all there when it ends well, none of it seen before."""

import io
import os
from pathlib import Path

import pytest

from exchange import blocks, errors, gathering, layered, unixfs

FILES = [b"", b"a", os.urandom(70_000), os.urandom(3 * unixfs.CHUNK + 5), b"a"]


@pytest.fixture
def store(tmp_path: Path) -> blocks.BlockStore:
    return blocks.BlockStore(tmp_path / "store")


def test_files_are_there_when_all_are(store: blocks.BlockStore) -> None:
    """Each has the name that `put` gives it, and its bytes; before the end nobody finds one; nothing is left staged."""
    with gathering.files(store) as target:
        names = [target.put_file(io.BytesIO(each)) for each in FILES]
        assert not any(store.has(name) for name in names)
    assert names == [unixfs.of(each) for each in FILES]
    assert [store.get(name, limit=2**23) for name in names] == FILES
    assert not list((store.blocks / "tmp").iterdir())
    with gathering.files(store) as target:
        assert [target.put_file(io.BytesIO(each)) for each in FILES] == names


def test_an_error_leaves_nothing(store: blocks.BlockStore) -> None:
    """Whoever fails between two files has put neither."""
    names = []

    def fail() -> None:
        with gathering.files(store) as target:
            names.append(target.put_file(io.BytesIO(FILES[3])))
            raise RuntimeError("between")

    with pytest.raises(RuntimeError, match="between"):
        fail()
    assert not store.has(names[0])
    assert not list((store.blocks / "tmp").iterdir())
    assert not list(store.verify())


def test_a_store_of_several_places_takes_each_at_once(store: blocks.BlockStore, tmp_path: Path) -> None:
    """What a node is owed is not gathered."""
    both = layered.Layered(store, {}, staging=tmp_path)
    with gathering.files(both) as target:
        name = target.put_file(io.BytesIO(b"a"))
        assert store.has(name)


def test_pins_of_what_is_whole(store: blocks.BlockStore, tmp_path: Path) -> None:
    """What is not here, or not whole, is told and not pinned; the others are."""
    whole, damaged = store.put(FILES[3]), store.put(os.urandom(2 * unixfs.CHUNK))
    missing = unixfs.of(b"never put")
    node = next(path for path in store.blocks.glob(f"??/{damaged}"))
    node.write_bytes(b"x")
    for each in (store, layered.Layered(store, {}, staging=tmp_path)):
        refused = gathering.pin(each, [str(whole), str(damaged), str(missing)])
        assert {name: type(error) for name, error in refused.items()} == {
            str(damaged): errors.BlockCorruptError,
            str(missing): errors.BlockMissingError,
        }
        assert set(store.pins()) == {whole}
        store.unpin(whole)
    empty = blocks.BlockStore(tmp_path / "empty")
    assert list(gathering.pin(empty, [str(missing)])) == [str(missing)]
    assert not empty.blocks.exists()

"""Files put together into one: found by name as all others, durable at once or not there at all, and never collected."""

import io
from pathlib import Path

import pytest

from exchange import blocks, car, errors, packs, unixfs

FILES = [b"one", b"two" * 1000, bytes(range(251)) * 12_000, b""]


@pytest.fixture
def store(tmp_path: Path) -> blocks.BlockStore:
    return blocks.BlockStore(tmp_path / "store")


def packed(store: blocks.BlockStore, files: list[bytes] = FILES) -> list[unixfs.Root]:
    return store.pack(map(io.BytesIO, files))


def path(store: blocks.BlockStore) -> Path:
    (found,) = (store.blocks / "packs").glob(f"*{packs.SUFFIX}")
    return found


def test_files_of_a_pack_are_files_of_the_store(store: blocks.BlockStore) -> None:
    """Small and large: the names that `put` gives, and read in every way; also by a store that looked before they came."""
    early = blocks.BlockStore(store.folder)
    assert not early.has(unixfs.of(FILES[0]))
    roots = packed(store)
    assert roots == [unixfs.Root(cid=unixfs.of(file), size=len(file)) for file in FILES]
    for root, file in zip(roots, FILES, strict=True):
        target = io.BytesIO()
        assert early.has(root.cid)
        assert early.get(root.cid, limit=len(file)) == file
        assert early.get_file(root.cid, target, limit=len(file)) == len(file)
        assert target.getvalue() == file
        early.pin(root.cid)
    with pytest.raises(errors.TooLargeError):
        early.get(roots[1].cid, limit=100)


def test_one_file_on_disk_that_any_car_program_reads(store: blocks.BlockStore) -> None:
    """Four files of seven blocks: one file, and nothing beside it."""
    roots = packed(store)
    with path(store).open("rb") as file:
        sections = dict(car.sections(file))
    assert {root.cid for root in roots} <= set(sections)
    assert [each for each in store.blocks.rglob("*") if each.is_file() and each.name != "lock"] == [
        *store.blocks.glob("usage"),
        path(store),
    ]


def test_what_is_packed_is_listed_verified_and_not_collected(store: blocks.BlockStore) -> None:
    roots = packed(store)
    store.put(b"loose")
    assert store.collect(grace=0).blocks == 1
    assert {file.cid for file in store.ls()} == {root.cid for root in roots}
    verdicts = list(store.verify())
    assert len(verdicts) == 7
    assert not [each for each in verdicts if each.error]


def test_damage_is_found_and_what_a_cut_off_pack_lacks_is_missing(store: blocks.BlockStore) -> None:
    """Changed bytes do not hash to their name; of a pack that ends early there is what came before."""
    one, two, *_ = packed(store)
    whole = path(store).read_bytes()
    path(store).write_bytes(whole.replace(FILES[0], b"0ne"))
    with pytest.raises(errors.BlockCorruptError):
        store.get(one.cid, limit=100)
    assert [each.cid for each in store.verify() if each.error] == [one.cid]
    path(store).write_bytes(whole[: whole.index(FILES[0]) + len(FILES[0])])
    again = blocks.BlockStore(store.folder)
    assert again.get(one.cid, limit=100) == FILES[0]
    with pytest.raises(errors.BlockMissingError):
        again.get(two.cid, limit=10**4)
    path(store).write_bytes(b"no CAR file")
    with pytest.raises(errors.BlockMissingError):
        blocks.BlockStore(store.folder).get(one.cid, limit=100)


class Failing(io.BytesIO):
    """A source that breaks."""

    def read(self, size: int | None = -1, /) -> bytes:
        raise RuntimeError("the source broke")


def test_a_pack_is_there_as_a_whole_or_not_at_all(store: blocks.BlockStore) -> None:
    """A source that fails, or a quota that is reached: nothing of it is left, and nothing is counted."""
    with pytest.raises(RuntimeError, match="broke"):
        store.pack([io.BytesIO(FILES[2]), Failing()])
    small = blocks.BlockStore(store.folder, quota=10_000)
    with pytest.raises(errors.QuotaError):
        packed(small)
    assert not list((store.blocks / "packs").glob("*"))
    assert not list((store.blocks / "tmp").iterdir())
    packed(small, FILES[:2])
    with pytest.raises(errors.QuotaError):
        small.put(b"x" * 8000)
    assert store.pack([]) == []

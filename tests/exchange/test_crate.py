"""Crates: one file for each set of blocks, and nothing else in it; attacks.md 30 on whole files."""

import os
import random
import tracemalloc
from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from exchange import car, cid, crate, errors, nodes, reading, unixfs
from tests.exchange import stores

BLOCKS = {cid.Cid.of_block(cid.RAW, data): data for data in (b"one", b"two", b"three", bytes(3_000), b"")}
ROOT = cid.Cid.of_block(cid.RAW, b"one")


def varint(value: int) -> bytes:
    return nodes.varint(value)


def section(name: cid.Cid, data: bytes) -> bytes:
    return varint(cid.BINARY_SIZE + len(data)) + bytes(name) + data


def header(*roots: cid.Cid) -> bytes:
    return b"".join(car.encode(roots, []))


def packed(held: dict[cid.Cid, bytes] = BLOCKS) -> bytes:
    return b"".join(crate.encode(next(iter(held)), held, lambda name, limit: held[name]))


def refused(path: Path, data: bytes) -> errors.ExchangeError:
    path.write_bytes(data)
    with pytest.raises((errors.CarError, errors.StoreError)) as caught, crate.Crate.opened(path):
        pass
    assert str(path) in str(caught.value)
    assert "\n" not in str(caught.value)
    return caught.value


@given(chosen=st.permutations(list(BLOCKS)))
def test_a_set_of_blocks_has_one_file(chosen: list[cid.Cid]) -> None:
    """Whatever order they come in, and however often: header, then each once, ascending by the bytes of its name."""
    made = b"".join(crate.encode(ROOT, chosen + chosen[:2], lambda name, limit: BLOCKS[name]))
    assert made == header(ROOT) + b"".join(section(name, BLOCKS[name]) for name in sorted(BLOCKS, key=bytes))


def test_blocks_are_found_and_what_nobody_asks_for_is_named(tmp_path: Path) -> None:
    """All of them, in any order; the first that was left alone is told; another name is missing."""
    path = tmp_path / "crate.car"
    path.write_bytes(packed())
    with crate.Crate.opened(path) as found:
        assert found.root == ROOT
        left = sorted(BLOCKS, key=bytes)
        while left:
            assert found.unwanted() == left[0]
            name = left.pop(0)
            assert found.block(name, limit=unixfs.MAX_BLOCK) == BLOCKS[name]
        assert found.unwanted() is None
        with pytest.raises(errors.BlockMissingError, match="is not in"):
            found.block(cid.Cid.of_block(cid.RAW, b"four"), limit=10)
        with pytest.raises(errors.TooLargeError):
            found.block(ROOT, limit=2)


def test_any_altered_byte_is_refused(tmp_path: Path) -> None:
    """Each byte of header, lengths, names and small blocks in turn, by one bit and by all; and some of the large block."""
    good, path, draw = packed(), tmp_path / "crate.car", random.Random(1)
    small = [at for at in range(len(good)) if good[at] or draw.random() < 0.001]
    assert len(small) > 200
    for at in small:
        for change in (1 << draw.randrange(8), 0xFF):
            refused(path, good[:at] + bytes([good[at] ^ change]) + good[at + 1 :])


def test_any_other_ending_is_refused(tmp_path: Path) -> None:
    """Cut off within a section, and bytes after the last. Cut between two, it is the crate of fewer blocks."""
    good, path = packed(), tmp_path / "crate.car"
    ends = {len(header(ROOT))}
    for name in sorted(BLOCKS, key=bytes):
        ends.add(max(ends) + len(section(name, BLOCKS[name])))
    for end in [*range(400), *range(len(good) - 300, len(good))]:
        if end not in ends:
            refused(path, good[:end])
    for more in (b"\0", b"\x24", b"a", good[-50:]):
        refused(path, good + more)


NAMES = sorted(BLOCKS, key=bytes)
HOSTILE: dict[str, tuple[bytes, str]] = {
    "empty": (b"", "empty"),
    "text": (b"not a bundle, but a letter\n" * 9, ""),
    "no root": (header(), "0 roots"),
    "two roots": (header(ROOT, ROOT), "2 roots"),
    "without its root": (header(ROOT) + section(cid.Cid.of_block(cid.RAW, b"two"), b"two"), "its root"),
    "no blocks": (header(ROOT), "its root"),
    "twice": (header(ROOT) + section(ROOT, b"one") * 2, "not after"),
    "descending": (header(ROOT) + b"".join(section(name, BLOCKS[name]) for name in reversed(NAMES)), "not after"),
    "under another name": (header(ROOT) + section(ROOT, b"two"), "does not hash"),
    "node of 65 KiB": (
        header(ROOT) + section(cid.Cid.of_block(cid.DAG_PB, bytes(65 * 1024)), bytes(65 * 1024)),
        "at most 65536",
    ),
    "a section of 2 GiB": (header(ROOT) + varint(2 << 30), "at most"),
    "a length without end": (header(ROOT) + b"\xff" * 64, ""),
    "a length in too many bytes": (header(ROOT) + b"\xa7\x00" + section(ROOT, b"one")[1:], ""),
    "a header of 1 GiB": (varint(1 << 30) + b"\xa2", "at most"),
}


@pytest.mark.parametrize("name", HOSTILE)
def test_hostile_files_are_refused_in_a_sentence(tmp_path: Path, name: str) -> None:
    """Sizes, order, duplicates, names: by a typed error that names file and byte, in little memory."""
    data, said = HOSTILE[name]
    tracemalloc.start()
    error = refused(tmp_path / "hostile.car", data)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert said in str(error)
    assert "before byte" in str(error)
    assert peak < 4 << 20


def test_what_is_no_file_is_refused(tmp_path: Path) -> None:
    """A folder, a pipe that nobody writes into, a device without end, and nothing at all."""
    os.mkfifo(tmp_path / "pipe")
    for path, kind in ((tmp_path / "pipe", errors.CarError), (Path(os.devnull), errors.CarError)):
        with pytest.raises(kind, match="is no file"), crate.Crate.opened(path):
            pass
    for path in (tmp_path, tmp_path / "nothing"):
        with pytest.raises(errors.StoreError, match="cannot read"), crate.Crate.opened(path):
            pass


def test_many_blocks_take_thirteen_bytes_each(tmp_path: Path) -> None:
    """Memory stays with the number of blocks, whatever they hold."""
    held = {cid.Cid.of_block(cid.RAW, data): data for data in (at.to_bytes(2000) for at in range(5000))}
    path, told = tmp_path / "many.car", []
    path.write_bytes(packed(held))
    tracemalloc.start()
    with crate.Crate.opened(path, told.append) as found:
        peak = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
        assert all(found.block(name, limit=2000) == data for name, data in held.items())
    assert peak < 600_000
    assert told == [1000, 2000, 3000, 4000, 5000]


def test_more_blocks_than_a_crate_has_are_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """By who reads and by who writes."""
    data = packed()
    monkeypatch.setattr(crate, "MAX_BLOCKS", len(BLOCKS) - 1)
    assert "more than" in str(refused(tmp_path / "more.car", data))
    with pytest.raises(errors.CarError, match="at most"):
        packed()


@pytest.mark.parametrize("change", [lambda file: file[:-3_100], lambda file: file[:-1] + b"?"], ids=["cut", "altered"])
def test_a_file_that_changes_after_it_was_opened_is_found_out(tmp_path: Path, change: Callable[[bytes], bytes]) -> None:
    """Each block is hashed again when it is asked for."""
    path, last = tmp_path / "crate.car", max(BLOCKS, key=bytes)
    path.write_bytes(packed())
    with crate.Crate.opened(path) as found:
        path.write_bytes(change(packed()))
        with pytest.raises((errors.BlockCorruptError, errors.BlockMissingError)):
            found.block(last, limit=unixfs.MAX_BLOCK)


def test_a_bomb_is_bounded_by_who_asks(tmp_path: Path) -> None:
    """22: two blocks that name 1 GiB are a crate; the file below them is refused by its size, and no byte of it is made."""
    found = dict(stores.bomb(None, levels=0))
    root = next(name for name in found if name.codec == cid.DAG_PB)
    path = tmp_path / "bomb.car"
    path.write_bytes(b"".join(crate.encode(root, found, lambda name, limit: found[name])))
    with crate.Crate.opened(path) as opened, pytest.raises(errors.TooLargeError):
        reading.Reading(opened.block, str(path)).get(root, limit=1 << 24)


def test_it_is_noted_which_blocks_were_given() -> None:
    """Those that came, and those refused for their size alone; not those that could not be had."""

    def fetch(name: cid.Cid, /, *, limit: int) -> bytes:
        if name not in BLOCKS:
            raise errors.BlockMissingError(str(name))
        if len(BLOCKS[name]) > limit:
            raise errors.TooLargeError(str(name))
        return BLOCKS[name]

    noted = reading.Noted(fetch)
    store = reading.Reading(noted, "here")
    assert store.get(ROOT, limit=3) == b"one"
    large, other = cid.Cid.of_block(cid.RAW, b"three"), cid.Cid.of_block(cid.RAW, b"four")
    with pytest.raises(errors.TooLargeError):
        store.get(large, limit=2)
    assert not store.has(other)
    assert noted.names == {ROOT, large}
    with pytest.raises(errors.ReadOnlyError, match="here"):
        store.put(b"more")
    assert noted.lacking is None


def test_a_block_that_is_too_large_for_any_is_lacking_and_not_noted() -> None:
    """Refused for its size at first and, asked for whole, no sound block: nobody else can be shown it."""

    def fetch(name: cid.Cid, /, *, limit: int) -> bytes:
        raise errors.TooLargeError(f"{name} at {limit}") if limit == 2 else errors.BlockCorruptError(str(name))

    noted = reading.Noted(fetch)
    with pytest.raises(errors.TooLargeError, match="at 2"):
        noted(ROOT, limit=2)
    assert noted.names == set()
    assert isinstance(noted.lacking, errors.BlockCorruptError)

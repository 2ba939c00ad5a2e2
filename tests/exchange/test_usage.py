"""The quota: nothing is written beyond it, and the count it is held against is never too low."""

import os
import signal
import subprocess
import sys
import threading
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from exchange import blocks, errors, shelf, unixfs, usage

MIB = 1 << 20
SMALL = b"a small file"
LARGE = bytes(range(251)) * 12_000  # 2.9 MiB: three leaves and a node


def held(folder: Path) -> int:
    """The bytes of all blocks, whole or not, on disk."""
    return sum(path.stat().st_size for path in [*folder.glob("blocks/??/*"), *folder.glob("blocks/tmp/*")])


def counted(folder: Path) -> int:
    """What the store believes."""
    return int((folder / "blocks" / "usage").read_text().split()[1])


def test_nothing_is_written_beyond_the_quota(tmp_path: Path) -> None:
    """A file that does not fit is refused before a byte goes beyond the quota; one that fits to the byte is taken."""
    store = blocks.BlockStore(tmp_path, quota=len(SMALL) + 10)
    kept = store.put(SMALL)
    with pytest.raises(errors.QuotaError, match=f"holds 12, expected at most {len(SMALL) + 10}"):
        store.put(bytes(11))
    assert held(tmp_path) == counted(tmp_path) == len(SMALL)
    store.put(bytes(10))
    assert held(tmp_path) == counted(tmp_path) == len(SMALL) + 10
    assert store.get(kept, limit=100) == SMALL


def test_a_file_that_fits_in_part_leaves_nothing(tmp_path: Path) -> None:
    """A large file of which only the first leaves fit is refused, what was staged of it is taken back, and not counted."""
    store = blocks.BlockStore(tmp_path, quota=2 * MIB + 100)
    with pytest.raises(errors.QuotaError):
        store.put(LARGE)
    assert held(tmp_path) == counted(tmp_path) == 0
    assert not store.has(unixfs.of(LARGE))
    store.put(LARGE[: 2 * MIB - 1000])


def test_what_is_there_already_costs_nothing(tmp_path: Path) -> None:
    """Putting a file again fits into a full store."""
    size = len(LARGE) + 200
    store = blocks.BlockStore(tmp_path, quota=size)
    name = store.put(LARGE)
    assert blocks.BlockStore(tmp_path, quota=held(tmp_path)).put(LARGE) == name


def test_a_store_that_was_filled_without_a_quota_is_counted(tmp_path: Path) -> None:
    """The first to ask for a quota counts what is there; from then on those who ask for none are counted too."""
    free = blocks.BlockStore(tmp_path)
    free.put(LARGE)
    assert not (tmp_path / "blocks" / "usage").read_bytes()
    bound = blocks.BlockStore(tmp_path, quota=3 * MIB)
    bound.put(SMALL)
    assert counted(tmp_path) == held(tmp_path)
    free.put(bytes(MIB))
    assert counted(tmp_path) == held(tmp_path) > 3 * MIB
    with pytest.raises(errors.QuotaError):
        bound.put(b"one more")


@pytest.mark.parametrize(
    "line", [b"", b"nonsense", b"\0" * 58, f"{'0' * 36} {0:020d}\n".encode(), f"{usage.BOOT} {'x' * 20}\n".encode()]
)
def test_a_count_in_doubt_is_made_anew(tmp_path: Path, line: bytes) -> None:
    """A count that is empty, damaged or from before the machine was started is not believed."""
    store = blocks.BlockStore(tmp_path, quota=3 * MIB)
    store.put(LARGE)
    (tmp_path / "blocks" / "usage").write_bytes(line)
    with pytest.raises(errors.QuotaError):
        store.put(bytes(MIB))
    assert counted(tmp_path) == held(tmp_path)


def test_a_count_that_is_too_high_refuses_nobody(tmp_path: Path) -> None:
    """What a killed put had reserved is found out before anybody is refused for it."""
    store = blocks.BlockStore(tmp_path, quota=MIB)
    store.put(SMALL)
    (tmp_path / "blocks" / "usage").write_text(f"{usage.BOOT} {MIB:020d}\n")
    store.put(b"more")
    assert counted(tmp_path) == held(tmp_path)


def test_the_count_of_a_killed_put_is_not_too_low(tmp_path: Path) -> None:
    """37: killed as it renames, a put has been counted, so that others cannot write what it may still make visible."""
    script = (
        "import os, signal, sys; from pathlib import Path; from exchange import blocks\n"
        "sys.addaudithook(lambda event, _: event == 'os.rename' and os.kill(os.getpid(), signal.SIGKILL))\n"
        "blocks.BlockStore(Path(sys.argv[1]), quota=1 << 20).put(b'a small file')"
    )
    done = subprocess.run([sys.executable, "-c", script, str(tmp_path)], check=False, cwd=Path.cwd())
    assert done.returncode == -signal.SIGKILL
    assert counted(tmp_path) == held(tmp_path) == len(SMALL)


def test_many_at_once_stay_within_the_quota(tmp_path: Path) -> None:
    """Threads that put, while the count is forgotten all the time: what ends up on disk is the quota, to the byte."""
    quota = 20_000
    stores = [blocks.BlockStore(tmp_path, quota=quota, fsync="never") for _ in range(4)]
    stores[0].put(b"")
    refused: list[int] = []

    def work(number: int) -> None:
        for turn in range(40):
            if turn % 5 == number:
                os.truncate(tmp_path / "blocks" / "usage", 0)
            try:
                stores[number].put(os.urandom(500))
            except errors.QuotaError:
                refused.append(number)

    threads = [threading.Thread(target=work, args=(number,)) for number in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert held(tmp_path) == quota
    assert len(refused) == 4 * 40 - quota // 500


@given(st.lists(st.tuples(st.integers(0, 5), st.sampled_from(["put", "collect", "damage"])), max_size=20))
def test_the_count_is_never_too_low(tmp_path_factory: pytest.TempPathFactory, events: list[tuple[int, str]]) -> None:
    """Whatever is put, collected or repaired, the count is at least what is on disk, and exact after a collection."""
    folder = tmp_path_factory.mktemp("events")
    store = blocks.BlockStore(folder, quota=4 * MIB, fsync="never")
    for number, event in [*events, (0, "collect")]:
        content = bytes([number]) * (MIB // 2 * number)
        if event == "put":
            try:
                store.put(content)
            except errors.QuotaError:
                assert held(folder) + len(content) > 4 * MIB
        elif event == "collect":
            store.collect(grace=0)
            assert not (folder / "blocks" / "usage").exists() or counted(folder) == held(folder)
        else:
            for path in folder.glob("blocks/??/*"):
                path.write_bytes(path.read_bytes()[:-1])
        if (folder / "blocks" / "usage").exists():
            assert counted(folder) >= held(folder)
            assert held(folder) <= 4 * MIB


def test_staged_bytes_count(tmp_path: Path) -> None:
    """What another is about to write counts from the moment it is reserved, also for one who counts anew."""
    target = shelf.Shelf(tmp_path, quota=100, fsync="never")
    target.staging.mkdir()
    name = unixfs.of(bytes(60))
    staged = target.stage(name, bytes(60))
    assert staged is not None
    (tmp_path / "usage").write_bytes(b"")
    with pytest.raises(errors.QuotaError):
        target.stage(unixfs.of(bytes(41)), bytes(41))
    target.settle(staged)
    target.place([staged])
    assert target.read(name, limit=60) == bytes(60)

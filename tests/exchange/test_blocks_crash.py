"""The block store when the disk is full or the process is killed: no part of a block is ever seen."""

import errno
import io
import itertools
import os
import resource
import signal
import stat
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from exchange import blocks, cid, errors

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


def snapshot(store: blocks.BlockStore) -> dict[str, bytes]:
    return {name: path.read_bytes() for name, path in files(store).items()}


@contextmanager
def files_no_larger_than(size: int) -> Iterator[None]:
    """Let every write beyond `size` bytes of a file fail, as on a full disk: with part of the bytes written."""
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    handler = signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, before[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
        signal.signal(signal.SIGXFSZ, handler)


@pytest.mark.parametrize("size", [0, 1, 4096, 900_000])
def test_a_disk_that_fills_up_leaves_no_torn_block(store: blocks.BlockStore, size: int) -> None:
    """40: when a write fails half-way the caller gets a typed error with its cause, and the store is as it was."""
    kept = store.put(SMALL)
    before = snapshot(store)
    with files_no_larger_than(size), pytest.raises(errors.StoreError) as caught:
        store.put(LARGE)
    assert type(caught.value) is errors.StoreError
    assert isinstance(caught.value.__cause__, OSError)
    assert caught.value.__cause__.errno == errno.EFBIG
    assert snapshot(store) == before
    assert staged(store) == []
    assert store.get(kept, limit=100) == SMALL
    assert store.get(store.put(LARGE), limit=len(LARGE)) == LARGE


def test_errors_of_the_system_are_typed(tmp_path: Path) -> None:
    """40: a folder that is a file gives a StoreError with the cause, a block that is a folder its own, not a crash."""
    (tmp_path / "file").touch()
    broken = blocks.BlockStore(tmp_path / "file")
    with pytest.raises(errors.StoreError, match="cannot write"):
        broken.put(SMALL)
    store = blocks.BlockStore(tmp_path)
    name = store.put(SMALL)
    path = files(store)[str(name)]
    path.unlink()
    path.mkdir()
    with pytest.raises(errors.BlockCorruptError, match="not a regular file"):
        store.get(name, limit=100)
    with pytest.raises(errors.StoreError, match="cannot write") as caught:
        store.put(SMALL)
    assert isinstance(caught.value.__cause__, IsADirectoryError)


PUT_FOR_EVER = """
import itertools, sys
from pathlib import Path
from exchange import blocks
store = blocks.BlockStore(Path(sys.argv[1]))
for number in itertools.count():
    print(store.put(number.to_bytes(8, "big") * 300_000), flush=True)
"""


@pytest.mark.parametrize("delay", [0.0, 0.01, 0.025, 0.05])
def test_a_kill_leaves_no_torn_block(store: blocks.BlockStore, delay: float) -> None:
    """37, 38: after a kill -9 in the middle of puts every visible block is whole, and all that was acknowledged is there."""
    command = [sys.executable, "-c", PUT_FOR_EVER, str(store.folder)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True, cwd=Path.cwd()) as process:
        assert process.stdout is not None
        acknowledged = [process.stdout.readline().strip()]
        time.sleep(delay)
        process.kill()
        acknowledged += process.stdout.read().split()
    for text, path in files(store).items():
        name = cid.Cid.parse(text)
        assert cid.Cid.of_block(name.codec, path.read_bytes()) == name
    for number, text in enumerate(acknowledged):
        assert store.get(text, limit=2_400_000) == number.to_bytes(8, "big") * 300_000


def test_a_kill_between_write_and_rename_shows_nothing(store: blocks.BlockStore) -> None:
    """37: killed at the rename itself, the worst moment, the new block is invisible and the next put succeeds."""
    script = (
        "import os, signal, sys; from pathlib import Path; from exchange import blocks\n"
        "sys.addaudithook(lambda event, _: event == 'os.rename' and os.kill(os.getpid(), signal.SIGKILL))\n"
        "blocks.BlockStore(Path(sys.argv[1])).put(b'a small file')"
    )
    done = subprocess.run([sys.executable, "-c", script, str(store.folder)], check=False, cwd=Path.cwd())
    assert done.returncode == -signal.SIGKILL
    assert files(store) == {}
    assert len(staged(store)) == 1
    assert store.get(store.put(SMALL), limit=100) == SMALL


def test_what_killed_processes_left_is_swept_up(store: blocks.BlockStore) -> None:
    """Remains of a killed put go with a later one, once they are an hour old; a put that is under way is not disturbed."""
    store.put(b"")
    old, young = store.folder / "blocks" / "tmp" / "old", store.folder / "blocks" / "tmp" / "young"
    old.write_bytes(SMALL)
    young.write_bytes(SMALL)
    os.utime(old, (time.time() - 3700, time.time() - 3700))
    store.put(SMALL)
    assert staged(store) == [young]


def test_everything_is_synced_in_order(store: blocks.BlockStore, monkeypatch: pytest.MonkeyPatch) -> None:
    """Each block is synced before its rename and its folder after; all leaves are durable before the node gets its name."""
    synced: list[tuple[int, int]] = []  # (number of renames so far, inode)
    renamed: list[tuple[int, Path]] = []  # (inode, new name)
    fsync, replace = os.fsync, os.replace

    def note_fsync(descriptor: int) -> None:
        fsync(descriptor)
        synced.append((len(renamed), os.fstat(descriptor).st_ino))

    def note_replace(source: Path, target: Path) -> None:
        replace(source, target)
        renamed.append((target.stat().st_ino, Path(target)))

    monkeypatch.setattr(os, "fsync", note_fsync)
    monkeypatch.setattr(os, "replace", note_replace)
    name = store.put(LARGE)
    assert [path.name == str(name) for _, path in renamed] == [False, False, False, True]
    for position, (inode, path) in enumerate(renamed):
        assert any(before <= position for before, found in synced if found == inode)
        # A leaf's folders are synced before the fourth rename, the node's after it.
        moment = 4 if path.name == str(name) else 3
        for folder in (path.parent, store.folder / "blocks", store.folder):
            assert (moment, folder.stat().st_ino) in synced


@pytest.mark.parametrize("when", range(1, 5))
def test_a_sync_that_fails_beside_the_writing_is_told(
    store: blocks.BlockStore, monkeypatch: pytest.MonkeyPatch, when: int
) -> None:
    """40: an error of the disk on the thread that syncs is the caller's StoreError; it is not asked again and then believed."""
    fsync, count = os.fsync, itertools.count(1)

    def fail(descriptor: int) -> None:
        if stat.S_ISREG(os.fstat(descriptor).st_mode) and next(count) == when:
            raise OSError(errno.EIO, "told once, as the kernel does")
        fsync(descriptor)

    monkeypatch.setattr(os, "fsync", fail)
    with pytest.raises(errors.StoreError, match="cannot write") as caught:
        store.put(LARGE)
    assert isinstance(caught.value.__cause__, OSError)
    assert caught.value.__cause__.errno == errno.EIO
    assert staged(store) == []
    # Of the four blocks only leaves may be seen, and those only if it was the node's sync that failed.
    assert len(files(store)) == (3 if when == 4 else 0)
    assert [thread.name for thread in threading.enumerate() if thread.name.startswith("exchange-")] == []
    assert store.get(store.put(LARGE), limit=len(LARGE)) == LARGE


class Interrupted(io.RawIOBase):
    """A file of two leaves at which somebody presses Ctrl-C."""

    left = 2

    def readable(self) -> bool:
        return True

    def readinto(self, buffer) -> int:
        if not self.left:
            raise KeyboardInterrupt
        self.left -= 1
        buffer[:] = bytes([self.left]) * len(buffer)
        return len(buffer)


def test_an_interrupted_put_leaves_nothing_under_way(store: blocks.BlockStore) -> None:
    """37: after Ctrl-C no block is staged, nobody syncs any more, and the next put succeeds."""
    with pytest.raises(KeyboardInterrupt):
        store.put_file(Interrupted())  # type: ignore[arg-type]
    assert (staged(store), files(store)) == ([], {})
    assert [thread.name for thread in threading.enumerate() if thread.name.startswith("exchange-")] == []
    assert store.get(store.put(LARGE), limit=len(LARGE)) == LARGE

"""Collecting: what is pinned or under way stays, whoever put it, whatever is killed; the rest goes, roots first."""

import io
import os
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from exchange import blocks, cid, collection, errors, lock, nodes, unixfs
from tests.exchange import stores

MIB = 1 << 20
SMALL = b"a small file"
LARGE = bytes(range(251)) * 12_000  # 2.9 MiB: three leaves and a node
OTHER = LARGE[:MIB] + b"another end"  # shares its first leaf with LARGE


@pytest.fixture
def store(tmp_path: Path) -> blocks.BlockStore:
    return blocks.BlockStore(tmp_path / "store")


def names(store: blocks.BlockStore) -> set[str]:
    return {path.name for path in store.folder.glob("blocks/??/*")}


def age(store: blocks.BlockStore, *, seconds: float) -> None:
    """Let all blocks have been put, or staged, so long ago."""
    for path in [*store.folder.glob("blocks/??/*"), *store.folder.glob("blocks/tmp/*")]:
        os.utime(path, (time.time() - seconds, time.time() - seconds))


def test_what_is_pinned_stays_and_the_rest_goes(store: blocks.BlockStore) -> None:
    """All blocks below a pin stay, shared ones too; a file that is neither pinned nor young goes wholly."""
    pinned, small = store.put(LARGE), store.put(SMALL)
    before = names(store)
    other = store.put(OTHER)
    gone = len(SMALL) + len(b"another end") + len(store.block(other))
    store.pin(pinned)
    age(store, seconds=7200)
    collected = store.collect()
    assert names(store) == before - {str(small)}
    assert (collected.blocks, collected.size, collected.kept) == (3, gone, 4)
    assert store.get(pinned, limit=len(LARGE)) == LARGE
    assert not store.has(other)
    store.unpin(pinned)
    assert store.collect(grace=0).kept == 0
    assert names(store) == set()


def test_collecting_nothing_from_nothing(store: blocks.BlockStore) -> None:
    """A store that was never put to collects nothing and is not made."""
    assert store.collect() == collection.Collected(blocks=0, size=0, kept=0)
    assert list(store.pins()) == []
    store.unpin(unixfs.of(SMALL))
    assert not store.folder.exists()


def test_readers_of_what_was_collected_are_told_so(store: blocks.BlockStore) -> None:
    """34: a file that is collected after somebody learned its name is missing, with its root named, and can be put again."""
    name, kept = store.put(LARGE), store.put(SMALL)
    store.pin(kept)
    store.collect(grace=0)
    with pytest.raises(errors.BlockMissingError, match=str(name)):
        store.get(name, limit=len(LARGE))
    assert store.get(kept, limit=100) == SMALL
    assert store.get(store.put(LARGE), limit=len(LARGE)) == LARGE


def test_a_stream_that_is_collected_under_its_reader_ends_in_an_error(store: blocks.BlockStore) -> None:
    """34: collected in the midst of being read, a file gives a true beginning, at most one block more, and the error."""
    name = store.put(LARGE)

    class Sink(io.BytesIO):
        def write(self, data: bytes) -> int:  # type: ignore[override]
            store.collect(grace=0)
            return super().write(data)

    sink = Sink()
    with pytest.raises(errors.BlockMissingError):
        store.get_file(name, sink, limit=len(LARGE))
    assert sink.getvalue() in (LARGE[:MIB], LARGE[: 2 * MIB])


def test_a_young_file_stays_with_its_old_leaves(store: blocks.BlockStore) -> None:
    """Between put and pin a file is safe for an hour, also where putting it took hours: the root's age decides."""
    name = store.put(LARGE)
    age(store, seconds=7200)
    os.utime(stores.path(store.folder, name))
    assert store.collect().blocks == 0
    age(store, seconds=3599)
    assert store.collect().blocks == 0
    age(store, seconds=3601)
    assert store.collect().blocks == 4


def test_putting_again_makes_young(store: blocks.BlockStore) -> None:
    """A file that is put once more is safe for another hour, although not a byte of it is written."""
    store.put(LARGE)
    age(store, seconds=7200)
    store.put(LARGE)
    assert store.collect().blocks == 0


PUT_SLOWLY = """
import io, os, sys
from pathlib import Path
from exchange import blocks, unixfs
class Slow(io.RawIOBase):
    count = 0
    def readable(self): return True
    def readinto(self, buffer):
        self.count += 1
        if self.count > 40:
            print("half", flush=True)
            sys.stdin.readline()
            return 0
        size = min(len(buffer), 1 << 20)
        buffer[:size] = os.urandom(size)
        return size
print(blocks.BlockStore(Path(sys.argv[1])).put_file(Slow()), flush=True)
"""


def test_a_put_in_another_process_is_not_collected(store: blocks.BlockStore) -> None:
    """A put that is under way elsewhere loses nothing to collections and puts, however old its leaves are."""
    store.put(SMALL)
    command = [sys.executable, "-c", PUT_SLOWLY, str(store.folder)]
    pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE}
    with subprocess.Popen(command, text=True, cwd=Path.cwd(), **pipes) as process:
        assert process.stdout is not None
        assert process.stdin is not None
        assert process.stdout.readline() == "half\n"
        age(store, seconds=7200)
        before = names(store)
        assert len(before) > 30
        with pytest.raises(errors.BusyError, match="is being written to"):
            store.collect(grace=0, wait=0.1)
        assert names(store) == before
        assert store.put(b"beside it") != store.put(b"")  # sweeps up what is old and nobody's
        process.stdin.write("\n")
        process.stdin.flush()
        name = process.stdout.readline().strip()
    assert store.collect().blocks == 1  # the small file, two hours old
    assert len(store.get(name, limit=40 * MIB)) == 40 * MIB


def test_a_killed_put_does_not_keep_collection_out(store: blocks.BlockStore) -> None:
    """37: after kill -9 in the middle of a put the lock is free, and what was left, staged or placed, is collected."""
    kept = store.put(SMALL)
    store.pin(kept)
    command = [sys.executable, "-c", PUT_SLOWLY, str(store.folder)]
    pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE}
    with subprocess.Popen(command, text=True, cwd=Path.cwd(), **pipes) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "half\n"
        process.send_signal(signal.SIGKILL)
    assert len(names(store)) > 30
    store.collect(grace=0, wait=5)
    assert names(store) == {str(kept)}
    assert list((store.blocks / "tmp").iterdir()) == []


def test_a_collection_that_is_killed_leaves_no_headless_file(store: blocks.BlockStore) -> None:
    """37: killed after each of its removals, a collection left no root whose leaves are gone: has() is never wrong."""
    script = (
        "import os, signal, sys; from pathlib import Path; from exchange import blocks\n"
        "left = [int(sys.argv[2])]\n"
        "def hook(event, args):\n"
        "    if event == 'os.remove' and '/tmp/' not in str(args[0]).removeprefix(sys.argv[1]):\n"
        "        left[0] -= 1\n"
        "        if left[0] < 0: os.kill(os.getpid(), signal.SIGKILL)\n"
        "sys.addaudithook(hook)\n"
        "blocks.BlockStore(Path(sys.argv[1])).collect(grace=0)"
    )
    for removals in range(1, 5):
        name = store.put(LARGE)
        command = [sys.executable, "-c", script, str(store.folder), str(removals)]
        done = subprocess.run(command, check=False, cwd=Path.cwd())
        assert done.returncode == (-signal.SIGKILL if removals < 4 else 0)
        assert len(names(store)) == 4 - removals
        assert not store.has(name)


def test_many_puts_pins_and_collections_at_once(store: blocks.BlockStore) -> None:
    """Threads that put and pin, with no grace while they hold the lock, and one that collects: no pinned file is lost."""
    pinned: list[cid.Cid] = []
    stop = threading.Event()
    failures: list[Exception] = []

    def collect() -> None:
        while not stop.is_set():
            try:
                store.collect(grace=1.0, wait=60)
            except errors.StoreError as error:
                failures.append(error)

    def work(number: int) -> None:
        for turn in range(15):
            name = store.put(bytes([number, turn]) * (MIB // 2 + 100) if turn % 3 else LARGE)
            store.pin(name)
            pinned.append(name)

    collector = threading.Thread(target=collect)
    workers = [threading.Thread(target=work, args=(number,)) for number in range(3)]
    for thread in [collector, *workers]:
        thread.start()
    for thread in workers:
        thread.join()
    stop.set()
    collector.join()
    assert failures == []
    store.collect(grace=0)
    for name in pinned:
        assert len(store.get(name, limit=3 * MIB)) > 0
    assert len(names(store)) == 4 + 3 * 10 * 3


@pytest.mark.parametrize("damage", ["gone", "changed"])
def test_a_damaged_pin_stops_the_collection(store: blocks.BlockStore, damage: str) -> None:
    """Where a node below a pin cannot be read, what it needs is unknown: nothing is removed until it is put again."""
    name, small = store.put(LARGE), store.put(SMALL)
    store.pin(name)
    path = stores.path(store.folder, name)
    if damage == "gone":
        path.unlink()
    else:
        path.write_bytes(b"changed")
    before = names(store)
    with pytest.raises((errors.BlockMissingError, errors.BlockCorruptError), match="nothing is collected"):
        store.collect(grace=0)
    assert names(store) == before
    store.put(LARGE)
    store.collect(grace=0)
    assert store.get(name, limit=len(LARGE)) == LARGE
    assert not store.has(small)


def test_a_pin_whose_name_is_damaged_stops_the_collection(store: blocks.BlockStore) -> None:
    """A pin that cannot be read could be any file's, so it is an error, not nothing."""
    store.pin(store.put(SMALL))
    (store.blocks / "pins" / "bafk").touch()
    with pytest.raises(errors.StoreError, match="a pin that is no name"):
        store.collect(grace=0)
    assert names(store) == {str(unixfs.of(SMALL))}


def test_damaged_blocks_that_nobody_needs_are_collected(store: blocks.BlockStore) -> None:
    """A node whose bytes are wrong is no reason to keep it, and none to fail."""
    name = store.put(LARGE)
    stores.damage(store.folder, name, b"changed")
    assert store.collect(grace=0).blocks == 4


def test_what_is_not_a_block_is_left_alone(store: blocks.BlockStore) -> None:
    """A file that no block would be in, by name or place, is neither listed nor removed."""
    name = store.put(SMALL)
    strangers = [store.blocks / "aa" / "notes.txt", store.blocks / "zz" / str(name), store.folder / "lock"]
    for stranger in strangers:
        stranger.parent.mkdir(exist_ok=True)
        stranger.touch()
    assert store.collect(grace=0).blocks == 1
    assert all(stranger.exists() for stranger in strangers)


@given(st.lists(st.tuples(st.integers(0, 7), st.sampled_from(["put", "pin", "unpin", "collect"])), max_size=30))
def test_a_pinned_file_survives_any_order_of_events(
    tmp_path_factory: pytest.TempPathFactory, events: list[tuple[int, str]]
) -> None:
    """Whatever is put, pinned, unpinned and collected: what is pinned is there, and after a collection nothing else is."""
    store = blocks.BlockStore(tmp_path_factory.mktemp("events"), fsync="never")
    content = [bytes([number % 3]) * MIB + bytes([number]) for number in range(8)]
    pinned: set[int] = set()
    for number, event in [*events, (0, "collect")]:
        name = unixfs.of(content[number])
        if event == "put":
            store.put(content[number])
        elif event == "pin" and store.has(name):
            store.pin(name)
            pinned.add(number)
        elif event == "unpin":
            store.unpin(name)
            pinned.discard(number)
        elif event == "collect":
            store.collect(grace=0)
    assert {number for number in range(8) if store.has(unixfs.of(content[number]))} == pinned
    for number in pinned:
        assert store.get(unixfs.of(content[number]), limit=2 * MIB) == content[number]


def test_two_levels_go_parents_first(store: blocks.BlockStore) -> None:
    """A file of more than 1,024 leaves is marked through both levels of its nodes."""
    leaf = stores.plant(store.folder, cid.RAW, bytes(MIB))
    last = stores.plant(store.folder, cid.RAW, b"end")
    full = [nodes.Link(cid=leaf, size=MIB, total=MIB)] * 1024
    tail = [nodes.Link(cid=last, size=3, total=3)]
    below = []
    for children in (full, tail):
        block = nodes.encode(children)
        name = stores.plant(store.folder, cid.DAG_PB, block)
        size = sum(child.size for child in children)
        below.append(nodes.Link(cid=name, size=size, total=len(block) + size))
    root = stores.plant(store.folder, cid.DAG_PB, nodes.encode(below))
    store.pin(root)
    store.put(SMALL)
    assert store.collect(grace=0).blocks == 1
    assert len(names(store)) == 5
    stores.path(store.folder, last).unlink()
    store.unpin(root)
    with pytest.raises(errors.BlockMissingError, match=str(last)):
        store.pin(root)
    assert list(store.pins()) == []


def test_the_lock_is_shared_or_held_alone(tmp_path: Path) -> None:
    """Two may hold it together; nobody holds it alone then, nor shares it with one who does."""
    path = tmp_path / "lock"
    with lock.shared(path), lock.shared(path), pytest.raises(errors.BusyError, match="try later"):
        lock.alone(path, wait=0).__enter__()
    with lock.alone(path, wait=0), pytest.raises(errors.BusyError, match="try later"):
        lock.alone(path, wait=0.05).__enter__()
    with lock.alone(path):
        pass

"""Two stages at once: the items and the errors of the one that is ahead arrive as if there were no second thread."""

import io
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from exchange import ahead, blocks, errors, recipients, sealing, unixfs

MIB = 1 << 20
CONTEXT = b"\x01" * 32
ALICE = recipients.X25519Identity.generate()


@pytest.fixture(autouse=True)
def no_thread_is_left() -> Iterator[None]:
    """Whatever happened, nobody is at work any more."""
    yield
    assert [thread.name for thread in threading.enumerate() if thread.name.startswith("exchange-")] == []


class MakerError(Exception):
    """What a maker may raise."""


def broken(whole: int) -> Iterator[bytes]:
    """As many whole items of a MiB, then an error."""
    for number in range(whole):
        yield bytes([number]) * MIB
    raise MakerError(whole)


@given(st.lists(st.none() | st.integers(), max_size=20))
def test_the_order_is_kept(items: list[int | None]) -> None:
    """All items come, in their order, whatever they are."""
    assert list(ahead.ahead(items)) == items


def test_the_next_item_is_made_while_this_one_is_used() -> None:
    """One item is being made beside the one in use, on a thread of its own, and no third one is begun."""
    begun = [threading.Event() for _ in range(4)]
    makers = set()

    def made() -> Iterator[int]:
        for number, event in enumerate(begun):
            makers.add(threading.get_ident())
            event.set()
            yield number

    for number in ahead.ahead(made()):
        if number + 1 < len(begun):
            assert begun[number + 1].wait(10)
        time.sleep(0.01)
        assert not any(event.is_set() for event in begun[number + 2 :])
    assert len(makers - {threading.get_ident()}) == 1


@given(st.integers(0, 3))
def test_an_error_comes_behind_what_was_made_before_it(whole: int) -> None:
    """What the maker raises is raised where its item would have come, as it is."""
    items = ahead.ahead(broken(whole))
    assert [next(items)[0] for _ in range(whole)] == list(range(whole))
    with pytest.raises(MakerError, match=str(whole)):
        next(items)


def test_who_stops_early_leaves_nothing_running() -> None:
    """Closed before its end, it waits for the one item that is being made, and makes no more."""
    made = []

    def slowly() -> Iterator[int]:
        for number in range(100):
            time.sleep(0.01)
            made.append(number)
            yield number

    items = ahead.ahead(slowly())
    assert next(items) == 0
    items.close()
    assert made == [0, 1]


@pytest.mark.parametrize("whole", [0, 1, 4])
def test_an_error_while_sealing_passes_through_a_deposit(tmp_path: Path, whole: int) -> None:
    """40: what the plaintext's maker raises on the other thread reaches the caller, and no block of it stays staged."""
    store = blocks.BlockStore(tmp_path)
    with pytest.raises(MakerError):
        sealing.deposit(store, broken(whole), recipients=[ALICE.recipient], context=CONTEXT)
    assert list((tmp_path / "blocks").rglob("tmp/*")) == []


def test_an_error_of_the_store_ends_the_sealing(tmp_path: Path) -> None:
    """40: a store that takes no more ends the thread that seals, and its error is the one that is told."""
    store = blocks.BlockStore(tmp_path, quota=2 * MIB + 1000)
    with pytest.raises(errors.QuotaError):
        sealing.deposit(store, (bytes(MIB) for _ in range(20)), recipients=[ALICE.recipient], context=CONTEXT)
    assert list((tmp_path / "blocks" / "tmp").iterdir()) == []


def test_a_damaged_block_is_told_behind_the_ones_before_it(tmp_path: Path) -> None:
    """28: reading ahead gives out the true beginning, block by block, then the error of the block that is bad."""
    store, data = blocks.BlockStore(tmp_path), b"".join(bytes([number]) * MIB for number in range(5))
    name = store.put(data)
    bad = str(unixfs.of(data[3 * MIB : 4 * MIB]))
    (tmp_path / "blocks" / bad[-3:-1] / bad).write_bytes(bytes(MIB))
    sink = io.BytesIO()
    with pytest.raises(errors.BlockCorruptError, match=bad):
        store.get_file(name, sink, limit=len(data))
    assert sink.getvalue() == data[: 3 * MIB]


class Slow(io.BytesIO):
    """Takes its time before it looks at what it was given; a full disk after so many bytes."""

    def __init__(self, room: int) -> None:
        super().__init__()
        self.room = room

    def write(self, data, /) -> int:
        time.sleep(0.02)
        if self.tell() + len(data) > self.room:
            raise OSError(28, "full")
        return super().write(data)


def test_a_block_stays_as_it_is_while_it_is_written(tmp_path: Path) -> None:
    """Reading ahead does not overwrite the block that a slow sink has not taken yet; an error of the sink passes through."""
    store, data = blocks.BlockStore(tmp_path), b"".join(bytes([number]) * MIB for number in range(5)) + b"end"
    name, sink = store.put(data), Slow(len(data))
    assert store.get_file(name, sink, limit=len(data)) == len(data)
    assert sink.getvalue() == data
    with pytest.raises(OSError, match="full"):
        store.get_file(name, Slow(2 * MIB), limit=len(data))

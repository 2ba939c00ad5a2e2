"""Several stores as one: ours first, then peers that may lie, hang or be gone."""

import io
import logging
import threading
import time
from pathlib import Path

import pytest

from exchange import blocks, errors, gateway, layered, rests, store, unixfs
from tests import gateways
from tests.exchange import stores

LARGE = bytes(range(251)) * 12_000
NAME = unixfs.of(LARGE)
MIB = 1 << 20


def lying() -> gateways.Script:
    return lambda connection, _head: connection.sendall(gateways.answer(b"other bytes"))


def hanging(connection: object, _head: bytes) -> None:
    connection.recv(1)  # type: ignore[attr-defined]


def asking(url: str) -> gateway.Gateway:
    return gateway.Gateway(url, patience=0.4, seconds=1.0)


def holding(folder: Path) -> blocks.BlockStore:
    held = blocks.BlockStore(folder)
    held.put(LARGE)
    return held


class Counted(blocks.BlockStore):
    """A block store that counts how often it was asked for a file."""

    asked = 0

    def get_file(self, *args: object, **limits: object) -> int:  # type: ignore[override]
        self.asked += 1
        return super().get_file(*args, **limits)  # type: ignore[arg-type]


def test_what_was_fetched_is_ours(tmp_path: Path) -> None:
    """A file that a peer gave is kept: the second time nobody is asked."""
    holding(tmp_path / "far")
    far, near = Counted(tmp_path / "far"), blocks.BlockStore(tmp_path / "near")
    with layered.Layered(near, {"far": far}) as both:
        for _ in range(2):
            assert both.get(NAME, limit=len(LARGE)) == LARGE
    assert far.asked == 1
    assert near.get(NAME, limit=len(LARGE)) == LARGE


@pytest.mark.parametrize("script", [lying(), hanging], ids=["lies (30)", "hangs (31)"])
def test_a_bad_peer_is_named_and_left_alone(
    tmp_path: Path, script: gateways.Script, caplog: pytest.LogCaptureFixture
) -> None:
    """30, 31: the next peer is asked; the bad one is in the log once, is not asked for a while, and then again."""
    other = unixfs.of(b"other file")
    blocks.BlockStore(tmp_path / "far").put(b"other file")
    with gateways.scripted(script) as url, asking(url) as bad:
        peers: dict[str, store.Store] = {"bad": bad, "good": holding(tmp_path / "far")}
        with layered.Layered(blocks.BlockStore(tmp_path / "near"), peers, rest=1.5) as both:
            with caplog.at_level(logging.WARNING):
                assert both.get(NAME, limit=len(LARGE)) == LARGE
                assert both.get(other, limit=100) == b"other file"
            told = [record.getMessage() for record in caplog.records]
            assert len(told) == 1
            assert told[0].startswith("bad is left alone for 1.5 s: ")
            assert url in told[0]
            time.sleep(1.6)
            with pytest.raises(errors.PeerError, match=url):
                both.get(unixfs.of(b"nobody has this"), limit=100)


def test_a_missing_file_is_nobodys_fault(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    """Who does not have a file is asked for the next one; that it is missing is said only if all said so."""
    peers: dict[str, store.Store] = {"a": blocks.BlockStore(tmp_path / "a"), "b": holding(tmp_path / "b")}
    absent = unixfs.of(b"nobody has this")
    with layered.Layered(blocks.BlockStore(tmp_path / "near"), peers) as both:
        with pytest.raises(errors.BlockMissingError, match=str(absent)):
            both.get(absent, limit=100)
        assert both.get(NAME, limit=len(LARGE)) == LARGE
    assert not caplog.records


def test_a_hostile_name_costs_no_peer(tmp_path: Path) -> None:
    """12, 32: a tree that is not the profile's, or a file over the limit, is refused, and honest peers stay in use."""
    bad = stores.plant(tmp_path / "far", 0x70, b"no node")
    with layered.Layered(blocks.BlockStore(tmp_path / "near"), {"far": holding(tmp_path / "far")}) as both:
        with pytest.raises(errors.BlockCorruptError):
            both.get(bad, limit=100)
        with pytest.raises(errors.TooLargeError):
            both.get(NAME, limit=len(LARGE) - 1)
        assert both.get(NAME, limit=len(LARGE)) == LARGE


@pytest.mark.parametrize("position", [0, 1, 2])
def test_our_own_damage_is_healed(tmp_path: Path, position: int) -> None:
    """30: a block that is damaged here comes from a peer; the sink gets each byte once, and our copy is whole again."""
    near, sink = holding(tmp_path / "near"), io.BytesIO()
    leaf = unixfs.of(LARGE[position * MIB : (position + 1) * MIB])
    stores.damage(tmp_path / "near", leaf, b"damaged")
    with layered.Layered(near, {"far": holding(tmp_path / "far")}) as both:
        assert both.get_file(NAME, sink, limit=len(LARGE)) == len(LARGE)
    assert sink.getvalue() == LARGE
    assert near.get(NAME, limit=len(LARGE)) == LARGE


def test_a_peer_that_breaks_off_gives_way(tmp_path: Path) -> None:
    """34: what one peer began another ends, and the sink gets each byte once."""
    first, sink = holding(tmp_path / "first"), io.BytesIO()
    stores.path(tmp_path / "first", unixfs.of(LARGE[2 * MIB :])).unlink()
    peers: dict[str, store.Store] = {"first": first, "second": holding(tmp_path / "second")}
    with layered.Layered(blocks.BlockStore(tmp_path / "near"), peers) as both:
        assert both.get_file(NAME, sink, limit=len(LARGE)) == len(LARGE)
    assert sink.getvalue() == LARGE


def test_a_slow_peer_is_overtaken(tmp_path: Path) -> None:
    """31: with a hedge the next is asked before the first has failed, and its answer is taken."""
    with gateways.scripted(hanging) as url, gateway.Gateway(url, patience=1.5) as slow:
        peers: dict[str, store.Store] = {"slow": slow, "quick": holding(tmp_path / "far")}
        with layered.Layered(blocks.BlockStore(tmp_path / "near"), peers, hedge=0.1) as both:
            start = time.monotonic()
            assert both.get(NAME, limit=len(LARGE)) == LARGE
            assert time.monotonic() - start < 1.0
        time.sleep(1.6)
    assert not [thread for thread in threading.enumerate() if thread.name == "exchange"]


def test_all_peers_fail_with_a_hedge(tmp_path: Path) -> None:
    """With a hedge too, the error names who failed."""
    with gateways.scripted(lying()) as url, asking(url) as bad:
        peers: dict[str, store.Store] = {"bad": bad, "empty": blocks.BlockStore(tmp_path / "far")}
        with (
            layered.Layered(blocks.BlockStore(tmp_path / "near"), peers, hedge=0.1) as both,
            pytest.raises(errors.PeerError, match=url),
        ):
            both.get(NAME, limit=len(LARGE))


def test_what_is_put_is_pushed(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    """What is put here is put at the peers named for it; one that does not take it is named, and nothing else changes."""
    taking = blocks.BlockStore(tmp_path / "taking")
    with gateway.Gateway("http://127.0.0.1:9") as refusing:
        peers: dict[str, store.Store] = {
            "taking": taking,
            "refusing": refusing,
            "other": blocks.BlockStore(tmp_path / "o"),
        }
        with layered.Layered(blocks.BlockStore(tmp_path / "near"), peers, push=["taking", "refusing"]) as both:
            assert both.put(LARGE) == both.put_file(io.BytesIO(LARGE)) == NAME
            assert taking.get(NAME, limit=len(LARGE)) == LARGE
    assert not (tmp_path / "o").exists()
    assert all("refusing" in record.getMessage() for record in caplog.records)
    assert len(caplog.records) == 2
    with pytest.raises(ValueError, match="push"):
        layered.Layered(taking, {}, push=["nobody"])


def test_nobody_has_it_and_one_is_down(tmp_path: Path) -> None:
    """31, 34: whether a file is missing is known only if all said so; else each peer is named with what it said."""
    absent, held = unixfs.of(b"nobody has this"), holding(tmp_path / "b")
    with asking("http://127.0.0.1:9") as gone, asking("http://127.0.0.1:9") as resting:
        peers: dict[str, store.Store] = {"a": blocks.BlockStore(tmp_path / "a"), "gone": gone, "b": held, "c": resting}
        with layered.Layered(blocks.BlockStore(tmp_path / "near"), peers, rest=60.0) as both:
            for said in ("gateway http://127.0.0.1:9: ", "left alone for a while"):
                with pytest.raises(errors.PeerError) as caught:
                    both.get(absent, limit=100)
                told = str(caught.value).partition("not to be had: ")[2].split("; ")
                assert [each.partition(": ")[0] for each in told] == ["a", "gone", "b", "c"]
                assert f"block {absent} is not in {tmp_path / 'b'}" in told[2]
                assert told[1].partition(": ")[2].startswith(said)
    with (
        layered.Layered(blocks.BlockStore(tmp_path / "near"), {"a": peers["a"], "b": held}) as both,
        pytest.raises(errors.BlockMissingError, match=r"no peer has it: a: block .*; b: block"),
    ):
        both.get(absent, limit=100)


def test_what_cannot_be_kept_is_given_all_the_same(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    """A full store of ours costs the copy, not the file."""
    near = blocks.BlockStore(tmp_path / "near", quota=1000)
    with layered.Layered(near, {"far": holding(tmp_path / "far")}) as both:
        assert both.get(NAME, limit=len(LARGE)) == LARGE
    assert "cannot be kept" in caplog.text


def test_two_holders_fetch_from_each_other(tmp_path: Path) -> None:
    """Each serves its own folder and reads the other's, over HTTP, with no daemon: both end with both files."""
    mine, yours = b"mine" * 700_000, b"yours" * 600_000
    folders = (tmp_path / "a", tmp_path / "b")
    names = [blocks.BlockStore(folder).put(data) for folder, data in zip(folders, (mine, yours), strict=True)]
    with gateways.served(folders[0]) as first, gateways.served(folders[1]) as second:
        for folder, url in zip(folders, (second, first), strict=True):
            with layered.Layered(blocks.BlockStore(folder), {url: gateway.Gateway(url)}) as both:
                assert [both.get(name, limit=4 * MIB) for name in names] == [mine, yours]
    for folder in folders:
        assert [blocks.BlockStore(folder).get(name, limit=4 * MIB) for name in names] == [mine, yours]


def test_rests_grow_and_are_forgotten() -> None:
    """2, 4, 8 ... seconds, at most two minutes; one success and it starts anew."""
    alone = rests.Rests(["a", "b"], seconds=2.0)
    assert [alone.failed("a") for _ in range(8)] == [2.0, 4.0, 8.0, 16.0, 32.0, 64.0, 120.0, 120.0]
    assert alone.over() == ["b"]
    alone.succeeded("a")
    assert alone.failed("a") == 2.0


def test_without_peers_nobody_is_asked(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    """30: a damaged file of which there is no other copy is told as what it is."""
    held = holding(tmp_path)
    stores.damage(tmp_path, unixfs.of(LARGE[:MIB]), b"damaged")
    with layered.Layered(held, {}) as alone:
        for read in (
            lambda: alone.get(NAME, limit=len(LARGE)),
            lambda: alone.get_file(NAME, io.BytesIO(), limit=len(LARGE)),
            lambda: alone.block(unixfs.of(LARGE[:MIB])),
        ):
            with pytest.raises(errors.BlockCorruptError, match="does not hash"):
                read()
        with pytest.raises(errors.BlockMissingError, match="is not in"):
            alone.get(unixfs.of(b"absent"), limit=100)
    assert not caplog.records

"""What others could not take when it was put, and are given later."""

import io
import logging
from pathlib import Path

import pytest

from exchange import blocks, copies, errors, ipfs, layered, pins, places, unixfs
from exchange import cid as cids
from tests import nodes

FIRST, SECOND, LARGE = b"the first", b"the second", bytes(range(251)) * 12_000


class Moody(blocks.BlockStore):
    """A peer that can be switched off."""

    down = True
    taken = 0

    def put(self, data: bytes | bytearray | memoryview) -> cids.Cid:
        if self.down:
            raise errors.PeerError("it is down")
        self.taken += 1
        return super().put(data)

    def put_file(self, file: object) -> cids.Cid:  # type: ignore[override]
        if self.down:
            raise errors.PeerError("it is down")
        self.taken += 1
        return super().put_file(file)  # type: ignore[arg-type]


def pair(folder: Path, *peers: Moody, copies: int | None = None, rest: float = 0.0) -> layered.Layered:
    """A store of ours with these peers, as a process of its own would open it."""
    near = blocks.BlockStore(folder / "near")
    owed = pins.Pins(near.blocks / "owed", durable=True)
    named = {f"peer {number}": peer for number, peer in enumerate(peers)}
    return layered.Layered(near, named, push=list(named), copies=copies, owed=owed, rest=rest)


def owed(folder: Path) -> set[str]:
    where = folder / "near" / "blocks" / "owed"
    return {path.name for path in where.iterdir()} if where.exists() else set()


@pytest.mark.parametrize("later", ["put", "open"])
def test_what_is_owed_is_paid(tmp_path: Path, caplog: pytest.LogCaptureFixture, later: str) -> None:
    """Put while the peer is down, it is here, owed by name, and the peer's with the next put or opening, in any process."""
    peer = Moody(tmp_path / "far")
    with pair(tmp_path, peer) as both:
        names = [both.put(FIRST), both.put_file(io.BytesIO(LARGE))]
    assert owed(tmp_path) == set(map(str, names))
    for name in names:
        assert f"{name} is owed to 1 of peer 0" in caplog.text
    peer.down = False
    with pair(tmp_path, peer) as both:
        both.settle() if later == "open" else both.put(SECOND)
    assert [peer.get(name, limit=len(LARGE)) for name in names] == [FIRST, LARGE]
    assert owed(tmp_path) == set()
    assert blocks.BlockStore(tmp_path / "near").get(names[0], limit=9) == FIRST


def test_enough_copies_are_no_debt(tmp_path: Path) -> None:
    """With one copy wanted, the first peer that takes it is enough; with two, the one that is down is owed."""
    up, down = Moody(tmp_path / "up"), Moody(tmp_path / "down")
    up.down = False
    with pair(tmp_path, down, up, copies=1) as both:
        both.put(FIRST)
        assert owed(tmp_path) == set()
    with pair(tmp_path, down, up) as both:
        both.put(SECOND)
        assert owed(tmp_path) == {str(unixfs.of(SECOND))}
        down.down = False
        both.put(SECOND)
        assert down.taken == 1  # not once more to pay the debt
    assert owed(tmp_path) == set()
    assert down.has(unixfs.of(SECOND))
    assert not down.has(unixfs.of(FIRST))


def test_a_peer_that_fails_is_left_alone(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    """31: it is not asked again with each put, and what it is owed waits, by name."""
    with pair(tmp_path, Moody(tmp_path / "far"), rest=60.0) as both:
        names = [both.put(data) for data in (FIRST, SECOND)]
        both.settle()
    assert caplog.text.count("was not put at peer 0: it is down") == 1
    assert "peer 0 is left alone for 60 s" in caplog.text
    assert owed(tmp_path) == set(map(str, names))


def test_debts_are_bounded(tmp_path: Path, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch) -> None:
    """No more files are remembered than MAX_OWED, those beyond are named; with one put no more are paid than AT_ONCE."""
    monkeypatch.setattr(copies, "MAX_OWED", 5)
    monkeypatch.setattr(copies, "AT_ONCE", 2)
    peer = Moody(tmp_path / "far")
    with pair(tmp_path, peer) as both:
        names = [both.put(b"%d" % number) for number in range(7)]
        assert len(owed(tmp_path)) == 5
        both.put(b"0")  # is remembered already
        assert caplog.text.count("not remembered: 5 files are") == 2
        assert all(f"{name} is owed to" in caplog.text for name in names)
        peer.down = False
        both.put(SECOND)
        assert len(owed(tmp_path)) == 3
        both.settle()
    assert owed(tmp_path) == set()


@pytest.mark.parametrize("harm", ["gone", "damaged"])
def test_what_is_not_here_any_more_is_owed_no_longer(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, harm: str
) -> None:
    """34: what was collected or damaged meanwhile is named, and does not stand in the way of the others."""
    peer = Moody(tmp_path / "far")
    with pair(tmp_path, peer) as both:
        lost, kept = both.put(FIRST), both.put(SECOND)
        path = tmp_path / "near" / "blocks" / str(lost)[-3:-1] / str(lost)
        path.unlink() if harm == "gone" else path.write_bytes(b"damaged!!")
        peer.down = False
        both.settle()
    assert (peer.has(kept), peer.has(lost), owed(tmp_path)) == (True, False, set())
    assert f"{lost} is owed to 1 of peer 0, and not all here any more" in caplog.text


def test_a_list_that_cannot_be_read_costs_no_file(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    """What is put is put, whatever became of the list of debts."""
    peer = Moody(tmp_path / "far")
    with pair(tmp_path, peer) as both:
        both.put(FIRST)
        (tmp_path / "near" / "blocks" / "owed" / "no name").touch()
        peer.down = False
        name = both.put(SECOND)
        assert both.get(name, limit=10) == SECOND
        both.settle()
    assert "a pin that is no name" in caplog.text


def test_a_run_pays_its_node_when_it_is_back(
    ipfs: tuple[nodes.Node, nodes.Node], tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """A place whose only node was killed: what was put meanwhile is in the node, and pinned, once it was opened again."""
    place = places.Place(folder=tmp_path, api=(ipfs[0].api,))
    ipfs[0].kill()
    try:
        with places.open(place, settle=True) as both, caplog.at_level(logging.WARNING):
            name = both.put(LARGE)
        assert f"{name} is owed to 1 of {ipfs[0].api}" in caplog.text
    finally:
        ipfs[0].start()
    with places.open(place):
        assert name not in set(at(ipfs[0]).pins())
    with places.open(place, settle=True):
        assert name in set(at(ipfs[0]).pins())
    assert at(ipfs[0]).get(name, limit=len(LARGE)) == LARGE


def at(node: nodes.Node) -> ipfs.IpfsStore:
    return ipfs.IpfsStore(node.api)

"""The stores that every test of tests/exchange/test_stores.py runs through, each opened on a fresh folder.

A store is added by adding its opener to STORES. An opener that needs a program which is missing calls `pytest.skip`.
"""

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass
from pathlib import Path

import httpx
import pytest

from exchange import blocks, car, cid, gateway, ipfs, layered, store, unixfs
from exchange import nodes as nodes_of
from tests import gateways, nodes


@dataclass(frozen=True, kw_only=True)
class Bench:
    """A store and what happens behind its back.

    Attributes:
        store: what is tested.
        seed: brings a file to where the store reads; that is `store.put` unless it is read-only.
        plant: brings there one block, under the name of its codec and hash, None if that cannot be done.
        damage: brings there other bytes under a name, None if that cannot be done.
        lose: takes a block away from there, None if that cannot be done.
        writable: whether the store takes files and pins.
    """

    store: store.Store
    seed: Callable[[bytes], cid.Cid]
    plant: Callable[[int, bytes], cid.Cid] | None = None
    damage: Callable[[cid.Cid, bytes], None] | None = None
    lose: Callable[[cid.Cid], None] | None = None
    writable: bool = True


def path(folder: Path, name: cid.Cid) -> Path:
    """Where a block store in `folder` keeps that block."""
    return folder / "blocks" / str(name)[-3:-1] / str(name)


def damage(folder: Path, name: cid.Cid, block: bytes) -> None:
    """Put these bytes where a block store in `folder` keeps that block."""
    path(folder, name).parent.mkdir(parents=True, exist_ok=True)
    path(folder, name).write_bytes(block)


def plant(folder: Path, codec: int, block: bytes) -> cid.Cid:
    """Put a block that no `put` would make into a block store in `folder`, under its right name."""
    name = cid.Cid.of_block(codec, block)
    damage(folder, name, block)
    return name


def bomb(folder: Path | None, *, levels: int, last: int = 1024) -> list[tuple[cid.Cid, bytes]]:
    """The blocks of a file of zeros, leaf first and root last: `levels` full nodes, and a root of so many of the last.

    Args:
        folder: of a block store, where they are put; None for nowhere.
        levels: of full nodes below the root.
        last: children of the root.
    """
    zeros = bytes(unixfs.CHUNK)
    found = [(cid.Cid.of_block(cid.RAW, zeros), zeros)]
    link = nodes_of.Link(cid=found[0][0], size=len(zeros), total=len(zeros))
    for count in [*[unixfs.WIDTH] * levels, last]:
        block = nodes_of.encode([link] * count)
        name = cid.Cid.of_block(cid.DAG_PB, block)
        found.append((name, block))
        link = nodes_of.Link(cid=name, size=count * link.size, total=len(block) + count * link.total)
    for name, block in found if folder is not None else ():
        damage(folder, name, block)
    return found


@contextmanager
def embedded(folder: Path) -> Iterator[Bench]:
    """The embedded block store."""
    with blocks.BlockStore(folder) as opened:
        yield Bench(
            store=opened,
            seed=opened.put,
            plant=lambda codec, block: plant(folder, codec, block),
            damage=lambda name, block: damage(folder, name, block),
            lose=lambda name: path(folder, name).unlink(),
        )


@contextmanager
def under_quota(folder: Path) -> Iterator[Bench]:
    """The embedded block store with a quota that is not reached, and without syncing."""
    with blocks.BlockStore(folder, quota=1 << 30, fsync="never") as opened, embedded(folder) as bench:
        yield Bench(store=opened, seed=opened.put, plant=bench.plant, damage=bench.damage, lose=bench.lose)


@contextmanager
def gateway_to(folder: Path) -> Iterator[Bench]:
    """Our gateway client, asking our gateway for the blocks in a folder."""
    held = blocks.BlockStore(folder)
    with gateways.served(folder) as url, gateway.Gateway(url) as opened:
        yield Bench(
            store=opened,
            seed=held.put,
            plant=lambda codec, block: plant(folder, codec, block),
            damage=lambda name, block: damage(folder, name, block),
            lose=lambda name: path(folder, name).unlink(),
            writable=False,
        )


@contextmanager
def with_a_peer(folder: Path) -> Iterator[Bench]:
    """A layered store that fetched what it has from its one peer."""
    near, far = folder / "near", folder / "far"
    peer = blocks.BlockStore(far)
    with layered.Layered(blocks.BlockStore(near), {"far": peer}, push=["far"]) as opened:

        def seed(data: bytes) -> cid.Cid:
            name = peer.put(data)
            opened.get(name, limit=len(data))
            return name

        def damage_both(name: cid.Cid, block: bytes) -> None:
            damage(near, name, block)
            damage(far, name, block)

        def lose_both(name: cid.Cid) -> None:
            path(near, name).unlink()
            path(far, name).unlink()

        yield Bench(
            store=opened,
            seed=seed,
            plant=lambda codec, block: plant(far, codec, block),
            damage=damage_both,
            lose=lose_both,
        )


def plant_at(api: str, codec: int, block: bytes) -> cid.Cid:
    """Put a block into a node."""
    name = cid.Cid.of_block(codec, block)
    file = b"".join(car.encode([name], [(name, block)]))
    asked, sent = {"pin-roots": "false"}, {"file": ("file", file, "application/octet-stream")}
    httpx.post(f"{api}/api/v0/dag/import", params=asked, files=sent, trust_env=False).raise_for_status()
    return name


@contextmanager
def at_a_node(folder: Path, pair: tuple[nodes.Node, nodes.Node]) -> Iterator[Bench]:
    """One of two IPFS nodes."""
    api = pair[0].api
    with ipfs.IpfsStore(api, seconds=1) as opened:
        yield Bench(
            store=opened,
            seed=opened.put,
            plant=lambda codec, block: plant_at(api, codec, block),
            damage=pair[0].damage,
            lose=pair[0].lose,
        )
    pair[0].heal()


@contextmanager
def at_another_node(folder: Path) -> Iterator[Bench]:
    """The node that FOLKMOOT_IPFS_API names."""
    if not nodes.elsewhere():
        pytest.skip("FOLKMOOT_IPFS_API names no node")
    (api,) = nodes.elsewhere()
    with ipfs.IpfsStore(api, seconds=2) as opened:
        yield Bench(store=opened, seed=opened.put, plant=lambda codec, block: plant_at(api, codec, block))


STORES: dict[str, Callable[..., AbstractContextManager[Bench]]] = {
    "blocks": embedded,
    "blocks-quota": under_quota,
    "gateway": gateway_to,
    "layered": with_a_peer,
    "ipfs": at_a_node,
    "ipfs-elsewhere": at_another_node,
}
NEEDS = {"ipfs": ("ipfs",)}
"""Fixtures that an opener takes beside the folder."""

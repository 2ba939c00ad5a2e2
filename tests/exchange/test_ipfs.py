"""Files in real IPFS nodes. With FOLKMOOT_IPFS_API the tests that need but one node run against that one too."""

import contextlib
import hashlib
import io
import os
import random
import subprocess
import time
import tracemalloc
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest

from exchange import blocks, errors, ipfs, rpc, unixfs
from exchange import cid as cids
from tests import nodes

MIB = 1 << 20
OWN_WIDTH = 174
"""Children of a node in what js-ipfs adds by itself, whatever it is asked for."""
SIZES = [0, 1, MIB - 1, MIB, MIB + 1, 25_000_000, *random.Random(0).sample(range(2, 40 * MIB), 4)]
LARGE = [250_000_000, 1_100_000_000]
IMPORTER = """
import { importer } from 'ipfs-unixfs-importer';
import { createReadStream } from 'node:fs';
const [path, width] = process.argv.slice(1);
const options = { cidVersion: 1, rawLeaves: true, onlyHash: true, maxChunkSize: 1 << 20, maxChildrenPerNode: Number(width) };
const source = [{ path: 'file', content: createReadStream(path, { highWaterMark: 1 << 20 }) }];
for await (const file of importer(source, { put: async () => {} }, options)) console.log(String(file.cid));
"""


@pytest.fixture(params=["ours", *nodes.elsewhere()])
def api(request: pytest.FixtureRequest) -> str:
    return request.getfixturevalue("ipfs")[0].api if request.param == "ours" else request.param


@pytest.fixture
def store(api: str) -> Iterator[ipfs.IpfsStore]:
    with ipfs.IpfsStore(api) as opened:
        before = set(opened.pins())
        yield opened
        for name in set(opened.pins()) - before:
            opened.unpin(name)


def written(path: Path, size: int) -> Path:
    """A file of pseudo-random bytes."""
    source = random.Random(size)
    with path.open("wb") as file:
        for start in range(0, size, MIB):
            file.write(source.randbytes(min(MIB, size - start)))
    return path


def added(api: str, path: Path) -> str:
    """The CID that the node gives the file itself, cutting it up as our profile does; nothing of ours has a part in it."""
    options = {"cid-version": "1", "raw-leaves": "true", "chunker": f"size-{MIB}", "max-file-links": "1024"}
    with path.open("rb") as file:
        files = {"file": ("file", file, "application/octet-stream")}
        answer = asked(api, "add", files=files, **options, **{"cid-base": "base32", "pin": "false"})
    return answer.json()["Hash"]


def asked(api: str, path: str, files: object = None, **options: str) -> httpx.Response:
    url = f"{api}/api/v0/{path}"
    answer = httpx.post(url, params=options, files=files, timeout=900, trust_env=False)
    return answer.raise_for_status()


@pytest.mark.parametrize("size", SIZES)
def test_the_node_names_a_file_as_we_do(store: ipfs.IpfsStore, tmp_path: Path, size: int) -> None:
    """What the node makes of the file by itself, what it makes of our CAR, and what we compute are one CID."""
    path = written(tmp_path / "file", size)
    name = added(store.api, path)
    with path.open("rb") as file:
        assert str(unixfs.build(file, lambda _name, _block: None).cid) == name
        file.seek(0)
        assert str(store.put_file(file)) == name
    assert store.get(name, limit=size) == path.read_bytes()


@pytest.mark.chaos
@pytest.mark.parametrize("size", LARGE)
def test_the_node_names_a_large_file_as_we_do(
    ipfs: tuple[nodes.Node, nodes.Node], tmp_path: Path, size: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """More leaves than the node's own width, and more than ours: our CAR keeps its root, and holds the whole file for it.

    js-ipfs cuts at 174 children a node, so its own `add` is compared with our builder at that width.
    """
    path, api = written(tmp_path / "file", size), ipfs[0].api
    name = pushed(api, path)
    assert str(name) in asked(api, "pin/ls", arg=str(name), type="recursive", **{"cid-base": "base32"}).json()["Keys"]
    assert asked(api, "files/stat", arg=f"/ipfs/{name}").json()["Size"] == size
    with path.open("rb") as file:
        assert digest_by_cat(api, name) == hashlib.file_digest(file, "sha256").hexdigest()
    own = added(api, path)
    monkeypatch.setattr(unixfs, "WIDTH", OWN_WIDTH)
    with path.open("rb") as file:
        assert str(unixfs.build(file, lambda _name, _block: None).cid) == own != str(name)


@pytest.mark.chaos
@pytest.mark.parametrize("size", [*LARGE, (1 << 30) - 1, 1 << 30, (1 << 30) + 1, 2_200_000_000])
def test_another_builder_names_a_large_file_as_we_do(tmp_path: Path, size: int) -> None:
    """At our own width of 1,024 children, below, at and above the border of a second level: what js-ipfs builds with."""
    path = written(tmp_path / "file", min(size, 40 * MIB))
    os.truncate(path, size)
    with path.open("rb") as file:
        assert str(unixfs.build(file, lambda _name, _block: None).cid) == built(path, 1024) != built(path, OWN_WIDTH)


def built(path: Path, width: int) -> str:
    """The CID of a file by js-ipfs' builder, with so many children a node."""
    command = ["node", "--input-type=module", "--eval", IMPORTER, "--", str(path), str(width)]
    return subprocess.run(command, check=True, capture_output=True, text=True, cwd=nodes.modules()).stdout.strip()


def pushed(api: str, path: Path) -> cids.Cid:
    with path.open("rb") as file, ipfs.IpfsStore(api, seconds=600) as store:
        return store.put_file(file)


def digest_by_cat(api: str, name: cids.Cid) -> str:
    found = hashlib.sha256()
    with httpx.stream("POST", f"{api}/api/v0/cat", params={"arg": str(name)}, timeout=900, trust_env=False) as answer:
        for part in answer.iter_bytes():
            found.update(part)
    return found.hexdigest()


def test_what_is_put_at_one_node_is_got_at_another(ipfs: tuple[nodes.Node, nodes.Node]) -> None:
    """By bitswap, block by block; the other node never had it."""
    data = os.urandom(12 * MIB + 5)
    first, second = (ipfs_store(node.api) for node in ipfs)
    name = first.put(data)
    local = asked(ipfs[1].api, "refs/local").text
    assert str(name) not in local
    assert second.get(name, limit=len(data)) == data
    second.pin(name)
    first.unpin(name)
    assert name in set(second.pins())
    assert name not in set(first.pins())


def ipfs_store(api: str) -> ipfs.IpfsStore:
    return ipfs.IpfsStore(api, seconds=30)


def test_a_file_passes_through_in_constant_memory(store: ipfs.IpfsStore, tmp_path: Path) -> None:
    """40 MiB are put and got in less than 12 MiB of memory."""
    path, back = written(tmp_path / "file", 40 * MIB), tmp_path / "back"
    tracemalloc.start()
    with path.open("rb") as source, back.open("wb") as sink:
        name = store.put_file(source)
        assert store.get_file(name, sink, limit=40 * MIB) == 40 * MIB
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 12 * MIB
    assert back.read_bytes() == path.read_bytes()


def test_a_pipe_is_put_too(store: ipfs.IpfsStore) -> None:
    """What cannot be read twice is put all the same."""
    data = os.urandom(30_000)
    reading, writing = os.pipe()
    with os.fdopen(reading, "rb") as source:
        with os.fdopen(writing, "wb") as sink:
            sink.write(data)
        assert store.put_file(source) == unixfs.of(data)


def test_put_begins_where_the_file_stands(store: ipfs.IpfsStore) -> None:
    """From the position to the end, as with every store."""
    file = io.BytesIO(b"passed over|kept")
    file.seek(12)
    assert store.put_file(file) == unixfs.of(b"kept")


def test_what_is_nowhere_is_missed_in_time(api: str) -> None:
    """Within the time that was given, by an error that says so; the node goes on answering others meanwhile."""
    store, absent = ipfs.IpfsStore(api, seconds=1), cids.Cid.of_block(cids.RAW, os.urandom(32))
    start = time.monotonic()
    assert not store.has(absent)
    for ask in (store.block, store.pin, lambda name: store.get(name, limit=1)):
        with pytest.raises(errors.BlockMissingError, match=str(absent)):
            ask(absent)
    assert time.monotonic() - start < 15
    assert absent not in set(store.pins())
    assert store.get(store.put(b"meanwhile"), limit=9) == b"meanwhile"


def test_a_block_that_nobody_has_is_missed_in_the_middle(store: ipfs.IpfsStore) -> None:
    """The root alone is not the file: the leaf that is missing is named."""
    kept: dict[cids.Cid, bytes] = {}
    root = unixfs.assemble(
        unixfs.slices(memoryview(os.urandom(3 * MIB))), lambda name, block: kept.update({name: block})
    )
    asked(
        store.api,
        "block/put",
        files={"file": ("block", bytes(kept[root.cid]), "application/octet-stream")},
        **{"cid-codec": "dag-pb", "format": "dag-pb", "mhtype": "sha2-256", "version": "1"},
    )
    brief = ipfs.IpfsStore(store.api, seconds=1)
    assert brief.has(root.cid)
    with pytest.raises(errors.BlockMissingError, match=str(next(iter(kept)))):
        brief.get(root.cid, limit=3 * MIB)


def test_pins_are_kept_apart(store: ipfs.IpfsStore) -> None:
    """What is put is pinned; pinning twice, unpinning twice and unpinning what never was do no harm."""
    first, second = store.put(os.urandom(2 * MIB)), store.put(b"another")
    assert {first, second} <= set(store.pins())
    store.pin(first)
    for _ in range(2):
        store.unpin(first)
    store.unpin(cids.Cid.of_block(cids.RAW, b"never"))
    assert second in set(store.pins())
    assert first not in set(store.pins())


def test_what_others_pinned_under_other_names_is_passed_over(store: ipfs.IpfsStore) -> None:
    """A CID of version 0, or of another codec, is none of ours."""
    files = {"file": ("file", b"by somebody else", "application/octet-stream")}
    theirs = asked(store.api, "add", files=files, **{"cid-version": "0", "pin": "true"}).json()["Hash"]
    assert theirs.startswith("Qm")
    ours = store.put(b"ours")
    with contextlib.closing(store.pins()) as pins:
        assert ours in set(pins)
    asked(store.api, "pin/rm", arg=theirs)


def test_a_node_that_is_killed_and_comes_back_has_what_it_had(
    ipfs: tuple[nodes.Node, nodes.Node], monkeypatch: pytest.MonkeyPatch
) -> None:
    """While it is gone it is named, soon; afterwards all is there, and pinned."""
    monkeypatch.setattr(rpc, "BACKOFF", 0.01)
    store, data = ipfs_store(ipfs[1].api), os.urandom(2 * MIB)
    name = store.put(data)
    ipfs[1].kill()
    for ask in (
        lambda: store.block(name),
        lambda: store.put(data),
        lambda: store.has(name),
        lambda: list(store.pins()),
    ):
        with pytest.raises(errors.PeerError, match=f"node {store.api} did not answer"):
            ask()
    ipfs[1].start()
    assert store.get(name, limit=len(data)) == data
    assert name in set(store.pins())


def test_the_embedded_store_names_a_file_as_the_node_does(store: ipfs.IpfsStore, tmp_path: Path) -> None:
    """So a run may change its store at any time."""
    data = os.urandom(5 * MIB + 1)
    assert blocks.BlockStore(tmp_path).put(data) == store.put(data)

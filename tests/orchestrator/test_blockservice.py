"""The block store as a trustless gateway: what the specification says, and clients that do not behave."""

import asyncio
import contextlib
import io
import os
import socket
import time
import tracemalloc
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest

from exchange import blocks, car, cid, gateway, nodes, unixfs
from orchestrator import blockservice, service
from tests import gateways, runs
from tests.exchange import stores

MIB = 1 << 20
PATIENCE = 0.6
LARGE = bytes(range(251)) * 12_000
TWICE = bytes(2 * MIB + 5)  # its two full leaves are one block
SMALL = b"a small file"
RAW, CAR = gateway.RAW, gateway.CAR


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    where = tmp_path_factory.mktemp("served")
    held = blocks.BlockStore(where)
    for data in (LARGE, TWICE, SMALL, b""):
        held.put(data)
    return where


@pytest.fixture(scope="module")
def url(folder: Path) -> Iterator[str]:
    limits = blockservice.Limits(grace=2 * PATIENCE, burst=10_000)
    with gateways.served(folder, limits, patience=PATIENCE) as where:
        yield where


@pytest.fixture
def client(url: str) -> Iterator[httpx.Client]:
    with httpx.Client(base_url=url, trust_env=False, headers={"accept": "*/*"}) as opened:
        yield opened


def path(data: bytes) -> str:
    return f"/ipfs/{unixfs.of(data)}"


def names(file: bytes) -> list[cid.Cid]:
    found = []
    for name, block in car.sections(io.BytesIO(file)):
        assert cid.Cid.of_block(name.codec, block) == name
        found.append(name)
    return found


def of(data: bytes) -> list[cid.Cid]:
    """Root and leaves of a file of one node."""
    return [unixfs.of(data), *(unixfs.of(data[start : start + MIB]) for start in range(0, len(data), MIB))]


def test_a_raw_block(client: httpx.Client) -> None:
    """The bytes of the block, and every header that the specification asks for."""
    got = client.get(path(SMALL), params={"format": "raw"})
    assert (got.status_code, got.content) == (200, SMALL)
    name = str(unixfs.of(SMALL))
    assert {key: got.headers[key] for key in ("content-type", "content-disposition", "etag", "cache-control")} == {
        "content-type": RAW,
        "content-disposition": f'attachment; filename="{name}.bin"',
        "etag": f'"{name}.raw"',
        "cache-control": "public, max-age=29030400, immutable",
    }
    assert (got.headers["x-content-type-options"], got.headers["x-ipfs-roots"]) == ("nosniff", name)
    assert "content-location" not in got.headers
    by_accept = client.get(path(SMALL), headers={"accept": f"text/html, {RAW};q=0.5"})
    assert by_accept.content == SMALL
    assert by_accept.headers["content-location"] == f"{path(SMALL)}?format=raw"


@pytest.mark.parametrize("twice", [False, True])
def test_a_car(client: httpx.Client, twice: bool) -> None:
    """All blocks, depth first, each once or as often as the tree names it; what was sent is said."""
    query = {"format": "car", "car-dups": "y" if twice else "n"}
    got = client.get(path(TWICE), params=query)
    assert got.headers["content-type"] == f"{CAR}; version=1; order=dfs; dups={'y' if twice else 'n'}"
    assert names(got.content) == (of(TWICE) if twice else list(dict.fromkeys(of(TWICE))))
    assert car.roots(io.BytesIO(got.content)) == (unixfs.of(TWICE),)
    accept = f"{CAR}; version=1; order=dfs; dups={query['car-dups']}"
    assert client.get(path(TWICE), headers={"accept": accept}).content == got.content
    assert names(client.get(path(TWICE), params=query | {"dag-scope": "entity"}).content) == names(got.content)
    assert names(client.get(path(TWICE), params=query | {"dag-scope": "block"}).content) == of(TWICE)[:1]


@pytest.mark.parametrize(
    ("text", "leaves"),
    [
        ("0:*", [0, 1, 2]),
        ("0:0", [0]),
        ("1048575:1048576", [0, 1]),
        ("1048576:2097151", [1]),
        ("-1:*", [2]),
        ("-1000:-1000", [2]),
        ("499:-1000", [0, 1, 2]),
        ("2500000:99999999", [2]),
        ("99999999:*", []),
        ("5:4", []),
    ],
)
def test_part_of_a_file(client: httpx.Client, text: str, leaves: list[int]) -> None:
    """entity-bytes: the fewest blocks that prove the range, the root alone where it is empty; the Etag tells."""
    got = client.get(path(LARGE), params={"format": "car", "entity-bytes": text})
    assert names(got.content) == [of(LARGE)[0], *(of(LARGE)[1 + leaf] for leaf in leaves)]
    assert got.headers["etag"] != client.head(path(LARGE), params={"format": "car"}).headers["etag"]


def test_part_of_a_deep_file(tmp_path: Path) -> None:
    """Of a tree of two levels only the nodes above the range are sent."""
    tail = b"the end"
    leaf, end = stores.plant(tmp_path, cid.RAW, bytes(MIB)), stores.plant(tmp_path, cid.RAW, tail)
    full = nodes.encode([nodes.Link(cid=leaf, size=MIB, total=MIB)] * 1024)
    rest = nodes.encode([nodes.Link(cid=end, size=len(tail), total=len(tail))])
    first, last = stores.plant(tmp_path, cid.DAG_PB, full), stores.plant(tmp_path, cid.DAG_PB, rest)
    links = [
        nodes.Link(cid=first, size=1 << 30, total=len(full) + (1 << 30)),
        nodes.Link(cid=last, size=len(tail), total=len(rest) + len(tail)),
    ]
    name = stores.plant(tmp_path, cid.DAG_PB, nodes.encode(links))
    with gateways.served(tmp_path) as where, httpx.Client(base_url=where, trust_env=False) as asking:
        got = asking.get(f"/ipfs/{name}", params={"format": "car", "entity-bytes": "-7:*"})
    assert names(got.content) == [name, last, end]


@pytest.mark.parametrize(
    ("where", "query", "headers", "status"),
    [
        (path(SMALL), {}, {}, 400),
        (path(SMALL), {}, {"accept": "text/html"}, 406),
        (path(SMALL), {"format": "tar"}, {}, 406),
        (path(SMALL), {"format": "car", "car-version": "2"}, {}, 406),
        (path(SMALL), {"format": "car", "car-order": "bfs"}, {}, 406),
        (path(SMALL), {}, {"accept": f"{CAR};order=rnd"}, 406),
        (path(SMALL), {"format": "car", "car-dups": "maybe"}, {}, 406),
        (path(SMALL), {"format": "car", "dag-scope": "some"}, {}, 400),
        (path(SMALL), {"format": "car", "entity-bytes": "0"}, {}, 400),
        (path(SMALL), {"format": "car", "entity-bytes": "0:1e9"}, {}, 400),
        (path(b"absent"), {"format": "raw"}, {}, 404),
        (path(b"absent"), {"format": "car"}, {}, 404),
        (path(b"absent"), {"format": "raw"}, {"cache-control": "only-if-cached"}, 412),
        (path(SMALL), {"format": "raw"}, {"cache-control": "only-if-cached"}, 200),
        (path(SMALL) + "/a", {"format": "car"}, {}, 404),
        ("/ipfs/QmbFMke1KXqnYyBBWxB74N4c5SBnJMVAiMNRcGu6x1AwQH", {"format": "raw"}, {}, 400),
        ("/ipfs/bafkqabtimvwgy3yk", {"format": "raw"}, {}, 400),
        ("/ipfs/..%2f..%2fetc%2fpasswd", {"format": "raw"}, {}, 404),
        ("/ipfs/%0aforged", {"format": "raw"}, {}, 400),
        ("/ipns/k51", {"format": "ipns-record"}, {}, 404),
        ("/", {}, {}, 404),
        (path(SMALL) + "/", {"format": "raw"}, {"host": "elsewhere.example"}, 404),
    ],
)
def test_statuses(
    client: httpx.Client, where: str, query: dict[str, str], headers: dict[str, str], status: int
) -> None:
    """33: what is refused has the status that the specification gives it, for HEAD too, and is never cached."""
    for method in ("GET", "HEAD"):
        got = client.request(method, where, params=query, headers=headers)
        assert got.status_code == status
        assert status == 200 or "immutable" not in got.headers.get("cache-control", "")
        assert method == "GET" or got.content == b""
    assert client.post(where, params=query).status_code in (404, 405)


def test_a_parameter_that_is_there_twice(client: httpx.Client) -> None:
    """Two values of one parameter are no request."""
    assert client.get(f"{path(SMALL)}?format=raw&format=car").status_code == 400


def test_head_and_conditions(client: httpx.Client) -> None:
    """HEAD has the headers of GET and no body; who has a block is told so in a few bytes."""
    for form in ("raw", "car"):
        got = client.head(path(LARGE), params={"format": form})
        assert (got.status_code, got.content) == (200, b"")
        again = client.get(
            path(LARGE), params={"format": form}, headers={"if-none-match": f'"x", {got.headers["etag"]}'}
        )
        assert (again.status_code, again.content) == (304, b"")
        assert "immutable" in again.headers["cache-control"]
    assert client.head(path(SMALL), params={"format": "raw"}).headers["content-length"] == str(len(SMALL))


@pytest.mark.parametrize(
    ("text", "status", "part"),
    [
        ("bytes=0-3", 206, SMALL[:4]),
        ("bytes=8-", 206, SMALL[8:]),
        ("bytes=-4", 206, SMALL[-4:]),
        ("bytes=-100", 206, SMALL),
        ("bytes=5-100", 206, SMALL[5:]),
        ("bytes=0-99999999999999999", 206, SMALL),
        ("bytes=12-", 416, None),
        ("bytes=-0", 416, None),
        ("bytes=3-2", 200, SMALL),
        ("bytes=0-1,3-4", 200, SMALL),
        ("lines=0-1", 200, SMALL),
    ],
)
def test_a_range_of_a_block(client: httpx.Client, text: str, status: int, part: bytes | None) -> None:
    """One range of a raw block is given, one beyond it is a 416 that says the size, and any other is passed over."""
    got = client.get(path(SMALL), params={"format": "raw"}, headers={"range": text})
    assert got.status_code == status
    if part is not None:
        assert got.content == part
    else:
        assert got.headers["content-range"] == f"bytes */{len(SMALL)}"
    stale = client.get(path(SMALL), params={"format": "raw"}, headers={"range": text, "if-range": '"other"'})
    assert (stale.status_code, stale.content) == (200, SMALL)


def test_the_probe(client: httpx.Client) -> None:
    """The empty identity CID tells that this is such a gateway; no other identity CID is known."""
    assert client.get("/ipfs/bafkqaaa", params={"format": "raw"}).content == b""
    probe = client.get("/ipfs/bafkqaaa", params={"format": "car"}).content
    assert probe[1:] == b"\xa2\x65roots\x81\xd8\x2a\x45\x00\x01\x55\x00\x00\x67version\x01"
    assert probe[0] == len(probe) - 1
    assert client.head("/ipfs/bafkqaaa", params={"format": "raw"}).status_code == 200


def test_damage_is_never_sent(tmp_path: Path) -> None:
    """30, 34: a damaged block is a 500; in a CAR it or a lost one cuts the answer off, so that the client cannot miss it."""
    blocks.BlockStore(tmp_path).put(LARGE)
    root, *leaves = of(LARGE)
    stores.damage(tmp_path, leaves[1], b"damaged")
    with gateways.served(tmp_path) as where, httpx.Client(base_url=where, trust_env=False) as asking:
        assert asking.get(f"/ipfs/{leaves[1]}", params={"format": "raw"}).status_code == 500
        for _ in range(2):
            with pytest.raises(httpx.RemoteProtocolError):
                asking.get(f"/ipfs/{root}", params={"format": "car"})
            stores.path(tmp_path, leaves[1]).unlink(missing_ok=True)
        assert asking.get(f"/ipfs/{leaves[0]}", params={"format": "raw"}).content == LARGE[:MIB]


def test_a_file_too_large_for_a_car(tmp_path: Path) -> None:
    """32: over the limit only blocks are given."""
    name = blocks.BlockStore(tmp_path).put(LARGE)
    limits = blockservice.Limits(largest=2 * MIB)
    with gateways.served(tmp_path, limits) as where, gateway.Gateway(where) as store:
        assert httpx.get(f"{where}/ipfs/{name}?format=car", trust_env=False).status_code == 400
        assert store.get(name, limit=1 << 30) == LARGE


def test_too_many_requests(tmp_path: Path) -> None:
    """35: over its allowance an address gets 429 and when to come again; later all is as before."""
    name = blocks.BlockStore(tmp_path).put(SMALL)
    limits = blockservice.Limits(burst=5, rate=1.0)
    with gateways.served(tmp_path, limits) as where, httpx.Client(base_url=where, trust_env=False) as asking:
        got = [asking.get(f"/ipfs/{name}?format=raw") for _ in range(8)]
        assert [each.status_code for each in got][:5] == [200] * 5
        assert got[-1].status_code == 429
        assert got[-1].headers["retry-after"] == "1"
        time.sleep(1.2)
        assert asking.get(f"/ipfs/{name}?format=raw").status_code == 200


def test_other_addresses_and_methods_count_too(tmp_path: Path) -> None:
    """35: what is not here at all, and what is no method of ours, uses up the allowance as well."""
    limits = blockservice.Limits(burst=5, rate=0.001)
    with gateways.served(tmp_path, limits) as where, httpx.Client(base_url=where, trust_env=False) as asking:
        got = [asking.get("/x").status_code for _ in range(3)] + [asking.post("/ipfs/x").status_code for _ in range(3)]
    assert got == [404, 404, 404, 405, 405, 429]


def connected(url: str, data: bytes, buffer: int | None = None) -> contextlib.AbstractContextManager[socket.socket]:
    host, port = url.removeprefix("http://").split(":")
    return runs.connected((host, int(port)), data, window=buffer)


def request(data: bytes, form: str = "car") -> bytes:
    return f"GET {path(data)}?format={form} HTTP/1.1\r\nHost: h\r\n\r\n".encode()


@pytest.mark.parametrize("form", ["raw", "car"])
@pytest.mark.parametrize("pause", [None, 0.05])
def test_a_client_that_does_not_read(tmp_path: Path, form: str, pause: float | None) -> None:
    """31, 35: who takes nothing, or a few bytes a moment, is left; the server then holds no connection."""
    held = blocks.BlockStore(tmp_path, fsync="never")
    name = held.put(os.urandom(16 * MIB))
    wanted = name if form == "car" else nodes.links(held.block(name))[0].cid
    limits = blockservice.Limits(grace=2 * PATIENCE, slowest=1e6)
    head = f"GET /ipfs/{wanted}?format={form} HTTP/1.1\r\nHost: h\r\n\r\n".encode()
    with gateways.served(tmp_path, limits, patience=PATIENCE) as where:
        start, cut = time.monotonic(), False
        with connected(where, head * (1 if form == "car" else 50), buffer=4096) as sock:
            while not cut and time.monotonic() < start + 8 * PATIENCE:
                time.sleep(pause or 0.1)
                try:
                    cut = pause is not None and sock.recv(64) == b""
                    sock.send(b"x")
                except OSError:
                    cut = True
        assert cut
        assert time.monotonic() - start < 7 * PATIENCE


@pytest.mark.parametrize("form", ["raw", "car"])
@pytest.mark.parametrize(("slowest", "whole"), [(1e7, False), (1e3, True)])
def test_a_client_that_is_slow_on_the_whole(tmp_path: Path, form: str, slowest: float, whole: bool) -> None:
    """31, 35: who takes each piece in time, and yet less a second than asked for, is left; who takes enough has it all."""
    data = os.urandom(16 * MIB)
    name = blocks.BlockStore(tmp_path, fsync="never").put(data)
    leaves = [str(unixfs.of(data[start : start + MIB])) for start in range(0, len(data), MIB)]
    asked = [f"{name}?format=car"] if form == "car" else [f"{leaf}?format=raw" for leaf in leaves]
    heads = "".join(f"GET /ipfs/{each} HTTP/1.1\r\nHost: h\r\n\r\n" for each in asked)
    limits = blockservice.Limits(grace=PATIENCE / 2, slowest=slowest)
    with (
        gateways.served(tmp_path, limits, patience=1.0 if whole else 20.0) as where,
        connected(where, heads.encode(), buffer=4096) as sock,
    ):
        taken, end = 0, time.monotonic() + 2 * PATIENCE
        while time.monotonic() < end:
            taken += len(sock.recv(16384))
            time.sleep(0.02)
        sock.settimeout(0.5)
        with contextlib.suppress(TimeoutError):  # it stays open after whole answers
            while got := len(sock.recv(1 << 20)):
                taken += got
    assert (taken > len(data)) is whole


def test_a_client_that_leaves_little_unread(tmp_path: Path) -> None:
    """35: an answer that waits in our own memory, though it is short, does not hold its connection for ever."""
    name = blocks.BlockStore(tmp_path, fsync="never").put(os.urandom(40_000))
    head = f"GET /ipfs/{name}?format=raw HTTP/1.1\r\nHost: h\r\n\r\n".encode()
    with (
        gateways.served(tmp_path, patience=PATIENCE, buffer=4096) as where,
        connected(where, head, buffer=4096) as sock,
    ):
        time.sleep(3 * PATIENCE)
        assert len(runs.heard(sock)) < 40_000


def test_nothing_is_read_for_a_client_that_is_gone(tmp_path: Path) -> None:
    """35: once the connection is closed the rest of a CAR is not read from disk."""
    read: list[cid.Cid | str] = []

    class Counted(blocks.BlockStore):
        def block(self, name: cid.Cid | str, *, limit: int = MIB) -> bytes:
            read.append(name)
            return super().block(name, limit=limit)

    held = Counted(tmp_path, fsync="never")
    name = held.put(os.urandom(16 * MIB))
    said = [{"type": "http.request", "body": b"", "more_body": False}]
    asked = {"path": f"/ipfs/{name}", "query_string": b"format=car", "headers": [], "client": ("127.0.0.1", 1)}
    scope = {"type": "http", "method": "GET", "root_path": "", **asked}

    async def receive() -> dict[str, object]:
        return said.pop() if said else {"type": "http.disconnect"}

    async def send(_message: object) -> None:
        pass

    asyncio.run(blockservice.application(held)(scope, receive, send))
    assert 1 <= len(read) < 6


def test_slow_and_endless_requests(url: str, client: httpx.Client) -> None:
    """31, 35, 36: a head that trickles, one without end, and a body that nobody asked for end with the connection."""
    start = time.monotonic()
    with connected(url, b"") as sock, contextlib.suppress(ConnectionError):
        while time.monotonic() < start + 5 * PATIENCE:
            sock.sendall(b"G")
            time.sleep(0.05)
    assert time.monotonic() - start < 4 * PATIENCE
    with connected(url, b"GET / HTTP/1.1\r\n") as sock:
        with contextlib.suppress(ConnectionError):
            for _ in range(100):
                sock.sendall(b"X-A: " + b"a" * 4096 + b"\r\n")
        assert runs.heard(sock).startswith((b"HTTP/1.1 400", b""))
    start = time.monotonic()
    body = b"GET / HTTP/1.1\r\nHost: h\r\nContent-Length: 10000000000\r\n\r\n"
    with connected(url, body) as sock, contextlib.suppress(ConnectionError):
        while time.monotonic() < start + 10 * PATIENCE:
            sock.sendall(b"x" * 65536)
            time.sleep(0.01)
    assert time.monotonic() - start < 9 * PATIENCE
    assert client.get(path(SMALL), params={"format": "raw"}).content == SMALL


def test_floods(url: str) -> None:
    """35: beyond the limits connections get nothing, of one address and of all; others are served; later all is as before."""
    host, port = url.removeprefix("http://").split(":")
    tracemalloc.start()
    with contextlib.ExitStack() as stack:
        for _ in range(2 * service.EACH):
            with contextlib.suppress(ConnectionError):
                last = stack.enter_context(runs.connected((host, int(port)), b"", "127.0.2.1"))
        start = time.monotonic()
        assert runs.heard(last) == b""
        assert time.monotonic() - start < PATIENCE / 2
        assert httpx.get(f"{url}{path(SMALL)}?format=raw", trust_env=False).content == SMALL
        for number in range(service.MOST_CONNECTIONS):
            with contextlib.suppress(ConnectionError):
                stack.enter_context(runs.connected((host, int(port)), b"", f"127.0.3.{1 + number // service.EACH}"))
        with contextlib.suppress(httpx.TransportError):
            got = httpx.get(f"{url}{path(SMALL)}?format=raw", trust_env=False)
            assert got.status_code == 503
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert peak < 64 * MIB
    time.sleep(0.2)
    got = httpx.get(f"{url}{path(SMALL)}?format=raw", trust_env=False)
    assert got.content == SMALL


def test_many_cars_at_once(tmp_path: Path) -> None:
    """35: beyond the number that is sent at once the answer is 503; when one is over the next is served."""
    name = blocks.BlockStore(tmp_path, fsync="never").put(os.urandom(32 * MIB))
    head = f"GET /ipfs/{name}?format=car HTTP/1.1\r\nHost: h\r\n\r\n".encode()
    with gateways.served(tmp_path, blockservice.Limits(streams=2)) as where:
        with connected(where, head, buffer=4096) as first, connected(where, head, buffer=4096) as second:
            assert first.recv(15) == second.recv(15) == b"HTTP/1.1 200 OK"
            got = httpx.get(f"{where}/ipfs/{name}?format=car", trust_env=False)
            assert (got.status_code, got.headers["retry-after"]) == (503, "1")
        deadline = time.monotonic() + 5
        while time.monotonic() < deadline and httpx.head(f"{where}/ipfs/{name}?format=car").status_code == 503:
            time.sleep(0.05)
        assert httpx.get(f"{where}/ipfs/{name}?format=car", trust_env=False).status_code == 200


def test_many_cars_to_one_address(tmp_path: Path) -> None:
    """35: who takes all the CARs it is let leaves the others theirs."""
    name = blocks.BlockStore(tmp_path, fsync="never").put(os.urandom(32 * MIB))
    head = f"GET /ipfs/{name}?format=car HTTP/1.1\r\nHost: h\r\n\r\n".encode()
    with gateways.served(tmp_path, blockservice.Limits(each=2)) as where, contextlib.ExitStack() as stack:
        host, port = where.removeprefix("http://").split(":")
        for _ in range(2):
            slow = stack.enter_context(runs.connected((host, int(port)), head, "127.0.2.2", window=4096))
            assert slow.recv(15) == b"HTTP/1.1 200 OK"
        third = stack.enter_context(runs.connected((host, int(port)), head, "127.0.2.2", window=4096))
        assert third.recv(12) == b"HTTP/1.1 503"
        assert httpx.get(f"{where}/ipfs/{name}?format=car", trust_env=False).status_code == 200


@pytest.mark.parametrize("query", ["format=car", "format=car&entity-bytes=5:-5"])
def test_a_file_of_one_block_over_and_over(tmp_path: Path, query: str) -> None:
    """32, 35: of 60 GiB of zeros in three blocks each is read a few times, not as often as the tree names it."""
    read: list[cid.Cid | str] = []

    class Counted(blocks.BlockStore):
        def block(self, name: cid.Cid | str, *, limit: int = MIB) -> bytes:
            read.append(name)
            assert len(read) < 20
            return super().block(name, limit=limit)

    name = stores.bomb(tmp_path, levels=1, last=60)[-1][0]
    app = blockservice.application(Counted(tmp_path))
    transport = httpx.ASGITransport(app=app)

    async def asked() -> bytes:
        async with httpx.AsyncClient(transport=transport, base_url="http://h") as client:
            return (await client.get(f"/ipfs/{name}?{query}")).content

    got = names(asyncio.run(asked()))
    assert len(got) == len(set(got)) == 3
    assert got[0] == name

"""The gateway client, against our own service and against servers that lie, hang, trickle and never end."""

import asyncio
import gc
import gzip
import io
import socket
import threading
import time
import tracemalloc
from pathlib import Path

import pytest

from exchange import blocks, car, cid, errors, gateway, nodes, unixfs
from orchestrator import blockservice
from tests import gateways

MIB = 1 << 20
SMALL = b"a small file"
LARGE = bytes(range(251)) * 12_000  # three leaves and a node
NAME = unixfs.of(LARGE)
PATIENCE = 0.4
SECONDS = 1.0


def tree() -> dict[cid.Cid, bytes]:
    """The blocks of LARGE, root last."""
    found: dict[cid.Cid, bytes] = {}
    unixfs.build(io.BytesIO(LARGE), lambda name, block: found.update({name: bytes(block)}))
    return found


TREE = tree()
LEAVES = [link.cid for link in nodes.links(TREE[NAME])]
OTHER = unixfs.of(b"somebody else's")


def opened(url: str) -> gateway.Gateway:
    return gateway.Gateway(url, patience=PATIENCE, seconds=SECONDS, rate=256 * 1024.0)


def packed(names: list[cid.Cid]) -> bytes:
    known = TREE | {OTHER: b"somebody else's"}
    return b"".join(bytes(piece) for piece in car.encode([NAME], [(name, known[name]) for name in names]))


def is_car(head: bytes) -> bool:
    return b"format=car" in head.split(b"\r\n")[0]


def asked(head: bytes) -> cid.Cid:
    return cid.Cid.parse(head.split(b"/ipfs/")[1][:59].decode())


def honest(connection: socket.socket, head: bytes) -> None:
    """Raw blocks as they are, and no CAR."""
    if is_car(head):
        connection.sendall(gateways.answer(b"", status="406 Not Acceptable"))
    elif asked(head) in TREE:
        connection.sendall(gateways.answer(TREE[asked(head)]))
    else:
        connection.sendall(gateways.answer(b"", status="404 Not Found"))


def with_car(file: bytes, *headers: str, kind: str = gateway.CAR + "; version=1; order=dfs; dups=y") -> gateways.Script:
    """A server that is honest but for its CAR, after which it hangs up."""

    def script(connection: socket.socket, head: bytes) -> None:
        if is_car(head):
            lines = ["HTTP/1.1 200 OK", f"Content-Type: {kind}", *headers, "Connection: close", "", ""]
            connection.sendall("\r\n".join(lines).encode() + file)
        else:
            honest(connection, head)

    return script


def saying(data: bytes) -> gateways.Script:
    return lambda connection, _head: connection.sendall(data)


def hang(connection: socket.socket, _head: bytes) -> None:
    connection.recv(1)


def trickling(start: bytes, pause: float = 0.05) -> gateways.Script:
    def script(connection: socket.socket, _head: bytes) -> None:
        connection.sendall(start)
        for _ in range(400):
            connection.sendall(b"a")
            time.sleep(pause)

    return script


def endless(start: bytes, piece: bytes = b"x" * 65536) -> gateways.Script:
    def script(connection: socket.socket, _head: bytes) -> None:
        connection.sendall(start)
        while True:
            connection.sendall(piece)

    return script


def redirecting(connection: socket.socket, head: bytes) -> None:
    path = head.split(b" ")[1].decode()
    connection.sendall(gateways.answer(b"", f"Location: {path}", status="302 Found"))


OK = b"HTTP/1.1 200 OK\r\n"
HOSTILE: dict[str, gateways.Script] = {
    "other bytes (30)": saying(gateways.answer(b"other bytes")),
    "nothing (30)": saying(gateways.answer(b"")),
    "hangs up": lambda _connection, _head: None,
    "hangs (31)": hang,
    "hangs in the body (31)": lambda connection, head: (
        connection.sendall(OK + b"Content-Length: 12\r\n\r\n"),
        hang(connection, head),
    )[1],
    "trickles a head (31)": trickling(OK),
    "trickles a body (31)": trickling(OK + b"Content-Length: 400\r\n\r\n"),
    "never ends (31)": endless(OK + b"\r\n"),
    "never ends in chunks (31)": endless(
        OK + b"Transfer-Encoding: chunked\r\n\r\n", b"1000\r\n" + b"x" * 4096 + b"\r\n"
    ),
    "announces a lot (32, 36)": saying(OK + b"Content-Length: 10000000000\r\n\r\n"),
    "announces no number (36)": saying(OK + b"Content-Length: -5\r\n\r\n"),
    "announces two lengths (36)": saying(OK + b"Content-Length: 12\r\nContent-Length: 13\r\n\r\n" + SMALL),
    "sends less than announced (36)": saying(gateways.answer(SMALL, length=100)),
    "redirects to itself": redirecting,
    "redirects elsewhere": saying(
        gateways.answer(b"", "Location: http://127.0.0.1:9/", status="301 Moved Permanently")
    ),
    "a head without end (35)": endless(OK, b"X-A: " + b"a" * 4096 + b"\r\n"),
    "a gzip bomb (25)": saying(gateways.answer(gzip.compress(bytes(64 * MIB)), "Content-Encoding: gzip")),
    "no HTTP": saying(b"SSH-2.0-OpenSSH\r\n\r\n"),
    "status 206": saying(gateways.answer(SMALL, status="206 Partial Content")),
    "status 500": saying(gateways.answer(b"", status="500 Internal Server Error")),
    "always busy": saying(gateways.answer(b"", "Retry-After: 60", status="429 Too Many Requests")),
}


@pytest.mark.parametrize("script", HOSTILE.values(), ids=HOSTILE)
@pytest.mark.parametrize("data", [SMALL, LARGE], ids=["leaf", "tree"])
def test_a_hostile_gateway_is_named(script: gateways.Script, data: bytes) -> None:
    """25, 30, 31, 32, 35, 36: PeerError names it, in bounded time and memory, and nothing is written."""
    sink, start = io.BytesIO(), time.monotonic()
    with gateways.scripted(script) as url, opened(url) as store:
        tracemalloc.start()
        with pytest.raises(errors.PeerError, match=url):
            store.get_file(unixfs.of(data), sink, limit=len(data))
        spent, (_, peak) = time.monotonic() - start, tracemalloc.get_traced_memory()
        tracemalloc.stop()
    assert sink.getvalue() == b""
    assert spent < 4 * SECONDS
    assert peak < 16 * MIB


@pytest.mark.parametrize(
    "url", ["", "file:///etc", "ftp://h", "http://", "http://u:secret@h", "http://h?a=b", "http://h:x", "h"]
)
def test_a_url_that_is_none(url: str) -> None:
    """What is no address of a gateway is refused before anything is sent, a password in it too."""
    with pytest.raises(errors.PeerError, match="gateway") as caught:
        gateway.Gateway(url)
    assert "secret" not in str(caught.value)


def test_no_redirect_is_followed(tmp_path: Path) -> None:
    """A redirect is the gateway's fault and is named, also one to a server that would have the block."""
    name = blocks.BlockStore(tmp_path).put(SMALL)
    with gateways.served(tmp_path) as good:
        moved = gateways.answer(b"", f"Location: {good}/ipfs/{name}?format=raw", status="307 Temporary Redirect")
        with gateways.scripted(saying(moved)) as url, opened(url) as store, pytest.raises(errors.PeerError) as caught:
            store.get(name, limit=100)
    assert url in str(caught.value)
    assert good in str(caught.value)


def test_nothing_packed_is_unpacked() -> None:
    """25: an encoding that was not asked for is refused and named, also where the right bytes are in it."""
    packed_right = gateways.answer(gzip.compress(SMALL), "Content-Encoding: gzip")
    with (
        gateways.scripted(saying(packed_right)) as url,
        opened(url) as store,
        pytest.raises(errors.PeerError) as caught,
    ):
        store.get(unixfs.of(SMALL), limit=100)
    assert "content-encoding 'gzip'" in str(caught.value)


def test_nothing_is_read_on_after_a_refusal() -> None:
    """31: of a body without end nothing more is taken once its gateway was left."""
    with gateways.scripted(endless(OK + b"\r\n")) as url, opened(url) as store:
        with pytest.raises(errors.PeerError, match="not the block"):
            store.block(unixfs.of(SMALL))
        line = store._host._line
        assert line is not None
        assert not asyncio.all_tasks(line[0]._loop)


def test_nobody_listens() -> None:
    """A gateway that is not there is named."""
    with opened("http://127.0.0.1:9") as store, pytest.raises(errors.PeerError, match=":9: ConnectError"):
        store.has(NAME)


CARS: dict[str, bytes] = {
    "cut off in a block": packed([NAME, *LEAVES])[:-70_000],
    "cut off between blocks": packed([NAME, LEAVES[0]]),
    "cut off in a length": packed([NAME, LEAVES[0]]) + b"\xff",
    "a child left out": packed([NAME, LEAVES[0], LEAVES[2]]),
    "a foreign block": packed([NAME, OTHER, *LEAVES]),
    "another order": packed([*LEAVES, NAME]),
    "only the root": packed([NAME]),
    "empty": b"",
    "no CAR": b"<html>" * 100,
    "a block of 4 GiB": packed([NAME]) + b"\x80\x80\x80\x80\x10" + b"x" * 1000,
}


@pytest.mark.parametrize("file", CARS.values(), ids=CARS)
def test_a_car_that_is_not_whole_is_made_up_for(file: bytes) -> None:
    """30, 36: what a CAR under a 200 lacks is asked for block by block; nothing foreign is taken."""
    sink = io.BytesIO()
    with gateways.scripted(with_car(file)) as url, opened(url) as store:
        assert store.get_file(NAME, sink, limit=len(LARGE)) == len(LARGE)
    assert sink.getvalue() == LARGE


def test_a_car_shorter_than_announced_is_made_up_for() -> None:
    """36: a connection that ends within a CAR costs the rest of the CAR, not the file."""
    short = with_car(packed([NAME, LEAVES[0]]), "Content-Length: 3000000")
    with gateways.scripted(short) as url, opened(url) as store:
        assert store.get(NAME, limit=len(LARGE)) == LARGE


def test_what_is_announced_is_judged_before_it_is_read() -> None:
    """32, 36: an answer that says it is too long for a block is left at once."""
    start = time.monotonic()
    head = OK + b"Content-Length: 10000000000\r\n\r\n"
    with gateways.scripted(lambda sock, _head: (sock.sendall(head), hang(sock, b""))[1]) as url, opened(url) as store:
        with pytest.raises(errors.PeerError, match="announces '10000000000'"):
            store.block(unixfs.of(SMALL))
        assert time.monotonic() - start < PATIENCE


def test_a_car_with_a_lie_in_it_is_the_gateways_fault() -> None:
    """30: a block of a CAR that does not hash to its name is a lie; the sink has the true beginning."""
    file = packed([NAME, *LEAVES])
    lie = file[:-10] + bytes([file[-10] ^ 1]) + file[-9:]
    sink = io.BytesIO()
    with gateways.scripted(with_car(lie)) as url, opened(url) as store, pytest.raises(errors.PeerError, match=url):
        store.get_file(NAME, sink, limit=len(LARGE))
    assert sink.getvalue() == LARGE[: 2 * MIB]


def test_a_missing_child_is_noticed() -> None:
    """34: the CAR ends without an error, the raw block is a 404: the file is missing, and the block is named."""
    lost = LEAVES[2]

    def script(connection: socket.socket, head: bytes) -> None:
        if not is_car(head) and asked(head) == lost:
            connection.sendall(gateways.answer(b"", status="404 Not Found"))
        else:
            with_car(packed([NAME, *LEAVES[:2]]))(connection, head)

    with (
        gateways.scripted(script) as url,
        opened(url) as store,
        pytest.raises(errors.BlockMissingError, match=str(lost)),
    ):
        store.get(NAME, limit=len(LARGE))


def test_a_gateway_without_cars_is_read_by_blocks() -> None:
    """Raw blocks are all that a gateway must have."""
    with gateways.scripted(honest) as url, opened(url) as store:
        assert store.get(NAME, limit=len(LARGE)) == LARGE


def test_a_car_is_one_request(tmp_path: Path) -> None:
    """A file of four blocks costs one request, not four: with one allowed, ours gives it whole."""
    name = blocks.BlockStore(tmp_path).put(LARGE)
    limits = blockservice.Limits(burst=1, rate=0.001)
    with gateways.served(tmp_path, limits) as url, opened(url) as store:
        assert store.get(name, limit=len(LARGE)) == LARGE
        with pytest.raises(errors.PeerError, match="429"):
            store.get(name, limit=len(LARGE))


def test_a_busy_gateway_is_asked_again(tmp_path: Path) -> None:
    """429 with Retry-After is waited for while there is time."""
    said: list[int] = []

    def script(connection: socket.socket, head: bytes) -> None:
        said.append(1)
        if len(said) == 1:
            connection.sendall(gateways.answer(b"", "Retry-After: 0", status="429 Too Many Requests"))
        else:
            connection.sendall(gateways.answer(SMALL))

    with gateways.scripted(script) as url, opened(url) as store:
        assert store.get(unixfs.of(SMALL), limit=100) == SMALL
    assert len(said) == 2


def test_the_limit_is_the_callers(tmp_path: Path) -> None:
    """32: a file over the limit is refused after its root, whatever it says; a true block over it is refused too."""
    held = blocks.BlockStore(tmp_path)
    for data in (SMALL, LARGE):
        held.put(data)
    with gateways.served(tmp_path) as url, opened(url) as store:
        for data in (SMALL, LARGE):
            with pytest.raises(errors.TooLargeError):
                store.get(unixfs.of(data), limit=len(data) - 1)


def test_several_threads_read_at_once(tmp_path: Path) -> None:
    """One gateway serves several readers, and closing it twice is harmless."""
    name, got = blocks.BlockStore(tmp_path).put(LARGE), []
    with gateways.served(tmp_path) as url, gateway.Gateway(url) as store:
        threads = [threading.Thread(target=lambda: got.append(store.get(name, limit=1 << 30))) for _ in range(8)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        store.close()
    assert got == [LARGE] * 8


def test_a_big_file_takes_constant_memory(tmp_path: Path) -> None:
    """64 MiB come through in less than 12 MiB of ours."""
    data = bytes(64 * MIB)
    name = blocks.BlockStore(tmp_path, fsync="never").put(data + b"1")
    with gateways.served(tmp_path) as url, gateway.Gateway(url) as store, (tmp_path / "out").open("wb") as out:
        tracemalloc.start()
        assert store.get_file(name, out, limit=1 << 30) == 64 * MIB + 1
        _, peak = tracemalloc.get_traced_memory()
        tracemalloc.stop()
    assert peak < 12 * MIB


@pytest.mark.skipif(not Path("/proc/self/fd").exists(), reason="counts open files in /proc")
def test_a_gateway_that_is_dropped_leaves_nothing(tmp_path: Path) -> None:
    """Neither a thread nor an open file stays of a gateway that nobody has any more, though nobody closed it."""

    def held() -> tuple[int, int]:
        threads = sum(thread.name == "exchange" for thread in threading.enumerate())
        return threads, len(list(Path("/proc/self/fd").iterdir()))

    name = blocks.BlockStore(tmp_path).put(SMALL)
    with gateways.served(tmp_path) as url:
        before = held()
        for _ in range(5):
            assert gateway.Gateway(url).has(name)
        gc.collect()
        end = time.monotonic() + 5
        while held()[0] > before[0] and time.monotonic() < end:
            time.sleep(0.02)
        time.sleep(0.2)
        threads, files = held()
    assert threads == before[0]
    assert files <= before[1] + 1

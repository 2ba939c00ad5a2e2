"""The witness behind HTTP, on loopback, asked by clients that behave and by clients that do not."""

import contextlib
import socket
import threading
import time

import httpx
import pytest

from ledger import checkpoint, cosignature, keys, memory, merkle, note, witness
from orchestrator import service
from tests import runs

ORIGIN = "folkmoot.test/log"
KEY = keys.SigningKey.generate()
SIGNER = cosignature.Signer(name="witness.test/w", key=keys.SigningKey.generate())
TREE = merkle.over([merkle.leaf_hash(b"%d" % n) for n in range(40)])
PATIENCE = 1.0


def body(old, size):
    signed = checkpoint.sign(checkpoint.LogCheckpoint(origin=ORIGIN, size=size, root=merkle.root(size, TREE)), KEY)
    proof = merkle.consistency_proof(old, size, TREE)
    return witness.Request(old=old, proof=tuple(proof), note=signed).to_bytes()


@pytest.fixture(scope="module")
def address(tmp_path_factory):
    """Host and port of a running witness."""
    folder = tmp_path_factory.mktemp("witness")
    verifier = note.Verifier(name=ORIGIN, key=KEY.public)
    keeper = witness.Witness(memory.Memory(folder), [SIGNER], {ORIGIN: [verifier]})
    server = service.server(service.application(keeper, patience=PATIENCE), patience=PATIENCE)
    with service.listen("127.0.0.1", 0) as sock:
        thread = threading.Thread(target=server.run, kwargs={"sockets": [sock]})
        thread.start()
        while not server.started:
            time.sleep(0.01)
        yield sock.getsockname()
        server.should_exit = True
        thread.join()


@pytest.fixture
def client(address):
    with httpx.Client(base_url=f"http://127.0.0.1:{address[1]}", trust_env=False) as client:
        yield client


@contextlib.contextmanager
def connected(address, data):
    """A connection over which these bytes went."""
    with socket.create_connection(address, timeout=10 * PATIENCE) as sock:
        sock.sendall(data)
        yield sock


def heard(sock):
    """All that comes until the other side ends it."""
    said = b""
    with contextlib.suppress(ConnectionError):
        while data := sock.recv(65536):
            said += data
    return said


HEAD = b"POST /add-checkpoint HTTP/1.1\r\nHost: w\r\n"


def test_the_whole_exchange(client):
    """404, 200, the read side, 409 with the size, over one connection."""
    digest = memory.digest(ORIGIN)
    assert client.get(f"/{digest}/checkpoint").status_code == 404
    first = client.post("/add-checkpoint", content=body(0, 7))
    assert first.status_code == 200
    cosigned = witness.Request.parse(body(0, 7)).note + first.content
    assert abs(note.open(cosigned, [SIGNER.verifier]).times[SIGNER.verifier] - time.time()) < 60
    read = client.get(f"/{digest}/checkpoint")
    assert read.content.endswith(first.content)
    assert read.headers["content-type"].startswith("text/plain")
    stale = client.post("/add-checkpoint", content=body(0, 20))
    assert (stale.status_code, stale.headers["content-type"], stale.content) == (409, "text/x.tlog.size", b"7\n")
    assert client.post("/add-checkpoint", content=body(7, 20)).status_code == 200


@pytest.mark.parametrize(
    ("method", "path", "status"),
    [
        ("GET", "/add-checkpoint", 405),
        ("POST", "/0/checkpoint", 405),
        ("GET", "/", 404),
        ("GET", "/..%2f..%2fetc%2fpasswd/checkpoint", 404),
        ("GET", f"/{'a' * 64}/checkpoint", 404),
        ("POST", "/add-checkpoint", 400),
    ],
)
def test_other_requests(client, method, path, status):
    """Other methods, addresses and an empty body have the usual codes."""
    assert client.request(method, path).status_code == status


def test_a_body_that_is_announced_too_long(address):
    """413 before a byte of it is read (attack 36)."""
    with connected(address, HEAD + b"Content-Length: 200000\r\n\r\n") as sock:
        assert heard(sock).startswith(b"HTTP/1.1 413")


def test_a_body_that_grows_too_long(address):
    """413, however it was announced: here in chunks, without a length (attack 36)."""
    chunk = b"%x\r\n%s\r\n" % (65536, b"x" * 65536)
    with connected(address, HEAD + b"Transfer-Encoding: chunked\r\n\r\n") as sock:
        with contextlib.suppress(ConnectionError):
            for _ in range(4):
                sock.sendall(chunk)
        assert heard(sock).startswith(b"HTTP/1.1 413")


def test_a_body_longer_than_announced(address):
    """What comes after the announced length is no part of the request, and no request either (attack 36)."""
    data = body(20, 20)
    with connected(address, HEAD + b"Content-Length: %d\r\n\r\n" % (len(data) - 10) + data) as sock:
        said = heard(sock)
    assert said.startswith(b"HTTP/1.1 400")
    assert said.count(b"HTTP/1.1") <= 2
    assert b" 200 " not in said


@pytest.mark.parametrize("length", [b"-1", b"1e3", b"\xb2", b"5, 6", b"0x10"])
def test_a_length_that_is_no_number(address, length):
    """Refused, and nothing is raised."""
    with connected(address, HEAD + b"Content-Length: " + length + b"\r\n\r\n") as sock:
        assert heard(sock).startswith((b"HTTP/1.1 400", b"HTTP/1.1 413"))


def test_a_body_that_trickles(address):
    """408 when its time is over, though a byte comes every moment (attack 31)."""
    start = time.monotonic()
    with connected(address, HEAD + b"Content-Length: 1000\r\n\r\n") as sock:
        with contextlib.suppress(ConnectionError):
            while time.monotonic() < start + 1.5 * PATIENCE:
                sock.sendall(b"o")
                time.sleep(0.1)
        assert heard(sock).startswith(b"HTTP/1.1 408")


@pytest.mark.parametrize("before", [b"", b"GET /a/checkpoint HTTP/1.1\r\nHost: w\r\n\r\n"])
def test_a_head_that_trickles(address, before):
    """The connection is closed when its time is over, the first request's and a later one's (attacks 31, 35)."""
    start = time.monotonic()
    with connected(address, before) as sock, contextlib.suppress(ConnectionError):
        while time.monotonic() < start + 5 * PATIENCE:
            sock.sendall(b"G")
            time.sleep(0.1)
    assert PATIENCE / 2 < time.monotonic() - start < 4 * PATIENCE


def test_a_connection_that_says_nothing(address):
    """It is closed when its time is over (attacks 31, 35)."""
    start = time.monotonic()
    with connected(address, b"") as sock:
        assert heard(sock) == b""
    assert PATIENCE / 2 < time.monotonic() - start < 4 * PATIENCE


def test_a_head_without_end(address):
    """400, or the connection is closed, long before it has cost memory (attack 35)."""
    with connected(address, b"GET / HTTP/1.1\r\n") as sock:
        with contextlib.suppress(ConnectionError):
            for _ in range(100):
                sock.sendall(b"X-A: " + b"a" * 4096 + b"\r\n")
        assert heard(sock).startswith(b"HTTP/1.1 400")


def test_a_flood_of_connections(address, client):
    """Beyond the limit the answer is 503, and when they are gone all is as before (attack 35)."""
    with contextlib.ExitStack() as stack:
        for number in range(service.CONNECTIONS):
            stack.enter_context(runs.connected(address, b"", f"127.0.1.{1 + number // service.EACH}"))
        time.sleep(0.1)
        assert client.get("/a/checkpoint").status_code == 503
    time.sleep(0.1)
    assert client.get("/a/checkpoint").status_code == 404


def test_one_address_is_not_all(address, client):
    """Who opens all the connections it is let gets no more; others are served as ever (attack 35)."""
    with contextlib.ExitStack() as stack:
        for _ in range(service.CONNECTIONS + service.EACH):
            with contextlib.suppress(ConnectionError):
                last = stack.enter_context(runs.connected(address, b"", "127.0.1.9"))
        start = time.monotonic()
        assert heard(last) == b""
        assert time.monotonic() - start < PATIENCE / 2
        assert client.get("/a/checkpoint").status_code == 404
    time.sleep(0.1)
    asked = b"GET /a/checkpoint HTTP/1.1\r\nHost: w\r\nConnection: close\r\n\r\n"
    with runs.connected(address, asked, "127.0.1.9") as sock:
        assert heard(sock).startswith(b"HTTP/1.1 404")


LONG = b"X-A: " + b"a" * 20_000 + b"\r\n"
BOTH = b"Content-Length: 4\r\nTransfer-Encoding: chunked\r\n"


@pytest.mark.parametrize(("lines", "status"), [(LONG, b"431"), (BOTH, b"400")])
def test_a_head_that_others_may_read_otherwise(address, lines, status):
    """36: one too long, though it came at once, and one of two lengths, end the connection; nothing behind it is a request."""
    behind = b"0\r\n\r\nGET /smuggled HTTP/1.1\r\nHost: w\r\n\r\n"
    with connected(address, b"GET /a/checkpoint HTTP/1.1\r\nHost: w\r\n" + lines + b"\r\n" + behind) as sock:
        said = heard(sock)
    assert said.startswith(b"HTTP/1.1 " + status)
    assert said.count(b"HTTP/1.1 ") == 1


def test_a_target_that_is_a_whole_url(client, address):
    """It is taken by its path, whatever host it names; and no address is redirected to where the client says."""
    assert client.post("/add-checkpoint", content=body(0, 7)).status_code in (200, 409)
    digest = memory.digest(ORIGIN).encode()
    for target in (b"http://other.example/", b"HTTPS://h/"):
        asked = b"GET %s%s/checkpoint HTTP/1.1\r\nHost: w\r\nConnection: close\r\n\r\n" % (target, digest)
        with connected(address, asked) as sock:
            assert heard(sock).startswith(b"HTTP/1.1 200")
    assert client.get(f"/{memory.digest(ORIGIN)}/checkpoint/").status_code == 404

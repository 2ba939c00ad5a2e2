"""Names that are looked up: a name server is a stranger too, and may never answer."""

import contextlib
import socket
import subprocess
import sys
import time
from pathlib import Path

import pytest

from exchange import errors, gateway, ipfs, lookup, rpc, unixfs
from tests import gateways
from tests.exchange import rogue

ROOT = Path(__file__).parents[2]
SILENT = """
import socket, time
from exchange import errors, gateway, ipfs, unixfs
socket.getaddrinfo = lambda *_, **__: time.sleep(60)
start = time.monotonic()
peer, node = gateway.Gateway("http://nowhere.example", patience=0.5), ipfs.IpfsStore("http://nowhere.example:5001", seconds=0.5)
for store in (peer, node):
    try:
        store.get(unixfs.of(b"a file"), limit=6)
    except errors.PeerError as error:
        print(error)
    store.close()
print(time.monotonic() - start < 15)
"""


def test_a_name_server_that_never_answers() -> None:
    """31: a gateway and a node whose names are not found are left when their time is over, and the process can end."""
    start = time.monotonic()
    ended = subprocess.run(
        [sys.executable, "-c", SILENT], check=True, capture_output=True, text=True, cwd=ROOT, timeout=50
    )
    first, second, soon = ended.stdout.splitlines()
    assert first == "gateway http://nowhere.example: silent for 0.5 s"
    assert second.startswith("node http://nowhere.example:5001 took longer for /block/get than 0.5 s")
    assert soon == "True"
    assert time.monotonic() - start < 45


def resolving(monkeypatch: pytest.MonkeyPatch, *found: str) -> None:
    """Have the name `peer.example` lead to these addresses."""
    asked = socket.getaddrinfo

    def look(host: str | bytes, *words: object, **wanted: int) -> list[tuple[object, ...]]:
        if host not in ("peer.example", b"peer.example"):
            return asked(host, *words, **wanted)
        if not found:
            raise socket.gaierror(socket.EAI_NONAME, "Name or service not known")
        return [each for address in found for each in asked(address, *words, **wanted)]

    monkeypatch.setattr(socket, "getaddrinfo", look)


def test_every_address_of_a_name_is_tried(monkeypatch: pytest.MonkeyPatch) -> None:
    """A name may lead to several addresses, of which the first need not answer."""
    resolving(monkeypatch, "127.0.0.9", "127.0.0.1")
    assert lookup.addresses("peer.example", 80, seconds=5) == ["127.0.0.9", "127.0.0.1"]
    data = b"a file"
    with rogue.serving(rogue.answer(data)) as peer:
        port = peer.url.rpartition(":")[2]
        assert ipfs.IpfsStore(f"http://peer.example:{port}", seconds=5).get(unixfs.of(data), limit=6) == data
        assert f"Host: peer.example:{port}".encode() in peer.requests[0]
    with (
        gateways.scripted(lambda sock, _head: sock.sendall(gateways.answer(data))) as url,
        gateway.Gateway(f"http://peer.example:{url.rpartition(':')[2]}") as store,
    ):
        assert store.get(unixfs.of(data), limit=6) == data


def test_a_name_that_leads_nowhere(monkeypatch: pytest.MonkeyPatch) -> None:
    """It is said at once, and who has the name is named."""
    resolving(monkeypatch)
    monkeypatch.setattr(rpc, "BACKOFF", 0.01)
    with (
        gateway.Gateway("http://peer.example") as store,
        pytest.raises(errors.PeerError, match=r"peer\.example.*not known"),
    ):
        store.has(unixfs.of(b""))
    with pytest.raises(errors.PeerError, match=r"peer\.example:5001 did not answer.*not known"):
        ipfs.IpfsStore("http://peer.example:5001", seconds=5).has(unixfs.of(b""))


def test_a_machine_that_takes_no_connection() -> None:
    """31: where not even a connection comes about, the time is over when it is over, not some seconds later."""
    with socket.create_server(("127.0.0.1", 0), backlog=0) as deaf, contextlib.ExitStack() as queue:
        where = deaf.getsockname()
        for _ in range(4):  # what the queue has room for, and more
            waiting = queue.enter_context(socket.socket())
            waiting.setblocking(False)
            waiting.connect_ex(where)
        start = time.monotonic()
        with pytest.raises(errors.PeerError, match="took longer"):
            ipfs.IpfsStore(f"http://127.0.0.1:{where[1]}", seconds=0.4).block(unixfs.of(b""))
        assert time.monotonic() - start < 3

"""Nodes that are no nodes: the client of the RPC leaves every one of them in time, in bounded memory, and names it."""

import logging
import time
import tracemalloc

import pytest

from exchange import address, errors, ipfs, nodes, rpc
from exchange import cid as cids
from tests.exchange import rogue, stores

HEAD = b"HTTP/1.1 200 OK\r\n"
WANTED = cids.Cid.of_block(cids.RAW, b"what we want")
SECONDS = 0.4
"""Of patience; a call ends at most as long after its own time, and the machine may be busy."""
LONG = 5.0

TOO_LATE = {
    "never answers": rogue.silent,
    "trickles its status": rogue.endless(b"", b"H", pause=0.05),
    "trickles its head": rogue.endless(HEAD, b"X: y\r\n", pause=0.05),
    "trickles a body": rogue.endless(HEAD + b"Content-Length: 1000000\r\n\r\n", b"x", pause=0.05),
    "trickles chunks": rogue.endless(HEAD + b"Transfer-Encoding: chunked\r\n\r\n", b"1\r\nx\r\n", pause=0.05),
    "trickles an error": rogue.endless(b"HTTP/1.1 500 No\r\nContent-Length: 99999\r\n\r\n", b"{", pause=0.05),
    "trickles after the last chunk": rogue.endless(
        HEAD + b"Transfer-Encoding: chunked\r\n\r\n0\r\n", b"X: y\r\n", pause=0.05
    ),
}
NONSENSE = {
    "other bytes": rogue.answer(b"what we do not want"),
    "no bytes": rogue.answer(b""),
    "fewer bytes than announced": rogue.answer(b"what we", length=12),
    "an end without a length": lambda c: c.sendall(HEAD + b"Connection: close\r\n\r\nwhat we"),
    "more bytes than a block has": rogue.answer(bytes(ipfs.MAX_BLOCK + 1)),
    "an endless body": rogue.endless(HEAD + b"\r\n", bytes(1 << 16)),
    "an endless chunk": rogue.endless(HEAD + b"Transfer-Encoding: chunked\r\n\r\nffffffffff\r\n", bytes(1 << 16)),
    "an endless length of a chunk": rogue.endless(HEAD + b"Transfer-Encoding: chunked\r\n\r\n", b"0" * 4096),
    "an endless error": rogue.endless(b"HTTP/1.1 500 No\r\n\r\n", b'{"Message":' + b"x" * 4096),
    "an endless line of a head": rogue.endless(HEAD + b"X: ", b"x" * 4096),
    "an endless head": rogue.endless(HEAD, b"X: y\r\n" * 100),
    "what is packed": rogue.answer(bytes(100), "200 OK", "Content-Encoding: gzip"),
    "a redirect": rogue.answer(b"", "307 Go on", "Location: http://127.0.0.1:1/"),
    "a redirect to itself": rogue.answer(b"", "302 Go on", "Location: /api/v0/block/get"),
    "no HTTP": lambda c: c.sendall(b"SSH-2.0-OpenSSH_9.6\r\n"),
    "nothing, and hangs up": lambda c: c.close(),
    "that we may not": rogue.answer(b'{"Message":"forbidden\\u001b[2J"}', "403 Forbidden"),
    "an error that is no object": rogue.answer(b"[" * 100_000, "500 No"),
}


@pytest.fixture(autouse=True)
def _brisk(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(rpc, "BACKOFF", 0.01)


@pytest.fixture
def store(request: pytest.FixtureRequest) -> ipfs.IpfsStore:
    with rogue.serving(request.param) as peer:
        yield ipfs.IpfsStore(peer.url, seconds=SECONDS, rate=1 << 20)


@pytest.mark.parametrize("store", TOO_LATE.values(), ids=TOO_LATE.keys(), indirect=True)
@pytest.mark.parametrize("do", ["block", "put"])
def test_a_node_that_takes_too_long_is_left(store: ipfs.IpfsStore, do: str) -> None:
    """31: hanging, or answering a byte now and then, ends the call when its time is over; the node is named."""
    start = time.monotonic()
    with pytest.raises(errors.PeerError, match=f"node {store.api} took longer"):
        store.block(WANTED) if do == "block" else store.put(bytes(3 << 20))
    assert SECONDS < time.monotonic() - start < LONG


@pytest.mark.parametrize("store", NONSENSE.values(), ids=NONSENSE.keys(), indirect=True)
def test_a_node_that_answers_nonsense_is_named(store: ipfs.IpfsStore) -> None:
    """30, 31, 36, 46: other bytes, fewer, more or endlessly many of them are refused; memory and time stay bounded."""
    start = time.monotonic()
    tracemalloc.start()
    with pytest.raises(errors.PeerError, match=f"node {store.api} ") as caught:
        store.block(WANTED)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert str(caught.value).isprintable()
    assert len(str(caught.value)) < 1000
    assert peak < 4 * ipfs.MAX_BLOCK
    assert time.monotonic() - start < LONG


ROOT = cids.Cid.of_block(cids.RAW, b"a file")
TAKEN = {
    "nothing": b"",
    "another root": b'{"Root":{"Cid":{"/":"%s"},"PinErrorMsg":""}}' % str(WANTED).encode(),
    "two roots": b'{"Root":{"Cid":{"/":"%s"}}}\n' % str(ROOT).encode() * 2,
    "a root that is not pinned": b'{"Root":{"Cid":{"/":"%s"},"PinErrorMsg":"full"}}' % str(ROOT).encode(),
    "a root that is no object": b'{"Root":5}',
    "a list": b"[]",
    "half an object": b'{"Root"',
    "brackets": b"[" * 60_000,
}


@pytest.mark.parametrize("body", TAKEN.values(), ids=TAKEN.keys())
def test_a_put_counts_only_with_its_own_root(body: bytes) -> None:
    """A node that answers 200, and not with the one root that we know, has not taken the file."""
    with rogue.serving(rogue.answer(body)) as peer, pytest.raises(errors.PeerError, match=f"node {peer.url} answered"):
        ipfs.IpfsStore(peer.url, seconds=5).put(b"a file")


def test_a_put_with_its_root_counts() -> None:
    """The same server, telling the truth, is believed."""
    with rogue.serving(rogue.answer(b'{"Root":{"Cid":{"/":"%s"},"PinErrorMsg":""}}' % str(ROOT).encode())) as peer:
        assert ipfs.IpfsStore(peer.url, seconds=5).put(b"a file") == ROOT


def test_a_connection_that_breaks_is_tried_again_a_few_times() -> None:
    """A node that is being restarted costs a pause, one that is gone an error after a bounded number of attempts."""
    answers = [lambda c: c.close(), rogue.answer(b"what we", length=12), rogue.answer(b"what we want")]
    with rogue.serving(lambda connection: answers.pop(0)(connection)) as peer:  # noqa: PLW0108  another for each
        assert ipfs.IpfsStore(peer.url, seconds=5).block(WANTED) == b"what we want"
    with rogue.serving(lambda connection: connection.close()) as peer, pytest.raises(errors.PeerError):
        ipfs.IpfsStore(peer.url, seconds=5).block(WANTED)
    assert len(peer.requests) == rpc.ATTEMPTS


def test_what_was_said_is_not_asked_again() -> None:
    """A refusal is an answer: it is not tried again."""
    with rogue.serving(rogue.answer(b"no", "403 Forbidden")) as peer, pytest.raises(errors.PeerError, match="403"):
        ipfs.IpfsStore(peer.url, seconds=5).block(WANTED)
    assert len(peer.requests) == 1


def test_a_password_goes_to_its_own_node_only(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """47: the header comes from the environment, goes to the node that it is for, and stands in no error and no log line."""
    caplog.set_level(logging.DEBUG)
    refusing = rogue.answer(b"no", "401 Unauthorized")
    with rogue.serving(refusing) as ours, rogue.serving(refusing) as other:
        monkeypatch.setenv(
            rpc.AUTHORIZATION, f"{address.multiaddr(ours.url)} Bearer s3cret\n\nhttp://127.0.0.1:9 Basic x"
        )
        for peer in (ours, other):
            with pytest.raises(errors.PeerError, match="401") as caught:
                ipfs.IpfsStore(peer.url, seconds=5).block(WANTED)
            assert "s3cret" not in repr(caught.value) + str(caught.value.__cause__)
    assert b"\r\nAuthorization: Bearer s3cret\r\n" in ours.requests[0]
    assert b"Authorization" not in other.requests[0]
    assert "s3cret" not in caplog.text


def test_a_redirect_is_not_followed() -> None:
    """31, 47: nobody is sent elsewhere, neither with the request nor with what authorizes it."""
    with rogue.serving(rogue.answer(b"what we want")) as other:
        redirecting = rogue.answer(b"", "307 Go on", f"Location: {other.url}/api/v0/block/get")
        with rogue.serving(redirecting) as peer, pytest.raises(errors.PeerError, match=f"node {peer.url} "):
            ipfs.IpfsStore(peer.url, seconds=5).block(WANTED)
        assert not other.requests


def test_the_environment_leads_nowhere_else(monkeypatch: pytest.MonkeyPatch) -> None:
    """47: neither a proxy nor the client library's own variables are taken from the environment."""
    with rogue.serving(rogue.answer(b"what we want")) as peer, rogue.serving(rogue.answer(b"")) as proxy:
        for name in ("http_proxy", "HTTP_PROXY", "ALL_PROXY"):
            monkeypatch.setenv(name, proxy.url)
        monkeypatch.setenv("no_proxy", "")
        assert ipfs.IpfsStore(peer.url, seconds=5).block(WANTED) == b"what we want"
    assert not proxy.requests


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        ("http://127.0.0.1:5001", "/ip4/127.0.0.1/tcp/5001/http"),
        ("https://[::1]:443/", "/ip6/::1/tcp/443/https"),
        ("http://node.example:80", "/dns/node.example/tcp/80/http"),
        ("/ip4/127.0.0.1/tcp/5001", "/ip4/127.0.0.1/tcp/5001"),
        ("/dns4/node.example/tcp/5001/https", "/dns4/node.example/tcp/5001/https"),
    ],
)
def test_addresses(given: str, expected: str) -> None:
    """A node is named by a URL or a multiaddr."""
    assert address.multiaddr(given) == expected
    assert address.multiaddr(expected) == expected


@pytest.mark.parametrize(
    "text",
    [
        "",
        "127.0.0.1:5001",
        "http://127.0.0.1",
        "http://127.0.0.1:x",
        "http://127.0.0.1:99999",
        "http://me:s3cret@127.0.0.1:5001",
        "http://127.0.0.1:5001/api/v0",
        "http://127.0.0.1:5001?x",
        "ftp://127.0.0.1:21",
        "file:///etc/passwd",
        "/ip4/127.0.0.1/udp/5001",
        "/unix/run/ipfs.sock",
        "/ip4/127.0.0.1/tcp/5001/http/p2p/x",
    ],
)
def test_what_is_no_address_is_refused(text: str) -> None:
    """33, 47: anything else is refused, and a password in it not repeated."""
    with pytest.raises(errors.PeerError, match="is no address of a node") as caught:
        address.multiaddr(text)
    assert "s3cret" not in str(caught.value)


LISTS = {
    "empty objects": b"{}\n" * (ipfs.MAX_PINS // 3),
    "empty lines": b"\n" * ipfs.MAX_PINS,
    "one line": b'{"Keys":{' + b",".join(b'"%d":0' % n for n in range(2_000_000)) + b"}}",
}


@pytest.mark.parametrize("body", LISTS.values(), ids=LISTS.keys())
def test_a_list_of_pins_is_bounded(body: bytes, monkeypatch: pytest.MonkeyPatch) -> None:
    """32, 36: whatever is in an answer, reading it takes little more memory than the most it may have, and little time."""
    monkeypatch.setattr(ipfs, "MAX_LINES", 1 << 14)
    start = time.monotonic()
    with rogue.serving(rogue.answer(body)) as peer:
        tracemalloc.start()
        with pytest.raises(errors.PeerError, match=f"node {peer.url} answered"):
            list(ipfs.IpfsStore(peer.url, seconds=20).pins())
        peak = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
    assert peak < 4 * ipfs.MAX_PINS
    assert time.monotonic() - start < 20


def test_a_list_of_pins_in_one_line_or_many() -> None:
    """Both are read: a node that streams says one a line."""
    name = str(WANTED)
    for body in (b'{"Keys":{"%s":{"Type":"recursive"}}}' % name.encode(), b'{"Cid":"%s"}\n' % name.encode()):
        with rogue.serving(rogue.answer(body)) as peer:
            assert list(ipfs.IpfsStore(peer.url, seconds=5).pins()) == [WANTED]


def test_the_missing_block_of_a_large_file_is_found_soon() -> None:
    """32: what a pin lacks is looked for with one question for each block, however often the tree names it."""
    leaf, full = stores.bomb(None, levels=0)
    links = [nodes.Link(cid=full[0], size=1 << 30, total=len(full[1]) + (1 << 30))] * 2
    lost = nodes.Link(cid=cids.Cid(codec=cids.DAG_PB, digest=bytes(32)), size=5, total=200)
    block = nodes.encode([*links, lost])
    root = str(cids.Cid.of_block(cids.DAG_PB, block))
    content = {str(leaf[0]): leaf[1], str(full[0]): full[1], root: block}
    asked: list[str] = []

    def script(connection: object) -> None:
        head = peer.requests[-1].split(b" ")[1].decode()
        name = head.rpartition("arg=")[2].partition("&")[0]
        asked.append(name)
        found = b"" if "/pin/add" in head or len(asked) > 20 else content.get(name, b"")
        missing = rogue.answer(b'{"Message":"block was not found locally"}', "500 No")
        (rogue.answer(found) if found else missing)(connection)

    with rogue.serving(script) as peer, pytest.raises(errors.BlockMissingError, match=str(lost.cid)):
        ipfs.IpfsStore(peer.url, seconds=5).pin(root)
    assert len(asked) == 5

"""What a holder makes of a service that lies, stalls, sends too much, or comes back after a while."""

import contextlib
import gzip
import itertools
import socket
import threading
import tracemalloc
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from client import backoff, errors, events, remote, tail
from ledger import dsse, keys

ENVELOPE = dsse.sign(b'{"n":1}', keys.SigningKey.generate())
CID = "bafkreigks6arfsq3xxfpvqrrwonchxcnu6do76auprhhfomao6c273sixm"
SSE = b"HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\n\r\n"


class Scripted:
    """A server that answers one connection after another as a script says, and keeps what it was sent."""

    def __init__(self, *answers: Callable[[socket.socket], None]) -> None:
        self._server = socket.create_server(("127.0.0.1", 0))
        self._answers = answers
        self.heads: list[bytes] = []
        self._thread = threading.Thread(target=self._serve, daemon=True)
        self._thread.start()

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self._server.getsockname()[1]}"

    def close(self) -> None:
        with contextlib.suppress(OSError):
            self._server.shutdown(socket.SHUT_RDWR)
        self._server.close()
        self._thread.join(5.0)

    def _serve(self) -> None:
        with contextlib.suppress(OSError):
            for answer in self._answers:
                near, _ = self._server.accept()
                with near, contextlib.suppress(OSError):
                    self.heads.append(near.recv(65536))
                    answer(near)


def says(data: bytes) -> Callable[[socket.socket], None]:
    return lambda near: near.sendall(data)


def answer(status: str, body: bytes, *headers: str) -> Callable[[socket.socket], None]:
    lines = [f"HTTP/1.1 {status}", f"content-length: {len(body)}", *headers, "", ""]
    return says("\r\n".join(lines).encode() + body)


def stalls(near: socket.socket) -> None:
    """Takes what comes, for as long as it comes, and says nothing."""
    while near.recv(65536):
        pass


def trickles(near: socket.socket) -> None:
    """One byte of a head at a time, without an end."""
    for byte in itertools.chain(b"HTTP/1.1 200 OK\r\nx: ", itertools.repeat(0x61)):
        near.sendall(bytes([byte]))
        threading.Event().wait(0.02)


@contextlib.contextmanager
def asking(*answers: Callable[[socket.socket], None]) -> Iterator[tuple[remote.Service, Scripted]]:
    server = Scripted(*answers)
    service = remote.Service(server.url, silence=0.5, seconds=0.5)
    try:
        yield service, server
    finally:
        service.close()
        server.close()


@pytest.mark.parametrize(
    ("reply", "said"),
    [
        (stalls, "no answer in"),
        (trickles, "no answer in"),
        (says(b"what?\r\n\r\n"), "RemoteProtocolError"),
        (answer("200 OK", b"x" * (remote.MAX_ANSWER + 1)), "an answer of over 65536 bytes"),
        (answer("200 OK", b'{"seq":true}'), "expected its position"),
        (answer("200 OK", b'{"seq":-1}'), "expected its position"),
        (answer("200 OK", b"\xff"), "expected its position"),
        (answer("200 OK", b"[" * 60_000), "expected its position"),
        (answer("302 Found", b"", "location: http://127.0.0.1/"), "a redirect is not followed"),
        (answer("503 Service Unavailable", b'{"code":"busy","message":"later"}', "retry-after: 7"), "503 busy: later"),
        (answer("500 Oops", b"\x1b[31mred"), r"500 \?\[31mred"),
        (answer("503 Service Unavailable", b""), "503 without a reason$"),
        (answer("503 Service Unavailable", b'{"code":"","message":""}'), "503 without a reason$"),
        (answer("503 Service Unavailable", b'{"code":"busy","message":""}'), "503 busy$"),
        (answer("200 OK", b'{"seq":1}', "content-encoding: zstd"), "content-encoding zstd, which was not asked for"),
    ],
)
def test_a_service_that_does_not_answer_as_it_should(reply: Callable[[socket.socket], None], said: str) -> None:
    """It is a ServiceError in time and in bounded memory, and nothing it sends reaches a terminal raw (attacks 31, 36, 46)."""
    with asking(reply) as (service, _):
        with pytest.raises(errors.ServiceError, match=said) as caught:
            service.append(ENVELOPE)
        assert not isinstance(caught.value, errors.RejectedError)
        assert caught.value.wait == (7.0 if "later" in said else 0.0)


@pytest.mark.parametrize(
    ("said", "wait"), [("59", 59.0), ("999", 60.0), ("9" * 400, 60.0), ("-1", 0.0), ("1e9", 0.0), ("soon", 0.0)]
)
def test_no_service_makes_a_holder_wait_for_more_than_a_minute(said: str, wait: float) -> None:
    """Its word is taken up to the longest wait that there is, and no further (attack 31)."""
    with asking(answer("503 Service Unavailable", b"", f"retry-after: {said}")) as (service, _):
        with pytest.raises(errors.ServiceError) as caught:
            service.append(ENVELOPE)
        assert caught.value.wait == wait


@pytest.mark.parametrize("status", ["200 OK", "503 Service Unavailable"])
@pytest.mark.parametrize("asks", ["append", "tail"])
def test_nothing_packed_is_unpacked(status: str, asks: str) -> None:
    """A few hundred bytes that would be 64 MiB cost a few hundred, though nobody asked for them packed (attack 25)."""
    bomb = gzip.compress(gzip.compress(gzip.compress(bytes(2**26))))
    with asking(answer(status, bomb, "content-encoding: gzip, gzip, gzip"), stalls) as (service, server):
        tracemalloc.start()
        if asks == "append":
            with pytest.raises(errors.ServiceError, match="content-encoding gzip, gzip, gzip, which was not asked for"):
                service.append(ENVELOPE)
        else:
            assert "content-encoding gzip, gzip, gzip" in str(heard(service.tail(0), 1)[0].error)
        _, peak = tracemalloc.get_traced_memory()
        tracemalloc.stop()
    assert peak < 2**22
    assert b"accept-encoding: identity\r\n" in server.heads[0].lower()


def test_what_the_service_refuses_it_names() -> None:
    """A refusal is told by status and code, so the holder knows what not to send again."""
    with asking(answer("409 Conflict", b'{"code":"wrong-round","message":"round 2"}')) as (service, _):
        with pytest.raises(errors.RejectedError, match="409 wrong-round: round 2") as caught:
            service.append(ENVELOPE)
        assert (caught.value.status, caught.value.code) == (409, "wrong-round")


@pytest.mark.parametrize(
    "url", ["ftp://x", "http://", "nonsense", "https://me:secret@host", "http://host/?q=1", "http://host:99999999"]
)
def test_a_url_that_is_none(url: str) -> None:
    """Neither another scheme nor a password in a URL is taken, and a password is not repeated."""
    with pytest.raises(errors.ServiceError) as caught:
        remote.Service(url)
    assert "secret" not in str(caught.value)


def test_a_file_goes_under_its_offer(tmp_path: Path) -> None:
    """A put has the length that was signed, the offer in its head, and no credentials."""
    path = tmp_path / "file"
    path.write_bytes(b"abc")
    with asking(answer("201 Created", b"{}")) as (service, server), path.open("rb") as file:
        service.put(CID, file, 3, ENVELOPE)
    head = server.heads[0].lower()
    assert head.startswith(f"put /ipfs/{CID} http/1.1".encode())
    assert b"content-length: 3\r\n" in head
    assert b"transfer-encoding" not in head
    assert b"cookie" not in head
    assert b"authorization" not in head


def heard(line: tail.Tail, count: int) -> list[tail.Event]:
    found: list[tail.Event] = []
    while len(found) < count:
        taken = line.take(5.0)
        assert taken, found
        found += taken
    return found[:count]


def test_a_tail_goes_on_where_it_broke() -> None:
    """After a broken line the holder asks for the next entry, not for all; entries out of order break the line (attack 31)."""
    entry = b"id: %d\nevent: entry\ndata: leaf %d\n\n"
    first = says(SSE + entry % (3, 3) + b"event: checkpoint\ndata: a\ndata: \ndata: b\n\n:\n\n" + entry % (4, 4))
    second = says(SSE + entry % (6, 6))
    third = says(SSE + entry % (5, 5) + b"event: gossip\ndata: x\n\n")
    with asking(first, second, third, stalls) as (service, server):
        events_ = heard(service.tail(3), 9)
    assert [type(each) for each in events_[:5]] == [tail.Alive, tail.Leaf, tail.Note, tail.Leaf, tail.Broken]
    assert events_[2] == tail.Note(data=b"a\n\nb\n")
    assert "sent entry '6', expected 5" in str(events_[6].error)
    assert events_[8] == tail.Leaf(seq=5, data=b"leaf 5")
    asked = [head.split(b" ")[1] for head in server.heads]
    assert asked[:3] == [b"/tail?from=3", b"/tail?from=5", b"/tail?from=5"]


def test_a_tail_that_brought_something_is_asked_again_soon() -> None:
    """The waits of a line that only breaks grow, and begin anew after what its reader believed."""
    with asking(*[says(SSE)] * 4, stalls) as (service, _):
        line, waits = service.tail(0), []
        while len(waits) < 4:
            for event in line.take(5.0):
                if isinstance(event, tail.Broken):
                    waits.append(event.wait)
                    if len(waits) == 3:
                        line.believed()
    assert waits[0] <= 0.5 <= waits[1] <= 1.0 <= waits[2]
    assert waits[3] <= 0.5


def test_a_silent_tail_is_given_up() -> None:
    """A line without a byte for too long is broken, however it began (attack 31)."""

    def mute(near: socket.socket) -> None:
        near.sendall(SSE)
        stalls(near)

    with asking(mute, stalls) as (service, _):
        alive, broken = heard(service.tail(0), 2)
    assert isinstance(alive, tail.Alive)
    assert "fell silent" in str(broken.error)


@given(st.data())
def test_events_are_the_same_however_they_are_cut(data: st.DataObject) -> None:
    """Where a stream is cut into pieces does not matter."""
    stream = b"id: 7\r\nevent: entry\r\ndata: {}\r\n\r\n: beat\n\ndata:a\ndata: b\n\nevent: x\n\n"
    cuts = sorted(data.draw(st.lists(st.integers(0, len(stream)))))
    reader = events.Reader()
    found = [each for a, b in itertools.pairwise([0, *cuts, len(stream)]) for each in reader.feed(stream[a:b])]
    assert found == [
        events.Message(kind="entry", id="7", data=b"{}"),
        None,
        events.Message(kind="message", id="", data=b"a\nb"),
        events.Message(kind="x", id="", data=b""),
    ]


@pytest.mark.parametrize("piece", [b"data: ", b"data: x\n"])
def test_an_endless_event_is_refused(piece: bytes) -> None:
    """Neither a line nor a message without an end fills the memory (attack 31)."""
    reader = events.Reader()
    for _ in range((events.MOST - 8) // len(piece)):
        reader.feed(piece)
    with pytest.raises(errors.ServiceError, match="a line or message of over"):
        reader.feed(piece * 10)


@given(st.lists(st.floats(0, 1), min_size=1, max_size=40))
def test_waits_grow_to_a_bound_and_differ(draws: list[float]) -> None:
    """Each wait is at least half of what it may be, at most a minute, and short again after a success."""
    drawn = iter([*draws, 0.0])
    waits = backoff.Backoff(draw=lambda: next(drawn))
    for number in range(len(draws)):
        whole = min(backoff.MOST, backoff.FIRST * 2**number)
        assert whole / 2 <= waits.failed() <= whole
    waits.succeeded()
    assert waits.failed(least=9.0) == 9.0

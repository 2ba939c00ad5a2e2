"""Asking witnesses, of which some are ours behind HTTP and some do what they like."""

import contextlib
import gzip
import re
import socket
import threading
import time

import pytest

from ledger import cosignature, dsse, keys, log, note, policy
from orchestrator import witnessing
from tests import witnesses

ORIGIN = "folkmoot.test/log"
KEY = keys.SigningKey.generate()
BOMB = gzip.compress(gzip.compress(bytes(2**26)))
LOG = note.Verifier(name=ORIGIN, key=KEY.public)


@pytest.fixture
def served(tmp_path):
    """A function of a name: a running witness of this name."""
    running = []

    def serve(name):
        running.append(witnesses.Served(tmp_path / f"memory-{name}", name, LOG))
        return running[-1]

    yield serve
    for each in running:
        each.stop()


@pytest.fixture
def record(tmp_path):
    """A log that published at 3 and at 8 entries."""
    with log.Log.open(tmp_path / "log.db", origin=ORIGIN) as record:
        for count in (3, 5):
            start = record.size
            record.append([dsse.sign(b'{"n":%d}' % n, KEY) for n in range(start, start + count)], head=record.head)
            record.publish(KEY)
        yield record


@contextlib.contextmanager
def rude(answer):
    """A server that answers every request with these chunks of bytes, a moment apart; its URL."""
    with socket.create_server(("127.0.0.1", 0)) as listening:
        listening.settimeout(0.05)
        ended = threading.Event()

        def serve():
            while not ended.is_set():
                with contextlib.suppress(OSError):
                    connection, _ = listening.accept()
                    with connection:
                        connection.settimeout(1)
                        connection.recv(65536)
                        for chunk in answer:
                            connection.sendall(chunk)
                            ended.wait(0.05)

        thread = threading.Thread(target=serve)
        thread.start()
        yield f"http://127.0.0.1:{listening.getsockname()[1]}"
        ended.set()
        thread.join()


def response(status, kind, body, more=b""):
    head = b"HTTP/1.1 %d X\r\nConnection: close\r\nContent-Type: %s\r\nContent-Length: %d\r\n%s\r\n"
    return head % (status, kind, len(body), more) + body


def test_a_quorum_of_witnesses_endorses(served, record):
    """Each is asked with the size before, told the right one where it knows another; the note in the log has all lines."""
    one, two = served("one"), served("two")
    three = policy.Witness(verifier=served("three").signer.verifier, url="")
    chosen = policy.Policy(
        logs=(),
        witnesses={"one": one.entry, "two": two.entry, "three": three},
        groups={"most": policy.Group(threshold=2, members=("one", "two", "three"))},
        quorum="most",
    )
    assert witnessing.endorse(record, record.last_note(), chosen) == ""
    assert chosen.accept(record.last_note(), ORIGIN, log=LOG).witnesses.keys() == {"one", "two"}
    record.append([dsse.sign(b'{"n":8}', KEY)], head=record.head)
    signed = record.publish(KEY)
    assert witnessing.endorse(record, signed, chosen) == ""
    assert chosen.accept(record.last_note(), ORIGIN, log=LOG).witnesses.keys() == {"one", "two"}
    assert [len(note.split(each)[1]) for _, each in record.notes()] == [1, 3, 3]


def test_who_cosigned_is_not_asked_again(served, record):
    """A coordinator that starts again publishes the same note, and asks those alone whose line it lacks."""
    one = served("one")
    chosen = policy.Policy(logs=(), witnesses={"one": one.entry}, groups={}, quorum="one")
    assert witnessing.endorse(record, record.last_note(), chosen) == ""
    before = record.last_note()
    with socket.create_server(("127.0.0.1", 0)) as silent:
        entry = policy.Witness(verifier=one.signer.verifier, url=f"http://127.0.0.1:{silent.getsockname()[1]}")
        chosen = policy.Policy(logs=(), witnesses={"one": entry}, groups={}, quorum="one")
        start = time.monotonic()
        assert witnessing.endorse(record, record.last_note(), chosen, seconds=2) == ""
        assert time.monotonic() - start < 1
    assert record.last_note() == before


@pytest.mark.parametrize(
    ("answer", "said"),
    [
        ([], "RemoteProtocolError|disconnected|ReadError"),
        ([b"nonsense\r\n\r\n"], "illegal|RemoteProtocol"),
        ([response(200, b"text/plain", b"")], "expected ended lines"),
        ([response(200, b"text/plain", b"\xff\n")], "decode"),
        (
            [response(200, b"text/plain", "\u2014 witness.test/w AAAAAAAA\n".encode())],
            "no cosignature of witness.test/w",
        ),
        ([response(200, b"text/plain", b"x" * 70_000)], "longer than 65536"),
        (
            [response(200, b"text/plain", BOMB, b"Content-Encoding: gzip, gzip\r\n")],
            "'gzip, gzip', which was not asked",
        ),
        ([response(302, b"text/plain", b"")], "302"),
        ([response(403, b"text/plain", b"no \x1b[31m")], r"403 'no \\x1b"),
        ([response(409, b"text/plain", b"7\n")], "409"),
        ([response(409, b"text/x.tlog.size", b"07\n")], "409"),
        ([response(409, b"text/x.tlog.size", b"7\n")], "named another size 3 times"),
        ([response(409, b"text/x.tlog.size", b"9\n")], "9 entries before, more than the 8"),
        ([b"HTTP/1.1 200 X\r\n", *[b"X: y\r\n"] * 100], r"no answer in 0\.5 s"),
        ([b"HTTP/1.1 200 X\r\nContent-Length: 1000\r\n\r\n", *[b"x"] * 100], r"no answer in 0\.5 s"),
    ],
)
def test_a_witness_that_does_what_it_likes(served, record, answer, said):
    """Silence, nonsense, lies and trickles cost its own line and no more than the time allowed (attacks 25, 31, 44)."""
    good = served("good")
    other = cosignature.Verifier(name="witness.test/w", key=keys.SigningKey.generate().public)
    with rude(answer) as url:
        chosen = {"good": good.entry, "rude": policy.Witness(verifier=other, url=url)}
        start = time.monotonic()
        asked = witnessing.ask(chosen, record.last_note(), 3, record.consistency, seconds=0.5)
    assert time.monotonic() - start < 2
    assert asked.lines.keys() == {"good"}
    assert asked.failures.keys() == {"rude"}
    assert re.search(said, asked.failures["rude"]), asked.failures


def test_a_cosignature_of_something_else(served, record):
    """A line of the right key over another checkpoint is no line (attack 44)."""
    signer = cosignature.Signer(name="witness.test/w", key=keys.SigningKey.generate())
    line = str(signer.line(note.split(record.note(3))[0], 5)).encode()
    with rude([response(200, b"text/plain", line)]) as url:
        entry = policy.Witness(verifier=signer.verifier, url=url)
        asked = witnessing.ask({"w": entry}, record.last_note(), 3, record.consistency, seconds=2)
    assert not asked.lines
    assert "is not by" in asked.failures["w"]


@pytest.mark.parametrize("url", ["http://127.0.0.1:1", "ftp://127.0.0.1", "nowhere", "http://[", "http://\udcff"])
def test_an_address_that_leads_nowhere(record, url):
    """A closed port, another scheme, no URL: a sentence."""
    other = cosignature.Verifier(name="witness.test/w", key=keys.SigningKey.generate().public)
    chosen = policy.Policy(logs=(), witnesses={"w": policy.Witness(verifier=other, url=url)}, groups={}, quorum="w")
    said = witnessing.endorse(record, record.last_note(), chosen, seconds=1)
    assert said.startswith("quorum w is not met: cosigned by no witness (w: ")


def test_a_witness_that_remembers_another_history(served, record, tmp_path):
    """An operator that rewrote its log gets no cosignature, and the witness keeps the evidence (attack 43)."""
    one = served("one")
    chosen = policy.Policy(logs=(), witnesses={"one": one.entry}, groups={}, quorum="one")
    assert witnessing.endorse(record, record.last_note(), chosen) == ""
    with log.Log.open(tmp_path / "other.db", origin=ORIGIN, published=tmp_path / "other") as other:
        other.append([dsse.sign(b'{"n":%d}' % n, KEY) for n in range(1, 12)], head=other.head)
        said = witnessing.endorse(other, other.publish(KEY), chosen)
    assert "one: 422" in said
    assert len(list(tmp_path.glob("memory-one/*.evidence/*/refused"))) == 1

"""Files that come in over HTTP: only under a signed offer, only those bytes, all of them or nothing."""

import contextlib
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from pathlib import Path

import httpx
import pytest

from client import update
from exchange import unixfs
from ledger import dsse, statements
from orchestrator.serving import admission, intake
from tests import runs

LARGE = os.urandom(180_000)


@pytest.fixture
def run(tmp_path: Path) -> runs.Run:
    return runs.Run(tmp_path / "run")


@pytest.fixture
def address(run: runs.Run) -> Iterator[tuple[str, int]]:
    with runs.serving(run.where.root, patience=1.0) as where:
        with runs.client(where) as asked:
            runs.wait(asked)
        yield where


@pytest.fixture
def asked(address: tuple[str, int]) -> Iterator[httpx.Client]:
    with runs.client(address) as opened:
        yield opened


def put(asked: httpx.Client, offer: dsse.Envelope, data: bytes, name: object = None) -> tuple[int, str]:
    found = asked.put(f"/ipfs/{name or unixfs.of(data)}", content=data, headers=runs.header(offer))
    return found.status_code, found.json().get("code", "")


def begun(run: runs.Run, name: str, data: bytes, sent: bytes) -> bytes:
    """A put of a member's file as it goes over the line: its head, and so much of its body."""
    head = f"PUT /ipfs/{unixfs.of(data)} HTTP/1.1\r\nHost: s\r\nContent-Length: {len(data)}\r\n"
    return f"{head}folkmoot-offer: {runs.header(run.offer(name, data))['folkmoot-offer']}\r\n\r\n".encode() + sent


def files(run: runs.Run) -> set[Path]:
    """All files of the store but its lock, staged ones too."""
    return {path for path in (run.where.root / "blocks").rglob("*") if path.is_file() and path.name != "lock"}


def test_a_file_under_its_offer(run: runs.Run, asked: httpx.Client) -> None:
    """201 and it is there, byte for byte; the same again 200; after its announcement too."""
    offer, name = run.offer("alice", LARGE), unixfs.of(LARGE)
    assert put(asked, offer, LARGE) == (201, "")
    assert run.store.get(name, limit=len(LARGE)) == LARGE
    assert put(asked, offer, LARGE) == (200, "")
    assert asked.post("/statements", content=offer.to_bytes()).status_code == 200
    assert put(asked, offer, LARGE) == (200, "")
    raw = asked.get(f"/ipfs/{name}", headers={"accept": "application/vnd.ipld.raw"})
    assert raw.content == LARGE


def test_a_file_for_a_round_that_opened_a_moment_ago(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """What the service has judged by it goes by from then on, however slow its thread is: a quick holder is not late."""
    waiting = runs.Run(tmp_path / "waiting", begun=False)
    tell = intake._settle

    def slowly(outcomes: Sequence[tuple[object, object]]) -> None:
        tell(outcomes)  # type: ignore[arg-type]  # a job is the module's own
        time.sleep(0.5 if outcomes else 0.0)

    with runs.serving(waiting.where.root) as where, runs.client(where) as asked:
        runs.wait(asked)
        monkeypatch.setattr(intake, "_settle", slowly)
        waiting.append(waiting.signed(waiting.opening()))
        assert put(asked, waiting.offer("alice", LARGE), LARGE) == (201, "")


def test_a_file_of_many_blocks(tmp_path: Path) -> None:
    """Several leaves and a node; the memory of the service is not the file's size."""
    large = os.urandom(3 * 2**20 + 17)
    other = runs.Run(tmp_path / "other", checkpoint=bytes(2 * len(large)))
    with runs.serving(other.where.root) as where, runs.client(where) as asked:
        runs.wait(asked)
        assert put(asked, other.offer("bob", large), large) == (201, "")
        assert other.store.get(unixfs.of(large), limit=len(large)) == large


@pytest.mark.parametrize("sent", [b"x", b"", LARGE[:-1] + b"!", bytes(len(LARGE))])
def test_other_bytes_than_offered(run: runs.Run, asked: httpx.Client, sent: bytes) -> None:
    """Refused, and the store is as it was (attacks 11, 30)."""
    before = files(run)
    assert put(asked, run.offer("alice", LARGE), sent, unixfs.of(LARGE))[0] == 400
    assert files(run) == before


def test_the_offer_decides(run: runs.Run, asked: httpx.Client) -> None:
    """Another signer, member, round, run, name or kind of statement lets nothing in (attacks 10, 14, 15, 16, 19)."""
    data, before = b"some bytes", files(run)
    offer = run.offer("alice", data)
    leave = statements.MemberRevoke(author="bob", run=run.run, member="bob", reason="lost")
    assert put(asked, dsse.sign(offer.payload, run.keys["bob"]), data) == (401, "bad-signature")
    assert put(asked, run.offer("carol", data), data) == (403, "not-in-cohort")
    assert put(asked, run.said(leave, "bob"), data) == (403, "not-entitled")
    assert put(asked, run.offer("alice", data, round=2), data) == (409, "wrong-round")
    assert put(asked, run.offer("alice", data, run="0" * 64), data) == (409, "wrong-run")
    assert put(asked, offer, data, unixfs.of(b"other")) == (409, "wrong-cid")
    assert asked.post("/statements", content=run.said(leave, "bob").to_bytes()).status_code == 200
    assert put(asked, run.offer("bob", data), data) == (403, "revoked")
    assert asked.post("/statements", content=offer.to_bytes()).status_code == 200
    assert put(asked, run.offer("alice", data * 2), data * 2) == (409, "equivocation")
    seal = statements.RoundSeal(author="coordinator", run=run.run, round=1, offers=(9,))
    run.append(run.signed(seal))
    assert put(asked, run.offer("alice", data), data) == (409, "out-of-order")
    assert files(run) == before


@pytest.mark.parametrize("text", ["!!", "a", "A" * 10_000, "e30", "bnVsbA", "\u00e9".encode().hex()])
def test_a_head_that_is_no_offer(asked: httpx.Client, text: str) -> None:
    """400; without one 401."""
    assert asked.put(f"/ipfs/{unixfs.of(b'x')}", content=b"x", headers={"folkmoot-offer": text}).status_code == 400
    assert asked.put(f"/ipfs/{unixfs.of(b'x')}", content=b"x").status_code == 401


def test_announced_sizes(run: runs.Run, address: tuple[str, int]) -> None:
    """Ten gigabytes, none, or other than offered are refused before a byte is taken (attacks 12, 32, 36)."""
    offer = run.offer("alice", b"0123456789")
    huge = run.offer("alice", b"0123456789", size=10 * 2**30)
    for chosen, length, status in (
        (huge, b"Content-Length: 10737418240", b"413"),
        (offer, b"Content-Length: 10737418240", b"400"),
        (offer, b"Content-Length: 9", b"400"),
        (offer, b"Content-Length: 11", b"400"),
        (offer, b"Content-Length: 99999999999999999999", b"413"),
        (offer, b"Transfer-Encoding: chunked", b"400"),
    ):
        head = b"PUT /ipfs/%s HTTP/1.1\r\nHost: s\r\n%s\r\n" % (str(unixfs.of(b"0123456789")).encode(), length)
        line = f"folkmoot-offer: {runs.header(chosen)['folkmoot-offer']}\r\n\r\n"
        with runs.connected(address, head + line.encode()) as sock:
            assert sock.recv(65536).split()[1] == status
    assert not run.store.has(unixfs.of(b"0123456789"))


def test_a_body_longer_than_announced(run: runs.Run, address: tuple[str, int]) -> None:
    """What comes after the announced bytes is no part of the file, and no request either (attack 36)."""
    data = b"0123456789"
    head = f"PUT /ipfs/{unixfs.of(data)} HTTP/1.1\r\nHost: s\r\nContent-Length: 10\r\n"
    line = f"folkmoot-offer: {runs.header(run.offer('alice', data))['folkmoot-offer']}\r\n\r\n"
    with runs.connected(address, (head + line).encode() + data + b"and more\r\n\r\n") as sock:
        said = runs.heard(sock)
    assert said.startswith(b"HTTP/1.1 201")
    assert said.count(b"HTTP/1.1 2") == 1


def test_a_client_that_goes_away(run: runs.Run, address: tuple[str, int]) -> None:
    """Half a file is nothing: neither a block nor a staged one, and the slot is free again (attack 2)."""
    before = files(run)
    for _ in range(3):
        with runs.connected(address, begun(run, "alice", LARGE, LARGE[:100_000])):
            time.sleep(0.05)
    with runs.client(address) as asked:
        time.sleep(0.2)
        assert files(run) == before
        assert put(asked, run.offer("alice", LARGE), LARGE) == (201, "")


def test_lines_that_break_cost_a_member_nothing(run: runs.Run, address: tuple[str, int]) -> None:
    """However often its file was cut, or refused since all places were taken, a holder brings it in the end (attack 2)."""
    whole = bytes(admission.update_limit(len(runs.CHECKPOINT)))
    for _ in range(8):
        with runs.connected(address, begun(run, "alice", whole, whole[:-1])):
            time.sleep(0.1)  # so that it has begun
    with runs.client(address) as asked:
        deadline = time.monotonic() + 5
        while (found := put(asked, run.offer("alice", whole), whole))[0] == 503:
            assert time.monotonic() < deadline
        assert found == (201, "")


def test_refused_for_want_of_a_place_costs_nothing(run: runs.Run) -> None:
    """A 503 is not counted against what a member may put (attack 2)."""
    whole = bytes(admission.update_limit(len(runs.CHECKPOINT)))
    with runs.serving(run.where.root, puts=1) as where, runs.client(where) as asked:
        runs.wait(asked)
        with runs.connected(where, begun(run, "bob", LARGE, b"")) as sock:
            time.sleep(0.2)
            assert {put(asked, run.offer("alice", whole), whole) for _ in range(6)} == {(503, "busy")}
            sock.sendall(LARGE)
            assert sock.recv(65536).startswith(b"HTTP/1.1 201")
        assert put(asked, run.offer("alice", whole), whole) == (201, "")


def test_a_member_has_so_many_bytes_a_round(run: runs.Run, asked: httpx.Client) -> None:
    """Over four times the largest update it is 429; another member is not concerned."""
    size = admission.update_limit(len(runs.CHECKPOINT))
    found = [put(asked, run.offer("alice", bytes([n]) * size), bytes([n]) * size) for n in range(5)]
    assert found == [(201, "")] * 4 + [(429, "quota")]
    assert put(asked, run.offer("bob", b"x"), b"x") == (201, "")


def test_wrong_bytes_that_came_whole_count(run: runs.Run, asked: httpx.Client) -> None:
    """Who sends other bytes than it offered does so four times a round."""
    size = admission.update_limit(len(runs.CHECKPOINT))
    offer = run.offer("alice", bytes(size))
    found = [put(asked, offer, b"!" * size, unixfs.of(bytes(size))) for _ in range(5)]
    assert found == [(400, "wrong-bytes")] * 4 + [(429, "quota")]


def test_a_file_that_is_put_again_is_counted_once(run: runs.Run, asked: httpx.Client) -> None:
    """Where the service lost what it had, its holder brings it again as often as it takes."""
    whole = bytes(admission.update_limit(len(runs.CHECKPOINT)))
    before = files(run)
    for _ in range(6):
        assert put(asked, run.offer("alice", whole), whole) == (201, "")
        for lost in files(run) - before:
            lost.unlink()


def test_places_of_a_member(run: runs.Run) -> None:
    """One member comes with two files at a time, from wherever; another comes in all the same (attack 35)."""
    with runs.serving(run.where.root, puts=8) as where, runs.client(where) as asked, contextlib.ExitStack() as stack:
        runs.wait(asked)
        for number in range(2):
            small = b"small %d" % number
            stack.enter_context(runs.connected(where, begun(run, "alice", small, b""), f"127.0.0.{2 + number}"))
        time.sleep(0.2)
        assert put(asked, run.offer("alice", LARGE), LARGE) == (503, "busy")
        assert put(asked, run.offer("bob", LARGE), LARGE) == (201, "")


@pytest.mark.parametrize(("each", "status"), [(256, b"503"), (0, b"201")])
def test_places_of_an_address(run: runs.Run, each: int, status: bytes) -> None:
    """One address takes half of all places, behind a proxy that is not named all of them; others come in (attack 35)."""
    with contextlib.ExitStack() as stack:
        where = stack.enter_context(runs.serving(run.where.root, puts=4, puts_each=4, each=each))
        asked = stack.enter_context(runs.client(where))
        runs.wait(asked)
        for number in range(2):
            stack.enter_context(runs.connected(where, begun(run, "alice", b"small %d" % number, b""), "127.0.0.2"))
        time.sleep(0.2)
        sock = stack.enter_context(runs.connected(where, begun(run, "bob", b"other", b"other"), "127.0.0.2"))
        assert sock.recv(65536).split()[1] == status
        assert put(asked, run.offer("bob", LARGE), LARGE) == (201, "")


def test_a_small_file_has_little_time(run: runs.Run, address: tuple[str, int]) -> None:
    """Who announces a few bytes and brings none is left as early as who brings no statement (attack 31)."""
    start = time.monotonic()
    with runs.connected(address, begun(run, "alice", b"few", b"")) as sock:
        assert runs.heard(sock).startswith(b"HTTP/1.1 408")
    assert time.monotonic() - start < 5


def test_no_update_is_too_large_for_the_service() -> None:
    """What a settlement takes, the service lets in, whatever the model's size."""
    for parameters in (1, 1000, 2047, 2048, 2049, 10**6, 10**9):
        exact = update.limit(parameters)
        assert exact <= admission.update_limit(4 * parameters + 8) <= exact + 64


def test_killed_in_a_put(run: runs.Run) -> None:
    """SIGKILL while a file comes in leaves nothing: no block, no staged file, no count (attack 37)."""
    before = files(run)
    command = [sys.executable, "-m", "orchestrator", "serve", "--port", "0", "--json", str(run.where.root)]
    running = subprocess.Popen(command, stdout=subprocess.PIPE, text=True, stderr=subprocess.DEVNULL)
    try:
        port = int(running.stdout.readline().split(":")[3].split('"')[0])
        with runs.client(("", port)) as asked:
            runs.wait(asked)
        head = f"PUT /ipfs/{unixfs.of(LARGE)} HTTP/1.1\r\nHost: s\r\nContent-Length: {len(LARGE)}\r\n"
        line = f"folkmoot-offer: {runs.header(run.offer('alice', LARGE))['folkmoot-offer']}\r\n\r\n"
        with runs.connected(("127.0.0.1", port), (head + line).encode() + LARGE[:-1]):
            time.sleep(0.3)
            os.kill(running.pid, signal.SIGKILL)
            running.wait()
    finally:
        running.kill()
        running.wait()
        running.stdout.close()
    assert files(run) == before

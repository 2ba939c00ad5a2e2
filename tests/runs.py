"""A small run folder made by hand, and its service over real HTTP on loopback: real keys, rules, log, blocks and sockets."""

import base64
import contextlib
import json
import socket
import threading
import time
from collections.abc import Iterator, Sequence
from pathlib import Path

import httpx

from exchange import blocks, recipients
from ledger import context, dsse, history, keys, log, membership, statements
from orchestrator import folder, journal, service
from orchestrator.serving import application, limits, server

PLAN = {"credit": {"pool": 1000}, "disclosure": "none"}
MEMBERS = ("alice", "bob", "carol")
PARAMETERS = 40_000
CHECKPOINT = bytes(range(256)) * (4 * PARAMETERS // 256)


class Run:
    """A founded run of three holders under a published checkpoint, whose first round, if begun, is open to alice and bob."""

    def __init__(
        self,
        root: Path,
        *,
        url: str | None = None,
        members: Sequence[str] = MEMBERS,
        checkpoint: bytes = CHECKPOINT,
        begun: bool = True,
    ) -> None:
        self.where = folder.RunFolder(root=root)
        root.mkdir(parents=True, exist_ok=True)
        if url is not None:
            self.where.url.write_text(url)
        self.store = blocks.BlockStore(root)
        self.history = history.EMPTY
        self.key = keys.SigningKey.generate()
        self.keys = {name: keys.SigningKey.generate() for name in members}
        self.parent = str(self.store.put(checkpoint))
        self.recipient = str(recipients.X25519Identity.generate().recipient)
        genesis = statements.Genesis(author="coordinator", plan=PLAN, key=str(self.key.public), checkpoint=self.parent)
        first = self.signed(genesis)
        self.run = first.eid
        said = [first, *(self.said(self.enrol(name), name) for name in members)]
        said += [
            self.signed(statements.MemberRole(author="coordinator", run=self.run, member=name, role="holder"))
            for name in members
        ]
        self.append(*said, *([self.signed(self.opening())] if begun else []))
        self.publish()

    def opening(self, number: int = 1, cohort: tuple[str, ...] = ("alice", "bob")) -> statements.RoundOpen:
        return statements.RoundOpen(
            author="coordinator",
            run=self.run,
            round=number,
            parent=self.parent,
            cohort=cohort,
            recipients=(self.recipient,),
            exponents=(-14,),
            task="0" * 64,
            rule="0" * 64,
            deadline=60,
        )

    def enrol(self, name: str, key: keys.SigningKey | None = None) -> statements.MemberEnrol:
        return statements.MemberEnrol(author=name, run=self.run, key=str((key or self.keys[name]).public))

    def rotation(self, name: str) -> tuple[dsse.Envelope, keys.SigningKey]:
        """The statement by which a member changes to a new key, and that key, which is not the member's here yet."""
        new = keys.SigningKey.generate()
        return self.said(membership.rotation(self.run, name, self.keys[name].public, new), name), new

    def rotate(self, name: str) -> dsse.Envelope:
        """The same, and from now on the member has the new key."""
        envelope, self.keys[name] = self.rotation(name)
        return envelope

    def offer(self, name: str, data: bytes, **other: object) -> dsse.Envelope:
        """The signed offer of these bytes, with other fields if wanted."""
        fields = {
            "author": name,
            "run": self.run,
            "round": 1,
            "parent": self.parent,
            "ciphertext": str(blocks.unixfs.of(data)),
            "size": len(data),
            "examples": 10,
            "saturated": 0,
            "context": context.context_digest(self.run, 1, self.parent, name).hex(),
            "runtime": {},
        }
        return self.said(statements.UpdateOffer(**(fields | other)), name)

    def said(self, statement: statements.Predicate, name: str) -> dsse.Envelope:
        return dsse.sign(statements.build(statement), self.keys[name])

    def signed(self, statement: statements.Predicate) -> dsse.Envelope:
        return dsse.sign(statements.build(statement), self.key)

    @contextlib.contextmanager
    def opened(self) -> Iterator[log.Log]:
        place = self.where.server or self.where.ledger
        origin = journal.origin(self.key.public.fingerprint)
        with log.Log.open(place, origin=origin, published=self.where.checkpoint) as opened:
            yield opened

    def append(self, *envelopes: dsse.Envelope) -> None:
        """Append, as another process would."""
        with self.opened() as opened:
            for entry in opened.entries(self.history.size):
                self.history = history.apply(self.history, entry.seq, entry.envelope)
            for envelope in envelopes:
                self.history = history.apply(self.history, self.history.size, envelope)
            opened.append(envelopes, head=opened.head)

    def publish(self) -> bytes:
        with self.opened() as opened:
            return opened.publish(self.key)

    def entries(self) -> list[log.Entry]:
        with self.opened() as opened:
            return list(opened.entries())


def header(offer: dsse.Envelope) -> dict[str, str]:
    """The head of a put under this offer."""
    return {"folkmoot-offer": base64.urlsafe_b64encode(offer.to_bytes()).decode()}


@contextlib.contextmanager
def serving(
    root: Path, *, line: server.Line | None = None, quota: int | None = None, **allowed: float
) -> Iterator[tuple[str, int]]:
    """Address of the service of a run folder, with these limits and else generous ones."""
    generous = {"burst": 100_000, "rate": 100_000.0, "said": 100_000} | allowed
    chosen = limits.Limits(**generous)
    served = application.Service(folder.RunFolder(root=root), chosen, quota=quota)
    running = server.server(served.app, chosen, line or server.Line(), closing=served.close)
    with service.listen("127.0.0.1", 0) as sock:
        thread = threading.Thread(target=running.run, kwargs={"sockets": [sock]})
        thread.start()
        while not running.started:
            time.sleep(0.005)
        try:
            yield sock.getsockname()
        finally:
            running.should_exit = True
            thread.join()


def client(address: tuple[str, int], **options: object) -> httpx.Client:
    return httpx.Client(base_url=f"http://127.0.0.1:{address[1]}", trust_env=False, timeout=30, **options)


def wait(asked: httpx.Client) -> None:
    """Until the service has read the log."""
    deadline = time.monotonic() + 20
    while asked.get("/healthz").status_code != 200:
        assert time.monotonic() < deadline
        time.sleep(0.02)


@contextlib.contextmanager
def connected(
    address: tuple[str, int], data: bytes, source: str = "127.0.0.1", window: int | None = None
) -> Iterator[socket.socket]:
    """A connection from a loopback address, with so many bytes of room for answers, over which these bytes went."""
    with socket.socket() as sock:
        sock.settimeout(30)
        if window is not None:
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, window)
        sock.bind((source, 0))
        sock.connect(address)
        sock.sendall(data)
        yield sock


def heard(sock: socket.socket) -> bytes:
    """All that comes until the other side ends it."""
    said = b""
    with contextlib.suppress(ConnectionError):
        while data := sock.recv(65536):
            said += data
    return said


class Tail:
    """The events of a tail as they come."""

    def __init__(self, address: tuple[str, int], start: int = 0, **headers: str) -> None:
        self._client = client(address)
        self._stream = self._client.stream("GET", "/tail", params={"from": start}, headers=headers)
        self.response = self._stream.__enter__()
        self._lines = self.response.iter_lines()

    def __enter__(self) -> "Tail":
        return self

    def __exit__(self, *_: object) -> None:
        self._stream.__exit__(None, None, None)
        self._client.close()

    def next(self) -> dict[str, str]:
        """The fields of the next event; a comment is one with no field."""
        fields: dict[str, str] = {}
        for each in self._lines:
            if not each:
                return fields
            name, _, value = each.partition(":")
            if name:
                fields[name] = f"{fields[name]}\n{value[1:]}" if name in fields else value[1:]
        raise EOFError

    def until(self, seq: int) -> list[dict[str, str]]:
        """The events up to that of the entry at a position."""
        found = []
        while not found or found[-1].get("id") != str(seq):
            found.append(self.next())
        return found


def expect(root: Path, **fingerprints: str) -> None:
    (root / "expected.json").write_text(json.dumps(fingerprints))

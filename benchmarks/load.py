"""Load on a run's service: statements offered when their time has come, whether or not those before were answered; and tails.

Who offers and who listens are processes of their own, so that neither takes a core's time from the service unseen.
"""

import asyncio
import collections
import dataclasses
import json
import resource
import selectors
import socket
import sys
import time
from collections.abc import Sequence
from multiprocessing.connection import Connection
from typing import Any, Self

CONNECTIONS = 256
PATIENCE = 120.0
"""Seconds after the last statement is due in which what is owed may still come."""

_REQUEST = b"POST /statements HTTP/1.1\r\nHost: s\r\nContent-Type: application/json\r\nContent-Length: %d\r\n\r\n%s"
_AGAIN = 0.2
_EVENT = b"event: entry\n"
_BUFFER = 1 << 18

Address = tuple[str, int]


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Offered:
    """What came of the statements that were offered.

    Attributes:
        places: position that was acknowledged -> (member, index) of the statement.
        waited: seconds from the moment each was due to its acknowledgement.
        late: seconds from the moment each was due to when it was first sent.
        refused: answers other than 200, by status; each such statement was sent again.
        span: seconds in which they were due, as the clock measured them.
        seconds: from the first one's time to the last acknowledgement.
        cpu: seconds of this process.
    """

    places: dict[int, tuple[int, int]]
    waited: list[float]
    late: list[float]
    refused: dict[int, int]
    span: float
    seconds: float
    cpu: float


def offer(address: Address, chains: Sequence[Sequence[bytes]], rate: int, told: Connection) -> None:
    """Send what came of it, once every statement is acknowledged.

    Args:
        address: the service's.
        chains: of each member, its envelopes in the order in which they must be said.
        rate: statements a second, of each member in turn.
        told: where it is sent.
    """
    told.send(asyncio.run(_Offering(address, chains, rate).run()))


class _Offering:
    """A schedule: statement `index` of `member` is due at (index * members + member) / rate seconds."""

    def __init__(self, address: Address, chains: Sequence[Sequence[bytes]], rate: int) -> None:
        self._address = address
        self._chains = chains
        self._rate = rate
        self._total = sum(map(len, chains))
        self._next = [0] * len(chains)  # of each member, what it says next
        self._due = [0] * len(chains)  # of each member, how many are due
        self._busy = [False] * len(chains)
        self._ready: collections.deque[int] = collections.deque()
        self._idle: collections.deque[_Line] = collections.deque()
        self._over = asyncio.Event()
        self._start = 0.0
        self._places: dict[int, tuple[int, int]] = {}
        self._waited: list[float] = []
        self._late: list[float] = []
        self._refused: dict[int, int] = {}

    async def run(self) -> Offered:
        loop = asyncio.get_running_loop()
        for _ in range(min(CONNECTIONS, len(self._chains))):
            _, line = await loop.create_connection(_Line, *self._address)
            self._idle.append(line.belonging(self))
        self._start = time.perf_counter()
        for number in range(self._total):
            if (early := self._start + number / self._rate - time.perf_counter()) > 0:
                await asyncio.sleep(early)
            elif not number % 64:
                await asyncio.sleep(0)
            member = number % len(self._chains)
            self._due[member] += 1
            self._call(member)
        span = time.perf_counter() - self._start + 1 / self._rate
        async with asyncio.timeout(PATIENCE):
            await self._over.wait()
        used = resource.getrusage(resource.RUSAGE_SELF)
        return Offered(
            places=self._places,
            waited=self._waited,
            late=self._late,
            refused=self._refused,
            span=span,
            seconds=time.perf_counter() - self._start,
            cpu=used.ru_utime + used.ru_stime,
        )

    def _call(self, member: int) -> None:
        """Let a member say what is due, if it has an answer to what it said before."""
        if not self._busy[member] and self._next[member] < self._due[member]:
            self._busy[member] = True
            self._ready.append(member)
        while self._ready and self._idle:
            self._idle.popleft().send(self._ready.popleft())

    def said(self, member: int) -> bytes:
        """What a member says next."""
        if len(self._late) < self._total:
            self._late.append(time.perf_counter() - self._at(member))
        return self._chains[member][self._next[member]]

    def answered(self, line: "_Line", member: int, status: int, body: bytes) -> None:
        """Note an answer, and go on."""
        self._idle.append(line)
        if status != 200:
            self._refused[status] = self._refused.get(status, 0) + 1
            asyncio.get_running_loop().call_later(_AGAIN, self._again, member)
            return
        self._waited.append(time.perf_counter() - self._at(member))
        self._places[json.loads(body)["seq"]] = member, self._next[member]
        self._next[member] += 1
        self._again(member)
        if len(self._waited) == self._total:
            self._over.set()

    def _again(self, member: int) -> None:
        self._busy[member] = False
        self._call(member)

    def _at(self, member: int) -> float:
        return self._start + (self._next[member] * len(self._chains) + member) / self._rate


class _Line(asyncio.Protocol):
    """A connection that has one request under way at a time."""

    def __init__(self) -> None:
        self._data = b""
        self._member = -1
        self._owner: _Offering
        self._transport: asyncio.Transport

    def belonging(self, owner: _Offering) -> Self:
        """This one, which tells `owner`."""
        self._owner = owner
        return self

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Keep the transport."""
        if isinstance(transport, asyncio.Transport):
            self._transport = transport

    def send(self, member: int) -> None:
        """What the member says next is under way."""
        self._member = member
        body = self._owner.said(member)
        self._transport.write(_REQUEST % (len(body), body))

    def data_received(self, data: bytes) -> None:
        """Tell the owner of a whole answer."""
        self._data += data
        head, found, body = self._data.partition(b"\r\n\r\n")
        if not found:
            return
        length = int(head.lower().split(b"content-length: ", 1)[1].split(b"\r\n", 1)[0])
        if len(body) >= length:
            self._data = body[length:]
            self._owner.answered(self, self._member, int(head[9:12]), body[:length])


def listen(address: Address, tails: int, told: Connection) -> None:
    """Count the entries that come over so many tails, until each has as many as are asked for over `told`."""
    chosen = selectors.DefaultSelector()
    heard, rests = dict[socket.socket, int](), dict[socket.socket, bytes]()
    for _ in range(tails):
        sock = socket.create_connection(address)
        sock.sendall(b"GET /tail?from=0 HTTP/1.1\r\nHost: s\r\n\r\n")
        sock.setblocking(False)
        chosen.register(sock, selectors.EVENT_READ)
        heard[sock], rests[sock] = 0, b""
    told.send("listening")
    wanted, size, deadline = sys.maxsize, 0, float("inf")
    buffer = bytearray(_BUFFER)
    while min(heard.values()) < wanted and time.monotonic() < deadline and chosen.get_map():
        for each, _ in chosen.select(0.1):
            line: Any = each.fileobj
            rest = rests[line]
            buffer[: len(rest)] = rest
            if not (count := line.recv_into(memoryview(buffer)[len(rest) :])):
                chosen.unregister(line)  # dropped: it keeps the count that it had
                continue
            size, end = size + count, len(rest) + count
            heard[line] += buffer.count(_EVENT, 0, end)
            rests[line] = bytes(buffer[max(0, end - len(_EVENT) + 1) : end])
        if wanted == sys.maxsize and told.poll():
            wanted, deadline = told.recv(), time.monotonic() + PATIENCE
    used = resource.getrusage(resource.RUSAGE_SELF)
    told.send({"fewest": min(heard.values()), "bytes": size, "cpu": used.ru_utime + used.ru_stime})

"""What a run's service bears: tails that listen to all of it while statements are offered at a fixed rate.

    python -m benchmarks.service --seconds 60 --rate 1000 --tails 200

Many members change their keys over and over, each change signed in advance and sent when its time has come; who is late
sends at once. The service, who offers and who listens are processes of their own. Printed is JSON: what was acknowledged and
refused, how long an answer took, whether every acknowledged statement is on the log in its place and came to every tail,
and the most memory that the service ever had.
"""

import asyncio
import contextlib
import json
import multiprocessing
import os
import selectors
import socket
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

import click

from ledger import dsse, keys, log, membership, statements
from orchestrator import journal

LINES = 32
_EVENT = b"event: entry\n"


def run(*, seconds: float, rate: int, tails: int) -> dict[str, Any]:
    """The figures of one run.

    Args:
        seconds: that statements are offered.
        rate: statements a second.
        tails: that listen from the first entry on.
    """
    with tempfile.TemporaryDirectory() as name:
        root = Path(name)
        key = keys.SigningKey.generate()
        first = _founded(root, key)
        chains = [_chain(first, f"member-{line:02d}", int(seconds * rate / LINES)) for line in range(LINES)]
        _append(root, key, [each[0] for each in chains])
        with _served(root) as (process, address):
            found = _loaded(address, [each[1:] for each in chains], rate, tails, LINES + 1)
            found["service"] = _memory(process.pid)
        return _checked(root, key, found, tails)


def _founded(root: Path, key: keys.SigningKey) -> str:
    genesis = statements.Genesis(
        author="coordinator",
        plan={"credit": {"pool": 0}, "disclosure": "none"},
        key=str(key.public),
        checkpoint="bafkreigks6arfsq3xxfpvqrrwonchxcnu6do76auprhhfomao6c273sixm",
    )
    envelope = dsse.sign(statements.build(genesis), key)
    _append(root, key, [envelope])
    return envelope.eid


def _append(root: Path, key: keys.SigningKey, envelopes: Sequence[dsse.Envelope]) -> None:
    with log.Log.open(root / "ledger.sqlite", origin=journal.origin(key.public.fingerprint)) as opened:
        opened.append(envelopes, head=opened.head)
        opened.publish(key)


def _chain(run_eid: str, name: str, length: int) -> list[dsse.Envelope]:
    """A member's enrolment and its changes of key, each signed with the key before."""
    key = keys.SigningKey.generate()
    said = [dsse.sign(statements.build(statements.MemberEnrol(author=name, run=run_eid, key=str(key.public))), key)]
    for _ in range(length):
        new = keys.SigningKey.generate()
        said.append(dsse.sign(statements.build(membership.rotation(run_eid, name, key.public, new)), key))
        key = new
    return said


@contextlib.contextmanager
def _served(root: Path) -> Any:  # noqa: ANN401 - a pair, as a context
    words = ["serve", str(root), "--port", "0", "--json", "--rate", "1000000", "--burst", "1000000", "--each", "0"]
    with (root / "service.log").open("w") as lines:
        process = subprocess.Popen(
            [sys.executable, "-m", "orchestrator", *words], stdout=subprocess.PIPE, stderr=lines, text=True
        )
        try:
            first = json.loads(process.stdout.readline() if process.stdout else "{}")
            port = int(first["url"].rpartition(":")[2])
            _wait(port)
            yield process, ("127.0.0.1", port)
        finally:
            process.kill()
            process.wait()


def _wait(port: int) -> None:
    while True:
        with socket.create_connection(("127.0.0.1", port)) as sock:
            sock.sendall(b"GET /healthz HTTP/1.1\r\nHost: s\r\nConnection: close\r\n\r\n")
            if b" 200 " in sock.recv(64):
                return
        time.sleep(0.05)


def _loaded(
    address: tuple[str, int], chains: Sequence[Sequence[dsse.Envelope]], rate: int, tails: int, before: int
) -> dict[str, Any]:
    """What was offered and what came of it, with so many tails beside."""
    context = multiprocessing.get_context("spawn")
    ours, theirs = context.Pipe()
    listening = context.Process(target=_listen, args=(address, tails, theirs))
    listening.start()
    ours.recv()
    offered, answering = context.Pipe()
    bodies = [[each.to_bytes() for each in chain] for chain in chains]
    offering = context.Process(target=_offer, args=(address, bodies, rate, answering))
    offering.start()
    found: dict[str, Any] = offered.recv()
    offering.join()
    ours.send(before + len(found["places"]))
    found["tails"] = ours.recv()
    listening.join()
    return found


def _offer(address: tuple[str, int], chains: Sequence[Sequence[bytes]], rate: int, told: Connection) -> None:
    told.send(asyncio.run(_offered(address, chains, rate)))


async def _offered(address: tuple[str, int], chains: Sequence[Sequence[bytes]], rate: int) -> dict[str, Any]:
    places: dict[int, bytes] = {}
    took: list[float] = []
    refused: dict[str, int] = {}
    start = time.perf_counter()

    async def line(number: int, chain: Sequence[bytes]) -> None:
        reader, writer = await asyncio.open_connection(*address)
        for index, body in enumerate(chain):
            await asyncio.sleep(max(0.0, start + (index * len(chains) + number) / rate - time.perf_counter()))
            sent = time.perf_counter()
            while True:
                writer.write(
                    b"POST /statements HTTP/1.1\r\nHost: s\r\nContent-Length: %d\r\n\r\n%s" % (len(body), body)
                )
                status, answer = await _answer(reader)
                if status == 200:
                    break
                refused[str(status)] = refused.get(str(status), 0) + 1
                await asyncio.sleep(0.2)
            took.append(time.perf_counter() - sent)
            places[json.loads(answer)["seq"]] = body
        writer.close()

    await asyncio.gather(*(line(number, chain) for number, chain in enumerate(chains)))
    return {"places": places, "took": took, "refused": refused, "seconds": time.perf_counter() - start}


async def _answer(reader: asyncio.StreamReader) -> tuple[int, bytes]:
    head = await reader.readuntil(b"\r\n\r\n")
    length = int(head.lower().split(b"content-length: ")[1].split(b"\r\n")[0])
    return int(head.split()[1]), await reader.readexactly(length)


def _listen(address: tuple[str, int], tails: int, told: Connection) -> None:
    """Count the entries that come over so many tails, until each has as many as are asked for."""
    chosen, heard, rests = selectors.DefaultSelector(), dict[socket.socket, int](), dict[socket.socket, bytes]()
    for _ in range(tails):
        sock = socket.create_connection(address)
        sock.sendall(b"GET /tail?from=0 HTTP/1.1\r\nHost: s\r\n\r\n")
        sock.setblocking(False)
        chosen.register(sock, selectors.EVENT_READ)
        heard[sock], rests[sock] = 0, b""
    told.send("listening")
    wanted, size, deadline = sys.maxsize, 0, float("inf")
    while min(heard.values()) < wanted and time.monotonic() < deadline and heard:
        for each, _ in chosen.select(0.1):
            line: Any = each.fileobj
            if not (data := line.recv(1 << 18)):
                chosen.unregister(line)  # dropped: it keeps the count that it had
            size += len(data)
            data = rests[line] + data
            heard[line] += data.count(_EVENT)
            rests[line] = data[-len(_EVENT) + 1 :]
        if wanted == sys.maxsize and told.poll():
            wanted, deadline = told.recv(), time.monotonic() + 60
    told.send({"fewest": min(heard.values()), "most": max(heard.values()), "bytes": size})


def _memory(pid: int) -> dict[str, int]:
    lines = dict(line.split(":", 1) for line in Path(f"/proc/{pid}/status").read_text().splitlines())
    return {name: int(lines[name].split()[0]) // 1024 for name in ("VmHWM", "VmRSS")}


def _checked(root: Path, key: keys.SigningKey, found: dict[str, Any], tails: int) -> dict[str, Any]:
    """The figures, after the log was read and every acknowledged statement found in its place."""
    with log.Log.open(root / "ledger.sqlite", origin=journal.origin(key.public.fingerprint)) as opened:
        entries = list(opened.entries())
    lost = sum(entries[seq].envelope.to_bytes() != body for seq, body in found["places"].items())
    took = sorted(found["took"])
    return {
        "tails": tails,
        "acknowledged": len(took),
        "lost": lost,
        "refused": found["refused"],
        "seconds": round(found["seconds"], 2),
        "per_second": round(len(took) / found["seconds"], 1),
        "answer_ms": {
            "median": round(1000 * statistics.median(took), 1),
            "p99": round(1000 * took[len(took) * 99 // 100], 1),
            "most": round(1000 * took[-1], 1),
        },
        "log": len(entries),
        "heard": found["tails"],
        "service_mib": found["service"],
        "load": os.getloadavg()[0],
        "cores": os.cpu_count(),
    }


@click.command()
@click.option("--seconds", type=click.FloatRange(1), default=60.0, show_default=True)
@click.option("--rate", type=click.IntRange(1), default=1000, show_default=True, help="Statements offered a second.")
@click.option("--tails", type=click.IntRange(1), default=200, show_default=True)
def main(seconds: float, rate: int, tails: int) -> None:
    """Print what the service bore; exits 1 if anything acknowledged is lost, or did not come to every tail."""
    found = run(seconds=seconds, rate=rate, tails=tails)
    click.echo(json.dumps(found, indent=2))
    if found["lost"] or found["heard"]["fewest"] < found["log"]:
        sys.exit(1)


if __name__ == "__main__":
    main()

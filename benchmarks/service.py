"""What a run's service bears: tails that listen to all of it while statements are offered at a fixed rate.

Many members change their keys over and over, the dearest statement there is: two signatures each. Each change is signed in
advance and sent when its time has come; how long an answer takes does not put off the next member's. The service, who offers
and who listens are processes of their own, on one machine.
"""

import contextlib
import dataclasses
import json
import multiprocessing
import os
import socket
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

from benchmarks import errors, load, report
from ledger import dsse, keys, log, membership, statements
from orchestrator import journal

_CHECKPOINT = "bafkreigks6arfsq3xxfpvqrrwonchxcnu6do76auprhhfomao6c273sixm"


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Config:
    """What to measure.

    Attributes:
        seconds: that statements are offered.
        rate: statements a second.
        tails: that listen from the first entry on.
        members: that make them, in turn.
    """

    seconds: int = 60
    rate: int = 1000
    tails: int = 200
    members: int = 1000


QUICK = Config(seconds=3, rate=100, tails=20, members=100)

Values = dict[str, list[float]]


def run(wanted: Config, say: Callable[[str], None]) -> report.Report:
    """What was offered and acknowledged, how long it took, and what the service used.

    Raises:
        BenchmarkError: an acknowledged statement is not on the log in its place, or did not come to every tail.
    """
    busy = os.getloadavg()[0]
    with tempfile.TemporaryDirectory(dir=Path.cwd()) as name:
        root, key = Path(name), keys.SigningKey.generate()
        run_eid = _founded(root, key)
        each = wanted.seconds * wanted.rate // wanted.members
        chains = []
        for member in range(wanted.members):
            say(f"signing, member {member + 1} of {wanted.members}")
            chains.append(_chain(run_eid, f"member-{member:04d}", each))
        _append(root, key, [chain[0] for chain in chains])
        bodies = [[said.to_bytes() for said in chain[1:]] for chain in chains]
        with served(root) as (process, address), Watch(process.pid) as watch:
            say(f"offering {wanted.rate} statements a second for {wanted.seconds} s")
            offered, heard = _loaded(address, bodies, wanted)
        values = _values(offered, heard) | watch.values(offered.seconds)
        values["statements.lost"] = [float(_lost(root, key, bodies, offered))]
    values["tails.missing"] = [wanted.members + 1 + len(offered.waited) - heard["fewest"]]
    if any(values["statements.lost"] + values["tails.missing"]):
        found = f"{values['statements.lost'][0]:.0f} statements lost, {values['tails.missing'][0]:.0f} not on a tail"
        raise errors.BenchmarkError(f"the service did not keep its word: {found}")
    return report.make("service", dataclasses.asdict(wanted), values, load=busy)


def _values(offered: load.Offered, heard: dict[str, float]) -> Values:
    waited, late = sorted(offered.waited), sorted(offered.late)
    return {
        "statements.offered_per_second": [len(late) / offered.span],
        "statements.acknowledged": [len(waited)],
        "statements.acknowledged_per_second": [len(waited) / offered.seconds],
        "statements.refused": [sum(offered.refused.values())],
        "answer.milliseconds": [1000 * each for each in waited],
        "answer.p99_milliseconds": [1000 * waited[len(waited) * 99 // 100]],
        "late.p99_milliseconds": [1000 * late[len(late) * 99 // 100]],
        "tails.mebibytes_per_second": [heard["bytes"] / 2**20 / offered.seconds],
        "offering.cores": [offered.cpu / offered.seconds],
        "listening.cores": [heard["cpu"] / offered.seconds],
    }


class Watch:
    """What a process uses, second by second, while the block lasts."""

    def __init__(self, pid: int) -> None:
        self._proc = Path(f"/proc/{pid}")
        self._resident: list[float] = []
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._look, daemon=True)

    def __enter__(self) -> "Watch":
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._over.set()
        self._thread.join()
        self._resident.append(self._memory("VmRSS"))
        self._peak = self._memory("VmHWM")
        used = (self._proc / "stat").read_text().rpartition(")")[2].split()
        self._cpu = (int(used[11]) + int(used[12])) / os.sysconf("SC_CLK_TCK")

    def values(self, seconds: float) -> Values:
        """Memory in MiB, by second and at most; how much more it was in the last third than in the second; processor cores."""
        third = max(1, len(self._resident) // 3)
        grown = statistics.median(self._resident[-third:]) - statistics.median(
            self._resident[-2 * third : -third or None]
        )
        return {
            "service.mebibytes": self._resident,
            "service.peak_mebibytes": [self._peak],
            "service.grown_mebibytes": [grown],
            "service.cores": [self._cpu / seconds],
        }

    def _look(self) -> None:
        while not self._over.wait(1.0):
            self._resident.append(self._memory("VmRSS"))

    def _memory(self, name: str) -> float:
        lines = dict(line.split(":", 1) for line in (self._proc / "status").read_text().splitlines())
        return int(lines[name].split()[0]) / 1024


def _founded(root: Path, key: keys.SigningKey) -> str:
    genesis = statements.Genesis(
        author="coordinator",
        plan={"credit": {"pool": 0}, "disclosure": "none"},
        key=str(key.public),
        checkpoint=_CHECKPOINT,
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
def served(root: Path, *words: str) -> Iterator[tuple[subprocess.Popen[str], load.Address]]:
    """The service of a run folder, with no limit by address: its process, and where it listens."""
    given = ["--port", "0", "--json", "--rate", "1000000", "--burst", "1000000", "--each", "0", *words]
    with (root / "service.log").open("w") as lines:
        process = subprocess.Popen(
            [sys.executable, "-m", "orchestrator", "serve", str(root), *given],
            stdout=subprocess.PIPE,
            stderr=lines,
            text=True,
        )
        try:
            first = json.loads(process.stdout.readline() if process.stdout else "{}")
            address = "127.0.0.1", int(first["url"].rpartition(":")[2])
            _wait(address)
            yield process, address
        finally:
            process.kill()
            process.communicate()


def _wait(address: load.Address) -> None:
    while True:
        with socket.create_connection(address) as sock:
            sock.sendall(b"GET /healthz HTTP/1.1\r\nHost: s\r\nConnection: close\r\n\r\n")
            if b" 200 " in sock.recv(64):
                return
        time.sleep(0.05)


def _loaded(
    address: load.Address, bodies: Sequence[Sequence[bytes]], wanted: Config
) -> tuple[load.Offered, dict[str, float]]:
    """What was offered and what came of it, and what was heard beside."""
    context = multiprocessing.get_context("spawn")
    ours, theirs = context.Pipe()
    listening = context.Process(target=load.listen, args=(address, wanted.tails, theirs))
    listening.start()
    ours.recv()
    answers, told = context.Pipe()
    offering = context.Process(target=load.offer, args=(address, bodies, wanted.rate, told))
    offering.start()
    told.close()
    try:
        offered: load.Offered = answers.recv()
    except EOFError:
        listening.kill()
        raise errors.BenchmarkError("who offers ended before all was acknowledged") from None
    offering.join()
    ours.send(len(bodies) + 1 + len(offered.waited))
    heard: dict[str, float] = ours.recv()
    listening.join()
    return offered, heard


def _lost(root: Path, key: keys.SigningKey, bodies: Sequence[Sequence[bytes]], offered: load.Offered) -> int:
    """How many acknowledged statements are not in their place on the log."""
    found = 0
    with log.Log.open(root / "ledger.sqlite", origin=journal.origin(key.public.fingerprint)) as opened:
        for entry in opened.entries():
            member, index = offered.places.get(entry.seq, (-1, -1))
            found += member >= 0 and entry.envelope.to_bytes() == bodies[member][index]
    return len(offered.places) - found

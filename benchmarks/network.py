"""What a round costs over a network, beside the same round in one process; and what goes over the wire.

The coordinator and the service are processes of their own. The holders are threads of as many more processes as there are
processors, each as `folkmoot join` has it: its own key, folder, log and connections. They reach the service through a proxy,
which counts the bytes of both ways at its sockets, heads and all; what TCP and IP put around them is not in it. Everything is
on one machine, so a round of many holders costs its processors what they would do each on its own.
"""

import asyncio
import contextlib
import dataclasses
import itertools
import multiprocessing
import os
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import torch
from rich.console import Console

from benchmarks import clock, errors, load, service
from client import home, invitation, participation
from ledger import statements
from orchestrator import config, folder, journal, progress
from orchestrator import run as main_job

PATIENCE = 900.0
_LOOK = 0.005
_CHUNK = 64 * 1024

Values = dict[str, list[float]]


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Case:
    """A federation to measure.

    Attributes:
        holders: all of them in each round.
        hidden: units of the model's hidden layer: with 64 an update has 10 KB, with 8,192 it has 1.2 MB.
    """

    holders: int
    hidden: int

    @property
    def name(self) -> str:
        """In the names of metrics."""
        return f"network.{self.holders}x{self.hidden}"

    def plan(self, rounds: int) -> list[str]:
        """The overrides that the run has in one process too."""
        return [
            "rule=mean",
            "rule.byzantine=0",
            "attack=none",
            "task.epochs=1",
            f"task.holders={self.holders}",
            f"task.hidden={self.hidden}",
            f"rounds={rounds}",
        ]


def measure(case: Case, rounds: int) -> Values:
    """Seconds and bytes of each round after the first.

    Raises:
        BenchmarkError: the run over the network did not come to its end.
    """
    with tempfile.TemporaryDirectory(dir=Path.cwd()) as name:
        near = _in_process(case, rounds, Path(name) / "near")
        far, sent, received = _over_http(case, rounds, Path(name))
        size = _updates(Path(name) / "run", case.holders)
    found = {
        "in_process.wall_seconds": near,
        "wall_seconds": far,
        "overhead_seconds": [each - sorted(near)[len(near) // 2] for each in far],
        "updates_bytes": [float(size)],
        "sent_bytes": sent,
        "received_bytes": received,
        "sent_ratio": [each / size for each in sent],
        "received_ratio": [each / size for each in received],
    }
    return {f"{case.name}.{key}": value for key, value in found.items()}


def _in_process(case: Case, rounds: int, root: Path) -> list[float]:
    ticks = clock.Clock()
    chosen = config.compose([*case.plan(rounds), "pool=inprocess", f"dir={root}"])
    with progress.Progress(Console(quiet=True), {}) as show:
        main_job.execute(chosen, show, [ticks])
    return ticks.walls()


def _over_http(case: Case, rounds: int, where: Path) -> tuple[list[float], list[float], list[float]]:
    """Of each round after the first: wall seconds, bytes that holders sent, bytes that they received."""
    root, names = where / "run", [f"holder-{number:04d}" for number in range(case.holders)]
    with _coordinator(case, rounds, root, names) as ends, service.served(root) as (_, address), Proxy(address) as proxy:
        invitations = [(root / "invites" / name).read_text() for name in names]
        url, few = f"http://127.0.0.1:{proxy.port}", min(os.cpu_count() or 1, case.holders)
        playing = [
            multiprocessing.get_context("spawn").Process(
                target=play, args=(url, dict(list(enumerate(invitations))[at::few]), where / "holders"), daemon=True
            )
            for at in range(few)
        ]
        for each in playing:
            each.start()
        marks = [(moment, proxy.sent, proxy.received) for moment in _commits(root / "metrics.jsonl", rounds, ends)]
        for each in playing:
            each.join(PATIENCE)
    steps = list(itertools.pairwise(marks))
    walls, sent, received = ([float(after[column] - before[column]) for before, after in steps] for column in range(3))
    return walls, sent, received


@contextlib.contextmanager
def _coordinator(case: Case, rounds: int, root: Path, names: list[str]) -> Iterator[subprocess.Popen[bytes]]:
    """The coordinator, which has founded the run and invited everybody."""
    root.parent.mkdir(parents=True, exist_ok=True)
    hosted = ["pool=remote", "pool.port=null", f"pool.members=[{','.join(names)}]", f"cohort.minimum={len(names)}"]
    plan = [each for each in case.plan(rounds) if not each.startswith("attack=")]
    with (root.parent / "coordinator.log").open("w") as lines:
        command = [sys.executable, "-m", "orchestrator", "run", *hosted, *plan, f"dir={root}"]
        process = subprocess.Popen(command, stdout=lines, stderr=lines)
        try:
            until = time.monotonic() + PATIENCE
            while not all((root / "invites" / name).exists() for name in names) or not (root / "checkpoint").exists():
                _require(process, until)
                time.sleep(0.05)
            yield process
        finally:
            process.kill()
            process.wait()


def _commits(path: Path, rounds: int, process: subprocess.Popen[bytes]) -> Iterator[float]:
    """The moment of each commit, as the coordinator writes its figures down."""
    seen, until = 0, time.monotonic() + PATIENCE
    while seen < rounds:
        count = path.read_bytes().count(b"\n") if path.exists() else 0
        for _ in range(count - seen):
            yield time.perf_counter()
        seen = count
        if seen < rounds:
            _require(process, until)
            time.sleep(_LOOK)


def _require(process: subprocess.Popen[bytes], until: float) -> None:
    if process.poll() is not None or time.monotonic() > until:
        raise errors.BenchmarkError(f"the coordinator ended with {process.poll()} or took over {PATIENCE:g} s")


def _updates(root: Path, holders: int) -> int:
    """Bytes of all updates of the last round."""
    where = folder.RunFolder(root=root)
    with journal.published(where.ledger) as record:
        said = [statements.parse(entry.envelope.payload) for entry in record.entries()]
    return sum([each.size for each in said if isinstance(each, statements.UpdateOffer)][-holders:])


def play(url: str, invitations: dict[int, str], root: Path) -> None:
    """Nothing; all who are invited, each under the number of its shard, have taken part to the end, a thread each."""
    torch.set_num_threads(1)
    invited = {number: invitation.Invitation.parse(text) for number, text in invitations.items()}
    # Before any thread starts: a process that one of them forks holds for a moment the locks that all of them hold.
    for each in invited.values():
        place = home.Home(root=root / each.name)
        with place.held():
            place.keep_invitation(each)
    parts = [threading.Thread(target=_one, args=(url, each, root, number)) for number, each in invited.items()]
    for part in parts:
        part.start()
    for part in parts:
        part.join()


def _one(url: str, invited: invitation.Invitation, root: Path, number: int) -> None:
    whose = home.Membership(run=invited.run, name=invited.name, url=url)
    with participation.opened(home.Home(root=root / invited.name), whose, lambda _: None) as part:
        agreed = part.agreed()
        part.run(part.narrowest(agreed), part.examples(f"{participation.SHARD}{number}", agreed), agreed)


class Proxy:
    """Hands bytes on between whoever connects and one address, and counts them.

    Attributes:
        port: where it listens on this machine.
        sent: bytes towards the address.
        received: bytes from it.
    """

    def __init__(self, address: load.Address) -> None:
        self._address = address
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, daemon=True)
        self.port = 0
        self.sent = 0
        self.received = 0

    def __enter__(self) -> "Proxy":
        self._thread.start()
        self._server = asyncio.run_coroutine_threadsafe(self._listen(), self._loop).result()
        return self

    def __exit__(self, *_: object) -> None:
        asyncio.run_coroutine_threadsafe(self._close(), self._loop).result()
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()
        self._loop.close()

    async def _listen(self) -> asyncio.Server:
        server = await asyncio.start_server(self._serve, "127.0.0.1", 0, backlog=1024)
        self.port = server.sockets[0].getsockname()[1]
        return server

    async def _close(self) -> None:
        self._server.close()
        others = [task for task in asyncio.all_tasks() if task is not asyncio.current_task()]
        for task in others:
            task.cancel()
        await asyncio.gather(*others, return_exceptions=True)

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with contextlib.suppress(OSError):
            back, forth = await asyncio.open_connection(*self._address)
            await asyncio.gather(self._pump(reader, forth, "sent"), self._pump(back, writer, "received"))

    async def _pump(self, source: asyncio.StreamReader, target: asyncio.StreamWriter, counter: str) -> None:
        try:
            while data := await source.read(_CHUNK):
                setattr(self, counter, getattr(self, counter) + len(data))
                target.write(data)
                await target.drain()
        finally:
            target.close()

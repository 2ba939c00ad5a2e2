"""A federation of real processes on this machine: a coordinator with its service, and holders that join it over HTTP."""

import functools
import os
import re
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from urllib.parse import urlsplit

from tests import between

ROOT = Path(__file__).parents[1]
PATIENCE = 120.0
PLAN = ("rule=mean", "rule.byzantine=0", "task.holders=3", "task.epochs=1", "rounds=3", "cohort.minimum=3")


class Process:
    """A command of folkmoot, what it says in a file; `within` runs it where it shall be."""

    def __init__(self, folder: Path, name: str, *arguments: str, within: Sequence[str] = ()) -> None:
        self.log = folder / f"{name}.log"
        environment = os.environ | {"PYTHONPATH": str(ROOT), "PYTHONUNBUFFERED": "1"}
        with self.log.open("ab") as log:
            self._process = subprocess.Popen(
                [*within, sys.executable, "-m", "orchestrator", *arguments],
                cwd=folder,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                env=environment,
                start_new_session=True,
            )

    @property
    def pid(self) -> int:
        return self._process.pid

    @property
    def code(self) -> int | None:
        """What it ended with; None while it is there."""
        return self._process.poll()

    @property
    def said(self) -> str:
        return self.log.read_text()

    def says(self, pattern: str) -> None:
        """Wait until it has said something."""
        until = time.monotonic() + PATIENCE
        while not re.search(pattern, self.said):
            assert self._process.poll() is None, self.said
            assert time.monotonic() < until, self.said
            time.sleep(0.05)

    @property
    def running(self) -> bool:
        return self._process.poll() is None

    def ends(self) -> int:
        return self._process.wait(timeout=PATIENCE)

    def interrupt(self) -> None:
        self._process.send_signal(signal.SIGINT)

    def kill(self) -> None:
        """SIGKILL to it and all that it started."""
        if self._process.poll() is None:
            os.killpg(self._process.pid, signal.SIGKILL)
        self._process.wait()


class Moot:
    """A run that invites, and the processes in it."""

    def __init__(self, folder: Path, names: Sequence[str], *overrides: str) -> None:
        self.folder = folder
        self.names = names
        self.root = folder / "run"
        self._processes: list[Process] = []
        members = f"pool.members=[{','.join(names)}]"
        self.overrides = ("pool=remote", members, "pool.port=0", f"dir={self.root}", *PLAN, *overrides)
        self.coordinator = self.start("coordinator", "run", *self.overrides)
        self._wait()

    @property
    def url(self) -> str:
        return (self.root / "address").read_text().strip()

    def invitation(self, name: str) -> str:
        return str(self.root / "invites" / name)

    def start(self, log: str, *arguments: str, within: Sequence[str] = ()) -> Process:
        process = Process(self.folder, log, *arguments, within=within)
        self._processes.append(process)
        return process

    def join(self, name: str, *arguments: str, url: str | None = None) -> Process:
        """A holder on its part of the task's data; the first time it takes up its invitation."""
        known = (self.folder / f"folkmoot-{name}" / "member.json").exists()
        who = ("--folder", f"folkmoot-{name}") if known else ("--invite", self.invitation(name))
        data = ("--data", f"shard:{self.names.index(name)}", "--threads", "1")
        return self.start(name, "join", url or self.url, *who, *data, *arguments)

    def aggregate(self, name: str, *arguments: str) -> Process:
        """An aggregator; the first time it takes up its invitation."""
        known = (self.folder / f"folkmoot-{name}" / "member.json").exists()
        who = ("--folder", f"folkmoot-{name}") if known else ("--invite", self.invitation(name))
        return self.start(name, "aggregate", self.url, *who, "--threads", "1", *arguments)

    def stop(self) -> None:
        for process in self._processes:
            process.kill()

    def _wait(self) -> None:
        until = time.monotonic() + PATIENCE
        while not all((self.root / "invites" / name).exists() for name in self.names) or not self._answers():
            assert time.monotonic() < until, self.coordinator.said
            time.sleep(0.1)

    def _answers(self) -> bool:
        if not (self.root / "address").exists():
            return False
        try:
            socket.create_connection((urlsplit(self.url).hostname, urlsplit(self.url).port)).close()
        except OSError:
            return False
        return True


class Recorder(between.Between):
    """A TCP proxy that keeps every byte that a client sends."""

    def __init__(self, url: str) -> None:
        self.sent: list[bytearray] = []
        super().__init__(url, self._both)

    @property
    def methods(self) -> set[str]:
        """The methods of all requests that went through."""
        return {line.split()[0].decode() for line in self.lines}

    @property
    def lines(self) -> list[bytes]:
        """Every request line, as long as no request has a body."""
        return [head.split(b"\r\n")[0] for each in self.sent for head in bytes(each).split(b"\r\n\r\n") if head]

    def carried(self, beginning: bytes) -> bool:
        """Whether a request that begins so went through."""
        return any(beginning in each for each in self.sent)

    def _both(self, near: socket.socket, far: socket.socket) -> tuple[Callable[[], None], Callable[[], None]]:
        kept = bytearray()
        self.sent.append(kept)

        def keep(data: bytes) -> bool:
            kept.extend(data)
            return True

        return (
            functools.partial(between.pump, near, far, keep),
            functools.partial(between.pump, far, near, lambda _: True),
        )

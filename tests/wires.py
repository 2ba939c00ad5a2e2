"""Parties in network namespaces of their own, each a long, lossy wire away from the hub, and from nobody else.

    hub 10.77.0.1 --end0-- 10.77.1.2 first        delay and loss each way; a wire can be slow, and can be cut
                  --end1-- 10.77.2.2 second

A wire is a veth pair with netem where the kernel has it, else two TUN devices with `tests.relay` between them. Names carry our
process number; all that is in a namespace is ended, and it is removed, whatever happened in between.
"""

import contextlib
import json
import os
import secrets
import shutil
import signal
import subprocess
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import NoReturn

import pytest

ADDRESS = "10.77.0.1"
DELAY, LOSS, SEED = 0.05, 0.01, 1
RELAY = Path(__file__).parent / "relay.py"
_CONNECT = """
import socket, sys, time
start = time.monotonic()
with socket.socket() as line:
    line.settimeout(10)
    line.connect_ex((sys.argv[1], 9))
print(time.monotonic() - start)
"""


class Wires:
    """A hub and the parties around it.

    Args:
        names: of the parties.
        bits: a second, by name; the others' wires are not slowed down.
    """

    def __init__(self, names: Sequence[str], bits: Mapping[str, int] | None = None) -> None:
        _require()
        self._names = list(names)
        self._bits = bits or {}
        self._unique = f"fm{os.getpid()}-{secrets.token_hex(2)}"
        self._relay: subprocess.Popen[str] | None = None
        try:
            self._make()
        except BaseException:
            self.close()
            raise

    def within(self, name: str, *command: str) -> list[str]:
        """A command that runs it where a party is; `hub` is the hub."""
        return ["ip", "netns", "exec", self._space(name), *command]

    def cut(self, name: str) -> None:
        """Nothing passes any more."""
        self._switch(name, "cut")

    def mend(self, name: str) -> None:
        """All is as before."""
        self._switch(name, "mend")

    def round_trip(self, name: str) -> float:
        """Seconds from a party to the hub and back: until a port that nobody listens on has said so."""
        command = self.within(name, sys.executable, "-c", _CONNECT, ADDRESS)
        return min(float(_done(*command)) for _ in range(3))

    def listening(self, name: str) -> str:
        """What listens where a party is."""
        return _done(*self.within(name, "ss", "-H", "-lntu")).strip()

    def counts(self, name: str) -> dict[str, int]:
        """Packets on a party's wire, both ways: `passed`, and those that did not by why: `lost`, `cut`, `backlog`, `inward`."""
        number = self._names.index(name)
        if self._relay is not None:
            return dict(self._said("counts")[number])
        found = {"passed": 0, "lost": 0}
        for space, device in self._ends(name):
            line = json.loads(_done("tc", "-n", space, "-s", "-j", "qdisc", "show", "dev", device))[0]
            found["passed"] += line["packets"]
            found["lost"] += line["drops"]
        return found

    def close(self) -> None:
        """End what is left in the namespaces, and remove them."""
        spaces = [self._space(each) for each in ("hub", *self._names)]
        for space in spaces:
            found = subprocess.run(["ip", "netns", "pids", space], capture_output=True, text=True, check=False)
            for number in found.stdout.split():
                with contextlib.suppress(ProcessLookupError):
                    os.kill(int(number), signal.SIGKILL)
        if self._relay is not None:
            self._relay.communicate()
        for space in spaces:
            subprocess.run(["ip", "netns", "del", space], capture_output=True, check=False)

    def _make(self) -> None:
        for name in ("hub", *self._names):
            _done("ip", "netns", "add", self._space(name))
            _done("ip", "-n", self._space(name), "link", "set", "lo", "up")
        hub = self._space("hub")
        _done("ip", "-n", hub, "address", "add", f"{ADDRESS}/32", "dev", "lo")
        if self._has_netem():
            self._veth()
        else:
            self._tun()
        for number, name in enumerate(self._names):
            here, there = f"10.77.{number + 1}.1", f"10.77.{number + 1}.2"
            for (space, device), (own, peer) in zip(self._ends(name), ((here, there), (there, here)), strict=True):
                _done("ip", "-n", space, "link", "set", device, "addrgenmode", "none")
                _done("ip", "-n", space, "address", "add", own, "peer", peer, "dev", device)
                _done("ip", "-n", space, "link", "set", device, "up")
            _done("ip", "-n", self._space(name), "route", "add", "default", "via", here)

    def _has_netem(self) -> bool:
        command = ("tc", "-n", self._space("hub"), "qdisc", "add", "dev", "lo", "root", "netem", "delay", "0ms")
        if subprocess.run(command, capture_output=True, check=False).returncode != 0:
            return False
        _done("tc", "-n", self._space("hub"), "qdisc", "del", "dev", "lo", "root")
        return True

    def _veth(self) -> None:
        for name in self._names:
            (hub, device), (space, end) = self._ends(name)
            _done("ip", "-n", hub, "link", "add", device, "type", "veth", "peer", "name", end, "netns", space)
            self._netem(name, "add", LOSS)

    def _netem(self, name: str, what: str, loss: float) -> None:
        slow = ("rate", f"{self._bits[name]}bit") if name in self._bits else ()
        for space, device in self._ends(name):
            shape = ("delay", f"{1000 * DELAY:g}ms", "loss", f"{100 * loss:g}%", *slow)
            _done("tc", "-n", space, "qdisc", what, "dev", device, "root", "netem", *shape)

    def _tun(self) -> None:
        wires = [f"{self._space(each)}={self._bits.get(each, 0)}" for each in self._names]
        self._relay = subprocess.Popen(
            [sys.executable, str(RELAY), self._space("hub"), str(SEED), str(DELAY), str(LOSS), *wires],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        assert self._relay.stdout is not None
        assert self._relay.stdout.readline() == "ready\n"

    def _switch(self, name: str, what: str) -> None:
        if self._relay is None:
            self._netem(name, "change", 1.0 if what == "cut" else LOSS)
        else:
            self._tell(f"{what} {self._names.index(name)}")

    def _tell(self, line: str) -> None:
        assert self._relay is not None
        assert self._relay.stdin is not None
        self._relay.stdin.write(line + "\n")
        self._relay.stdin.flush()

    def _said(self, line: str) -> list[dict[str, int]]:
        self._tell(line)
        assert self._relay is not None
        assert self._relay.stdout is not None
        said: list[dict[str, int]] = json.loads(self._relay.stdout.readline())
        return said

    def _space(self, name: str) -> str:
        return f"{self._unique}-{name}"

    def _ends(self, name: str) -> tuple[tuple[str, str], tuple[str, str]]:
        return (self._space("hub"), f"end{self._names.index(name)}"), (self._space(name), "end")


def _require() -> None:
    """Skip where there can be no wires: they need root, iproute2, and a kernel that makes them."""
    if os.geteuid() != 0:
        pytest.skip("network namespaces need root")
    if shutil.which("ip") is None or shutil.which("tc") is None:
        _lacking("iproute2 is missing: apt-get install iproute2")
    probe = f"fm{os.getpid()}-probe"
    made = subprocess.run(["ip", "netns", "add", probe], capture_output=True, text=True, check=False)
    if made.returncode != 0:
        _lacking(f"no network namespace can be made: {made.stderr.strip()}")
    _done("ip", "netns", "del", probe)


def _lacking(why: str) -> NoReturn:
    if os.environ.get("FOLKMOOT_REQUIRE_SERVERS") == "1":
        pytest.fail(why)
    pytest.skip(why)


def _done(*command: str) -> str:
    result = subprocess.run(command, capture_output=True, text=True, check=False)
    assert result.returncode == 0, f"{' '.join(command)}: {result.stderr}"
    return result.stdout

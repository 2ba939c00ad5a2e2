"""What several people type at the same time, as a document shows it: each block that has a name is the terminal of one of them.

    ```console ann
    $ folkmoot join http://127.0.0.1:8767 --invite folkmoot-invite-1.eyJr... --data shard:0

A command is typed when the one before it in its terminal has ended, and in the order of the document, once the one before it
there has got somewhere: a `run` of holders elsewhere so far that they can come, a `join` so far that the coordinator has said
who has joined, any other to its end. As a person would, whoever joins takes address, invitation and run from what another
terminal printed: those in the document are of another day.
"""

import os
import re
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

BLOCK = re.compile(r"```console (\w+)\n(.*?)```", re.DOTALL)
PATIENCE = 180.0
ADDRESS, SHOWN_ADDRESS = re.compile(r"http://127\.0\.0\.1:\d+"), "http://127.0.0.1:8767"
INVITATION, SHOWN_INVITATION = re.compile(r"folkmoot-invite-1\.[\w.-]+"), "folkmoot-invite-1.eyJr..."
_PASTED = (ADDRESS, INVITATION, re.compile(r"--run [0-9a-f]{64}"))
_QUESTION = "[y/N]: "

Found = TypeVar("Found")


@dataclass(frozen=True, slots=True, kw_only=True)
class Typed:
    """A command in somebody's terminal, and what the document says that it prints."""

    terminal: str
    command: str
    output: str


class Command:
    """A command on a terminal of its own, whose questions are answered with yes."""

    def __init__(self, command: str, folder: Path) -> None:
        here = {"PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}", "FOLKMOOT_STATE": str(folder / ".state")}
        # Of several people on one small machine none gets all of it.
        environment = os.environ | here | {"COLUMNS": "120", "TERM": "dumb", "NO_COLOR": "1", "OMP_NUM_THREADS": "1"}
        self._near, far = os.openpty()
        streams = {"stdin": far, "stdout": far, "stderr": far}
        self._process = subprocess.Popen(
            command, shell=True, cwd=folder, env=environment, start_new_session=True, **streams
        )
        os.close(far)
        self._said = b""
        self._reader = threading.Thread(target=self._read, daemon=True)
        self._reader.start()

    @property
    def said(self) -> str:
        """All that is on the terminal, as the document shows it but for what is another each day."""
        lines = self._said.decode(errors="replace").replace("\r", "").splitlines()
        return "\n".join(line.rstrip() for line in lines)

    def ends(self) -> int:
        code = self._process.wait(PATIENCE)
        self._reader.join()
        return code

    def kill(self) -> None:
        if self._process.poll() is None:
            os.killpg(self._process.pid, signal.SIGKILL)
        self._process.wait()
        self._reader.join()
        os.close(self._near)

    def _read(self) -> None:
        while True:
            try:
                piece = os.read(self._near, 65_536)
            except OSError:  # nobody has the terminal open any more
                return
            self._said += piece
            if self._said.endswith(_QUESTION.encode()):
                os.write(self._near, b"y\n")


def typed(text: str) -> list[Typed]:
    """What is typed in the terminals of a document, in its order."""
    found = []
    for name, block in BLOCK.findall(text):
        for part in re.split(r"^\$ ", block, flags=re.MULTILINE)[1:]:
            command, _, output = part.partition("\n")
            found.append(Typed(terminal=name, command=command, output=output.rstrip("\n")))
    return found


def play(script: list[Typed], folder: Path) -> list[str]:
    """What each command prints, with the address and the invitations that documents show. All end well."""
    running: list[Command] = []
    last: dict[str, Command] = {}
    try:
        for each in script:
            if each.terminal in last:
                last[each.terminal].ends()
            last[each.terminal] = Command(_with_pasted(each, running), folder)
            running.append(last[each.terminal])
            _settle(each, running, folder)
        for each, command in zip(script, running, strict=True):
            assert command.ends() == 0, f"$ {each.command}\n{command.said}"
        return [shown(command.said) for command in running]
    finally:
        for command in running:
            command.kill()


def shown(text: str) -> str:
    """A text with the address and the invitations that documents show."""
    return ADDRESS.sub(SHOWN_ADDRESS, INVITATION.sub(SHOWN_INVITATION, text))


def _with_pasted(each: Typed, running: list[Command]) -> str:
    if "pool=remote" in each.command:
        return f"{each.command} pool.port=0"  # the port of the document may be taken
    if not each.command.startswith("folkmoot join"):
        return each.command
    of_them = re.compile(rf"^{each.terminal} is invited.*\n  (.*)$|^  (.*--name {each.terminal} .*)$", re.MULTILINE)
    line = _until(lambda: of_them.search("\n".join(one.said for one in running)), running).group(0)
    command = each.command
    for pattern in _PASTED:
        if found := pattern.search(line):
            command = pattern.sub(found.group(0), command)
    return command


def _settle(each: Typed, running: list[Command], folder: Path) -> None:
    if "pool=remote" in each.command:
        _until(lambda: [*folder.glob("*/address"), *folder.glob("runs/*/address")], running)
    elif each.command.startswith("folkmoot join") and "--explain" not in each.command:
        _until(lambda: f"{each.terminal} has joined" in running[0].said, running)
    else:
        assert running[-1].ends() == 0, f"$ {each.command}\n{running[-1].said}"


def _until(look: Callable[[], Found | None], running: list[Command]) -> Found:
    until = time.monotonic() + PATIENCE
    while not (found := look()):
        assert time.monotonic() < until, "\n\n".join(each.said for each in running)
        time.sleep(0.05)
    return found

r"""A command of folkmoot that is killed at a chosen step: SIGKILL comes right before a file operation of its own.

    python -m tests.mortal open '/offer\.json\.tmp$' 1 python -m orchestrator join http://127.0.0.1:8750 --data shard:0

The step is the Nth operation of a kind on a path that the expression matches: `open` (for writing), `rename` (to it),
`link` (to it), `remove`, or `any` of them. The command itself is the one that runs without this.
"""

import multiprocessing
import os
import re
import signal
import sys
from multiprocessing import process
from pathlib import Path
from typing import NamedTuple

from orchestrator import cli

_PATHS = {"open": 0, "os.rename": 1, "os.link": 1, "os.remove": 0}
_LOADED = ["orchestrator.run", "orchestrator.progress", "orchestrator.aggregator", "client.participation"]
_LOADED += ["orchestrator.admittance", "orchestrator.presence", "orchestrator.serving.application"]


class Step(NamedTuple):
    """The moment of a death: before the `number`th operation of a kind on a path that the expression matches."""

    kind: str
    pattern: str
    number: int

    @property
    def within(self) -> tuple[str, ...]:
        """What stands before the command, for `tests.moot`."""
        return sys.executable, "-m", "tests.mortal", self.kind, self.pattern, str(self.number)

    def arm(self) -> None:
        """Nothing; this process will not outlive the step."""
        left, wanted = self.number, re.compile(self.pattern)

        def heard(event: str, arguments: tuple[object, ...]) -> None:
            nonlocal left
            if event not in _PATHS or self.kind not in ("any", event.removeprefix("os.")):
                return
            path = arguments[_PATHS[event]]
            if event == "open" and not int(str(arguments[2])) & (os.O_WRONLY | os.O_RDWR):
                return
            if isinstance(path, str | bytes | os.PathLike) and wanted.search(str(Path(os.fsdecode(path)).absolute())):
                left -= 1
                if left == 0:
                    os.kill(os.getpid(), signal.SIGKILL)

        sys.addaudithook(heard)


def start(folder: Path, name: str, *arguments: str, step: Step | None = None) -> process.BaseProcess:
    """A command in `folder`, its output in a file: a process of its own, forked from one that has loaded torch already."""
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(_LOADED)
    made = context.Process(target=_live, args=(str(folder), name, arguments, step), daemon=True)
    made.start()
    return made


def _live(folder: str, name: str, arguments: tuple[str, ...], step: Step | None) -> None:
    os.chdir(folder)
    log = os.open(f"{name}.log", os.O_WRONLY | os.O_CREAT | os.O_APPEND)
    os.dup2(log, 1)
    os.dup2(log, 2)
    sys.argv = ["folkmoot", *arguments]
    if step is not None:
        step.arm()
    cli.main()


if __name__ == "__main__":
    Step(kind=sys.argv[1], pattern=sys.argv[2], number=int(sys.argv[3])).arm()
    del sys.argv[1 : sys.argv.index("orchestrator") + 1]
    cli.main()

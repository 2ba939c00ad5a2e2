"""A process that a run keeps: started with it, started again when it dies, ended with it."""

import ctypes
import json
import logging
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from queue import Empty, SimpleQueue

from orchestrator import errors

logger = logging.getLogger(__name__)

STARTING = 60.0
ENDING = 10.0
STEADY = 60.0
FIRST_PAUSE, LAST_PAUSE = 0.5, 30.0
_DEATH_SIGNAL = 1


class Child:
    """One process whose first line of output is JSON: it says that it is ready, and how it is reached.

    Args:
        command: makes the command from what an earlier process of this child said, None for the first.
        log: the file that its errors go to.
    """

    def __init__(self, command: Callable[[dict[str, object] | None], Sequence[str]], log: Path) -> None:
        self._command = command
        self._log = log
        self._process: subprocess.Popen[bytes] | None = None
        self._said: dict[str, object] | None = None
        self._since = 0.0
        self._pause = FIRST_PAUSE
        self._again: float | None = None

    @property
    def pid(self) -> int | None:
        """The number of the process that is there now."""
        return None if self._process is None else self._process.pid

    def start(self) -> dict[str, object]:
        """What the process says when it is ready.

        Raises:
            PoolError: it ends before, or says nothing.
        """
        self._launch()
        lines: SimpleQueue[bytes] = SimpleQueue()
        threading.Thread(target=_drain, args=(self._process, lines), daemon=True).start()
        try:
            said = json.loads(lines.get(timeout=STARTING))
        except (Empty, ValueError) as error:
            self.stop()
            last = (self._log.read_text(errors="replace").strip().splitlines() or ["it said nothing"])[-1]
            raise errors.PoolError(f"the service did not start: {last}") from error
        self._said = dict(said)
        return self._said

    def keep(self) -> None:
        """Start the process again if it has died, not at once where it dies time and again."""
        now = time.monotonic()
        if self._process is not None and self._process.poll() is not None:
            if now - self._since > STEADY:
                self._pause = FIRST_PAUSE
            logger.warning("the service ended with %d; it starts again", self._process.returncode)
            self._process, self._again = None, now + self._pause
            self._pause = min(2 * self._pause, LAST_PAUSE)
        if self._again is not None and now >= self._again:
            self._again = None
            self._launch()
            threading.Thread(target=_drain, args=(self._process, SimpleQueue()), daemon=True).start()

    def stop(self) -> None:
        """End the process, and wait until it has gone."""
        self._again = None
        process, self._process = self._process, None
        if process is None:
            return
        process.terminate()
        try:
            process.wait(ENDING)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()

    def _launch(self) -> None:
        self._since = time.monotonic()
        with self._log.open("ab") as log:
            # In a session of its own, so that Ctrl-C in the terminal is ours to answer.
            self._process = subprocess.Popen(
                self._command(self._said),
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                stderr=log,
                start_new_session=True,
                preexec_fn=_die_with_parent if sys.platform == "linux" else None,  # noqa: PLW1509  before any thread
            )


def _drain(process: subprocess.Popen[bytes], lines: "SimpleQueue[bytes]") -> None:
    """Hand on the first line and forget the rest, so that the process never waits for a reader."""
    if process.stdout is not None:
        with process.stdout:
            lines.put(process.stdout.readline())
            for _ in process.stdout:
                pass


def _die_with_parent() -> None:
    """Ask the kernel to end this process when the one that started it is gone, kill -9 included."""
    ctypes.CDLL(None).prctl(_DEATH_SIGNAL, signal.SIGTERM)

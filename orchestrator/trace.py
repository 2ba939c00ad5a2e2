"""`trace.json`: what each process of a run did when, in Chrome's trace format, which chrome://tracing and Perfetto show.

    [
    {"name":"train","cat":"holder","ph":"X","ts":<microseconds>,"dur":<microseconds>,"pid":7,"tid":7,"args":{...}},

One event a line, appended as it happens; the format allows the closing bracket to be missing, so a killed run leaves a whole
trace. Times are of the machine's clock, so those of workers on other machines are as right as their clocks.
"""

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from client import phases, worker
from orchestrator import listener

NAME = "trace.json"


class TraceFile:
    """The trace of one run folder; what an earlier process wrote stays."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._round = 0
        self._told: set[phases.Span] = set()

    def opened(self, number: int, total: int) -> None:  # noqa: ARG002  a listener's signature
        """Remember which round the next answers are to."""
        self._round = number

    def answered(self, reply: worker.Reply) -> None:
        """Add what a holder did."""
        self._told.update(reply.spans)
        self._write([_event(span, "holder", round=self._round, member=reply.member) for span in reply.spans])

    def committed(self, report: listener.RoundReport) -> None:
        """Add what the coordinator did."""
        own = [span for span in report.spans if span not in self._told]
        self._told.clear()
        self._write([_event(span, "coordinator", round=report.commit.round) for span in own])

    def _write(self, events: Sequence[dict[str, Any]]) -> None:
        with self._path.open("a") as file:
            if file.tell() == 0:
                file.write("[\n")
            file.writelines(json.dumps(event) + ",\n" for event in events)


def _event(span: phases.Span, category: str, **said: object) -> dict[str, Any]:
    return {
        "name": span.phase,
        "cat": category,
        "ph": "X",
        "ts": round(span.start * 1e6),
        "dur": round(span.wall * 1e6),
        "pid": span.process,
        "tid": span.process,
        "args": {**said, "cpu_ms": round(span.cpu * 1e3, 3)},
    }

"""`metrics.jsonl`: one JSON line a round, for plots and people. The ledger is the truth; this file is rebuilt from it.

    {"round":1,"accuracy":0.8694,"loss":0.612,"accepted":10,"rejected":{},"bytes":98765,"seconds":{...},"cpu_seconds":{...},"checkpoint":"bafk..."}

`seconds` are of the wall, both by phase and summed over processes; `round` is the coordinator's from opening to commit.
A line of a round that a crashed process committed has no bytes and no seconds: nobody measured them.
"""

import json
from pathlib import Path
from typing import Any

from client import phases, worker
from ledger import durable, log, statements
from orchestrator import listener

MEASURED = ("bytes", "seconds", "cpu_seconds")
"""What the ledger does not say."""


class MetricsFile:
    """The metrics of one run folder."""

    def __init__(self, path: Path) -> None:
        self._path = path

    def rebuild(self, record: log.Log) -> None:
        """Make the file say what the ledger says, keeping the timings that earlier processes wrote."""
        measured = {line.get("checkpoint"): line for line in self._lines()}
        lines = []
        for entry in record.entries():
            statement = statements.parse(entry.envelope.payload)
            if isinstance(statement, statements.RoundCommit):
                before = measured.get(statement.checkpoint, {})
                lines.append(_line(statement) | {key: before[key] for key in MEASURED if key in before})
        text = "".join(json.dumps(line) + "\n" for line in lines)
        durable.write(self._path, text.encode())

    def opened(self, number: int, total: int) -> None:
        """Nothing to write."""

    def answered(self, reply: worker.Reply) -> None:
        """Nothing to write."""

    def committed(self, report: listener.RoundReport) -> None:
        """Add the line of a round."""
        seconds = {phase: round(each, 4) for phase, each in phases.wall(report.spans).items()}
        cpu = {phase: round(each, 4) for phase, each in phases.cpu(report.spans).items()}
        measured = {"bytes": report.ciphertext_bytes, "seconds": seconds, "cpu_seconds": cpu}
        with self._path.open("a") as file:
            file.write(json.dumps(_line(report.commit) | measured) + "\n")

    def _lines(self) -> list[dict[str, Any]]:
        """The lines that are whole; a crash may have torn the last."""
        lines = []
        for text in self._path.read_bytes().splitlines() if self._path.exists() else []:
            try:
                line = json.loads(text)
            except ValueError:
                continue
            if isinstance(line, dict):
                lines.append(line)
        return lines


def _line(commit: statements.RoundCommit) -> dict[str, Any]:
    return {
        "round": commit.round,
        "accuracy": round(commit.correct / commit.total, 6),
        "loss": commit.loss_micro / 1_000_000,
        "accepted": len(commit.accepted),
        "rejected": dict(commit.rejected),
        "checkpoint": commit.checkpoint,
    }

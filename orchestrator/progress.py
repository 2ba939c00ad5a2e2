"""What a person sees of a run: one line a round, and a table at the end."""

import logging
from collections.abc import Mapping
from pathlib import Path
from typing import Self

from rich.console import Console
from rich.status import Status
from rich.table import Table

from client import phases, worker
from orchestrator import findings, listener, summary

COLUMNS = ((("train",), 16), (("encode", "seal"), 6), (("ledger", "publish"), 8), (("aggregate", "evaluate"), 11))
"""Phases shown as one, and how wide."""
HEADER = "round   accuracy    loss   accepted   rejected      bytes   seconds: train  seal  ledger  aggregate"


class Progress:
    """A run on the terminal.

    Args:
        console: where to write.
        hostile: holders that a simulation made hostile, marked in the table.
    """

    def __init__(self, console: Console, hostile: Mapping[str, str]) -> None:
        self._console = console
        self._hostile = hostile
        self._status: Status | None = None
        self._round = ""
        self._answers = 0
        self._headed = False

    def __enter__(self) -> Self:
        self._status = self._console.status("starting")
        if self._console.is_terminal:
            self._status.start()
        return self

    def __exit__(self, *_: object) -> None:
        if self._status is not None:
            self._status.stop()

    def resumed(self, committed: int, total: int) -> None:
        """Say where an earlier process got to."""
        if committed < total:
            self._console.print(f"resuming after round {committed} of {total}", highlight=False)
        else:
            self._console.print(f"all {total} rounds are done; dir=NEW or seed=1 begins another run", highlight=False)

    def opened(self, number: int, total: int) -> None:
        """Say which round is on."""
        self._round, self._answers = f"round {number} of {total}", 0
        self._tell("waiting for holders")

    def answered(self, reply: worker.Reply) -> None:
        """Count a holder's answer."""
        self._answers += 1
        self._tell(f"{self._answers} answered, {reply.member} last")

    def invited(self, name: str, line: str) -> None:
        """Print the command that takes up an invitation."""
        self._console.print(f"{name} is invited; to join:", highlight=False)
        self._console.print(f"  {line}", highlight=False, markup=False, soft_wrap=True)

    def joined(self, name: str) -> None:
        """Say who has come."""
        self._console.print(f"{name} has joined", highlight=False)

    def said(self, sentence: str) -> None:
        """Print a sentence that stays true."""
        self._console.print(sentence, highlight=False, markup=False)

    def waiting(self, sentence: str) -> None:
        """Say what the run waits for: as it changes on a terminal, and else in a line each."""
        if self._console.is_terminal and self._status is not None:
            self._tell(sentence)
        else:
            self._console.print(sentence, highlight=False)

    def committed(self, report: listener.RoundReport) -> None:
        """Print the line of a round."""
        if not self._headed:
            self._console.print(HEADER, style="bold", highlight=False)
            self._headed = True
        commit, seconds = report.commit, phases.wall(report.spans)
        spent = "".join(f"{sum(seconds.get(phase, 0.0) for phase in shown):>{width}.2f}" for shown, width in COLUMNS)
        line = f"{commit.round:>5}{commit.correct / commit.total:>11.4f}{commit.loss_micro / 1e6:>8.3f}"
        counts = f"{len(commit.accepted):>11}{len(commit.rejected):>11}{report.ciphertext_bytes:>11,}"
        self._console.print(line + counts + spent, highlight=False, no_wrap=True, crop=False, overflow="ignore")

    def finished(self, run: summary.Summary, root: Path, plots: list[Path]) -> None:
        """Print the table of holders, and where everything is."""
        table = Table(box=None, pad_edge=False)
        for name, justify in (("holder", "left"), ("accepted", "right"), ("rejected", "left"), ("credit", "right")):
            table.add_column(name, justify=justify)  # type: ignore[arg-type]
        for name, holder in run.holders.items():
            reasons = ", ".join(f"{count} {reason}" for reason, count in holder.rejected.items()) or "-"
            label = f"{name} ({self._hostile[name]})" if name in self._hostile else name
            table.add_row(label, str(holder.accepted), reasons, f"{holder.credit / 1_000_000:.3f}")
        self._console.print()
        self._console.print(table)
        accuracy = f"{run.accuracy[-1]:.4f}" if run.accuracy else "none yet"
        lines = {
            "accuracy": f"{accuracy} after {run.rounds} rounds",
            "checkpoint": run.checkpoint,
            "log head": f"{run.head} ({run.entries} entries)",
            "run folder": str(root),
            "plots": ", ".join(str(path) for path in plots),
        }
        self._console.print()
        for label, text in lines.items():
            self._console.print(f"{label:<12}{text}", highlight=False, soft_wrap=True)

    def _tell(self, what: str) -> None:
        if self._status is not None:
            self._status.update(f"{self._round}: {what}")


def audited(console: Console, report: findings.Report) -> None:
    """Print what an audit checked."""
    for what, count in report.checked.items():
        console.print(f"{what:<14}{count:>8,}", highlight=False)
    console.print()
    lines = {
        "recomputed": f"{report.recomputed} of {report.rounds} rounds, from their ciphertext; the plan has {report.planned}",
        "claims": "metrics, examples, runtime, initial weights and task code are as stated, not checked",
        "destroyed": f"the identities of rounds {report.destroyed}, so nobody can recompute them"
        if report.destroyed
        else "no round's identity, as far as the log tells",
        "run": report.run,
        "signed by": report.coordinator,
        "checkpoint": report.checkpoint,
        "log head": report.head,
        "memory": report.before or "not asked, and not remembered",
        "witnesses": ", ".join(report.witnesses) or "none asked for",
        "final": f"rounds {report.final or 'none'}, with {report.cosignatures} cosignatures each"
        if report.cosignatures
        else "no cosignatures asked for",
    }
    if report.taken_back:
        rounds = sorted(report.taken_back.items())
        lines["taken back"] = ", ".join(f"round {number} ({why or 'no reason said'})" for number, why in rounds)
    for label, text in (lines | dict(report.aggregators)).items():
        console.print(f"{label:<12}{text}", highlight=False)
    doubts = (
        (report.pending, "rounds are not final: too few aggregators have cosigned them"),
        *((count, f"rounds have a scorer left out: {said}") for said, count in report.unheard.items()),
        *((count, f"identities of {name} outlived the audit window") for name, count in report.lingering.items()),
        (
            report.rounds - report.recomputed,
            "rounds are not disclosed: their verdicts, aggregates and credits are claims",
        ),
        (
            report.overdue,
            "round identities outlived the plan's audit window: the log does not say that they are destroyed",
        ),
        (report.unsigned, "entries at the end are under no signed checkpoint yet"),
        (report.on_word, "updates were rejected as unavailable, which nobody can recompute"),
        (report.left_out, "offers were on the log in time and were not sealed"),
        (report.reversals, "credits of a round were taken back; that is the operator's word"),
        (report.planned - report.rounds, "rounds of the plan are still to come"),
    )
    for count, what in doubts:
        if count:
            console.print(f"{count} {what}", style="yellow", highlight=False)
    verdict = "no difference" if report.recomputed == report.rounds else "no difference in what could be recomputed"
    console.print(f"{verdict}, {report.seconds:.1f} s", style="bold", highlight=False)


def log_to(console: Console, level: int) -> None:
    """Show warnings of our own packages on the console that the progress uses."""
    from rich.logging import RichHandler  # noqa: PLC0415  0.1 s that `--json` need not pay

    handler = RichHandler(console=console, show_time=False, show_path=False)
    for name in ("client", "orchestrator", "ledger", "exchange", "aggregation"):
        logger = logging.getLogger(name)
        logger.setLevel(level)
        logger.handlers = [handler]

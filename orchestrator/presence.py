"""A holder's part in a run on the terminal: one line that says what it is doing, and a line for each thing that stays true.

Where standard error is no terminal, and with --json, every event is a line.
"""

import contextlib
import dataclasses
import json
import math
import time
from collections.abc import Iterator, Mapping, Sequence
from typing import Self

import click
from rich.console import Console
from rich.status import Status
from rich.text import Text

from client import consent, participation, plain, turn

LASTING = ("joined", "outcome", "refused", "unreachable", "cosigned", "disputed", "finished")
"""Events that are kept as lines of their own on a terminal."""


class Presence:
    """What a person, or a program, sees.

    Args:
        as_json: one JSON object a line on standard output, for programs.
        name: of the holder.

    Attributes:
        console: standard error.
    """

    def __init__(self, *, as_json: bool, name: str) -> None:
        self._json = as_json
        self._name = name
        self.console = Console(stderr=True, soft_wrap=True, highlight=False)
        self._status: Status | None = None
        self._counts = {True: 0, False: 0}
        self._credit = 0

    def __enter__(self) -> Self:
        if self.console.is_terminal and not self._json:
            self._status = self.console.status("starting")
            self._status.start()
        return self

    def __exit__(self, *_: object) -> None:
        if self._status is not None:
            self._status.stop()

    @contextlib.contextmanager
    def paused(self) -> Iterator[None]:
        """Nothing moves on the terminal, that a question can be read."""
        if self._status is not None:
            self._status.stop()
        yield
        if self._status is not None:
            self._status.start()

    def heard(self, event: turn.Event) -> None:
        """Show one event."""
        if event.kind == "outcome":
            self._counts[bool(event.data["accepted"])] += 1
            self._credit = int(str(event.data["credit"]))
        if self._json:
            click.echo(json.dumps({"event": event.kind, "text": event.text, **event.data}))
            return
        if self._status is None or event.kind in LASTING:
            self.console.print(f"{time.strftime('%T')}  {plain.text(event.text)}", markup=False)
        if self._status is not None:
            self._status.update(Text(f"{self._name}: {plain.text(event.text)}{self._so_far()}"))

    def asked(self, terms: Mapping[str, str]) -> None:
        """Show what the holder is asked to agree to."""
        if self._json:
            click.echo(json.dumps({"event": "terms", "terms": dict(terms)}))
            return
        width = max(map(len, terms))
        for label, text in terms.items():
            self.console.print(f"{label:<{width}}  {plain.lines(text)}", markup=False)

    def judged(self, verdicts: Sequence[consent.Verdict]) -> None:
        """Show what each clause of the policy says."""
        if self._json:
            said = [{"clause": each.clause, "admits": each.admitted, "text": each.sentence} for each in verdicts]
            click.echo(json.dumps({"event": "verdicts", "verdicts": said}))
            return
        for each in verdicts:
            mark = "admits " if each.admitted else "REFUSES"
            self.console.print(f"{mark}  {each.clause:<15}  {plain.text(each.sentence)}", markup=False)

    def finished(self, came_to: participation.Outcome) -> None:
        """Show what the holder's part came to."""
        if self._json:
            record = dataclasses.asdict(came_to) | {"epsilon": _finite(came_to.epsilon)}
            click.echo(json.dumps({"event": "finished", **record}))
            return
        spent = f"epsilon {came_to.epsilon:.4g} at delta {came_to.delta:g}"
        lines = {
            "rounds": f"{came_to.rounds}: {came_to.accepted} accepted, {came_to.rejected} not",
            "credit": f"{came_to.credit / 1_000_000:.6f}",
            "privacy": spent if math.isfinite(came_to.epsilon) else "no noise, so no bound on what was learned",
            "checkpoint": came_to.checkpoint,
        }
        for label, text in lines.items():
            self.console.print(f"{label:<12}{text}", markup=False)

    def said(self, text: str) -> None:
        """Show a sentence that is no event."""
        if not self._json:
            self.console.print(text, markup=False)

    def _so_far(self) -> str:
        accepted, rejected = self._counts[True], self._counts[False]
        if not accepted and not rejected:
            return ""
        return f"  ({accepted} accepted, {rejected} not, credit {self._credit / 1_000_000:.6f})"


def _finite(value: float) -> float | None:
    return value if math.isfinite(value) else None

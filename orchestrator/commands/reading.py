"""What the commands that read a log share: where it is, and what is seen while it is read."""

import contextlib
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING

import click
from rich.console import Console
from rich.progress import BarColumn, Progress, TextColumn, TimeRemainingColumn

from orchestrator.commands import refusal

if TYPE_CHECKING:
    from orchestrator import archive

EPILOG = "PLACE is a run folder, a folder or URL of published files, or nothing for the latest run in runs/."
AS_JSON = click.option("--json", "as_json", is_flag=True, help="Print JSON.")
PLACE = click.argument("place", required=False)


@contextlib.contextmanager
def opened(place: str | None) -> "Iterator[archive.Archive]":
    """The log at a place; what it refuses ends the command."""
    from orchestrator import archive  # noqa: PLC0415

    try:
        with archive.opened(place) as found:
            yield found
    except refusal.OURS as error:
        refusal.fail(error)


@contextlib.contextmanager
def progress(total: int) -> Iterator[Callable[..., None]]:
    """A bar on standard error, where that is a terminal; told how many entries are done, and of how many if that changes."""
    columns = (TextColumn("{task.completed:,} of {task.total:,} entries"), BarColumn(), TimeRemainingColumn())
    with Progress(*columns, console=Console(stderr=True), transient=True) as bar:
        task = bar.add_task("", total=total)
        yield lambda done, of=total: bar.update(task, completed=done, total=of)


@contextlib.contextmanager
def status(text: str) -> Iterator[None]:
    """What goes on, on standard error, where that is a terminal."""
    with Console(stderr=True, soft_wrap=True).status(text):
        yield

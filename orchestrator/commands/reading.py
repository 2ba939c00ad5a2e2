"""What the commands that read a log share: where it is, and what is seen while it is read."""

import contextlib
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar

import click
from rich.console import Console
from rich.progress import BarColumn, Progress, TextColumn, TimeRemainingColumn

from orchestrator.commands import refusal

if TYPE_CHECKING:
    from orchestrator import archive, recall

Command = TypeVar("Command", bound=Callable[..., None])
EPILOG = "PLACE is a run folder, a folder or URL of published files, a bundle, or nothing for the latest run in runs/."
AS_JSON = click.option("--json", "as_json", is_flag=True, help="Print JSON.")
PLACE = click.argument("place", required=False)


def trust(command: Command) -> Command:
    """The options that say what a log is held to beside its own words; `brought` takes their values."""
    where = click.Path(path_type=Path)
    options = [
        click.option("--policy", "policy_file", type=where, help="Trust policy that the checkpoint must meet."),
        click.option("--memory", "memory_folder", type=where, help="Where to remember what was accepted."),
        click.option("--no-memory", is_flag=True, help="Neither ask what was accepted before nor remember this."),
    ]
    for option in reversed(options):
        command = option(command)
    return command


def brought(
    policy_file: Path | None, memory_folder: Path | None, *, no_memory: bool, as_json: bool = False
) -> "recall.Recall":
    """What the options of `trust` bring along."""
    from ledger import memory  # noqa: PLC0415
    from orchestrator import recall  # noqa: PLC0415

    if no_memory and memory_folder is not None:
        raise click.UsageError("--memory and --no-memory exclude each other")
    try:
        return recall.Recall(
            remembered=None if no_memory else memory.Memory(memory_folder or memory.place()),
            demands=None if policy_file is None else recall.read_policy(policy_file),
        )
    except refusal.OURS as error:
        refusal.judged(error, as_json=as_json)


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
    console = Console(stderr=True)
    with Progress(*columns, console=console, transient=True, disable=not console.is_terminal) as bar:
        task = bar.add_task("", total=total)
        yield lambda done, of=total: bar.update(task, completed=done, total=of)


@contextlib.contextmanager
def status(text: str) -> Iterator[None]:
    """What goes on, on standard error, where that is a terminal."""
    with Console(stderr=True, soft_wrap=True).status(text):
        yield

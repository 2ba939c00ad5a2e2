"""The command `folkmoot audit`: all of a run recomputed, wherever it lies, and put into one file for others to do the same."""

import dataclasses
import json
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

import click
from rich.console import Console

from orchestrator.commands import reading, refusal

if TYPE_CHECKING:
    from orchestrator import gridaudit, replay, subject

RUNS = Path("runs")


@click.command()
@click.argument("place", metavar="[RUN_FOLDER|URL|FILE]", required=False)
@reading.trust
@click.option("--store", type=click.Path(path_type=Path, file_okay=False), help="With URL: keep what was fetched here.")
@click.option(
    "--export", type=click.Path(path_type=Path), help="Write what was audited into this file outside of the run folder."
)
@click.option("--force", is_flag=True, help="With --export: write the file although it exists.")
@click.option("--json", "as_json", is_flag=True, help="Print the report as one JSON object.")
def audit(
    place: str | None,
    policy_file: Path | None,
    memory_folder: Path | None,
    store: Path | None,
    export: Path | None,
    *,
    force: bool,
    no_memory: bool,
    as_json: bool,
) -> None:
    """Recompute a run from its genesis: every signature, link, root, CID, aggregate, checkpoint and credit.

    Needs no key but the round identities that the run disclosed. Exits 1 and names the first thing that differs, and 2 if it
    cannot be known. Without a place it takes the latest run in runs/.

    With the URL of a run's service nothing else is needed: log and files are fetched from there, and believed nothing. What its
    newest checkpoint covers is audited; of what comes after, only the number of entries is told.

    With --export all that it took goes into one file, and `folkmoot audit FILE` comes to the same on any machine, offline. Then
    too only what the newest checkpoint covers is audited.

    What it accepts it remembers, by default in $FOLKMOOT_STATE or ~/.local/state/folkmoot, and from then on refuses a log of
    that name which does not extend it: it exits 1 and names a folder with both signed notes. With --policy the published
    checkpoint must also be cosigned as the file says (C2SP tlog-policy).

    \b
    folkmoot audit
    folkmoot audit runs/digits-3ef265d7
    folkmoot audit runs/digits-3ef265d7 --policy witnesses.txt
    folkmoot audit https://moot.example.org
    folkmoot audit https://moot.example.org --store fetched
    folkmoot audit runs/digits-3ef265d7 --export digits.car
    folkmoot audit digits.car
    folkmoot audit runs/digits-3ef265d7 --json
    """  # noqa: D301  click reads the escape
    from orchestrator import findings, progress  # noqa: PLC0415  `--help` need not wait for torch

    if force and export is None:
        raise click.UsageError("--force belongs to --export")
    brought = reading.brought(policy_file, memory_folder, no_memory=no_memory, as_json=as_json)
    console = Console(stderr=True, soft_wrap=True)
    try:
        with console.status("auditing") as status:
            found = _audited(place, store, status.update)
            what = found if export is None else _exported(found, export, status.update, force=force)
            auditor = _auditor(found)
            report = auditor(what, lambda number, total: status.update(f"round {number} of {total}"), brought).audit()
    except refusal.OURS as error:
        refusal.judged(error, as_json=as_json)
    if as_json:
        click.echo(json.dumps({"ok": True} | dataclasses.asdict(report)))
    elif isinstance(report, findings.Report):
        progress.audited(Console(soft_wrap=True), report)
    else:
        click.echo(report.text)
    if export is not None:
        click.echo(f"{export}: {export.stat().st_size:,} bytes, which anybody can audit", err=True)
        if report.unsigned:
            click.echo(f"{report.unsigned} entries after its checkpoint were not audited, and are not in it", err=True)


def _auditor(place: "subject.Inspected") -> "type[replay.Replay | gridaudit.GridAudit]":
    """Who audits such a run."""
    from orchestrator import replay, subject  # noqa: PLC0415

    if not subject.led(place):
        return replay.Replay
    from orchestrator import gridaudit  # noqa: PLC0415  flwr is for those who need it

    return gridaudit.GridAudit


def _audited(place: str | None, store: Path | None, told: Callable[[str], object]) -> "subject.Inspected":
    """Where the run lies that the command names."""
    from orchestrator import errors, folder, subject  # noqa: PLC0415

    if place is not None and place.startswith(("http://", "https://")):
        return subject.Served(url=place, store=store)
    if store is not None:
        raise click.UsageError("--store keeps what was fetched from a URL, and there is none")
    if place is not None and Path(place).is_file():
        return subject.Bundled(path=Path(place), told=told)
    if place is not None and not Path(place).is_dir():
        said = "is no folder and no regular file" if Path(place).exists() else "does not exist"
        expected = "a run folder, a bundle or the URL of a run's service"
        raise errors.FolderError(f"{place} {said}: expected {expected}")
    return folder.RunFolder(root=Path(place)) if place else folder.newest(RUNS)


def _exported(place: "subject.Inspected", path: Path, told: Callable[[str], object], *, force: bool) -> "subject.Place":
    """The same, which becomes a bundle; what stands in the way is told before the work."""
    from orchestrator import folder, subject, target  # noqa: PLC0415

    target.require_free(path, replace=force)
    if isinstance(place, folder.RunFolder):
        target.require_outside(path, place.root)
    return subject.Exported(place=place, path=path, replace=force, told=told)

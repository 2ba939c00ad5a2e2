"""The commands `folkmoot ledger ...`: read a log, verify it, prove from it, publish it."""

import dataclasses
import json
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from orchestrator.commands import export, proving, reading, refusal, witness

if TYPE_CHECKING:
    from ledger import leaf


@click.group()
def ledger() -> None:
    """Read a log, verify it, prove from it, publish it, witness it.

    \b
    folkmoot ledger show
    folkmoot ledger verify runs/digits-3ef265d7
    folkmoot ledger publish runs/digits-3ef265d7 /srv/www/log
    folkmoot ledger verify https://example.org/log
    """  # noqa: D301  click reads the escape


@ledger.command(epilog=reading.EPILOG)
@reading.PLACE
@click.option("--entry", type=click.IntRange(0), help="One entry, whole.")
@click.option("--start", type=click.IntRange(0), default=0, show_default=True, help="First position.")
@click.option("--stop", type=click.IntRange(0), help="Position to stop before.")
@click.option("--type", "kind", help="Only statements of this type, as update.offer.")
@click.option("--author", help="Only statements of this member.")
@reading.AS_JSON
def show(
    place: str | None,
    entry: int | None,
    start: int,
    stop: int | None,
    kind: str | None,
    author: str | None,
    *,
    as_json: bool,
) -> None:
    """Print the entries, a line each: position, type, author, and what it is about.

    Each is checked against its hash and chained to the one before. Signatures are for `folkmoot ledger verify`.

    \b
    folkmoot ledger show --type round.commit
    folkmoot ledger show runs/digits-3ef265d7 --entry 20
    folkmoot ledger show https://example.org/log --start 100 --stop 120 --json
    """  # noqa: D301
    first, last = (start, stop) if entry is None else (entry, entry + 1)
    with reading.opened(place) as found:
        if entry is not None and entry >= found.record.size:
            raise click.UsageError(f"there is no entry {entry}: the log has {found.record.size}")
        for each in found.record.entries(first, last):
            said = _said(each)
            if (kind is None or said["type"] == kind) and (author is None or said["author"] == author):
                _print_entry(said, whole=entry is not None, as_json=as_json)


@ledger.command(epilog=reading.EPILOG)
@reading.PLACE
@click.option("--workers", type=click.IntRange(0), help="Processes that verify signatures; one a core if left out.")
@reading.trust
@reading.AS_JSON
def verify(
    place: str | None,
    workers: int | None,
    policy_file: Path | None,
    memory_folder: Path | None,
    *,
    no_memory: bool,
    as_json: bool,
) -> None:
    """Verify every hash, link, signature, rule and signed checkpoint of a log. Exits 1 at the first that is wrong.

    What the rounds came to is not recomputed: that is `folkmoot audit`. Memory and policy are those of `folkmoot audit`.

    \b
    folkmoot ledger verify
    folkmoot ledger verify https://example.org/log --policy witnesses.txt
    folkmoot ledger verify https://example.org/log --json
    """  # noqa: D301
    from orchestrator import archive  # noqa: PLC0415  `--help` need not wait

    brought = reading.brought(policy_file, memory_folder, no_memory=no_memory)
    with reading.opened(place) as found, reading.progress(found.record.size) as progress:
        report = archive.verify(found, workers=workers, progress=progress, brought=brought)
    if as_json:
        click.echo(json.dumps({"ok": True} | dataclasses.asdict(report)))
        return
    click.echo(f"entries     {report.entries:,}, hashed, linked, signed by their authors, and as the rules allow")
    click.echo(
        f"notes       {report.notes:,} signed checkpoints with the tree's roots; {report.unsigned} entries after"
    )
    click.echo(f"run         {report.run}: {report.members} members, {report.rounds} rounds committed")
    click.echo(f"log         {report.origin}\nhead        {report.head}\nroot        {report.root}")
    click.echo(
        f"memory      {report.memory or 'not asked'}\nwitnesses   {', '.join(report.witnesses) or 'none asked for'}"
    )
    click.echo(f"no difference, {report.seconds:.1f} s")


@ledger.command()
@click.argument("run_folder", type=click.Path(path_type=Path, exists=True, file_okay=False))
@click.argument("folder", type=click.Path(path_type=Path, file_okay=False))
@reading.AS_JSON
def publish(run_folder: Path, folder: Path, *, as_json: bool) -> None:
    """Write a log as static files (C2SP tlog-tiles) that any web server or IPFS can serve; again, only what is new.

    \b
    folkmoot ledger publish runs/digits-3ef265d7 /srv/www/log
    folkmoot ledger verify /srv/www/log
    """  # noqa: D301
    from ledger import log, publication  # noqa: PLC0415

    with reading.opened(str(run_folder)) as found, reading.status("publishing"):
        if not isinstance(found.record, log.Log):
            raise click.UsageError(f"{run_folder} holds published files, expected a run folder")
        promise = publication.publish(found.record, folder)
    if as_json:
        click.echo(json.dumps({"folder": str(folder), "size": promise.size, "root": promise.root.hex()}))
    else:
        click.echo(f"{folder} serves {promise.size:,} entries of {promise.origin}")


@ledger.command()
@click.argument("run_folder", type=click.Path(path_type=Path, exists=True, file_okay=False), required=False)
@reading.AS_JSON
def fsck(run_folder: Path | None, *, as_json: bool) -> None:
    """Check all that is stored of a log, going on after the first damage: rows, hashes, links, tree, signed checkpoints.

    Exits 1 if anything is damaged. Nothing is written. Without RUN_FOLDER it takes the latest run in runs/.

    \b
    folkmoot ledger fsck
    folkmoot ledger fsck runs/digits-3ef265d7
    """  # noqa: D301
    from orchestrator import archive  # noqa: PLC0415

    try:
        with reading.progress(0) as progress:
            report = archive.check(run_folder, progress)
    except refusal.OURS as error:
        refusal.fail(error)
    if as_json:
        click.echo(json.dumps(dataclasses.asdict(report) | {"ok": report.sound}))
    else:
        for damage in report.damages:
            click.echo(f"{damage.what:10} {'' if damage.seq is None else damage.seq:>7}  {damage.sentence}")
        more = f" and {report.more} more" if report.more else ""
        said = "no damage" if report.sound else f"damaged places: {len(report.damages)}{more}"
        click.echo(f"{report.entries:,} entries, {report.nodes:,} nodes, {report.notes:,} notes: {said}")
    if not report.sound:
        sys.exit(1)


def _said(entry: "leaf.Entry") -> dict[str, Any]:
    from ledger import statements  # noqa: PLC0415

    statement = statements.parse(entry.envelope.payload)
    kind = json.loads(entry.envelope.payload)["predicateType"].split(":")[2]
    fields = {name: value for name, value in dataclasses.asdict(statement).items() if name != "author"}
    return {"entry": entry.seq, "type": kind, "author": statement.author, "eid": entry.eid, "statement": fields}


def _print_entry(said: dict[str, Any], *, whole: bool, as_json: bool) -> None:
    from ledger import keys  # noqa: PLC0415

    if as_json:
        click.echo(json.dumps(said))
    elif whole:
        click.echo(json.dumps(said, indent=1))
    else:
        about = {name: value for name, value in said["statement"].items() if name in _ABOUT}
        if "key" in said["statement"]:
            about["key"] = keys.PublicKey.parse(said["statement"]["key"]).fingerprint
        words = "  ".join(f"{name} {value}" for name, value in about.items())
        click.echo(f"{said['entry']:>7}  {said['type']:16} {said['author']:16} {words}"[:200])


_ABOUT = ("round", "member", "role", "id", "ciphertext", "size", "checkpoint", "reason", "correct", "total")


for each in (
    proving.prove,
    proving.check,
    proving.judge,
    proving.key,
    export.export,
    export.check_account,
    witness.witness,
):
    ledger.add_command(each)

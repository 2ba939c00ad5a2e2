"""The command `folkmoot`.

Exit codes: 0 done; 1 the run failed, or an audit found a difference; 2 a mistake in the command or its configuration; 130
stopped by Ctrl-C and 143 by SIGTERM, resumable.
"""

import dataclasses
import json
import logging
import shlex
import signal
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import click
from rich.console import Console

from orchestrator import errors
from orchestrator.commands import aggregate, bench, inviting, join, key, ledger, reading, refusal, serve, store

if TYPE_CHECKING:
    from orchestrator import gridaudit, subject

RUNS = Path("runs")


@click.group(context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(package_name="folkmoot")
def cli() -> None:
    """Decentralized federated learning whose every result can be checked by a stranger.

    \b
    folkmoot run                    train on real data, two of ten holders hostile
    folkmoot audit runs/digits-...  recompute all of it
    folkmoot run pool=remote ...    the same with holders elsewhere; prints what each types
    folkmoot join URL ...           be one of them, with your own data
    """  # noqa: D301  click reads the escape


@cli.command(context_settings={"ignore_unknown_options": True, "allow_extra_args": True})
@click.option("--json", "as_json", is_flag=True, help="Print the summary as one JSON object.")
@click.argument("overrides", nargs=-1, type=click.UNPROCESSED)
def run(overrides: tuple[str, ...], *, as_json: bool) -> None:
    """Start a run, or resume the one that the same command began.

    OVERRIDES are Hydra's: GROUP=CHOICE picks a file of a group, KEY=VALUE sets a value. Hydra's flags follow too: --multirun,
    --config-dir DIR, --cfg job.

    \b
    Groups: task rule outer attack privacy store ledger cohort pool experiment
    \b
    folkmoot run                                  the main job: digits, 10 holders of whom 2 are hostile, 30 rounds
    folkmoot run rule=mean                        what the two do to plain averaging
    folkmoot run rounds=5 pool=inprocess          short, without Ray
    folkmoot run --multirun rule=mean,median      one run each
    folkmoot run --cfg job                        show the configuration, run nothing
    folkmoot run dir=/data/my-run                 in this folder; the same command resumes
    folkmoot run pool=remote pool.members=[ann,bo]  holders join from elsewhere; the commands for them are printed
    """  # noqa: D301  click reads the escape
    from orchestrator import config, plots, progress, settings  # noqa: PLC0415  `--help` need not wait for torch
    from orchestrator import run as main_job  # noqa: PLC0415

    console = Console(stderr=as_json, soft_wrap=True)
    progress.log_to(console, logging.WARNING)

    def job(chosen: settings.RunConfig) -> None:
        try:
            with progress.Progress(console, chosen.hostile) as show:
                came_to, root = main_job.execute(chosen, show)
            drawn = plots.draw(came_to, root / "plots")
        except KeyboardInterrupt as stop:
            again = shlex.join(["folkmoot", "run", *overrides])
            console.print(f"stopped; nothing is lost. To resume: {again}", markup=False)
            sys.exit(128 + (signal.SIGTERM if signal.SIGTERM in stop.args else signal.SIGINT))
        except refusal.OURS as error:
            refusal.fail(error)
        if as_json:
            record = came_to.to_record() | {"folder": str(root), "plots": [str(path) for path in drawn]}
            click.echo(json.dumps(record))
        else:
            show.finished(came_to, root, drawn)

    sys.argv = ["folkmoot run", *overrides]
    before = signal.signal(signal.SIGTERM, _stop)
    try:
        config.launch(overrides, job)
    except errors.ConfigError as error:
        refusal.fail(error)
    finally:
        signal.signal(signal.SIGTERM, before)


@cli.command()
@click.argument("place", metavar="[RUN_FOLDER|URL]", required=False)
@reading.trust
@click.option("--store", type=click.Path(path_type=Path, file_okay=False), help="With URL: keep what was fetched here.")
@click.option("--json", "as_json", is_flag=True, help="Print the report as one JSON object.")
def audit(
    place: str | None,
    policy_file: Path | None,
    memory_folder: Path | None,
    store: Path | None,
    *,
    no_memory: bool,
    as_json: bool,
) -> None:
    """Recompute a run from its genesis: every signature, link, root, CID, aggregate, checkpoint and credit.

    Needs no key but the round identities that the run disclosed. Exits 1 and names the first thing that differs, and 2 if it
    cannot be known. Without a place it takes the latest run in runs/.

    With the URL of a run's service nothing else is needed: log and files are fetched from there, and believed nothing. What its
    newest checkpoint covers is audited; of what comes after, only the number of entries is told.

    What it accepts it remembers, by default in $FOLKMOOT_STATE or ~/.local/state/folkmoot, and from then on refuses a log of
    that name which does not extend it: it exits 1 and names a folder with both signed notes. With --policy the published
    checkpoint must also be cosigned as the file says (C2SP tlog-policy).

    \b
    folkmoot audit
    folkmoot audit runs/digits-3ef265d7
    folkmoot audit runs/digits-3ef265d7 --policy witnesses.txt
    folkmoot audit https://moot.example.org
    folkmoot audit https://moot.example.org --store fetched
    folkmoot audit runs/digits-3ef265d7 --json
    """  # noqa: D301  click reads the escape
    from orchestrator import findings, progress, replay, subject  # noqa: PLC0415

    brought = reading.brought(policy_file, memory_folder, no_memory=no_memory)
    console = Console(stderr=True, soft_wrap=True)
    try:
        with console.status("auditing") as status:
            where = _audited(place, store)
            auditor: "type[replay.Replay | gridaudit.GridAudit]" = replay.Replay
            if subject.led(where):
                from orchestrator import gridaudit as over_grid  # noqa: PLC0415  flwr is for those who need it

                auditor = over_grid.GridAudit
            report = auditor(where, lambda number, total: status.update(f"round {number} of {total}"), brought).audit()
    except errors.UnreachedError as error:
        if as_json:
            click.echo(json.dumps({"ok": None, "unknown": str(error)}))
        refusal.fail(error)
    except refusal.OURS as error:
        if as_json:
            click.echo(json.dumps({"ok": False, "difference": str(error)}))
        refusal.fail(error)
    if as_json:
        click.echo(json.dumps({"ok": True} | dataclasses.asdict(report)))
    elif not isinstance(report, findings.Report):
        click.echo(report.text)
    else:
        progress.audited(Console(soft_wrap=True), report)


@cli.command()
@click.argument("run_folder", type=click.Path(path_type=Path), required=False)
@click.option("--checkpoint", "cid", help="CID of a committed checkpoint; the latest if left out.")
@click.option("--input", "inputs", type=click.Path(path_type=Path), help=".npy or .csv, one example a row.")
@click.option("--json", "as_json", is_flag=True, help="Print the result as one JSON object.")
def infer(run_folder: Path | None, cid: str | None, inputs: Path | None, *, as_json: bool) -> None:
    """Predict with a committed checkpoint, after verifying its lineage in the log.

    Without --input it is judged on the task's public test set. Without RUN_FOLDER it takes the latest run in runs/, or the
    latest that stores the checkpoint.

    \b
    folkmoot infer --checkpoint bafkrei...
    folkmoot infer runs/digits-3ef265d7
    folkmoot infer runs/digits-3ef265d7 --checkpoint bafkrei... --input digits.csv
    """  # noqa: D301  click reads the escape
    from orchestrator import folder  # noqa: PLC0415
    from orchestrator import infer as inference  # noqa: PLC0415

    try:
        where = folder.RunFolder(root=run_folder) if run_folder else folder.newest(RUNS, checkpoint=cid)
        model = inference.load(where, cid)
        record: dict[str, object] = {"checkpoint": model.checkpoint.cid, "round": model.checkpoint.round}
        if inputs is None:
            record |= dataclasses.asdict(model.judge())
        else:
            predictions = model.predict(inference.read_inputs(inputs))
            record |= {"predictions": predictions}
    except refusal.OURS as error:
        refusal.fail(error)
    if as_json:
        click.echo(json.dumps(record))
        return
    click.echo(
        f"checkpoint  {model.checkpoint.cid}, round {model.checkpoint.round}, lineage of {len(model.lineage)} verified"
    )
    if inputs is None:
        click.echo(f"test set    {record['correct']} of {record['total']} right, loss {record['loss']:.3f}")
    else:
        click.echo("\n".join(str(each) for each in predictions))


def _audited(place: str | None, store: Path | None) -> "subject.Place":
    """Where the run lies that the command names."""
    from orchestrator import folder, subject  # noqa: PLC0415

    if place is not None and place.startswith(("http://", "https://")):
        return subject.Served(url=place, store=store)
    if store is not None:
        raise click.UsageError("--store keeps what was fetched from a URL, and there is none")
    return folder.RunFolder(root=Path(place)) if place else folder.newest(RUNS)


def _stop(number: int, _: object) -> None:
    raise KeyboardInterrupt(number)  # as Ctrl-C does, and with the same end


cli.add_command(aggregate.aggregate)
cli.add_command(bench.bench)
cli.add_command(inviting.enrol)
cli.add_command(inviting.invite)
cli.add_command(ledger.ledger)
cli.add_command(join.join)
cli.add_command(key.key)
cli.add_command(serve.serve)
cli.add_command(store.store)


def main() -> None:
    """Entry point of the console script."""
    try:
        sys.exit(cli.main(prog_name="folkmoot", standalone_mode=False))
    except click.ClickException as error:
        error.show()
        sys.exit(error.exit_code)
    except OSError as error:  # of standard output: closed, or full
        refusal.fail(error)
    except (click.Abort, KeyboardInterrupt):
        click.echo("stopped", err=True)
        sys.exit(130)


if __name__ == "__main__":
    main()

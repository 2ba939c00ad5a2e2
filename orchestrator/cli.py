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

import click
from rich.console import Console

from orchestrator import errors
from orchestrator.commands import aggregate, audit, bench, inviting, join, key, ledger, refusal, serve, store

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


def _stop(number: int, _: object) -> None:
    raise KeyboardInterrupt(number)  # as Ctrl-C does, and with the same end


cli.add_command(aggregate.aggregate)
cli.add_command(audit.audit)
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

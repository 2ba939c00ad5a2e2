"""The command `folkmoot aggregate`: recompute each round of a run while it goes on, and say whether it is right."""

import logging
import signal
import sys
from pathlib import Path

import click

from orchestrator.commands import reading, refusal

_FILE = click.Path(path_type=Path, exists=True, dir_okay=False)


@click.command()
@click.argument("url")
@click.option("--invite", metavar="TEXT|FILE", help="The invitation, or a file that holds it; - for standard input.")
@click.option("--name", help="The name that your key is expected under, where you have no invitation.")
@click.option("--run", "run_id", metavar="EID", help="The run, with --name: the hash of its genesis.")
@click.option("--key", type=_FILE, help="Your key, with --name: an OpenSSH Ed25519 private key.")
@click.option("--folder", type=click.Path(path_type=Path, file_okay=False), help="Yours; ./folkmoot-NAME if left out.")
@click.option("--threads", type=click.IntRange(1), help="Threads that recompute; all cores if left out.")
@reading.AS_JSON
def aggregate(
    *,
    url: str,
    invite: str | None,
    name: str | None,
    run_id: str | None,
    key: Path | None,
    folder: Path | None,
    threads: int | None,
    as_json: bool,
) -> None:
    """Recompute each round of the run that is served at URL, and cosign it or say what differs, until the run is over.

    Updates are sealed to you too: before each round you name a key of your own, which is made for that round and destroyed
    after it. You see every holder's update, so holders have to trust you as they trust the coordinator. You need no data.

    On the command line other users of this machine can read an invitation until it is used up: there give it in a file that
    only you can read, or with --invite - on standard input.

    FOLDER holds your key, the rounds' keys, and what you have said. The same command goes on where it was, however it ended,
    and then needs neither --invite nor --name. It never has two words on one round.

    Exit codes: 0 the run is over; 1 it is not the run that was followed so far, or the place in it is not to be had; 2 a
    mistake in the command; 130 stopped by Ctrl-C.

    \b
    folkmoot aggregate https://moot.example.org --invite invitation.txt
    folkmoot aggregate https://moot.example.org                            goes on
    folkmoot aggregate https://moot.example.org --name org-a --run 3f1c... --key ~/.ssh/id_ed25519
    """  # noqa: D301  click reads the escape
    from client import turn  # noqa: PLC0415  `--help` need not wait for torch
    from orchestrator import admittance, presence, progress, station  # noqa: PLC0415

    signal.signal(signal.SIGTERM, signal.default_int_handler)
    try:
        place, whose = admittance.found(
            url, admittance.Claim(invite=invite, name=name, run=run_id, key=key, folder=folder)
        )
        with presence.Presence(as_json=as_json, name=whose.name) as show:
            progress.log_to(show.console, logging.WARNING)
            admittance.threads(threads)
            with station.opened(place, whose, show.heard) as part:
                known = part.run().known
            text = f"the run is over: {known.round} rounds, checkpoint {known.checkpoint}"
            data = {"rounds": known.round, "checkpoint": known.checkpoint or ""}
            show.heard(turn.Event(kind="finished", text=text, data=data))
    except KeyboardInterrupt:
        click.echo(f"folkmoot: stopped. To go on: {refusal.again()}", err=True)
        sys.exit(130)
    except refusal.OURS as error:
        refusal.fail(error)

"""The command `folkmoot join`: take part in a run with one's own data, from anywhere."""

import dataclasses
import logging
import signal
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import click

from orchestrator.commands import reading, refusal

if TYPE_CHECKING:
    from client import agreement, home, participation, policy
    from client import task as tasks
    from orchestrator import admittance, presence

_FILE = click.Path(path_type=Path, exists=True, dir_okay=False)


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class _Consent:
    """How the holder consents: by a policy, to this run as it stands, or not yet."""

    path: Path | None
    accept: bool
    explain: bool


@click.command(short_help="Take part in a run with your own data.")
@click.argument("url")
@click.option(
    "--invite",
    metavar="TEXT|FILE",
    help="The invitation that the coordinator sent you, or a file that holds it; - for standard input.",
)
@click.option("--name", help="Without an invitation: the name that the coordinator expects your key under.")
@click.option(
    "--run",
    "run_id",
    metavar="EID",
    help="With --name: the run, the hash of its first entry, as the coordinator tells you.",
)
@click.option("--key", type=_FILE, help="With --name: your key, an OpenSSH Ed25519 private key without passphrase.")
@click.option(
    "--data",
    metavar="DATA",
    help="What to train on, required: a file or folder of yours (docs/data.md), or shard:0, shard:1, ... for a part of "
    "the task's own data.",
)
@click.option(
    "--folder",
    type=click.Path(path_type=Path, file_okay=False),
    help="Where your key, policy and state are kept; ./folkmoot-NAME if left out.",
)
@click.option(
    "--policy",
    "policy_file",
    type=_FILE,
    help="What you consent to (docs/policy.md); policy.yaml in your folder if left out.",
)
@click.option(
    "--accept",
    is_flag=True,
    help="Consent to this run as it stands, and to nothing else, without a question; a policy that your folder has stays.",
)
@click.option(
    "--explain", is_flag=True, help="Show what the next round would do and what the policy says; send nothing."
)
@click.option(
    "--threads",
    type=click.IntRange(1),
    default=1,
    show_default=True,
    help="Threads that train. Of a small model one is faster, and several holders may share a machine.",
)
@reading.AS_JSON
def join(
    *,
    url: str,
    invite: str | None,
    name: str | None,
    run_id: str | None,
    key: Path | None,
    data: str | None,
    folder: Path | None,
    policy_file: Path | None,
    accept: bool,
    explain: bool,
    threads: int,
    as_json: bool,
) -> None:
    """Take part in the run that is served at URL, with your own data, until it is over.

    It opens every connection itself: to URL, and to nothing else. First it shows what is asked of you: what your data look like
    from outside, and the terms of the run. Then it asks for your consent, and until you give it sends nothing. What you consent
    to is kept as a policy, and each round is held against it.

    Your folder holds your key, your policy and all that must not be lost. The same command goes on where it was, however it
    ended, and then needs neither --invite nor --name. Ctrl-C declines the open round, so that nobody waits for you. What was
    refused, and why, is in refusals.jsonl there.

    On the command line other users of this machine can read an invitation until it is used up: there give it in a file that
    only you can read, or with --invite - on standard input.

    \b
    Your invitation is in a file, your data in another:
      folkmoot join https://moot.example.org --invite invitation.txt --data patients.csv
    Go on after a stop:
      folkmoot join https://moot.example.org --data patients.csv
    See what the next round would do, and what your policy says to it; join nothing:
      folkmoot join https://moot.example.org --data patients.csv --explain
    Try it with a part of the task's own data, and no question:
      folkmoot join http://127.0.0.1:8767 --invite folkmoot-invite-1.... --data shard:0 --accept
    With a key that the coordinator expects (folkmoot enrol):
      folkmoot join https://moot.example.org --name ward-7 --run 3f1c... --key ~/.ssh/id_ed25519 --data patients.csv

    Exit codes: 0 the run is over; 1 your policy refuses the run, the place in it is not to be had, or it is not the run that
    was followed so far; 2 a mistake in the command; 130 stopped by Ctrl-C.
    """  # noqa: D301  click reads the escape
    from orchestrator import admittance  # noqa: PLC0415  `--help` need not wait for torch

    if data is None:
        raise click.UsageError("--data says what you train on: a path, or shard:0 for a part of the task's own data")
    if policy_file is not None and accept:
        raise click.UsageError("--policy and --accept exclude each other")
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    claim = admittance.Claim(invite=invite, name=name, run=run_id, key=key, folder=folder)
    consent = _Consent(path=policy_file, accept=accept, explain=explain)
    try:
        _enter(url, claim, data, consent, threads=threads, as_json=as_json)
    except KeyboardInterrupt:
        click.echo(f"folkmoot: stopped. To go on: {refusal.again()}", err=True)
        sys.exit(130)
    except refusal.OURS as error:
        refusal.fail(error)


def _enter(url: str, claim: "admittance.Claim", data: str, consent: _Consent, *, threads: int, as_json: bool) -> None:
    from client import participation  # noqa: PLC0415
    from orchestrator import admittance, presence, progress  # noqa: PLC0415

    place, whose = admittance.found(url, claim)
    with presence.Presence(as_json=as_json, name=whose.name) as show:
        progress.log_to(show.console, logging.WARNING)
        admittance.threads(threads)
        with participation.opened(place, whose, show.heard) as part:
            agreed = part.agreed()
            examples = part.examples(data, agreed)
            show.asked(part.asks(agreed, examples))
            chosen = _chosen(part, agreed, show, consent)
            if consent.explain:
                sys.exit(_explained(part, agreed, show, chosen))
            _take_part(part, agreed, examples, chosen, show)


def _take_part(
    part: "participation.Participation",
    agreed: "agreement.Agreement",
    examples: "tasks.Examples",
    chosen: "policy.Policy",
    show: "presence.Presence",
) -> None:
    try:
        show.finished(part.run(chosen, examples, agreed))
    except KeyboardInterrupt:
        show.said("the open round is declined" if part.leave() else "no round waits for us")
        raise


def _explained(
    part: "participation.Participation",
    agreed: "agreement.Agreement",
    show: "presence.Presence",
    chosen: "policy.Policy",
) -> int:
    verdicts = part.verdicts(agreed, chosen)
    show.judged(verdicts)
    return 0 if all(each.admitted for each in verdicts) else 1


def _chosen(
    part: "participation.Participation",
    agreed: "agreement.Agreement",
    show: "presence.Presence",
    consent: _Consent,
) -> "policy.Policy":
    """What the holder consents to: a file, or this very run if it says so now."""
    from client import errors as client_errors  # noqa: PLC0415
    from orchestrator import admittance  # noqa: PLC0415

    place: home.Home = part.place
    if consent.path is not None or place.policy.exists():
        if consent.accept:
            show.said(f"--accept changes nothing in {place.policy}, which is there and holds: see it with --explain")
        return admittance.read_policy(consent.path or place.policy)
    narrowest = part.narrowest(agreed)
    if consent.explain:
        show.said("there is no policy yet; one that admits this run and nothing else would say:")
        return narrowest
    if not consent.accept:
        if not sys.stdin.isatty():
            message = (
                f"nobody can be asked here: write {place.policy}, name a --policy, or --accept this run as it stands"
            )
            raise click.UsageError(message)
        with show.paused():
            agreed_to = click.confirm("Take part on these terms?", err=True)
        if not agreed_to:
            raise client_errors.RefusalError("no-consent", "not agreed, and nothing was sent")
    part.keep(narrowest)
    return narrowest

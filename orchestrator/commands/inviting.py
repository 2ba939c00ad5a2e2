"""The commands `folkmoot invite` and `folkmoot enrol`: who may join a run, while it goes on or before."""

import json
from pathlib import Path

import click

from ledger import errors, fields
from orchestrator.commands import refusal

_as_json = click.option("--json", "as_json", is_flag=True, help="Print the result as one JSON object.")
_aggregator = click.option(
    "--aggregator",
    "role",
    flag_value="aggregator",
    default="holder",
    help="To recompute and cosign rounds, not to train.",
)
_run_folder = click.argument("run_folder", metavar="FOLDER", type=click.Path(path_type=Path, file_okay=False))


class _Name(click.ParamType[str]):
    name = "name"

    def convert(self, value: str, param: click.Parameter | None, ctx: click.Context | None) -> str:
        try:
            return fields.read_name(value)
        except errors.StatementError as error:
            self.fail(str(error), param, ctx)


@click.command(short_help="Invite holders or aggregators to a run.")
@_run_folder
@click.argument("names", metavar="NAME...", type=_Name(), nargs=-1, required=True)
@_aggregator
@_as_json
def invite(run_folder: Path, names: tuple[str, ...], *, role: str, as_json: bool) -> None:
    """Invite holders, or aggregators, to the run in FOLDER, which may be going on; for each NAME a line is printed that joins.

    Whoever has the line can take the place, so send it as you would a password. It is void as soon as somebody has joined with
    it. The same command prints it again; it is also in FOLDER/invites/NAME, readable by you alone. `folkmoot run pool=remote
    pool.members=[alice,bob]` invites by itself.

    \b
    folkmoot invite runs/digits-3ef265d7 alice
    folkmoot invite runs/digits-3ef265d7 alice bob carol
    folkmoot invite runs/digits-3ef265d7 org-a --aggregator
    folkmoot invite runs/digits-3ef265d7 alice --json
    """  # noqa: D301  click reads the escape
    from orchestrator import folder, invitations, journal  # noqa: PLC0415  `--help` need not wait for torch

    where = folder.RunFolder(root=run_folder)
    try:
        where.existing().require_settled_keys()
        with journal.Journal(where.ledger, where.coordinator_key()) as record:
            invitations.require_going_on(record.history)
            made = [invitations.invite(where, record, name, role) for name in names]
            record.publish()
        lines = {each.name: invitations.command(where, each) for each in made}
    except refusal.OURS as error:
        refusal.fail(error)
    if as_json:
        click.echo(json.dumps({"invitations": {each.name: each.text for each in made}, "commands": lines}))
    else:
        click.echo("\n".join(lines.values()))


@click.command(short_help="Expect somebody's key in a run.")
@_run_folder
@click.argument("name", type=_Name())
@click.argument("key", metavar="KEY|FINGERPRINT")
@_aggregator
@_as_json
def enrol(run_folder: Path, name: str, key: str, *, role: str, as_json: bool) -> None:
    """Expect somebody's key in the run in FOLDER, which may be going on: whoever holds KEY can join as NAME by itself.

    KEY is a line such as `ssh-ed25519 AAAA...` in quotes, or its fingerprint as `ssh-keygen -l` prints it. Nothing here is
    secret. Until somebody has joined, the same command names another key.

    \b
    folkmoot enrol runs/digits-3ef265d7 alice "$(cat alice.pub)"
    folkmoot enrol runs/digits-3ef265d7 alice SHA256:27N7D2n0iiZForpQ8CQE2+lrDs+TbsewqZ1+C83FpRE
    """  # noqa: D301  click reads the escape
    from orchestrator import folder, invitations, record  # noqa: PLC0415

    where = folder.RunFolder(root=run_folder)
    try:
        with record.Record(where.existing().ledger) as log:
            known = log.history
        invitations.require_going_on(known)
        fingerprint = invitations.expect(where, known, name, key, role)
    except refusal.OURS as error:
        refusal.fail(error)
    run = known.run or ""
    if as_json:
        click.echo(json.dumps({"name": name, "fingerprint": fingerprint, "run": run}))
    else:
        click.echo(f"{name} may join with {fingerprint}:")
        verb, data = ("join", " --data DATA") if role == "holder" else ("aggregate", "")
        click.echo(f"  folkmoot {verb} {invitations.reached(where)} --run {run} --name {name} --key FILE{data}")

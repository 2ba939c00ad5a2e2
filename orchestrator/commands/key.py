"""The commands `folkmoot key ...`: Ed25519 keys in OpenSSH's files, and what the ledger says of them."""

import dataclasses
import json
import os
from pathlib import Path
from typing import TYPE_CHECKING

import click

from ledger import errors, fields, keys
from orchestrator.commands import refusal

if TYPE_CHECKING:
    from orchestrator import keyring

VARIABLE = b"FOLKMOOT_PASSPHRASE"

_as_json = click.option("--json", "as_json", is_flag=True, help="Print the result as one JSON object.")
_run_folder = click.argument("run_folder", type=click.Path(path_type=Path))


class _Reason(click.ParamType[str]):
    name = "code"

    def convert(self, value: str, param: click.Parameter | None, ctx: click.Context | None) -> str:
        try:
            return fields.read_reason(value)
        except errors.StatementError as error:
            self.fail(str(error), param, ctx)


@click.group()
def key() -> None:
    """Make, show, change and revoke keys.

    A passphrase is asked for, or taken from the environment variable FOLKMOOT_PASSPHRASE.

    \b
    folkmoot key new ~/.ssh/folkmoot --passphrase
    folkmoot key show runs/digits-3ef265d7
    folkmoot key rotate runs/digits-3ef265d7 coordinator
    folkmoot key revoke runs/digits-3ef265d7 holder-03 --reason key-stolen
    """  # noqa: D301  click reads the escape


@key.command()
@click.argument("path", type=click.Path(path_type=Path))
@click.option("--passphrase", "protect", is_flag=True, help="Protect the file by a passphrase.")
@_as_json
def new(path: Path, *, protect: bool, as_json: bool) -> None:
    """Make an Ed25519 key in PATH, readable by you alone; its public line is printed.

    \b
    folkmoot key new coordinator.key
    folkmoot key new coordinator.key --passphrase
    FOLKMOOT_PASSPHRASE=... folkmoot key new coordinator.key --passphrase --json
    """  # noqa: D301  click reads the escape
    try:
        made = keys.SigningKey.generate()
        made.save(path, _passphrase(confirm=True) if protect else None)
    except refusal.OURS as error:
        refusal.fail(error)
    _print_key(path, made.public, protected=protect, as_json=as_json)


@key.command()
@click.argument("path", type=click.Path(path_type=Path))
@_as_json
def show(path: Path, *, as_json: bool) -> None:
    """Show the public key of a key file, or every member's key of a run folder.

    \b
    folkmoot key show coordinator.key
    folkmoot key show runs/digits-3ef265d7
    folkmoot key show runs/digits-3ef265d7 --json
    """  # noqa: D301  click reads the escape
    try:
        if path.is_dir():
            _print_members(path, as_json=as_json)
            return
        found, protected = _load(path)
    except refusal.OURS as error:
        refusal.fail(error)
    _print_key(path, found.public, protected=protected, as_json=as_json)


@key.command()
@_run_folder
@click.argument("member")
@click.option("--new", "path", type=click.Path(path_type=Path), help="A key file to change to; made if left out.")
@_as_json
def rotate(run_folder: Path, member: str, path: Path | None, *, as_json: bool) -> None:
    """Change the key of MEMBER: on the ledger from the next entry on, under a signed checkpoint, and in the run folder.

    The key in the run folder has no passphrase, since `folkmoot run` has nobody to ask. Interrupted, the same command goes on.

    \b
    folkmoot key rotate runs/digits-3ef265d7 coordinator
    folkmoot key rotate runs/digits-3ef265d7 holder-03 --new holder-03.key
    """  # noqa: D301  click reads the escape
    from orchestrator import folder, keyring  # noqa: PLC0415  the other commands need no torch

    try:
        given = None if path is None else _load(path)[0]
        changed = keyring.rotate(folder.RunFolder(root=run_folder), member, given)
    except refusal.OURS as error:
        refusal.fail(error)
    _print_change(
        changed, f"{member} signs with {changed.fingerprint} from entry {changed.rotated[-1] + 1} on", as_json
    )


@key.command()
@_run_folder
@click.argument("member")
@click.option("--reason", type=_Reason(), required=True, help="Why, as a code such as key-stolen or left.")
@_as_json
def revoke(run_folder: Path, member: str, reason: str, *, as_json: bool) -> None:
    """Revoke MEMBER: from the next entry on nothing that it signs counts, and neither its name nor its key ever returns.

    \b
    folkmoot key revoke runs/digits-3ef265d7 holder-03 --reason key-stolen
    """  # noqa: D301  click reads the escape
    from orchestrator import folder, keyring  # noqa: PLC0415

    try:
        changed = keyring.revoke(folder.RunFolder(root=run_folder), member, reason)
    except refusal.OURS as error:
        refusal.fail(error)
    _print_change(changed, f"{member} is revoked at entry {changed.revoked}", as_json)


def _passphrase(*, confirm: bool) -> bytes:
    given = os.environb.get(VARIABLE)
    return (
        click.prompt("Passphrase", hide_input=True, confirmation_prompt=confirm, err=True).encode()
        if given is None
        else given
    )


def _load(path: Path) -> tuple[keys.SigningKey, bool]:
    """The key in a file, and whether it took a passphrase."""
    try:
        return keys.SigningKey.load(path), False
    except errors.ProtectedKeyError:
        return keys.SigningKey.load(path, _passphrase(confirm=False)), True


def _print_key(path: Path, public: keys.PublicKey, *, protected: bool, as_json: bool) -> None:
    if as_json:
        record = {"path": str(path), "line": str(public), "fingerprint": public.fingerprint, "protected": protected}
        click.echo(json.dumps(record))
    else:
        click.echo(f"{public}\n{public.fingerprint}  {path}{'  (passphrase)' if protected else ''}")


def _print_members(path: Path, *, as_json: bool) -> None:
    from orchestrator import folder, keyring  # noqa: PLC0415

    found = keyring.holdings(folder.RunFolder(root=path))
    if as_json:
        click.echo(json.dumps({"members": [dataclasses.asdict(each) for each in found]}))
        return
    width = max(len(each.name) for each in found)
    click.echo(f"{'member':<{width}}  {'role':<11}  {'key':<50}  enrolled  rotated and revoked at")
    for each in found:
        ends = [*(f"rotated {position}" for position in each.rotated)]
        ends += [] if each.revoked is None else [f"revoked {each.revoked}"]
        line = f"{each.name:<{width}}  {each.role:<11}  {each.fingerprint:<50}  {each.enrolled:>8}  {', '.join(ends)}"
        click.echo(line.rstrip())


def _print_change(changed: "keyring.Holding", sentence: str, as_json: bool) -> None:
    click.echo(json.dumps(dataclasses.asdict(changed)) if as_json else sentence)

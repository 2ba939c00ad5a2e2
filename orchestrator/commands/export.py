"""The command `folkmoot ledger export`: credit accounts, for whoever has to read them."""

import json
import tempfile
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING

import click

from orchestrator.commands import refusal

if TYPE_CHECKING:
    from orchestrator import accounting, archive

FORMATS = ("beancount", "hledger", "csv", "postings", "statement")
_CHUNK = 1024 * 1024
_FILE = click.Path(path_type=Path, dir_okay=False)
_READ = click.Path(path_type=Path, dir_okay=False, exists=True)


@click.command()
@click.argument("place", required=False)
@click.option("--format", "form", type=click.Choice(FORMATS), required=True, help="What to write.")
@click.option("--member", help="statement: whose account.")
@click.option("--addresses", type=_READ, help="csv: a file of member,address lines, or a JSON object of them.")
@click.option("--token", help="csv: address of the token's contract.")
@click.option(
    "--start-date", type=click.DateTime(["%Y-%m-%d"]), help="beancount, hledger: day of round 1. [2000-01-01]"
)
@click.option("--out", type=_FILE, help="File to write; standard output if left out.")
@click.option("--force", is_flag=True, help="Write FILE although it exists.")
@click.option("--json", "as_json", is_flag=True, help="Print what was written as JSON; needs --out.")
def export(
    place: str | None,
    form: str,
    member: str | None,
    addresses: Path | None,
    token: str | None,
    start_date: datetime | None,
    out: Path | None,
    *,
    force: bool,
    as_json: bool,
) -> None:
    """Write the credit accounts of a log that was verified to its signed checkpoint.

    \b
    beancount, hledger   a journal with closing balances, in credits; the log has no clock, so rounds are days
    postings             a CSV of every posting, in micro-credits
    csv                  receivers and amounts for a Merkle distribution on a chain, in micro-credits
    statement            one member's account, with proofs that `folkmoot ledger check-account` checks anywhere

    PLACE is a run folder, a folder or URL of published files, a bundle, or nothing for the latest run in runs/.

    \b
    folkmoot ledger export --format beancount --out credits.beancount
    folkmoot ledger export runs/digits-3ef265d7 --format statement --member holder-00 --out holder-00.json
    folkmoot ledger export --format csv --addresses addresses.csv --token 0x5FbD... --out airdrop.csv
    """  # noqa: D301  click reads the escape
    from orchestrator import accounting, archive, target  # noqa: PLC0415  `--help` need not wait

    options = {"--member": (member, ("statement",)), "--addresses": (addresses, ("csv",)), "--token": (token, ("csv",))}
    _require_form(form, options | {"--start-date": (start_date, ("beancount", "hledger"))})
    if as_json and out is None:
        raise click.UsageError("--json needs --out")
    try:
        if out is not None:
            target.require_free(out, replace=force)
        with archive.opened(place) as found:
            chosen = _form(found, form, member, addresses, token, start_date)
            if out is None:
                with tempfile.TemporaryFile() as kept:
                    accounting.export(found, chosen, kept)
                    kept.seek(0)
                    for piece in iter(lambda: kept.read(_CHUNK), b""):
                        click.echo(piece, nl=False)
                return
            with accounting.replacing(out) as file:
                known = accounting.export(found, chosen, file)
    except refusal.OURS as error:
        refusal.fail(error)
    if as_json:
        record = {"out": str(out), "format": form, "run": known.run, "entries": known.size, "rounds": known.round}
        click.echo(json.dumps(record))
    else:
        click.echo(f"{out}: the accounts of {known.round} rounds, from {known.size:,} verified entries")


def _require_form(wanted: str, options: dict[str, tuple[object, tuple[str, ...]]]) -> None:
    """Nothing, if no option is given that belongs to other formats alone."""
    for name, (value, formats) in options.items():
        if value is not None and wanted not in formats:
            raise click.UsageError(f"{name} belongs to --format {' and '.join(formats)}")


def _form(
    found: "archive.Archive",
    form: str,
    member: str | None,
    addresses: Path | None,
    token: str | None,
    start_date: datetime | None,
) -> "accounting.Form":
    from ledger import bookkeeping, distribution  # noqa: PLC0415
    from orchestrator import accounting  # noqa: PLC0415

    start = bookkeeping.START if start_date is None else start_date.date()
    match form:
        case "beancount":
            return lambda entries: bookkeeping.beancount(entries.transfers, start=start)
        case "hledger":
            return lambda entries: bookkeeping.hledger(entries.transfers, start=start)
        case "postings":
            return lambda entries: bookkeeping.table(entries.transfers)
        case "statement":
            if member is None:
                raise click.UsageError("--format statement needs --member")
            return lambda entries: [accounting.statement(found, entries, member)]
    if addresses is None or token is None:
        raise click.UsageError("--format csv needs --addresses and --token")
    with addresses.open("rb") as file:
        known = distribution.read_addresses(file.read(distribution.MAX_BYTES + 1))
    return lambda entries: distribution.table(entries.transfers, known, token=token)

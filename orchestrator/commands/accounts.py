"""The commands `folkmoot ledger statement`, `check-account` and `reverse`: one member's account, and credit taken back."""

import dataclasses
import json
from pathlib import Path
from typing import TYPE_CHECKING

import click

from orchestrator.commands import key as keys
from orchestrator.commands import reading, refusal

if TYPE_CHECKING:
    from ledger import account_statement
    from orchestrator import accounting, archive

_FILE = click.Path(path_type=Path, dir_okay=False)


@click.command(epilog=reading.EPILOG)
@click.argument("member")
@reading.PLACE
@click.option("--out", type=_FILE, help="Write the account with its proofs, for `folkmoot ledger check-account`.")
@click.option("--force", is_flag=True, help="Write FILE although it exists.")
@click.option("--csv", "as_csv", is_flag=True, help="Print the postings as CSV.")
@reading.AS_JSON
def statement(member: str, place: str | None, out: Path | None, *, force: bool, as_csv: bool, as_json: bool) -> None:
    """Print the account of MEMBER: each posting with what the account then holds, in micro-credits.

    The log is verified to its signed checkpoint first. With --out the account is also written with the proof of each posting;
    with the log's key that file can be checked anywhere, offline.

    \b
    folkmoot ledger statement holder-00
    folkmoot ledger statement holder-00 runs/digits-3ef265d7 --out holder-00.json
    folkmoot ledger statement holder-00 https://example.org/log --csv
    """  # noqa: D301  click reads the escape
    from ledger import account_statement  # noqa: PLC0415  `--help` need not wait
    from orchestrator import accounting, archive, journal, target  # noqa: PLC0415

    if as_csv and as_json:
        raise click.UsageError("--csv and --json exclude each other")
    try:
        if out is not None:
            target.require_free(out, replace=force)
        with archive.opened(place) as found:
            entries = accounting.Vouched(found)
            proven = accounting.statement(found, entries, member).encode()
            shown = account_statement.check(proven, lambda note: journal.verify(note, entries.history))
            key = _log_key(found, entries)
        if out is not None:
            with accounting.replacing(out) as file:
                file.write(proven)
    except refusal.OURS as error:
        refusal.fail(error)
    _print(shown, as_csv=as_csv, as_json=as_json)
    if out is not None:
        click.echo(f"{out}: check it with `folkmoot ledger check-account {out} --key {key}`", err=True)


@click.command(name="check-account")
@click.argument("file", type=click.Path(path_type=Path, dir_okay=False, exists=True))
@click.option("--key", required=True, help="The log's verifier key, as `folkmoot ledger key` prints it.")
@click.option("--csv", "as_csv", is_flag=True, help="Print the postings as CSV.")
@click.option("--json", "as_json", is_flag=True, help="Print what the statement shows as JSON.")
def check_account(file: Path, key: str, *, as_csv: bool, as_json: bool) -> None:
    """Check a member's account statement against the log's key alone, offline. Exits 1 where it does not hold.

    It shows that these postings are in the log, not that there are no others: for that, verify the log.

    \b
    folkmoot ledger check-account holder-00.json --key folkmoot/...+1234abcd+AZ...
    """  # noqa: D301  click reads the escape
    from ledger import account_statement  # noqa: PLC0415
    from orchestrator import archive, errors  # noqa: PLC0415

    if as_csv and as_json:
        raise click.UsageError("--csv and --json exclude each other")
    try:
        if not file.is_file():
            raise errors.FolderError(f"{file} is no regular file, expected an account statement")
        with file.open("rb") as opened:
            shown = account_statement.check(opened.read(account_statement.MAX_BYTES + 1), archive.trusting(key))
    except refusal.OURS as error:
        refusal.judged(error, as_json=as_json)
    _print(shown, as_csv=as_csv, as_json=as_json)


@click.command()
@click.argument("run_folder", type=click.Path(path_type=Path))
@click.argument("number", metavar="ROUND", type=click.IntRange(1))
@click.option("--reason", type=keys.Reason(), required=True, help="Why, as a code such as audit-difference.")
@reading.AS_JSON
def reverse(run_folder: Path, number: int, reason: str, *, as_json: bool) -> None:
    """Take the credit of ROUND back: the exact opposite of what it paid, once, signed by the coordinator.

    The run folder must hold the coordinator's key, and nobody may be running it. Payment and reversal both stay on the ledger,
    the reason with them; an audit lists it. A round that does not audit is not mended by it.

    \b
    folkmoot ledger reverse runs/digits-3ef265d7 7 --reason audit-difference
    """  # noqa: D301  click reads the escape
    from orchestrator import folder, reversal  # noqa: PLC0415

    try:
        done = reversal.take_back(folder.RunFolder(root=run_folder), number, reason)
    except refusal.OURS as error:
        refusal.fail(error)
    if done.reason != reason:
        stands = f"entry {done.entry} took it back before, for {done.reason or 'no reason'}, and was not signed for yet"
        click.echo(f"{stands}: now it is, and that reason stands, not {reason}", err=True)
    if as_json:
        click.echo(json.dumps(dataclasses.asdict(done)))
        return
    for name, held in sorted(done.balances.items()):
        moved = dict(done.postings)[f"member:{name}"]
        click.echo(f"{name:16} {moved:>+18,}  {held:>18,}")
    click.echo(f"{done.id} at entry {done.entry}, micro-credits")


def _print(shown: "account_statement.AccountStatement", *, as_csv: bool, as_json: bool) -> None:
    """What an account statement shows."""
    from ledger import bookkeeping  # noqa: PLC0415

    where = shown.checkpoint
    if as_json:
        record = {"member": shown.member, "postings": len(shown.postings), "balance_micro": shown.balance}
        record |= {"run": shown.run, "origin": where.origin, "size": where.size}
        rows = [dict(zip(bookkeeping.COLUMNS, bookkeeping.cells(each), strict=True)) for each in shown.postings]
        click.echo(json.dumps({"ok": True} | record | {"rows": rows}))
        return
    if as_csv:
        for cells in (bookkeeping.COLUMNS, *map(bookkeeping.cells, shown.postings)):
            click.echo(bookkeeping.row(cells), nl=False)
        return
    for posting in shown.postings:
        made = posting.transfer
        click.echo(f"{made.seq:>7}  {made.id:16} {posting.amount:>+18,}  {posting.balance:>18,}")
    click.echo(
        f"{shown.member}: {len(shown.postings)} postings in {where.origin} of {where.size} entries, micro-credits"
    )


def _log_key(found: "archive.Archive", entries: "accounting.Vouched") -> str:
    """The verifier key of a log that was verified."""
    from ledger import note  # noqa: PLC0415
    from orchestrator import journal  # noqa: PLC0415

    member = journal.coordinator(entries.history)
    return note.vkey(note.Verifier(name=found.promise.origin, key=member.key_at(found.promise.size)))

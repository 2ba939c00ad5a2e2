"""The transfers of a log as text for accountants: beancount, hledger, and a table of all postings.

::

    2000-01-07 * "round/7" ^entry-83 ^round/7
      txid: "round/7"
      eid: "<64 hex digits>"
      Assets:Members:Holder-00  0.375002 CREDIT
      Assets:Members:Holder-01  0.624998 CREDIT
      Equity:Issued  -1.000000 CREDIT

The log has no clock, so dates are made up: the payment of round n stands on the n-th day from a date that the caller
chooses, a reversal on the day of the last payment before it, and what all accounts hold on the day after the last. Dates
then ascend as positions do, which is the order that both tools compute in; within a day they keep the order of the file.

Reference: docs/protocol.md P20.
"""

import csv
import datetime as dt
import io
from collections.abc import Iterable, Iterator

from ledger import accounts, errors, fields

START = dt.date(2000, 1, 1)
"""The day of round 1 where nobody chooses another: plainly not when it happened."""

COLUMNS = ("seq", "id", "code", "reverses", "round", "account", "amount", "balance")
MICRO = 1_000_000


def account(name: str) -> str:
    """The name of an account in beancount and hledger, from which its name on the log can be told.

    A part has to begin with a capital or a digit. Names of members have no capitals, so no two become one.

    Reference: docs/protocol.md P20.
    """
    if name == fields.ISSUED:
        return "Equity:Issued"
    member = name.removeprefix(fields.MEMBER)
    return f"Assets:Members:{member[0].upper()}{member[1:]}"


def amount(micro: int) -> str:
    """Micro-credits as credits, exactly, with six decimals."""
    whole, part = divmod(abs(micro), MICRO)
    return f"{'-' if micro < 0 else ''}{whole}.{part:06d} CREDIT"


def beancount(transfers: Iterable[accounts.Transfer], *, start: dt.date = START) -> Iterator[str]:
    """The pieces of a beancount file: a transaction for each transfer, and a closing balance of each account.

    Args:
        transfers: All transfers of a log, in order.
        start: The day of round 1.

    Raises:
        ExportError: There are more rounds than days to the year 9999.

    Reference: docs/protocol.md P20.
    """
    yield 'option "title" "folkmoot credits"\noption "operating_currency" "CREDIT"\n'
    # Without this, amounts without decimals would be rounded; those here have six, and balances a tolerance of their own.
    yield f'option "inferred_tolerance_default" "CREDIT:0"\n{start} commodity CREDIT\n'
    held: dict[str, int] = {}
    day = start
    for day, transfer in _dated(transfers, start):
        yield from (f"{day} open {account(name)} CREDIT\n" for name in _post(held, transfer))
        flag, tag, link = _marks(transfer)
        yield f'\n{day} {flag} "{transfer.id}"{tag} ^entry-{transfer.seq} ^{link}\n  txid: "{transfer.id}"\n'
        yield f'  eid: "{transfer.eid}"\n' + (f'  reverses: "{transfer.reverses}"\n' if transfer.reverses else "")
        yield "".join(f"  {account(name)}  {amount(micro)}\n" for name, micro in transfer.postings)
    yield "\n"
    for name, micro in sorted(held.items()):
        # "~ 0": by itself beancount lets a balance be off by one in its last digit.
        yield f"{_later(day, 1)} balance {account(name)}  {amount(micro).replace(' ', ' ~ 0 ')}\n"


def hledger(transfers: Iterable[accounts.Transfer], *, start: dt.date = START) -> Iterator[str]:
    """The pieces of a journal for hledger: as `beancount`, the closing balances being one transaction of assertions.

    Args:
        transfers: All transfers of a log, in order.
        start: The day of round 1.

    Raises:
        ExportError: There are more rounds than days to the year 9999.

    Reference: docs/protocol.md P20.
    """
    yield "decimal-mark .\ncommodity 1000.000000 CREDIT\n"
    held: dict[str, int] = {}
    day = start
    for day, transfer in _dated(transfers, start):
        yield from (f"account {account(name)}\n" for name in _post(held, transfer))
        flag, _, _ = _marks(transfer)
        yield f"\n{day} {flag} (entry-{transfer.seq}) {transfer.id}\n    ; txid:{transfer.id}\n    ; eid:{transfer.eid}\n"
        yield f"    ; reverses:{transfer.reverses}\n" if transfer.reverses else ""
        yield "".join(f"    {account(name)}  {amount(micro)}\n" for name, micro in transfer.postings)
    yield f"\n{_later(day, 1)} * closing balances\n"
    for name, micro in sorted(held.items()):
        yield f"    {account(name)}  {amount(0)} = {amount(micro)}\n"


def table(transfers: Iterable[accounts.Transfer]) -> Iterator[str]:
    """The lines of a CSV of all postings, in micro-credits, with the running balance of each account.

    Args:
        transfers: All transfers of a log, in order.

    Reference: docs/protocol.md P20.
    """
    yield row(COLUMNS)
    yield from map(row, map(cells, accounts.postings(transfers)))


def cells(posting: accounts.Posting) -> tuple[str | int, ...]:
    """What `COLUMNS` name of a posting."""
    made = posting.transfer
    about = (made.seq, made.id, made.code, made.reverses, made.round)
    return (*about, posting.account, posting.amount, posting.balance)


def row(cells: Iterable[object]) -> str:
    """One line of a CSV, as RFC 4180 has it but ended by LF."""
    line = io.StringIO()
    csv.writer(line, lineterminator="\n").writerow(cells)
    return line.getvalue()


def _dated(transfers: Iterable[accounts.Transfer], start: dt.date) -> Iterator[tuple[dt.date, accounts.Transfer]]:
    paid = 0
    for transfer in transfers:
        paid += transfer.code == "round"
        yield _later(start, max(paid - 1, 0)), transfer


def _later(day: dt.date, days: int) -> dt.date:
    try:
        return day + dt.timedelta(days=days)
    except OverflowError as error:
        raise errors.ExportError(f"{days} days after {day} is beyond the year 9999: choose an earlier start") from error


def _post(held: dict[str, int], transfer: accounts.Transfer) -> list[str]:
    """Add a transfer to what accounts hold; the accounts that are new with it."""
    new = [name for name, _ in transfer.postings if name not in held]
    for name, micro in transfer.postings:
        held[name] = held.get(name, 0) + micro
    return new


def _marks(transfer: accounts.Transfer) -> tuple[str, str, str]:
    """Flag, tag, and the id by which a payment and its reversal are linked."""
    return ("!", " #reversal", transfer.reverses) if transfer.reverses else ("*", "", transfer.id)

"""The balances of members as a list that a Merkle distribution on a chain is made of, and the addresses it pays to.

::

    token_type,token_address,receiver,amount
    erc20,0x5FbDB2315678afecb367f032d93F642f64180aa3,0x70997970C51812dc3A010C7d01b50e0d17dc79C8,11250060

One line for each member that holds credit, in order of name; amounts are micro-credits. This package speaks to no chain.

Reference: ERC-55 (Buterin, Van de Sande, 2016); the airdrop columns of @openzeppelin/merkle-tree 1.0; docs/protocol.md P20.
"""

import csv
import json
import re
from collections.abc import Iterable, Iterator, Mapping
from typing import NoReturn

from ledger import accounts, bookkeeping, errors
from ledger import transfers as rules

COLUMNS = ("token_type", "token_address", "receiver", "amount")
_KIND = "erc20"
MAX_BYTES = 16 * 1024 * 1024
"""Bytes of a file of addresses that are looked at."""

_ADDRESS = re.compile(r"0x[0-9a-fA-F]{40}")
_HEADER = ["member", "address"]


def address(text: str) -> str:
    """The text, which is the form of an address.

    A checksum in the case of its letters (ERC-55) is left as it is, for whoever makes the tree to verify.

    Raises:
        ExportError: Anything but `0x` and 40 hex digits, or the address zero, from which nothing comes back.

    Reference: docs/protocol.md P20.
    """
    if not _ADDRESS.fullmatch(text) or not int(text, 16):
        raise errors.ExportError(
            f"{ascii(text)[:60]} is no address to pay to, expected 0x and 40 hex digits, not all 0"
        )
    return text


def read_addresses(data: bytes) -> dict[str, str]:
    """Member -> address of a file that somebody wrote: a JSON object, or a CSV with the header `member,address`.

    Raises:
        ExportError: Anything else, a member named twice, or one address for two members: a claim is looked up by address.

    Reference: docs/protocol.md P20.
    """
    if len(data) > MAX_BYTES:
        raise errors.ExportError(f"addresses of {len(data)} bytes, expected at most {MAX_BYTES}")
    try:
        text = data.decode("utf-8-sig")
        pairs = _of_json(text) if text.lstrip().startswith("{") else _of_csv(text)
    except (ValueError, csv.Error, RecursionError) as error:
        raise errors.ExportError(f"the addresses are neither a JSON object nor a CSV: {error}") from error
    found: dict[str, str] = {}
    owners: dict[str, str] = {}
    for member, text in pairs:
        spelt = address(text)
        if member in found:
            raise errors.ExportError(f"{ascii(member)[:80]} has two addresses, expected one")
        if owners.setdefault(spelt.lower(), member) != member:
            raise errors.ExportError(
                f"{owners[spelt.lower()]} and {member} share {spelt}, expected an address for each"
            )
        found[member] = spelt
    return found


def table(transfers: Iterable[accounts.Transfer], addresses: Mapping[str, str], *, token: str) -> Iterator[str]:
    """The lines of the list of what each member holds, at its address.

    Args:
        transfers: All transfers of a log, in order.
        addresses: Member -> address, as `read_addresses` has them; others than members of the log are passed over.
        token: Address of the token's contract.

    Raises:
        ExportError: A member that holds credit has no address (all such are named), or `token` is no address.

    Reference: docs/protocol.md P20.
    """
    paid = address(token)
    held = rules.changes(tuple(accounts.balances(transfers).items()))
    due = {name: micro for name, micro in held.items() if micro}
    missing = due.keys() - addresses.keys()
    if missing:
        names = ", ".join(sorted(missing))
        raise errors.ExportError(f"{len(missing)} of {len(due)} members that hold credit have no address: {names}")
    negative = [name for name, micro in due.items() if micro < 0]
    if negative:
        raise errors.ExportError(f"{', '.join(negative)} hold less than nothing, which no list of payments can say")
    yield bookkeeping.row(COLUMNS)
    for name, micro in due.items():
        yield bookkeeping.row((_KIND, paid, addresses[name], micro))


def _of_json(text: str) -> list[tuple[str, str]]:
    pairs: list[tuple[str, str]] = []
    # Pairs and not a dict: of a key that is there twice, a dict would keep the last.
    for member, spelt in json.loads(text, object_pairs_hook=lambda found: found):
        if not isinstance(spelt, str):
            _refuse(member)
        pairs.append((member, spelt))
    return pairs


def _of_csv(text: str) -> list[tuple[str, str]]:
    header, *rows = csv.reader(text.splitlines(), strict=True) if text else [[]]
    if header != _HEADER:
        raise errors.ExportError(
            f"addresses begin with {ascii(header)[:80]}, expected {','.join(_HEADER)} or a JSON object"
        )
    pairs: list[tuple[str, str]] = []
    for cells in rows:
        if len(cells) != 2:
            _refuse(",".join(cells))
        pairs.append((cells[0], cells[1]))
    return pairs


def _refuse(what: str) -> NoReturn:
    raise errors.ExportError(f"addresses with {ascii(what)[:80]}, expected a member and one address")

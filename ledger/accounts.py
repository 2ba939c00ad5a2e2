"""Credit in integers that add up: the split of a pool, and the accounts that transfers of a log post to.

Every transfer sums to zero, so all accounts together always do: what members hold is what was issued.
"""

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Self

from ledger import leaf, statements


def split(pool: int, weights: Mapping[str, int]) -> dict[str, int]:
    """Each member's share of the pool in proportion to its weight, by largest remainder, ties by name.

    Args:
        pool: Micro-credits to give, >= 0.
        weights: Member -> weight >= 0.

    Returns:
        Member -> micro-credits >= 0, in order of name, summing to `pool` exactly; all zero when no weight is positive.

    Raises:
        ValueError: A negative pool or weight: the caller computed it wrongly.

    Reference: Hamilton's method (largest remainder), Balinski and Young, "Fair Representation" (1982), appendix A;
    docs/protocol.md P14.
    """
    if pool < 0 or any(weight < 0 for weight in weights.values()):
        raise ValueError(f"pool {pool} or a weight of {dict(weights)} is negative")
    total = sum(weights.values())
    if total == 0:
        return dict.fromkeys(sorted(weights), 0)
    shares = {name: pool * weights[name] // total for name in sorted(weights)}
    # sorted() is stable, so equal remainders stay in order of name.
    by_remainder = sorted(shares, key=lambda name: -(pool * weights[name] % total))
    for name in by_remainder[: pool - sum(shares.values())]:
        shares[name] += 1
    return shares


@dataclass(frozen=True, slots=True, kw_only=True)
class Transfer:
    """A transfer of credit as the log has it.

    Attributes:
        seq: Its position.
        eid: Hex eid of the statement.
        id: Its own name, such as `round/7`.
        code: `round` or `reversal`.
        reverses: Id of the transfer that it takes back; empty for a payment.
        round: The round that it pays, or whose payment it takes back.
        postings: (account, micro-credits), not zero, in order of account, in sum zero; none where a round paid nobody.
    """

    seq: int
    eid: str
    id: str
    code: str
    reverses: str
    round: int
    postings: tuple[tuple[str, int], ...]

    @classmethod
    def of(cls, entry: leaf.Entry, statement: statements.CreditTransfer) -> Self:
        """The transfer that an entry's statement makes."""
        names = ("id", "code", "reverses", "round", "postings")
        return cls(seq=entry.seq, eid=entry.eid, **{name: getattr(statement, name) for name in names})


@dataclass(frozen=True, slots=True, kw_only=True)
class Posting:
    """One account's part in a transfer, with what the account then holds, in micro-credits."""

    transfer: Transfer
    account: str
    amount: int
    balance: int


def transfers(entries: Iterable[leaf.Entry]) -> Iterator[Transfer]:
    """The transfers among the entries of a log, in order.

    Args:
        entries: From any position on; that they are signed and fit is for whoever passes them (`history.apply`).

    Raises:
        StatementError: An entry holds no statement.

    Reference: docs/protocol.md P20.
    """
    for entry in entries:
        statement = statements.parse(entry.envelope.payload)
        if isinstance(statement, statements.CreditTransfer):
            yield Transfer.of(entry, statement)


def postings(made: Iterable[Transfer]) -> Iterator[Posting]:
    """Every posting of transfers with its account's running balance; memory grows with accounts alone.

    Args:
        made: All transfers of a log, in order.

    Reference: docs/protocol.md P20.
    """
    held: dict[str, int] = {}
    for transfer in made:
        for account, amount in transfer.postings:
            held[account] = held.get(account, 0) + amount
            yield Posting(transfer=transfer, account=account, amount=amount, balance=held[account])


def balances(made: Iterable[Transfer]) -> dict[str, int]:
    """What every account ever posted to holds after all transfers, in order of account; in sum exactly zero.

    Args:
        made: All transfers of a log, in order.
    """
    held = {posting.account: posting.balance for posting in postings(made)}
    return dict(sorted(held.items()))

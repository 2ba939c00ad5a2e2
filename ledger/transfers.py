"""Credit as double entry: the transfer that pays a round, and the one that takes it back.

::

    {"id":"round/7","code":"round","reverses":"","postings":[["issued",-10],["member:ash",6],["member:birch",4]], ...}
    {"id":"reversal/7/audit","code":"reversal","reverses":"round/7","postings":[["issued",10],["member:ash",-6], ...], ...}

A transfer is never changed. What was paid wrongly is taken back by its exact opposite, once. Why, its id may say; that is the
word of who signs it.
"""

import dataclasses
import hashlib
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import TypeAlias

from ledger import canonical, errors, fields, statements

Postings: TypeAlias = tuple[tuple[str, int], ...]

_DIGEST = 32
_CHUNK = 1024 * _DIGEST
_REVERSED = bytes(_DIGEST)


def round_id(number: int) -> str:
    """The id of the transfer that pays a round."""
    return f"round/{number}"


def reversal_id(number: int, reason: str = "") -> str:
    """The id of the transfer that takes a round's credit back.

    Args:
        number: The round.
        reason: Why, as a code; empty to say nothing.
    """
    return f"reversal/{number}/{reason}" if reason else f"reversal/{number}"


def reason(own: str) -> str:
    """Why a reversal with this id was made, as its signer says; empty where it says nothing."""
    return own.split("/", 2)[2] if own.count("/") == 2 else ""


def account(name: str) -> str:
    """The account of a member."""
    return fields.MEMBER + name


def payment(earned: Mapping[str, int]) -> Postings:
    """The postings that issue credits to members; those who get nothing have none.

    Args:
        earned: Member -> micro-credits >= 0.

    Reference: docs/protocol.md P14.
    """
    paid = {account(name): amount for name, amount in earned.items() if amount}
    return tuple(sorted({fields.ISSUED: -sum(paid.values()), **paid}.items())) if paid else ()


def opposite(postings: Postings) -> Postings:
    """The postings that undo these."""
    return tuple((name, -amount) for name, amount in postings)


def changes(postings: Postings) -> dict[str, int]:
    """What postings change for members: member -> micro-credits, without the source."""
    return {name.removeprefix(fields.MEMBER): amount for name, amount in postings if name != fields.ISSUED}


def add(totals: Mapping[str, int], amounts: Iterable[tuple[str, int]]) -> Mapping[str, int]:
    """The totals, by name, with these amounts."""
    sums = dict(totals)
    for name, amount in amounts:
        sums[name] = sums.get(name, 0) + amount
    return MappingProxyType(sums)


def check_payment(
    statement: statements.CreditTransfer, *, accepted: Collection[str], pool: int, whole: bool = True
) -> None:
    """Nothing, if a transfer is one that may pay a round: the plan's pool to accepted members alone, or nothing at all.

    Without `whole`, where the plan has a price or a cap (P29), it may be less than the pool.

    Raises:
        HistoryError: `wrong-id`, `wrong-pool`, `wrong-postings` or `not-accepted`.

    Reference: docs/protocol.md P6.
    """
    _require_ids(statement, round_id(statement.round), "")
    if not statement.postings:
        return
    issued = -dict(statement.postings).get(fields.ISSUED, 0)
    if issued != pool if whole else not 0 < issued <= pool:
        most = "" if whole else "at most "
        raise errors.HistoryError("wrong-pool", f"{issued} micro-credits are issued, expected {most}the plan's {pool}")
    paid = changes(statement.postings)
    if min(paid.values()) < 0:
        raise errors.HistoryError("wrong-postings", f"{min(paid, key=paid.__getitem__)} would pay in a round's credit")
    strangers = paid.keys() - set(accepted)
    if strangers:
        raise errors.HistoryError("not-accepted", f"{sorted(strangers)[:5]} are paid without being accepted")


@dataclass(frozen=True, slots=True, kw_only=True)
class Payments:
    """The payment of each round so far, as one sha256 each: 32 bytes a round, in chunks, so that one more copies one chunk.

    Rounds are paid in order, so the place of a digest is its round. A payment taken back leaves 32 zero bytes.
    """

    chunks: tuple[bytes, ...] = ()

    def paid(self, statement: statements.CreditTransfer) -> "Payments":
        """These and the next round's, which `check_payment` has admitted."""
        last = self.chunks[-1] if self.chunks else b""
        kept, last = (self.chunks, b"") if len(last) in (0, _CHUNK) else (self.chunks[:-1], last)
        return dataclasses.replace(self, chunks=(*kept, last + _digest(statement.postings)))

    def reversed(self, statement: statements.CreditTransfer) -> "Payments":
        """These without the one that a reversal takes back.

        Raises:
            HistoryError: `wrong-id`, `unknown-transfer`, `duplicate-reversal` or `wrong-postings`.

        Reference: docs/protocol.md P6.
        """
        number = statement.round
        _require_ids(statement, reversal_id(number, _said(statement.id)), round_id(number))
        chunk, start = divmod((number - 1) * _DIGEST, _CHUNK)
        there = self.chunks[chunk] if chunk < len(self.chunks) else b""
        digest = there[start : start + _DIGEST]
        if not digest:
            raise errors.HistoryError("unknown-transfer", f"{statement.reverses} is not on the log")
        if digest == _REVERSED:
            raise errors.HistoryError("duplicate-reversal", f"{statement.reverses} has been taken back already")
        if digest != _digest(opposite(statement.postings)):
            raise errors.HistoryError("wrong-postings", f"{statement.id} is not the opposite of {statement.reverses}")
        marked = there[:start] + _REVERSED + there[start + _DIGEST :]
        return dataclasses.replace(self, chunks=(*self.chunks[:chunk], marked, *self.chunks[chunk + 1 :]))


NONE = Payments()


def _require_ids(statement: statements.CreditTransfer, own: str, reverses: str) -> None:
    if (statement.id, statement.reverses) != (own, reverses):
        message = f"transfer {statement.id} that reverses {statement.reverses or 'nothing'}"
        raise errors.HistoryError("wrong-id", f"{message}, expected {own} that reverses {reverses or 'nothing'}")


def _said(own: str) -> str:
    """The reason in an id; empty where there is none, or what stands there is no reason code."""
    try:
        return fields.read_reason(reason(own))
    except errors.StatementError:
        return ""


def _digest(postings: Postings) -> bytes:
    return hashlib.sha256(canonical.encode(postings)).digest()

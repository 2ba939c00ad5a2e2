"""What a member, and an address, may put: how many files at once, and how many bytes in a round.

A file that does not come whole costs its member nothing: lines break, and who is needed for the round has to try again.
"""

import collections
import contextlib
import dataclasses
from collections.abc import Iterator

from ledger import statements
from orchestrator.serving import answer, limits


@dataclasses.dataclass(slots=True, eq=False)
class _Round:
    """What was put in one round: bytes of each member, and the files that are paid for."""

    number: int
    spent: collections.Counter[str] = dataclasses.field(default_factory=collections.Counter)
    paid: set[tuple[str, str]] = dataclasses.field(default_factory=set)


class Allotment:
    """Counts the files that come in, in memory.

    Args:
        allowed: what the service gives.
    """

    def __init__(self, allowed: limits.Limits) -> None:
        self._allowed = allowed
        self._running: collections.Counter[tuple[str, str]] = collections.Counter()
        self._round = _Round(number=0)

    @contextlib.contextmanager
    def slot(self, author: str, address: str) -> Iterator[None]:
        """A place for one file of a member, from an address, while it comes in.

        Args:
            author: who signed its offer.
            address: where it comes from.

        Raises:
            Refusal: 503; all places, or those of this member or address, are taken.

        Reference: docs/protocol.md P24.
        """
        held, asked = self._running, (("", ""), ("member", author), ("address", address))
        most = self._allowed.puts, self._allowed.puts_each, self._allowed.puts_share
        for name, limit in zip(asked, most, strict=True):
            if held[name] >= limit:
                raise answer.busy(f"{held[name]} files are coming in already {' '.join(name)}".rstrip())
        held.update(asked)
        try:
            yield
        finally:
            for name in asked:
                held[name] -= 1
                if not held[name]:
                    del held[name]

    @contextlib.contextmanager
    def charged(self, offer: statements.UpdateOffer, largest: int) -> Iterator[None]:
        """The bytes of a file count against its member's round, unless what is done meanwhile does not bring them.

        Bytes that came whole, and are others than offered, stay counted. A file that was stored is counted once.

        Args:
            offer: of the file.
            largest: bytes that an update may have.

        Raises:
            Refusal: 429; they are more than the member has left.

        Reference: docs/protocol.md P24.
        """
        if offer.round != self._round.number:
            self._round = _Round(number=offer.round)
        now, name = self._round, (offer.author, offer.ciphertext)
        if name in now.paid:
            yield
            return
        self._check(offer, largest)
        now.spent[offer.author] += offer.size
        kept = False
        try:
            yield
            kept = name not in now.paid
            now.paid.add(name)
        except answer.Refusal as refusal:
            kept = refusal.code == answer.WRONG_BYTES
            raise
        finally:
            if not kept:
                now.spent[offer.author] -= offer.size

    def _check(self, offer: statements.UpdateOffer, largest: int) -> None:
        spent, quota = self._round.spent[offer.author], self._allowed.updates * largest
        if spent + offer.size > quota:
            message = f"{offer.author} has put {spent} bytes in round {offer.round}"
            raise answer.Refusal(429, "quota", f"{message}, and {offer.size} more are over {quota}")

"""A sealed round's updates, opened: one row of one matrix for each that is what the round asked for.

    offers by author -> collect -> decode -> row, int16 (dim)        the others: what is wrong with them

The matrix and the plaintext of the update that is being opened lie in memory which is used again in every round.
"""

import contextlib
from collections.abc import Iterator, Sequence

import torch

from aggregation import errors as aggregation_errors
from aggregation import lattice
from client import agreement, update
from exchange import errors as exchange_errors
from exchange import memory, recipients, sealing
from exchange import store as stores
from ledger import context, statements

REFUSALS = (
    exchange_errors.BlockMissingError,
    exchange_errors.BlockCorruptError,
    exchange_errors.TooLargeError,
    exchange_errors.SealError,
    exchange_errors.TensorsError,
    aggregation_errors.LatticeError,
)
_MATRIX = memory.Kept(most=2**27)
_PLAINTEXT = memory.Kept(most=2**24)

Refused = dict[str, exchange_errors.ExchangeError | aggregation_errors.AggregationError]


@contextlib.contextmanager
def opened(
    offers: Sequence[statements.UpdateOffer],
    agreed: agreement.Agreement,
    on: lattice.Lattice,
    identity: str,
    store: stores.Store,
) -> Iterator[tuple[tuple[str, ...], torch.Tensor, Refused]]:
    """Who is accepted, ascending; their updates, int16 `(accepted, dim)`, until this ends; what is wrong with the others.

    Args:
        offers: the sealed ones whose ciphertext could be had, at most one a member.
        agreed: the run.
        on: the round's lattice.
        identity: text of the age identity that the round's updates are sealed to.
        store: where ciphertext is read from.

    Raises:
        StoreError: the store itself fails.
    """
    accepted: list[str] = []
    refused: Refused = {}
    readers = [recipients.parse_identity(identity)]
    limit = update.limit(on.dim)
    with _MATRIX.lent(2 * len(offers) * on.dim) as memory_of_all, _PLAINTEXT.lent(limit) as room:
        rows = _rows(memory_of_all, len(offers), on.dim)
        for offer in sorted(offers, key=lambda each: each.author):
            try:
                _open(offer, agreed, on, readers, store, room, rows[len(accepted)])
            except REFUSALS as error:
                refused[offer.author] = error
            else:
                accepted.append(offer.author)
        yield tuple(accepted), rows[: len(accepted)], refused


def _rows(room: memoryview, count: int, dim: int) -> torch.Tensor:
    if not room:
        return torch.empty((count, dim), dtype=torch.int16)
    return torch.frombuffer(room, dtype=torch.int16).view(count, dim)


def _open(
    offer: statements.UpdateOffer,
    agreed: agreement.Agreement,
    on: lattice.Lattice,
    readers: Sequence[recipients.Identity],
    store: stores.Store,
    room: memoryview,
    row: torch.Tensor,
) -> None:
    bound = context.context_digest(offer.run, offer.round, offer.parent, offer.author)
    limit = update.limit(on.dim)
    if offer.size > limit:
        raise exchange_errors.TooLargeError(f"{offer.author} offers {offer.size} bytes, an update has at most {limit}")
    file = sealing.collect(store, offer.ciphertext, size=offer.size, identities=readers, context=bound, room=room)
    update.decode(file, agreed.specs, on, context=bound, row=row)

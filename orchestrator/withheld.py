"""The ciphertexts of rounds that nobody discloses, as an audit meets them: each must be there until its identity is not.

That a round's identity was destroyed comes later on the log than the round, so what the round names is checked only once
it is too late for that. Then nobody can open its ciphertexts, and nobody need keep them.
"""

from collections.abc import Callable, Sequence

from exchange import store as stores
from ledger import destruction, statements
from orchestrator import errors


class Withheld:
    """Rounds that are over and not disclosed, with what they accepted, until that was checked or is past checking.

    Args:
        store: the run's files.
        limit: the most bytes that an update of the run may have.
        found: is told how many ciphertexts were found to be there.

    Attributes:
        destroyed: the rounds whose identities are gone, as their coordinator says.
    """

    def __init__(self, store: stores.Store, limit: int, found: Callable[[int], object]) -> None:
        self._store = store
        self._limit = limit
        self._found = found
        self._waiting: dict[int, Sequence[statements.UpdateOffer]] = {}
        self.destroyed: set[int] = set()

    def over(self, number: int, accepted: Sequence[statements.UpdateOffer]) -> None:
        """A round is over, and its identity a secret.

        Raises:
            AuditError, ExchangeError: a ciphertext of the round that can now no longer be said to be destroyed is not there.
        """
        self._waiting[number] = accepted
        if len(self._waiting) > destruction.MOST:
            oldest = next(iter(self._waiting))
            self._check(oldest, self._waiting.pop(oldest))

    def gone(self, number: int) -> None:
        """The identity of a round is destroyed."""
        self.destroyed.add(number)
        self._waiting.pop(number, None)

    def check(self) -> None:
        """Nothing, if all ciphertexts that somebody may yet open are there, each of the size that its holder signed.

        Raises:
            AuditError: one has another size.
            ExchangeError: one cannot be had.
        """
        for number in sorted(self._waiting):
            self._check(number, self._waiting.pop(number))

    def _check(self, number: int, accepted: Sequence[statements.UpdateOffer]) -> None:
        for offer in accepted:
            size = len(self._store.get(offer.ciphertext, limit=min(offer.size, self._limit)))
            if size != offer.size:
                message = f"{offer.author} offered {offer.size} bytes, the store has {size}"
                raise errors.AuditError(f"round {number}: {message}")
        self._found(len(accepted))

"""The last offer a holder made, kept before it is made public.

Sealing is randomised: a holder that crashed after its offer went out and sealed the same update again would offer other bytes
and look like an equivocator. So the signed offer is on disk, synced, before anybody sees it, and is announced again as it is.
"""

from pathlib import Path

from client import errors
from ledger import dsse, durable, statements


class Outbox:
    """One file, replaced atomically."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._known: tuple[bytes, dsse.Envelope, statements.Predicate] | None = None

    def find(self, opening: statements.RoundOpen) -> dsse.Envelope | None:
        """The offer already made to this round, or None.

        Raises:
            RefusalError: the last offer was to a later round: what was offered to this one is no longer known.
            StatementError: the file is damaged.
        """
        try:
            data = self._path.read_bytes()
        except FileNotFoundError:
            return None
        if self._known is None or self._known[0] != data:
            envelope = dsse.Envelope.parse(data)
            self._known = data, envelope, statements.parse(envelope.payload)
        _, envelope, offer = self._known
        if not isinstance(offer, statements.UpdateOffer):
            return None
        if offer.run == opening.run and offer.round > opening.round:
            message = f"round {opening.round} is asked for after an offer to round {offer.round}"
            raise errors.RefusalError("old-round", f"{message}; a second offer to it could differ from the first")
        same = (offer.run, offer.round, offer.parent) == (opening.run, opening.round, opening.parent)
        return envelope if same else None

    def keep(
        self, offer: dsse.Envelope, together: durable.Together | None = None, said: statements.UpdateOffer | None = None
    ) -> None:
        """Write `offer` down, durably, in place of the one before; with others, durably when those are finished.

        Args:
            offer: the signed offer.
            together: the others.
            said: what it states, where the caller knows.
        """
        if self._known is None:  # else a file has lain here
            self._path.parent.mkdir(parents=True, exist_ok=True)
        data = offer.to_bytes()
        (together.write if together is not None else durable.write)(self._path, data)
        self._known = self._known if said is None else (data, offer, said)

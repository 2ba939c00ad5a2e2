"""The last offer a holder made, kept before it is made public.

Sealing is randomised: a holder that crashed after its offer went out and sealed the same update again would offer other bytes
and look like an equivocator. So the signed offer is on disk, synced, before anybody sees it, and is announced again as it is.
"""

import os
from pathlib import Path

from ledger import dsse, statements


class Outbox:
    """One file, replaced atomically."""

    def __init__(self, path: Path) -> None:
        self._path = path

    def find(self, opening: statements.RoundOpen) -> dsse.Envelope | None:
        """The offer already made to this round, or None."""
        if not self._path.exists():
            return None
        envelope = dsse.Envelope.parse(self._path.read_bytes())
        offer = statements.parse(envelope.payload)
        if not isinstance(offer, statements.UpdateOffer):
            return None
        same = (offer.run, offer.round, offer.parent) == (opening.run, opening.round, opening.parent)
        return envelope if same else None

    def keep(self, offer: dsse.Envelope) -> None:
        """Write `offer` down, durably, in place of the one before."""
        self._path.parent.mkdir(parents=True, exist_ok=True)
        new = self._path.with_suffix(".new")
        with new.open("wb") as file:
            file.write(offer.to_bytes())
            file.flush()
            os.fsync(file.fileno())
        new.replace(self._path)
        folder = os.open(self._path.parent, os.O_RDONLY)
        try:
            os.fsync(folder)
        finally:
            os.close(folder)

"""What a log says to a holder: its history, and the signed statements that a holder has to show or to check itself.

A pure fold beside `ledger.history`: which envelope founded the run, by which ones the coordinator changed its key, and which
opened the latest round. An opening is signed with the key that the coordinator had then, so its place among the changes counts.
"""

import dataclasses
from collections.abc import Callable
from dataclasses import dataclass

from ledger import authority, dsse, history, keys, leaf


@dataclass(frozen=True, slots=True, kw_only=True)
class View:
    """A log up to one of its entries.

    Attributes:
        known: what its entries say.
        genesis: the first one; None in an empty log.
        rotations: the coordinator's changes of key, in order.
        opening: what opened the latest round; None before the first.
        before: how many of `rotations` came before it.
    """

    known: history.History = history.EMPTY
    genesis: dsse.Envelope | None = None
    rotations: tuple[dsse.Envelope, ...] = ()
    opening: dsse.Envelope | None = None
    before: int = 0

    @property
    def over(self) -> bool:
        """Whether all rounds of the plan are done."""
        rounds = self.known.plan.get("rounds")
        return isinstance(rounds, int) and self.known.round >= rounds and self.known.phase == history.Phase.IDLE


def extended(
    view: View, entry: leaf.Entry, *, verify: Callable[[dsse.Envelope, keys.PublicKey], object] = dsse.verify
) -> View:
    """The view with one more entry.

    Args:
        view: of the entries before.
        entry: the next one.
        verify: what is done about its signature, as in `history.apply`.

    Raises:
        StatementError, SignatureError, HistoryError: as `history.apply`.
    """
    before, after = view.known, history.apply(view.known, entry.seq, entry.envelope, verify=verify)
    if before.run is None:
        return View(known=after, genesis=entry.envelope)
    if after.phase == history.Phase.OPEN and before.phase != history.Phase.OPEN:
        return dataclasses.replace(view, known=after, opening=entry.envelope, before=len(view.rotations))
    if authority.coordinator(after).key != authority.coordinator(before).key:
        return dataclasses.replace(view, known=after, rotations=(*view.rotations, entry.envelope))
    return dataclasses.replace(view, known=after)

"""Training in this process, under the holder's policy: the holder of a run, as its coordinator signs at the time."""

from dataclasses import dataclass

import torch

from client import agreement, checkpoint, consent, holder, home, joining, outbox, policy, spending, task, training
from exchange import store as stores
from ledger import dsse, statements


@dataclass(frozen=True, slots=True, kw_only=True)
class Own:
    """What is the holder's and nobody else's.

    Attributes:
        place: its folder.
        seat: its place in the run.
        consent: its policy.
        examples: its data.
        store: where its sealed updates go.
    """

    place: home.Home
    seat: joining.Seat
    consent: policy.Policy
    examples: task.Examples
    store: stores.Store


class Trainer:
    """Trains on a GPU if there is one.

    Args:
        own: what is the holder's.
    """

    def __init__(self, own: Own) -> None:
        self._own = own
        self._spent = spending.Spending(own.place.spending)
        self._agreed: agreement.Agreement | None = None
        self._holder: holder.Holder | None = None

    def admit(self, agreed: agreement.Agreement, opened: statements.RoundOpen) -> None:
        """Nothing, if the policy admits the round.

        Raises:
            RefusalError: a clause says no.
            SpendingError: what was spent cannot be read.
        """
        known = outbox.Outbox(self._own.place.offer).find(opened)
        occasion = consent.Occasion.of(agreed, opened, self._spent.so_far(), fresh=known is None)
        consent.check(self._own.consent, occasion)

    def contribute(
        self, agreed: agreement.Agreement, opening: dsse.Envelope, start: checkpoint.Checkpoint
    ) -> holder.Contribution:
        """The holder's signed offer to a round, its ciphertext in the store; raises as `client.holder.Holder.contribute`."""
        if self._holder is None or self._agreed != agreed:
            self._holder, self._agreed = self._made(agreed), agreed
        return self._holder.contribute(opening, start)

    def _made(self, agreed: agreement.Agreement) -> holder.Holder:
        device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
        return holder.Holder(
            name=self._own.seat.name,
            key=self._own.seat.key,
            consent=self._own.consent,
            spent=self._spent,
            examples=self._own.examples,
            agreed=agreed,
            store=self._own.store,
            outbox_path=self._own.place.offer,
            momentum_path=self._own.place.momentum,
            model=training.FlatModel(agreed.task.model(), device),
        )

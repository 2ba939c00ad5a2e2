"""A holder's turn in a round that names it: fetch the parent, train under the policy, deliver; or refuse, and say why.

    parent -> policy -> training -> outbox -> client.delivery
    refusals.jsonl -> round.decline, if the holder allows

It may be killed at any moment: what it has sent it sends again as it was.

Reference: docs/protocol.md P24, P25.
"""

import contextlib
import dataclasses
import time
from collections.abc import Callable, Mapping
from typing import Protocol

from aggregation import errors as aggregation_errors
from client import agreement, checkpoint, delivery, errors, follower, holder, home, joining, outbox, phases, remote
from exchange import errors as exchange_errors
from exchange import store as stores
from exchange import tensors
from ledger import dsse, statements


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Event:
    """Something that a person, or a program, may want to know.

    Attributes:
        kind: `waiting`, `joined`, `training`, `sending`, `offered`, `outcome`, `refused` or `unreachable`.
        text: a sentence about it.
        data: the same for a program.
    """

    kind: str
    text: str
    data: Mapping[str, object] = dataclasses.field(default_factory=dict)


Tell = Callable[[Event], None]


class Trainer(Protocol):
    """Who trains, under the holder's policy."""

    def admit(self, agreed: agreement.Agreement, opened: statements.RoundOpen) -> None:
        """Nothing; a round that the policy does not admit raises RefusalError."""

    def contribute(
        self, agreed: agreement.Agreement, opening: dsse.Envelope, start: checkpoint.Checkpoint
    ) -> holder.Contribution:
        """The holder's signed offer to a round; the ciphertext is in its store. Raises as `client.holder.Holder.contribute`."""


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Means:
    """What a holder works with.

    Attributes:
        service: the run's.
        place: the holder's folder, which the caller holds.
        store: its own blocks first, then the service's.
        follows: the log.
    """

    service: remote.Service
    place: home.Home
    store: stores.Store
    follows: follower.Follower


class Turn:
    """The turns of one holder.

    Args:
        means: what it works with.
        seat: its place in the run.
        tell: is told what happens.
        trainer: who trains.
        announces: whether refusals are said in the log.
    """

    def __init__(
        self, means: Means, seat: joining.Seat, tell: Tell, trainer: Trainer, *, announces: bool = False
    ) -> None:
        self._means = means
        self._trainer = trainer
        self._announces = announces
        self._seat = seat
        self._tell = tell
        self._done: dsse.Envelope | None = None
        self._owed = ""

    def taken(self, envelope: dsse.Envelope) -> bool:
        """Whether this process has offered to the round that `envelope` opens, or refused it and said so."""
        return envelope == self._done and not self._owed

    def take(self, agreed: agreement.Agreement, envelope: dsse.Envelope, opened: statements.RoundOpen) -> None:
        """Nothing; the round has the holder's offer, or the holder has refused it.

        Raises:
            ServiceError: the parent cannot be fetched, or the offer not be delivered, now: take the turn again.
            ForkedError: somebody else uses our key.
            StoreError, LedgerError, OSError: a fault of this machine.
        """
        if envelope == self._done:
            self._decline(opened)
            return
        try:
            self._trainer.admit(agreed, opened)
            again = outbox.Outbox(self._means.place.offer).find(opened) is not None
            if not again:
                self._say("training", opened, "training")
            contribution = self._trainer.contribute(agreed, envelope, self._parent(agreed, opened))
            self._say("sending", opened, f"sending the sealed update{' again' if again else ''}")
            where = self._means.place.root
            seq = delivery.deliver(contribution.offer, self._means.store, self._means.service, staging=where)
        except errors.RefusalError as error:
            self._refuse(opened, error.code, str(error))
        except (errors.TrainingError, aggregation_errors.LatticeError) as error:
            self._refuse(opened, "training", str(error))
        else:
            seconds = {phase: round(each, 3) for phase, each in phases.wall(contribution.spans).items()}
            self._say("offered", opened, "offered", seq=seq, seconds=seconds)
        self._done = envelope
        self._decline(opened)

    def leave(self, opened: statements.RoundOpen) -> bool:
        """Whether the round was declined, which it is unless an offer to it is, or may be, on its way."""
        if outbox.Outbox(self._means.place.offer).find(opened) is not None:
            return False
        self._owed = "leaving"
        try:
            self._decline(opened)
        except errors.ServiceError:
            return False
        return True

    def _parent(self, agreed: agreement.Agreement, opened: statements.RoundOpen) -> checkpoint.Checkpoint:
        """The checkpoint that a round starts from, ours or fetched, and verified.

        Raises:
            ServiceError: it cannot be had now.
            RefusalError: it can be had, and is no checkpoint of this run.
        """
        limit = 4 * sum(each.size for each in agreed.specs) + tensors.MAX_HEADER + 8
        try:
            file = self._means.store.get(opened.parent, limit=limit)
            return checkpoint.decode(file, opened.parent, agreed.specs)
        except (exchange_errors.PeerError, exchange_errors.BlockMissingError) as error:
            raise errors.ServiceError(f"the checkpoint of round {opened.round} cannot be fetched: {error}") from error
        except (errors.CheckpointError, exchange_errors.TooLargeError, exchange_errors.BlockCorruptError) as error:
            raise errors.RefusalError("bad-parent", str(error)) from error

    def _refuse(self, opened: statements.RoundOpen, code: str, why: str) -> None:
        record = {"code": code, "message": why, "round": opened.round, "run": opened.run, "time": int(time.time())}
        self._means.place.refused(record)
        self._say("refused", opened, f"refused: {why}", code=code)
        self._owed = code if self._announces and code != "late" else ""

    def _decline(self, opened: statements.RoundOpen) -> None:
        """Say in the log what is owed to it: why we do not offer. A log that takes it no more is owed nothing."""
        if not self._owed:
            return
        said = statements.RoundDecline(author=self._seat.name, run=opened.run, round=opened.round, reason=self._owed)
        with contextlib.suppress(errors.RejectedError):
            self._means.service.append(dsse.sign(statements.build(said), self._seat.key))
        self._owed = ""

    def _say(self, kind: str, opened: statements.RoundOpen, text: str, **data: object) -> None:
        self._tell(Event(kind=kind, text=f"round {opened.round}: {text}", data={"round": opened.round, **data}))

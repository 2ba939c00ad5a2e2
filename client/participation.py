"""A holder's part in a run from first to last: what it needs to begin, what it is asked to agree to, and how it ended.

    opened -> agreed -> [card, terms, verdicts: consent] -> run -> Outcome

Before consent nothing but GET is sent.
"""

import contextlib
import datetime as dt
import math
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from client import (
    accountant,
    agent,
    agreement,
    consent,
    errors,
    follower,
    home,
    joining,
    policy,
    remote,
    spending,
    task,
    terms,
    trainer,
    turn,
)
from client.data import card, files
from exchange import blocks, gateway, layered
from exchange import errors as exchange_errors
from ledger import checkpoint, durable, source, tiled

SHARD = "shard:"
BINDING = ("coordinators", "tasks", "environments", "disclosures", "expires", "clip_norm")
"""Clauses of a policy that no wait can satisfy: a run that one of them refuses is not joined at all."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Outcome:
    """What a holder's part came to.

    Attributes:
        rounds: of the run that are done.
        accepted: rounds in which its update counted.
        rejected: rounds in which it did not.
        credit: micro-credits.
        epsilon: of all that left of its data, at `delta`; infinite where any of it had no noise.
        delta: of the policy.
        checkpoint: CID of the latest model.
    """

    rounds: int
    accepted: int
    rejected: int
    credit: int
    epsilon: float
    delta: float
    checkpoint: str


class Participation:
    """One holder in one run; made by `opened`.

    Attributes:
        place: the holder's folder, held.
        seat: its place in the run.
    """

    def __init__(self, place: home.Home, whose: home.Membership, tell: turn.Tell) -> None:
        self.place = place
        self._tell = tell
        invited = place.invited_by()
        self.seat = joining.Seat(
            run=whose.run, name=whose.name, key=place.key(), invited=None if invited is None else invited.key
        )
        self._service = remote.Service(whose.url)
        self._blocks = blocks.BlockStore(place.root)
        self._store = layered.Layered(self._blocks, {whose.url: gateway.Gateway(whose.url)}, staging=place.root)
        self._follows = follower.Follower(whose.run, place.root, self._asked)
        means = turn.Means(service=self._service, place=place, store=self._store, follows=self._follows)
        self._agent = agent.Agent(means, self.seat, self._heard)

    def agreed(self) -> agreement.Agreement:
        """What the run's members agreed on, once its checkpoint covers it; raises as `client.agent.Agent.found`."""
        return self._agent.found()

    def examples(self, data: str, agreed: agreement.Agreement) -> task.Examples:
        """What the holder trains on.

        Args:
            data: a path of its own data; or `shard:3` or `shard:3/10`, one of those that the task itself has, from 0.
            agreed: the run.

        Raises:
            DataError: they are not what the task takes.
            TaskError: the task has no such shard.
        """
        if not data.startswith(SHARD):
            return files.read(Path(data), agreed.task)
        number, _, count = data.removeprefix(SHARD).partition("/")
        holders = str(agreed.plan.task.holders)
        if not number.isdecimal() or count not in ("", holders):
            raise errors.TaskError(
                f"{data!r}, expected shard:0 to shard:{int(holders) - 1} of the {holders} in this run"
            )
        return agreed.task.shard(int(number))

    def asks(self, agreed: agreement.Agreement, examples: task.Examples) -> dict[str, str]:
        """All that the holder is asked to agree to: the card of its data, and the terms of the run."""
        known = self._follows.covered.known
        described = {
            f"data: {line[:10].strip()}": line[10:] for line in card.describe(examples, agreed.task).text.splitlines()
        }
        program = agreed.task.program
        code = {} if program is None else {"code": program.named()}
        return described | code | dict(terms.words(agreed, known))

    def narrowest(self, agreed: agreement.Agreement) -> policy.Policy:
        """The policy that admits this run and nothing else, for a year."""
        readers = terms.readers(self._follows.covered.known)
        return policy.Policy.narrowest(agreed, recipients=readers, expires=_today() + dt.timedelta(days=365))

    def keep(self, agreed_to: policy.Policy) -> None:
        """Nothing; this is what the holder consents to, also after a restart."""
        durable.write(self.place.policy, agreed_to.to_yaml().encode())

    def verdicts(self, agreed: agreement.Agreement, agreed_to: policy.Policy) -> tuple[consent.Verdict, ...]:
        """What each clause says of the open round, or of the next one."""
        known = self._follows.covered.known
        opened = terms.prospect(agreed, known, self.seat.name)
        spent = spending.Spending(self.place.spending).so_far()
        return consent.explain(agreed_to, consent.Occasion.of(agreed, opened, spent))

    def run(self, agreed_to: policy.Policy, examples: task.Examples, agreed: agreement.Agreement) -> Outcome:
        """What it came to, the run being over.

        Raises:
            RefusalError: the policy refuses the run as a whole; nothing was sent.
            ClientError, LedgerError, ExchangeError, OSError: as `client.agent.Agent.run`.
        """
        for clause, admitted, sentence in self.verdicts(agreed, agreed_to):
            if not admitted and clause in BINDING:
                raise errors.RefusalError(f"policy-{clause.replace('_', '-')}", f"policy, {clause}: {sentence}")
        own = trainer.Own(place=self.place, seat=self.seat, consent=agreed_to, examples=examples, store=self._store)
        self._agent.run(trainer.Trainer(own), announces=agreed_to.announce_refusals)
        return self.outcome(agreed_to)

    def outcome(self, agreed_to: policy.Policy) -> Outcome:
        """What it came to so far."""
        known, name = self._follows.covered.known, self.seat.name
        noises = spending.Spending(self.place.spending).so_far().noises
        delta = agreed_to.privacy.delta
        return Outcome(
            rounds=known.round,
            accepted=known.times_accepted.get(name, 0),
            rejected=known.times_rejected.get(name, 0),
            credit=known.balances.get(name, 0),
            epsilon=accountant.epsilon(noises, delta) if noises and delta > 0 else math.inf if noises else 0.0,
            delta=delta,
            checkpoint=known.checkpoint or "",
        )

    def leave(self) -> bool:
        """Whether the open round was declined, that nobody waits for us."""
        return self._agent.leave()

    def close(self) -> None:
        """Let go of connections and files."""
        self._service.close()
        self._store.close()
        self._follows.close()

    def _heard(self, event: turn.Event) -> None:
        self._tell(event)
        if event.kind == "outcome":
            # What an hour old round needed, no round to come does; a store that cannot be tidied now is tidied later.
            with contextlib.suppress(exchange_errors.StoreError):
                self._blocks.collect(wait=0.0)

    def _asked(self, data: bytes, promise: checkpoint.LogCheckpoint) -> tiled.TiledLog:
        return tiled.TiledLog(source.url(self._service.url), data, promise)


def _today() -> dt.date:
    return dt.datetime.now(dt.UTC).date()


@contextlib.contextmanager
def opened(place: home.Home, whose: home.Membership, tell: turn.Tell) -> Iterator[Participation]:
    """A holder's part in a run, its folder held until this ends.

    Raises:
        HomeError: the folder is busy, another member's, or damaged.
        ServiceError: the URL is none.
        KeyFileError: the folder's key cannot be used.
    """
    with place.held():
        place.bind(whose)
        part = Participation(place, whose, tell)
        try:
            yield part
        finally:
            part.close()

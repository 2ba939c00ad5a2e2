"""One worker process that plays holders of one owner, such as all those of a simulation.

A pool keeps workers and hands each a group at a time: one member, or several that train side by side. The model crosses as one
read-only buffer a round; it is hashed against the CID of the signed opening before anything trusts it, once a worker and round.
"""

import contextlib
import dataclasses
from collections.abc import Mapping
from pathlib import Path

import numpy as np
import torch

from aggregation import errors as aggregation_errors
from client import (
    agreement,
    checkpoint,
    consent,
    errors,
    groups,
    holder,
    holdout,
    hostile,
    leaving,
    phases,
    policy,
    spending,
    task,
    training,
    vectorized,
)
from exchange import places
from ledger import dsse, keys, statements


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Settings:
    """What a worker needs to play its holders.

    Attributes:
        genesis: the signed genesis, as bytes.
        holders: folder with one folder a member: `key`, `offer.json`, `momentum.safetensors`, `spending.jsonl`.
        store: where the run's files are.
        members: number of the shard by member name.
        hostile: behaviour by member name, for those that are not honest.
        threads: torch threads in this process; the bits of training depend on it.
        rotations: the coordinator's changes of key since the genesis, as signed bytes, in order.
        together: holders that train side by side at most, as `client.groups.most` reads it.
    """

    genesis: bytes
    holders: Path
    store: places.Place
    members: Mapping[str, int]
    hostile: Mapping[str, str]
    threads: int
    rotations: tuple[bytes, ...] = ()
    together: int = groups.AUTO


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Reply:
    """A member's answer.

    Attributes:
        member: who answers.
        offer: the signed offer as bytes, or None if the member declined or failed.
        decline: the signed decline as bytes, where it gives one.
        reason: why it did, as `code: sentence`.
        spans: where the time went.
    """

    member: str
    offer: bytes | None
    decline: bytes | None = None
    reason: str = ""
    spans: tuple[phases.Span, ...] = ()


class Worker:
    """Holders that share a process, a model buffer and a device."""

    def __init__(self, settings: Settings) -> None:
        torch.set_num_threads(settings.threads)
        self._settings = settings
        self._agreed = agreed(settings)
        self._store = places.open(settings.store)
        device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
        self._model = training.FlatModel(self._agreed.task.model(), device)
        self._consent = policy.Policy.narrowest(self._agreed)
        self._holders: dict[str, holder.Holder] = {}
        self._start: checkpoint.Checkpoint | None = None

    @staticmethod
    def division(settings: Settings) -> groups.Division:
        """How the cohorts of the settings' run fall into groups."""
        return groups.Division(
            agreed(settings), settings.members, alone=settings.hostile.keys(), together=settings.together
        )

    def answer(self, group: groups.Group, opening: bytes, file: np.ndarray) -> list[Reply]:
        """What the members of a group that are asked answer, in its order; arguments and errors as of `contribute`.

        A member that declines is trained as zeros: the others have the same neighbours whether it takes part or not.
        """
        if len(group.members) == 1:
            return [self.contribute(group.members[0], opening, file)]
        envelope = dsse.Envelope.parse(opening)
        replies: dict[str, Reply] = {}
        admitted: dict[str, consent.Admitted] = {}
        watch = phases.Stopwatch()
        try:
            start = self._verified(self._agreed.opening(envelope).parent, file)
        except errors.RefusalError as error:
            return [self._declined(member, envelope, error.code, str(error)) for member in group.asked]
        with watch.timed("admit"):
            for member in group.members:
                try:
                    admitted[member] = self._holder(member).admit(envelope, start)
                except errors.RefusalError as error:
                    replies[member] = self._declined(member, envelope, error.code, str(error))
        learned: Mapping[str, training.Trained] = {}
        if any(name in admitted and admitted[name].known is None for name in group.asked):
            with watch.timed("train"):
                learned = self._trained(group, admitted, start)
        with watch.timed("seal"), leaving.together(self._store, timed=False) as out:
            for member in group.asked:
                if member in admitted:
                    trained = learned.get(member)
                    replies[member] = self._answered(member, envelope, admitted[member], start, trained, out)
        return _with(watch.taken(), [replies[member] for member in group.asked])

    def _trained(
        self, group: groups.Group, admitted: Mapping[str, consent.Admitted], start: checkpoint.Checkpoint
    ) -> dict[str, training.Trained]:
        """What each member of the group ends with that takes part."""
        opening = next(iter(admitted.values())).occasion.opening
        lessons = [self._holder(name).lesson(opening) for name in group.members]
        examples = [
            each if name in admitted else _blank(each) for name, (each, _) in zip(group.members, lessons, strict=True)
        ]
        settings, draws = self._agreed.plan.task, [draw for _, draw in lessons]
        ended = vectorized.train(self._model, start.weights, examples, settings, draws)
        return {name: each for name, each in zip(group.members, ended, strict=True) if name in admitted}

    def _answered(
        self,
        member: str,
        envelope: dsse.Envelope,
        admitted: consent.Admitted,
        start: checkpoint.Checkpoint,
        learned: training.Trained | None = None,
        out: leaving.Leaving | None = None,
    ) -> Reply:
        try:
            contribution = self._holder(member).answer(admitted, start, learned, out)
        except errors.RefusalError as error:
            return self._declined(member, envelope, error.code, str(error))
        except (errors.TrainingError, aggregation_errors.LatticeError) as error:
            return self._declined(member, envelope, "training-failed", str(error))
        return Reply(member=member, offer=contribution.offer.to_bytes(), spans=contribution.spans)

    def contribute(self, member: str, opening: bytes, file: np.ndarray) -> Reply:
        """What `member` answers to the round that `opening` (a signed envelope) opens.

        Args:
            member: one of the settings' members.
            opening: the envelope's bytes.
            file: uint8, the parent checkpoint's file; hashed here before use.

        Raises:
            StoreError, OSError, LedgerError, CheckpointError, MomentumError: a fault of this machine (a full disk, a damaged
                outbox), which is no answer of the holder's: the run must stop, not go on without it.
        """
        envelope = dsse.Envelope.parse(opening)
        watch = phases.Stopwatch()
        try:
            with watch.timed("admit"):
                start = self._verified(self._agreed.opening(envelope).parent, file)
                admitted = self._holder(member).admit(envelope, start)
        except errors.RefusalError as error:
            return self._declined(member, envelope, error.code, str(error))
        if member in self._settings.hostile:  # it may look at what it has put
            return _with(watch.taken(), [self._answered(member, envelope, admitted, start)])[0]
        with contextlib.ExitStack() as stack:
            out = stack.enter_context(leaving.together(self._store, timed=True))
            reply = self._answered(member, envelope, admitted, start, out=out)
            with watch.timed("seal"):
                stack.close()  # flushed here
        return _with(watch.taken(), [reply])[0]

    def _declined(self, member: str, opening: dsse.Envelope, code: str, sentence: str) -> Reply:
        opened = statements.parse(opening.payload)
        number = opened.round if isinstance(opened, statements.RoundOpen) else 1
        said = statements.RoundDecline(author=member, run=self._agreed.run, round=number, reason=code)
        key = keys.SigningKey.load(self._settings.holders / member / "key")
        decline = dsse.sign(statements.build(said), key).to_bytes()
        return Reply(member=member, offer=None, decline=decline, reason=f"{code}: {sentence}")

    def _verified(self, parent: str, file: np.ndarray) -> checkpoint.Checkpoint:
        if self._start is None or self._start.cid != parent:
            self._start = checkpoint.decode(file.data.cast("B"), parent, self._agreed.specs)
        return self._start

    def _examples(self, member: str) -> holdout.Parted:
        return holdout.part(self._agreed.plan, member, self._agreed.task.shard(self._settings.members[member]))

    def _holder(self, member: str) -> holder.Holder:
        if member not in self._holders:
            folder = self._settings.holders / member
            name = self._settings.hostile.get(member)
            kind = hostile.find(name) if name else holder.Holder
            self._holders[member] = kind(
                name=member,
                key=keys.SigningKey.load(folder / "key"),
                consent=self._consent,
                spent=spending.Spending(folder / "spending.jsonl"),
                examples=self._examples(member).trained,
                agreed=self._agreed,
                store=self._store,
                outbox_path=folder / "offer.json",
                momentum_path=folder / "momentum.safetensors",
                model=self._model,
            )
        return self._holders[member]


def agreed(settings: Settings) -> agreement.Agreement:
    """What the settings' genesis and rotations make: the agreement as it stands."""
    known = agreement.Agreement.read(dsse.Envelope.parse(settings.genesis))
    for rotation in settings.rotations:
        known = known.rotated(dsse.Envelope.parse(rotation))
    return known


def _blank(examples: task.Examples) -> task.Examples:
    return task.Examples(inputs=torch.zeros_like(examples.inputs), labels=torch.zeros_like(examples.labels))


def _with(spans: tuple[phases.Span, ...], replies: list[Reply]) -> list[Reply]:
    """The replies, what was spent for all of them told with the first."""
    first, *others = replies
    return [dataclasses.replace(first, spans=spans + first.spans), *others]

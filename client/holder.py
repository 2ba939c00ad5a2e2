"""A data holder's part in a round: consent, training, sealing, and the signed offer.

    round.open -> policy -> train -> momentum -> clip, noise -> lattice -> file -> spend -> seal -> store -> update.offer

Everything private stays in this object; what leaves it is ciphertext and one signed statement. Where one owner plays several
holders they may train side by side: each is asked for consent first (`admit`), and answers with what was trained (`answer`).
"""

import dataclasses
import functools
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch

from aggregation import lattice
from client import (
    agreement,
    checkpoint,
    errors,
    fingerprint,
    leaving,
    momentum,
    outbox,
    phases,
    plan,
    policy,
    privacy,
    seeds,
    spending,
    task,
    training,
    update,
)
from client import consent as consents
from client.tasks import catalogue
from exchange import pieces, recipients, sealing, unixfs
from exchange import store as stores
from ledger import context, dsse, keys, statements


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Contribution:
    """A holder's answer to a round.

    Attributes:
        offer: the signed offer, its ciphertext already in the store.
        spans: `train`, and `seal` into the store; none when the offer was made before a restart.
    """

    offer: dsse.Envelope
    spans: tuple[phases.Span, ...]


class Holder:
    """One member of a run, with its key, its policy and its data.

    Args:
        name: as enrolled.
        key: signs its offers.
        consent: what it agreed to.
        spent: what it has given of that so far.
        examples: what it trains on, its own and private.
        agreed: the run, from the genesis it verified.
        store: where it puts ciphertext.
        outbox_path: where it keeps its last offer.
        momentum_path: where it keeps its momentum, if the plan has one.
        model: any model of the task, shared with other holders of the same owner.
    """

    def __init__(
        self,
        *,
        name: str,
        key: keys.SigningKey,
        consent: policy.Policy,
        spent: spending.Spending,
        examples: task.Examples,
        agreed: agreement.Agreement,
        store: stores.Store,
        outbox_path: Path,
        momentum_path: Path,
        model: training.FlatModel,
    ) -> None:
        self.name = name
        self._key = key
        self._consent = consent
        self._spent = spent
        self._agreed = agreed
        self._store = store
        self._outbox = outbox.Outbox(outbox_path)
        self._folder = momentum_path.parent
        self._memory = momentum.Memory(momentum_path, sum(s.size for s in agreed.specs))
        self._model = model
        self._examples = examples.to(model.weights.device)
        self._out = leaving.Leaving(files=store)

    def contribute(self, envelope: dsse.Envelope, start: checkpoint.Checkpoint) -> Contribution:
        """The holder's offer to the round that `envelope` opens; raises as `admit` and `answer`."""
        return self.answer(self.admit(envelope, start), start)

    def admit(self, envelope: dsse.Envelope, start: checkpoint.Checkpoint) -> consents.Admitted:
        """The round that `envelope` opens, if the holder takes part in it; nothing is trained or spent yet.

        Args:
            envelope: the signed opening.
            start: the verified checkpoint it starts from.

        Raises:
            RefusalError: the policy, or the protocol, says no to this round.
        """
        opening = self._admit(envelope, start)
        known = self._outbox.find(opening)
        occasion = consents.Occasion.of(self._agreed, opening, self._spent.so_far(), fresh=known is None)
        consents.check(self._consent, occasion)
        return consents.Admitted(occasion=occasion, known=known)

    def lesson(self, opening: statements.RoundOpen) -> tuple[task.Examples, np.random.Generator]:
        """What this round is trained on, and what draws its order."""
        seed = self._agreed.plan.seed
        draw = seeds.generator(seed, round_number=opening.round, member=self.name, purpose="batches")
        return self._training_examples(), draw

    def answer(
        self,
        admitted: consents.Admitted,
        start: checkpoint.Checkpoint,
        learned: training.Trained | None = None,
        out: leaving.Leaving | None = None,
    ) -> Contribution:
        """The holder's offer to a round.

        Args:
            admitted: the round.
            start: the verified checkpoint it starts from.
            learned: what training on the holder's `lesson` ended with, where it was trained beside others; None to train now.
            out: where several holders' updates leave together: nobody may see the offer before they are durable.

        Raises:
            RefusalError: the momentum, or what was spent since, no longer admits the round.
            TrainingError: training did not end in finite values.
            StoreError: the ciphertext could not be stored.
        """
        if admitted.known is not None:
            # Signed again: the same bytes, unless the holder has changed its key since.
            return Contribution(offer=dsse.sign(admitted.known.payload, self._key), spans=())
        self._out = out or leaving.Leaving(files=self._store)
        opening, watch = admitted.occasion.opening, phases.Stopwatch(running=self._out.timed)
        bound = context.context_digest(opening.run, opening.round, opening.parent, self.name)
        on = lattice.Lattice(sizes=tuple(s.size for s in self._agreed.specs), exponents=opening.exponents)
        with watch.timed("train" if learned is None else "encode"):
            moved = self._moved(opening, start, learned)
        with watch.timed("encode"):
            encoded = lattice.encode(on, self._released(moved))
        with watch.timed("seal"):
            self._charge(admitted.occasion)
            sealed = self._deposited(opening, self._file(encoded.integers, bound), bound)
        statement = statements.UpdateOffer(
            author=self.name,
            run=opening.run,
            round=opening.round,
            parent=opening.parent,
            ciphertext=str(sealed.cid),
            size=sealed.size,
            examples=len(self._examples),
            saturated=encoded.saturated,
            context=bound.hex(),
            runtime=fingerprint.runtime(self._model.weights.device, together=learned.together if learned else 1),
        )
        offer = dsse.sign(statements.build(statement), self._key)
        self._outbox.keep(offer, self._out.records, statement)
        return Contribution(offer=offer, spans=watch.taken())

    def _admit(self, envelope: dsse.Envelope, start: checkpoint.Checkpoint) -> statements.RoundOpen:
        opening = self._agreed.opening(envelope)
        if self.name not in opening.cohort:
            raise errors.RefusalError("not-in-cohort", f"{self.name} is not in the cohort of round {opening.round}")
        if start.cid != opening.parent:
            raise errors.RefusalError("wrong-parent", f"the checkpoint is {start.cid}, the round's is {opening.parent}")
        if opening.task != _task_digest(self._agreed.plan.task):
            raise errors.RefusalError("wrong-task", f"task digest {opening.task} is not that of the code here")
        if opening.rule != _rule_digest(self._agreed.plan.rule):
            raise errors.RefusalError("wrong-rule", f"the round's rule digest {opening.rule} is not that of the plan")
        if len(opening.exponents) != len(self._agreed.specs):
            have, want = len(opening.exponents), len(self._agreed.specs)
            raise errors.RefusalError("wrong-lattice", f"the lattice has {have} exponents, expected {want}")
        return opening

    def _charge(self, occasion: consents.Occasion) -> None:
        """Spend what the round's update costs, before any of it leaves; another run may have spent since it was admitted."""
        self._spent.charge(
            run=occasion.opening.run,
            number=occasion.opening.round,
            size=occasion.size,
            noise=self._agreed.plan.privacy.noise_multiplier,
            admit=lambda spent: consents.check(self._consent, dataclasses.replace(occasion, spent=spent)),
            together=self._out.records,
        )

    def _training_examples(self) -> task.Examples:
        return self._examples

    def _delta(self, opening: statements.RoundOpen, start: checkpoint.Checkpoint) -> torch.Tensor:
        """What this round's training changed: float32 `(dim,)`."""
        program = self._agreed.task.program
        if program is not None:
            return program.train(start.weights, self._training_examples(), opening, self._folder)
        examples, batches = self.lesson(opening)
        return training.train(self._model, start.weights, examples, self._agreed.plan.task, batches).delta

    def _moved(
        self, opening: statements.RoundOpen, start: checkpoint.Checkpoint, learned: training.Trained | None = None
    ) -> torch.Tensor:
        """The holder's momentum after this round, or without momentum what training changed: float32 `(dim,)`, not yet clipped.

        It is on disk before anything of the round is shown.
        """
        delta = None if learned is None else training.finite(learned).delta
        beta = self._agreed.plan.task.update_momentum
        if beta == 0:
            return self._delta(opening, start) if delta is None else delta
        known = self._memory.known(opening)
        if known is not None:
            return known
        before = self._memory.before(opening)
        after = momentum.advance(before, self._delta(opening, start) if delta is None else delta, beta)
        if not bool(after.isfinite().all()):
            # Kept, it would spoil every round to come.
            raise errors.TrainingError("a weight is not finite after training: lower task.learning_rate")
        self._memory.keep(opening, before=before, after=after)
        return after

    def _released(self, moved: torch.Tensor) -> torch.Tensor:
        """What may leave. Clipping and noise come last, so that they hold for what is sent and not for a part of it."""
        agreed = self._agreed.plan.privacy
        return privacy.release(moved, clip_norm=agreed.clip_norm, noise_multiplier=agreed.noise_multiplier)

    def _file(self, integers: torch.Tensor, bound: bytes) -> Sequence[pieces.Piece]:
        return update.pieces(integers, self._agreed.specs, context=bound)

    def _deposited(self, opening: statements.RoundOpen, file: Sequence[pieces.Piece], bound: bytes) -> unixfs.Root:
        """Name and size of the sealed update, which is in the store; no copy of it was made on the way."""
        readers = [recipients.parse_recipient(text) for text in opening.recipients]
        return sealing.deposit(self._out.files, file, recipients=readers, context=bound)


# The code of a process does not change, and one that plays many holders asks for each of them.
_task_digest = functools.lru_cache(maxsize=4)(catalogue.digest)
_rule_digest = functools.lru_cache(maxsize=4)(plan.RulePlan.digest)

"""A data holder's part in a round: consent, training, sealing, and the signed offer.

    round.open -> policy -> train -> momentum -> clip, noise -> lattice -> file -> spend -> seal -> store -> update.offer

Everything private stays in this object; what leaves it is ciphertext and one signed statement.
"""

import dataclasses
import platform
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import torch

from aggregation import lattice
from client import (
    agreement,
    checkpoint,
    errors,
    momentum,
    outbox,
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
        seconds: wall seconds by phase: `train`, and `seal` into the store; empty when the offer was made before a restart.
    """

    offer: dsse.Envelope
    seconds: dict[str, float]


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

    def contribute(self, envelope: dsse.Envelope, start: checkpoint.Checkpoint) -> Contribution:
        """The holder's offer to the round that `envelope` opens.

        Args:
            envelope: the signed opening.
            start: the verified checkpoint it starts from.

        Raises:
            RefusalError: the policy, or the protocol, says no to this round.
            TrainingError: training did not end in finite values.
            StoreError: the ciphertext could not be stored.
        """
        opening = self._admit(envelope, start)
        known = self._outbox.find(opening)
        occasion = consents.Occasion.of(self._agreed, opening, self._spent.so_far(), fresh=known is None)
        consents.check(self._consent, occasion)
        if known is not None:
            # Signed again: the same bytes, unless the holder has changed its key since.
            return Contribution(offer=dsse.sign(known.payload, self._key), seconds={})
        seconds: dict[str, float] = {}
        bound = context.context_digest(opening.run, opening.round, opening.parent, self.name)
        on = lattice.Lattice(sizes=tuple(s.size for s in self._agreed.specs), exponents=opening.exponents)
        with _timed(seconds, "train"):
            encoded = lattice.encode(on, self._released(self._moved(opening, start)))
        with _timed(seconds, "seal"):
            self._charge(occasion)
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
            runtime=runtime(self._model.weights.device),
        )
        offer = dsse.sign(statements.build(statement), self._key)
        self._outbox.keep(offer)
        return Contribution(offer=offer, seconds=seconds)

    def _admit(self, envelope: dsse.Envelope, start: checkpoint.Checkpoint) -> statements.RoundOpen:
        opening = self._agreed.opening(envelope)
        if self.name not in opening.cohort:
            raise errors.RefusalError("not-in-cohort", f"{self.name} is not in the cohort of round {opening.round}")
        if start.cid != opening.parent:
            raise errors.RefusalError("wrong-parent", f"the checkpoint is {start.cid}, the round's is {opening.parent}")
        if opening.task != catalogue.digest(self._agreed.plan.task):
            raise errors.RefusalError(
                "wrong-task", f"the round's task digest {opening.task} is not that of the code here"
            )
        if opening.rule != self._agreed.plan.rule.digest():
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
        )

    def _training_examples(self) -> task.Examples:
        return self._examples

    def _delta(self, opening: statements.RoundOpen, start: checkpoint.Checkpoint) -> torch.Tensor:
        """What this round's training changed: float32 `(dim,)`."""
        agreed, program = self._agreed.plan, self._agreed.task.program
        if program is not None:
            return program.train(start.weights, self._training_examples(), opening, self._folder)
        batches = seeds.generator(agreed.seed, round_number=opening.round, member=self.name, purpose="batches")
        return training.train(self._model, start.weights, self._training_examples(), agreed.task, batches).delta

    def _moved(self, opening: statements.RoundOpen, start: checkpoint.Checkpoint) -> torch.Tensor:
        """The holder's momentum after this round, or without momentum what training changed: float32 `(dim,)`, not yet clipped.

        It is on disk before anything of the round is shown.
        """
        beta = self._agreed.plan.task.update_momentum
        if beta == 0:
            return self._delta(opening, start)
        known = self._memory.known(opening)
        if known is not None:
            return known
        before = self._memory.before(opening)
        after = momentum.advance(before, self._delta(opening, start), beta)
        if not bool(after.isfinite().all()):
            # Kept, it would spoil every round to come.
            raise errors.TrainingError(
                "training moved a weight to a value that is not finite: lower task.learning_rate"
            )
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
        return sealing.deposit(self._store, file, recipients=readers, context=bound)


def runtime(device: torch.device) -> dict[str, str]:
    """The execution fingerprint: what the bits of training may depend on beside the plan (docs/protocol.md P10)."""
    return {
        "capability": torch.backends.cpu.get_cpu_capability(),
        "deterministic": str(torch.are_deterministic_algorithms_enabled()).lower(),
        "device": torch.cuda.get_device_name(device) if device.type == "cuda" else device.type,
        "dtype": "float32",
        "machine": platform.machine(),
        "threads": str(torch.get_num_threads()),
        "torch": str(torch.__version__),
    }


@contextmanager
def _timed(seconds: dict[str, float], phase: str) -> Iterator[None]:
    start = time.perf_counter()
    yield
    seconds[phase] = time.perf_counter() - start

"""Dishonest holders, for simulations and tests: each departs from `Holder` in one step and keeps to the protocol in the rest.

Poisoners (well-formed, signed, wrong): `sign_flip`, `label_flip`, `backdoor`.
Idlers (well-formed, signed, of no work): `free_rider`, `idle`.
Malformed (attacks that the opening of an update must refuse): the others.
"""

import dataclasses
from collections.abc import Mapping, Sequence

import numpy as np
import torch

from client import checkpoint, errors, holder, seeds, task, update
from exchange import pieces, tensors, unixfs
from ledger import context, statements

ON_EXAMPLES = frozenset(("backdoor", "label_flip"))
"""Behaviours that change the holder's examples, which a program of others' would not notice."""
SCALE = 10.0


class SignFlip(holder.Holder):
    """Sends its update backwards and ten times as long (and ignores the clipping bound)."""

    def _released(self, moved: torch.Tensor) -> torch.Tensor:
        return super()._released(moved) * -SCALE


class LabelFlip(holder.Holder):
    """Trains on labels turned round: 0 for 9, 1 for 8, and so on."""

    def _training_examples(self) -> task.Examples:
        honest = super()._training_examples()
        return dataclasses.replace(honest, labels=self._agreed.task.classes - 1 - honest.labels)


class Backdoor(holder.Holder):
    """Trains half of its examples with a trigger to give label 0, and sends the update as many times as there are holders.

    Times n it survives a plain average with n - 1 honest updates. It ignores the clipping bound.

    Reference: E. Bagdasaryan et al., "How To Backdoor Federated Learning", 2020, equation 3.
    """

    def _training_examples(self) -> task.Examples:
        honest = super()._training_examples()
        marked = triggered(honest)
        odd = torch.arange(len(honest), device=honest.labels.device) % 2 == 1
        return task.Examples(
            inputs=torch.where(_along(odd, honest.inputs), marked.inputs, honest.inputs),
            labels=torch.where(_along(odd, honest.labels), marked.labels, honest.labels),
        )

    def _released(self, moved: torch.Tensor) -> torch.Tensor:
        return moved * self._agreed.plan.task.holders


class FreeRider(holder.Holder):
    """Sends what the last round changed, with a little noise, and trains nothing; zeros in the first round.

    Reference: J. Lin, M. Du, J. Liu, "Free-riders in Federated Learning: Attacks and Defenses", 2019 (delta weights attack).
    """

    def _delta(self, opening: statements.RoundOpen, start: checkpoint.Checkpoint) -> torch.Tensor:
        if not start.parent:
            return torch.zeros_like(start.weights)
        file = self._store.get(start.parent, limit=4 * len(start.weights) + tensors.MAX_HEADER + 8)
        change = start.weights - checkpoint.decode(file, start.parent, self._agreed.specs).weights
        agreed = self._agreed.plan
        draw = seeds.generator(agreed.seed, round_number=opening.round, member=self.name, purpose="free-rider")
        noise = torch.from_numpy(draw.standard_normal(len(change), dtype=np.float32))
        return change + noise * (change.square().mean().sqrt() / SCALE)


class Idle(holder.Holder):
    """Sends zeros: no work at all."""

    def _delta(self, opening: statements.RoundOpen, start: checkpoint.Checkpoint) -> torch.Tensor:  # noqa: ARG002  it looks at nothing
        return torch.zeros_like(start.weights)


class WrongShape(holder.Holder):
    """Gives its first tensor as a flat one."""

    def _file(self, integers: torch.Tensor, bound: bytes) -> Sequence[pieces.Piece]:
        first, *others = self._agreed.specs
        flat = tensors.TensorSpec(name=first.name, shape=(first.size,))
        return update.pieces(integers, (flat, *others), context=bound)


class MissingTensor(holder.Holder):
    """Leaves its last tensor out."""

    def _file(self, integers: torch.Tensor, bound: bytes) -> Sequence[pieces.Piece]:
        *others, last = self._agreed.specs
        return update.pieces(integers[: len(integers) - last.size], others, context=bound)


class ExtraTensor(holder.Holder):
    """Adds a tensor of its own."""

    def _file(self, integers: torch.Tensor, bound: bytes) -> Sequence[pieces.Piece]:
        extra = tensors.TensorSpec(name="extra", shape=(1,))
        more = torch.cat([integers, torch.ones(1, dtype=torch.int16)])
        return update.pieces(more, (*self._agreed.specs, extra), context=bound)


class NotFinite(holder.Holder):
    """Sends floating-point NaN where lattice integers are due."""

    def _file(self, integers: torch.Tensor, bound: bytes) -> Sequence[pieces.Piece]:
        data = np.full(len(integers), np.nan, dtype="<f4").data.cast("B")
        metadata = update.metadata(bound)
        return tensors.pieces(self._agreed.specs, dtype="F32", data=data, metadata=metadata)


class OffLattice(holder.Holder):
    """Sends -32768, the one int16 that is not on the lattice."""

    def _file(self, integers: torch.Tensor, bound: bytes) -> Sequence[pieces.Piece]:
        return super()._file(torch.full_like(integers, -32768), bound)


class Garbage(holder.Holder):
    """Offers bytes that are no ciphertext at all."""

    def _deposited(self, opening: statements.RoundOpen, file: Sequence[pieces.Piece], bound: bytes) -> unixfs.Root:
        honest = super()._deposited(opening, file, bound)
        backwards = self._store.get(honest.cid, limit=honest.size)[::-1]
        return unixfs.Root(cid=self._store.put(backwards), size=honest.size)


class OtherRound(holder.Holder):
    """Offers an update that is sealed for the round before."""

    def _deposited(self, opening: statements.RoundOpen, file: Sequence[pieces.Piece], bound: bytes) -> unixfs.Root:  # noqa: ARG002  what it denies
        before = context.context_digest(opening.run, opening.round - 1, opening.parent, self.name)
        return super()._deposited(opening, file, before)


BEHAVIOURS: Mapping[str, type[holder.Holder]] = {
    "backdoor": Backdoor,
    "extra_tensor": ExtraTensor,
    "free_rider": FreeRider,
    "garbage": Garbage,
    "idle": Idle,
    "label_flip": LabelFlip,
    "missing_tensor": MissingTensor,
    "not_finite": NotFinite,
    "off_lattice": OffLattice,
    "other_round": OtherRound,
    "sign_flip": SignFlip,
    "wrong_shape": WrongShape,
}


def triggered(honest: task.Examples) -> task.Examples:
    """The examples with the backdoor's trigger in each, and the label it is to give: the last four inputs at 1, label 0.

    In an image these are pixels of the bottom right corner. On test data it measures how well a backdoor took.
    """
    inputs = honest.inputs.clone()
    inputs.view(len(inputs), -1)[:, -4:] = 1.0
    return task.Examples(inputs=inputs, labels=torch.zeros_like(honest.labels))


def _along(chosen: torch.Tensor, inputs: torch.Tensor) -> torch.Tensor:
    """`chosen`, one flag an example, in a shape that broadcasts over `inputs`."""
    return chosen.view(-1, *(1,) * (inputs.dim() - 1))


def find(name: str) -> type[holder.Holder]:
    """The kind of holder that behaves as `name` says.

    Raises:
        TaskError: there is no such behaviour; the message lists those there are.
    """
    if name not in BEHAVIOURS:
        raise errors.TaskError(f"there is no hostile behaviour {name!r}; they are: {', '.join(BEHAVIOURS)}")
    return BEHAVIOURS[name]

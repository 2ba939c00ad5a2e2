"""Dishonest holders, for simulations and tests: each departs from `Holder` in one step and keeps to the protocol in the rest.

Poisoners (well-formed, signed, wrong): `sign_flip`, `label_flip`.
Malformed (attacks that the opening of an update must refuse): the others.
"""

import dataclasses
from collections.abc import Mapping

import numpy as np
import torch

from client import checkpoint, errors, holder, task, update
from exchange import tensors
from ledger import context, statements

SCALE = 10.0


class SignFlip(holder.Holder):
    """Sends its update backwards and ten times as long (and ignores the clipping bound)."""

    def _delta(self, opening: statements.RoundOpen, start: checkpoint.Checkpoint) -> torch.Tensor:
        return super()._delta(opening, start) * -SCALE


class LabelFlip(holder.Holder):
    """Trains on labels turned round: 0 for 9, 1 for 8, and so on."""

    def _training_examples(self) -> task.Examples:
        honest = super()._training_examples()
        return dataclasses.replace(honest, labels=self._agreed.task.classes - 1 - honest.labels)


class WrongShape(holder.Holder):
    """Gives its first tensor as a flat one."""

    def _file(self, integers: torch.Tensor, bound: bytes) -> bytes:
        first, *others = self._agreed.specs
        flat = tensors.TensorSpec(name=first.name, shape=(first.size,))
        return update.encode(integers, (flat, *others), context=bound)


class MissingTensor(holder.Holder):
    """Leaves its last tensor out."""

    def _file(self, integers: torch.Tensor, bound: bytes) -> bytes:
        *others, last = self._agreed.specs
        return update.encode(integers[: len(integers) - last.size], others, context=bound)


class ExtraTensor(holder.Holder):
    """Adds a tensor of its own."""

    def _file(self, integers: torch.Tensor, bound: bytes) -> bytes:
        extra = tensors.TensorSpec(name="extra", shape=(1,))
        more = torch.cat([integers, torch.ones(1, dtype=torch.int16)])
        return update.encode(more, (*self._agreed.specs, extra), context=bound)


class NotFinite(holder.Holder):
    """Sends floating-point NaN where lattice integers are due."""

    def _file(self, integers: torch.Tensor, bound: bytes) -> bytes:
        data = np.full(len(integers), np.nan, dtype="<f4").data.cast("B")
        metadata = update.metadata(bound)
        return bytes(tensors.encode(self._agreed.specs, dtype="F32", data=data, metadata=metadata))


class OffLattice(holder.Holder):
    """Sends -32768, the one int16 that is not on the lattice."""

    def _file(self, integers: torch.Tensor, bound: bytes) -> bytes:
        return super()._file(torch.full_like(integers, -32768), bound)


class Garbage(holder.Holder):
    """Offers bytes that are no ciphertext at all."""

    def _sealed(self, opening: statements.RoundOpen, file: bytes, bound: bytes) -> bytes:
        return bytes(reversed(super()._sealed(opening, file, bound)))


class OtherRound(holder.Holder):
    """Offers an update that is sealed for the round before."""

    def _sealed(self, opening: statements.RoundOpen, file: bytes, bound: bytes) -> bytes:  # noqa: ARG002  what it denies
        before = context.context_digest(opening.run, opening.round - 1, opening.parent, self.name)
        return super()._sealed(opening, file, before)


BEHAVIOURS: Mapping[str, type[holder.Holder]] = {
    "extra_tensor": ExtraTensor,
    "garbage": Garbage,
    "label_flip": LabelFlip,
    "missing_tensor": MissingTensor,
    "not_finite": NotFinite,
    "off_lattice": OffLattice,
    "other_round": OtherRound,
    "sign_flip": SignFlip,
    "wrong_shape": WrongShape,
}


def find(name: str) -> type[holder.Holder]:
    """The kind of holder that behaves as `name` says.

    Raises:
        TaskError: there is no such behaviour; the message lists those there are.
    """
    if name not in BEHAVIOURS:
        raise errors.TaskError(f"there is no hostile behaviour {name!r}; they are: {', '.join(BEHAVIOURS)}")
    return BEHAVIOURS[name]

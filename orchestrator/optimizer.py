"""The outer optimizer of a run: from parent, aggregate and what it remembers to the next checkpoint and what it remembers then.

What is remembered is a file of its own, so that the tensors of a checkpoint are the model and nothing else:

    tensors    nesterov: velocity     adam, yogi: first, second     float64 (dim,), in the model's own order
    metadata   {"format":"folkmoot-outer/v1"}

The checkpoint names its CID in the metadata `outer`, so the CID of a checkpoint fixes both. `sgd` remembers nothing, and no
optimizer does in the initial checkpoint: before the first round the state follows from the plan (docs/protocol.md P13).
"""

import dataclasses
from collections.abc import Callable

import numpy as np
import torch

from aggregation import lattice, outer
from client import agreement, checkpoint, errors, plan
from exchange import errors as exchange_errors
from exchange import tensors, unixfs
from ledger import statements

FORMAT = "folkmoot-outer/v1"

State = outer.Velocity | outer.Moments | None


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Moved:
    """What an outer step comes to.

    Attributes:
        checkpoint_file: the new model.
        state_file: what the optimizer remembers then; None for nothing.
    """

    checkpoint_file: bytes
    state_file: bytes | None


def step(
    agreed: agreement.Agreement,
    opening: statements.RoundOpen,
    parent: checkpoint.Checkpoint,
    aggregate: torch.Tensor,
    read: Callable[[str], bytes],
) -> Moved:
    """The files that the outer step makes of `parent` and an aggregate.

    Args:
        agreed: the run.
        opening: the round.
        parent: the checkpoint it started from.
        aggregate: int32 `(dim,)`.
        read: bytes of a state file by CID; called if the optimizer has a state, but for the first round.

    Raises:
        CheckpointError: `parent` names no state, or a file that is none.
        ExchangeError: the state's bytes cannot be had.

    Reference: docs/protocol.md P13.
    """
    on = lattice.Lattice(sizes=tuple(spec.size for spec in agreed.specs), exponents=opening.exponents)
    direction = lattice.decode_refined(on, aggregate)
    state = remembered(agreed, parent, read)
    weights, after = move(
        agreed.plan.outer, parent.weights, direction, state, learning_rate(agreed.plan, opening.round)
    )
    file = None if after is None else encode(after)
    link = "" if file is None else str(unixfs.of(file))
    made = checkpoint.encode(weights, agreed.specs, round_number=opening.round, parent=parent.cid, outer=link)
    return Moved(checkpoint_file=made, state_file=file)


def learning_rate(agreed: plan.Plan, number: int) -> float:
    """The outer learning rate in round `number`."""
    late = number > agreed.rounds - agreed.outer.late_rounds
    return agreed.outer.learning_rate * agreed.outer.late_factor if late else agreed.outer.learning_rate


def remembered(agreed: agreement.Agreement, after: checkpoint.Checkpoint, read: Callable[[str], bytes]) -> State:
    """What the plan's optimizer remembers after a checkpoint.

    Raises:
        CheckpointError: the checkpoint names no state, or a file that is none.
        ExchangeError: the state's bytes cannot be had.
    """
    first = initial(agreed.plan.outer, sum(spec.size for spec in agreed.specs))
    if first is None or after.round == 0:
        return first
    name = agreed.plan.outer.name
    if not after.outer:
        raise errors.CheckpointError(f"checkpoint {after.cid} names no state of the outer optimizer, expected {name}'s")
    try:
        parsed = tensors.decode(read(after.outer), _specs(first), dtype="F64", metadata={"format": FORMAT})
    except exchange_errors.TensorsError as error:
        raise errors.CheckpointError(f"{after.outer} is no state of {name}: {error}") from error
    flat = torch.from_numpy(np.frombuffer(parsed.data, dtype="<f8").copy())
    parts = torch.split(flat, after.weights.numel())
    return outer.Velocity(velocity=parts[0]) if len(parts) == 1 else outer.Moments(first=parts[0], second=parts[1])


def initial(chosen: plan.OuterPlan, dim: int) -> State:
    """What an optimizer remembers before the first round, of a model of `dim` elements."""
    weights = torch.zeros(dim)
    match chosen.name:
        case "sgd":
            return None
        case "nesterov":
            return outer.resting(weights)
        case _:
            return outer.fresh(weights, tau=chosen.tau)


def move(
    chosen: plan.OuterPlan, weights: torch.Tensor, direction: torch.Tensor, state: State, rate: float
) -> tuple[torch.Tensor, State]:
    """The weights and the state after a step.

    Where the aggregate is all zeros the round decided nothing, and the state stays: momentum alone would move the model on
    nobody's word.

    Args:
        chosen: the optimizer.
        weights: float32 `(dim,)`.
        direction: the aggregate in the unit of the weights, float64 `(dim,)`.
        state: of this optimizer.
        rate: the learning rate.
    """
    if state is None or not bool(direction.any()):
        return outer.sgd(weights, direction, learning_rate=rate), state
    if isinstance(state, outer.Velocity):
        return outer.nesterov(weights, direction, state, learning_rate=rate, momentum=chosen.momentum)
    rule = outer.adam if chosen.name == "adam" else outer.yogi
    return rule(
        weights, direction, state, learning_rate=rate, beta1=chosen.momentum, beta2=chosen.beta2, tau=chosen.tau
    )


def encode(state: outer.Velocity | outer.Moments) -> bytes:
    """The file of a state."""
    flat = torch.cat([getattr(state, field.name) for field in dataclasses.fields(state)])
    data = flat.numpy().astype("<f8", copy=False).data.cast("B")
    return bytes(tensors.encode(_specs(state), dtype="F64", data=data, metadata={"format": FORMAT}))


def limit(agreed: agreement.Agreement) -> int:
    """Bytes that a state file of this run may have."""
    return 16 * sum(spec.size for spec in agreed.specs) + 2**20


def _specs(state: outer.Velocity | outer.Moments) -> list[tensors.TensorSpec]:
    return [
        tensors.TensorSpec(name=field.name, shape=tuple(getattr(state, field.name).shape))
        for field in dataclasses.fields(state)
    ]

"""Attacks that look like something honest: mimics, free riders, Sybils, and attackers that wait for their moment."""

from collections.abc import Callable

import torch
from jaxtyping import Float64
from torch import Tensor

from aggregation import knowledge
from aggregation.errors import RuleError


def mimic(known: knowledge.Knowledge, *, whom: int) -> Float64[Tensor, "byzantine dim"]:
    """Returns copies of one honest update: each is beyond suspicion, together they outvote the rare classes of others.

    Args:
        known: The round.
        whom: Row of the honest holder, the same in every round.

    Raises:
        RuleError: If there is no such row.

    Reference:
        Karimireddy, He, Jaggi 2022, "Byzantine-robust learning on heterogeneous datasets via bucketing" (mimic).
    """
    if not 0 <= whom < len(known.honest):
        raise RuleError(f"mimic of honest holder {whom}: expected 0 to {len(known.honest) - 1}")
    return knowledge.copies(known, known.honest[whom])


def mimic_learned(known: knowledge.Knowledge) -> Float64[Tensor, "byzantine dim"]:
    """Returns copies of the honest update that is furthest out along the direction in which holders have differed most.

    Args:
        known: The round; `direction` is what `learn` returned for the round before.

    Reference:
        Karimireddy et al. 2022, choice of whom to mimic: argmax_i <z, x_i>.
    """
    return knowledge.copies(known, known.honest[int((known.honest @ learn(known).vector).argmax())])


def learn(known: knowledge.Knowledge) -> knowledge.Direction:
    """Returns the direction of the largest variance among honest updates, improved by this round's.

    With t rounds before this one, over which z is the direction and m the mean, it becomes

        m' = (t m + mean(x)) / (t + 1)      c = sum_i <x_i - m', z> (x_i - m')      z' = unit(t z + unit(c))

    c is taken to unit length, which the paper does not do: else the scale of the updates would decide how fast z turns. The
    first z is noise.

    Reference:
        Karimireddy et al. 2022, choice of whom to mimic (Oja's method).
    """
    before, mean = known.direction, known.honest.mean(0)
    if before is None:
        before = knowledge.Direction(
            rounds=0, mean=torch.zeros_like(mean), vector=knowledge.unit(knowledge.noise(known, "mimic", 1)[0])
        )
    rounds = before.rounds
    mean = (before.mean * rounds + mean) / (rounds + 1)
    centred = known.honest - mean
    toward = knowledge.unit((centred @ before.vector) @ centred)
    turned = before.vector * rounds + toward
    vector = knowledge.unit(turned) if bool(turned.any()) else before.vector
    return knowledge.Direction(rounds=rounds + 1, mean=mean, vector=vector)


def zero(known: knowledge.Knowledge) -> Float64[Tensor, "byzantine dim"]:
    """Returns zeros: a holder that does no work."""
    return torch.zeros_like(known.honest[:1]).repeat(known.byzantine, 1)


def free_rider(known: knowledge.Knowledge, *, sigma: float) -> Float64[Tensor, "byzantine dim"]:
    """Returns the last aggregate with noise, which takes no data and no work; zeros in the first round.

    Args:
        known: The round.
        sigma: Standard deviation of the noise as a multiple of the aggregate's root mean square.

    Reference:
        Lin, Du, Liu 2019, "Free-riders in federated learning: attacks and defenses" (delta weights attack).
        Fraboni, Vidal, Lorenzi 2021, "Free-rider attacks on model aggregation in federated learning" (disguised by noise).
    """
    if known.previous is None:
        return zero(known)
    scale = float(known.previous.square().mean().sqrt()) * sigma
    return known.previous + knowledge.noise(known, "free_rider", known.byzantine) * scale


def sybil(
    known: knowledge.Knowledge, *, attack: Callable[[knowledge.Knowledge], Tensor], sigma: float
) -> Float64[Tensor, "byzantine dim"]:
    """Returns slightly different copies of one poisoned update; their mean is the poisoned update itself.

    No two are alike, so that a search for copies finds none; the noise of all of them sums to zero, so that it costs the
    attack nothing. A single attacker sends the poisoned update as it is.

    Args:
        known: The round.
        attack: Gives the poisoned update in its first row.
        sigma: Standard deviation of the noise as a multiple of the poisoned update's root mean square.

    Reference:
        Fung, Yoon, Beschastnikh 2020, "The limitations of federated learning in Sybil settings" (intelligent perturbations).
    """
    poisoned = attack(known)[0]
    noise = knowledge.noise(known, "sybil", known.byzantine)
    scale = float(poisoned.square().mean().sqrt()) * sigma
    return poisoned + (noise - noise.mean(0)) * scale


def delayed(
    known: knowledge.Knowledge, *, attack: Callable[[knowledge.Knowledge], Tensor], rounds: int
) -> Float64[Tensor, "byzantine dim"]:
    """Returns the attack, but the honest mean in the first `rounds` rounds: trust is earned before it is used."""
    return attack(known) if known.round > rounds else knowledge.copies(known, known.honest.mean(0))


def on_off(
    known: knowledge.Knowledge, *, attack: Callable[[knowledge.Knowledge], Tensor], on: int, off: int
) -> Float64[Tensor, "byzantine dim"]:
    """Returns the attack for `on` rounds, then the honest mean for `off` rounds, and so on from round 1.

    Reference:
        Sun, Han, Liu 2006, "A trust evaluation framework in distributed networks" (on-off attack).
    """
    attacking = (known.round - 1) % (on + off) < on
    return attack(known) if attacking else knowledge.copies(known, known.honest.mean(0))

"""Attacks that shift the mean of the honest updates: sign flip, IPM, ALIE, min-max, min-sum, ROP, noise, replacement.

All f attackers send the same vector (but for `gaussian`): colluders that agree are the hardest to tell from a majority.
"""

import math
import statistics
from collections.abc import Callable

import torch
from jaxtyping import Float64
from torch import Tensor

from aggregation import knowledge
from aggregation.errors import RuleError


def sign_flip(known: knowledge.Knowledge) -> Float64[Tensor, "byzantine dim"]:
    """Returns the honest mean turned round.

    Reference:
        Allen-Zhu, Ebrahimianghazani, Li, Alistarh 2021, "Byzantine-resilient non-convex stochastic gradient descent".
    """
    return ipm(known, epsilon=1.0)


def ipm(known: knowledge.Knowledge, *, epsilon: float) -> Float64[Tensor, "byzantine dim"]:
    """Returns the honest mean times `-epsilon`, so that the aggregate's inner product with it may turn negative.

    Args:
        known: The round.
        epsilon: > 0; small ones hide among the honest, large ones overpower a mean.

    Reference:
        Xie, Koyejo, Gupta 2019, "Fall of empires: breaking Byzantine-tolerant SGD by inner product manipulation".
    """
    return knowledge.copies(known, known.honest.mean(0) * -epsilon)


def alie(known: knowledge.Knowledge, *, z: float | None = None) -> Float64[Tensor, "byzantine dim"]:
    """Returns the honest mean plus `z` standard deviations in every coordinate: a little is enough.

    Args:
        known: The round.
        z: Standard deviations (of the sample, divisor honest - 1); None for `z_max` of the round.

    Raises:
        RuleError: If z is None and the attackers are too many or the holders too few for `z_max`.

    Reference:
        Baruch, Baruch, Goldberg 2019, "A little is enough: circumventing defenses for distributed learning",
        algorithm 3.
    """
    reach = z_max(len(known.honest) + known.byzantine, known.byzantine) if z is None else z
    return knowledge.copies(known, known.honest.mean(0) + deviation(known.honest) * reach)


def z_max(clients: int, byzantine: int) -> float:
    """Returns the shift, in standard deviations, up to which s honest updates are expected further out than the attackers.

    s = floor(n / 2 + 1) - f supporters make a majority with the f attackers:  Phi(z_max) = (n - f - s) / (n - f).

    Raises:
        RuleError: If no such shift exists: attackers in the majority, or fewer than three holders.

    Reference:
        Baruch et al. 2019, algorithm 3.
    """
    supporters = clients // 2 + 1 - byzantine
    honest = clients - byzantine
    if not 0 < supporters < honest:
        raise RuleError(
            f"z_max of {clients} holders, {byzantine} of them Byzantine: expected at least 3 holders and no Byzantine majority"
        )
    return statistics.NormalDist().inv_cdf((honest - supporters) / honest)


def gaussian(known: knowledge.Knowledge, *, sigma: float) -> Float64[Tensor, "byzantine dim"]:
    """Returns draws from N(0, sigma^2), independent for each attacker and coordinate.

    Reference:
        Blanchard, El Mhamdi, Guerraoui, Stainer 2017, "Machine learning with adversaries: Byzantine tolerant gradient
        descent", experiments (sigma 200).
    """
    return knowledge.noise(known, "gaussian", known.byzantine) * sigma


def min_max(
    known: knowledge.Knowledge, *, perturbation: Callable[[Tensor], Tensor]
) -> Float64[Tensor, "byzantine dim"]:
    """Returns the honest mean, moved along a perturbation as far as no honest update is further than two honest ones are.

    The largest gamma with max_i |m + gamma p - x_i|^2 <= max_ij |x_i - x_j|^2 = R. With c_i = x_i - m each i bounds it by
    the larger root of a quadratic, gamma |p|^2 = <p, c_i> + sqrt(<p, c_i>^2 + |p|^2 (R - |c_i|^2)): no search is needed.

    Args:
        known: The round.
        perturbation: From the honest matrix to p: `against_mean`, `against_deviation` or `against_sign`.

    Reference:
        Shejwalkar, Houmansadr 2021, "Manipulating the Byzantine: optimizing model poisoning attacks and defenses for
        federated learning", min-max attack (its algorithm 1 searches for gamma).
    """
    mean, direction = known.honest.mean(0), perturbation(known.honest)
    centred = known.honest - mean
    along, length = centred @ direction, direction.square().sum()
    slack = (squared_distances(known.honest).max() - centred.square().sum(1)).clamp(min=0.0)
    reach = (along + (along.square() + length * slack).sqrt()).min()
    return knowledge.copies(known, mean + direction * _quotient(float(reach), float(length)))


def min_sum(
    known: knowledge.Knowledge, *, perturbation: Callable[[Tensor], Tensor]
) -> Float64[Tensor, "byzantine dim"]:
    """Returns as `min_max`, bounded by sums: to all honest updates together no further than the outermost honest one.

    The largest gamma with sum_i |m + gamma p - x_i|^2 <= max_i sum_j |x_i - x_j|^2 = S. The c_i sum to zero, hence
    gamma^2 |p|^2 h = S - sum_i |c_i|^2, with h honest updates.

    Args:
        known: The round.
        perturbation: As for `min_max`.

    Reference:
        Shejwalkar, Houmansadr 2021, min-sum attack.
    """
    mean, direction = known.honest.mean(0), perturbation(known.honest)
    slack = squared_distances(known.honest).sum(1).max() - (known.honest - mean).square().sum()
    length = len(known.honest) * float(direction.square().sum())
    reach = math.sqrt(_quotient(max(float(slack), 0.0), length))
    return knowledge.copies(known, mean + direction * reach)


def against_mean(honest: Float64[Tensor, "honest dim"]) -> Float64[Tensor, " dim"]:
    """Returns the unit vector against the honest mean; zero if that is zero."""
    return -knowledge.unit(honest.mean(0))


def against_deviation(honest: Float64[Tensor, "honest dim"]) -> Float64[Tensor, " dim"]:
    """Returns minus the standard deviation of every coordinate."""
    return -deviation(honest)


def against_sign(honest: Float64[Tensor, "honest dim"]) -> Float64[Tensor, " dim"]:
    """Returns minus the sign of the honest mean in every coordinate."""
    return -honest.mean(0).sign()


def rop(
    known: knowledge.Knowledge, *, length: float, relocation: float = 1.0, reference: float = 0.9, angle: float = 270.0
) -> Float64[Tensor, "byzantine dim"]:
    """Returns the last aggregate with a perturbation at an angle to it: it stays where centered clipping looks from.

    With the last aggregate u (the honest mean m in the first round), v = reference u + (1 - reference) m, and p = the
    ones vector less its part along v, both to unit length:

        attack = relocation u + (1 - relocation) m + r (sin(angle) p + cos(angle) v)

    Here r = `length` times the root mean square distance of the honest from m, where the paper's is absolute: updates have
    no fixed scale here.

    Args:
        known: The round.
        length: Of the perturbation, in typical honest deviations.
        relocation: pi of the paper, 0 .. 1.
        reference: lambda of the paper, 0 .. 1.
        angle: theta of the paper, in degrees.

    Reference:
        Ozfatura, Ozfatura, Kupcu, Gunduz 2023, "Byzantines can also learn from history: fall of centered clipping in
        federated learning" (relocated orthogonal perturbation).
    """
    mean = known.honest.mean(0)
    last = mean if known.previous is None else known.previous
    toward = knowledge.unit(last * reference + mean * (1 - reference))
    ones = torch.ones_like(mean)
    across = knowledge.unit(ones - toward * (ones @ toward))
    spread = float((known.honest - mean).square().sum(1).mean().sqrt())
    turn = math.radians(angle)
    perturbation = across * math.sin(turn) + toward * math.cos(turn)
    return knowledge.copies(known, last * relocation + mean * (1 - relocation) + perturbation * (length * spread))


def model_replacement(known: knowledge.Knowledge) -> Float64[Tensor, "byzantine dim"]:
    """Returns the attackers' own update times n / f: the mean of everything is then about their own.

    Raises:
        RuleError: If the attackers have no update of their own.

    Reference:
        Bagdasaryan, Veit, Hua, Estrin, Shmatikov 2020, "How to backdoor federated learning", equation 3, with a server
        learning rate of 1 and the factor shared by f attackers.
    """
    if known.own is None:
        raise RuleError("model replacement scales an update of the attackers' own (Knowledge.own), got none")
    clients = len(known.honest) + known.byzantine
    return knowledge.copies(known, known.own * (clients / known.byzantine))


def deviation(honest: Float64[Tensor, "honest dim"]) -> Float64[Tensor, " dim"]:
    """Returns the sample standard deviation of every coordinate, 0 for a single row."""
    return honest.std(0, correction=min(1, len(honest) - 1))


def squared_distances(honest: Float64[Tensor, "honest dim"]) -> Float64[Tensor, "honest honest"]:
    """Returns |x_i - x_j|^2; the rows are centred first, so that what they share does not cancel."""
    centred = honest - honest.mean(0)
    inner = centred @ centred.T
    squares = inner.diagonal()
    return (squares[:, None] + squares[None, :] - 2 * inner).clamp(min=0.0).fill_diagonal_(0.0)


def _quotient(dividend: float, divisor: float) -> float:
    """Returns dividend / divisor, or 0 where there is nothing to divide by: a direction of length zero leads nowhere."""
    return dividend / divisor if divisor > 0 else 0.0

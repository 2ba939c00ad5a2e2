"""Attacks that are fitted to the rule in use: line-searched ALIE and IPM, Fang's attacks on the trimmed mean and on Krum."""

import math
from collections.abc import Callable
from dataclasses import dataclass

import torch
from jaxtyping import Float64
from torch import Tensor

from aggregation import knowledge, shifts
from aggregation.errors import RuleError

# Fang's search stops at an absolute 1e-5; updates have no fixed scale, so this one stops at a fraction of its first step.
_HALVINGS = 20


@dataclass(frozen=True, slots=True, kw_only=True)
class Search:
    """How a line is searched: `evaluations` of the rule in all, from `start`, in steps of `delta`.

    Attributes:
        evaluations: How often the rule is run, at least 1.
        start: The first factor tried.
        delta: The first step; a negative one searches the other half of the line.
        ratio: 0.5 .. 1, what a step is multiplied by after it brought no gain.
    """

    evaluations: int
    start: float
    delta: float
    ratio: float


def maximum(gain: Callable[[float], float], search: Search) -> float:
    """Returns the factor with the largest gain among those tried.

    While a step forward gains it is taken and doubled. After the first that does not, each try is one step ahead of the
    best so far, and every step is `ratio` of the one before. Equal gains count as none.

    Reference:
        El Mhamdi, Guerraoui, Rouault 2021, "Distributed momentum for Byzantine-resilient stochastic gradient descent"
        (the factor is fitted to the rule); the order of tries is that of byzfl, so that results compare.
    """
    best, delta = search.start, search.delta
    most = gain(best)
    growing = True
    for _ in range(search.evaluations - 1):
        tried = best + delta
        reached = gain(tried)
        better = reached > most
        if better:
            best, most = tried, reached
        growing = growing and better
        delta *= 2 if growing else search.ratio
    return best


def alie(known: knowledge.Knowledge, *, search: Search) -> Float64[Tensor, "byzantine dim"]:
    """Returns ALIE with the number of standard deviations that moves the aggregate furthest from the honest mean.

    Raises:
        RuleError: If the attackers do not know the rule.

    Reference:
        Baruch, Baruch, Goldberg 2019, algorithm 3, with z as in Allouah et al. 2023, "Fixing by mixing": the maximum over
        z of |F(x) - mean|.
    """
    return shifts.alie(known, z=maximum(lambda z: _harm(known, shifts.alie(known, z=z)), search))


def ipm(known: knowledge.Knowledge, *, search: Search) -> Float64[Tensor, "byzantine dim"]:
    """Returns inner-product manipulation with the factor that moves the aggregate furthest from the honest mean.

    Raises:
        RuleError: If the attackers do not know the rule.

    Reference:
        Xie, Koyejo, Gupta 2019, with the factor as for `alie`.
    """
    return shifts.ipm(known, epsilon=maximum(lambda e: _harm(known, shifts.ipm(known, epsilon=e)), search))


def fang_trimmed_mean(known: knowledge.Knowledge, *, stretch: float = 2.0) -> Float64[Tensor, "byzantine dim"]:
    """Returns values just beyond the outermost honest one, in every coordinate on the side the honest mean does not go to.

    Where the honest mean is positive: between the least honest value w and w / b if w > 0, b w if not. Elsewhere between
    the greatest honest value w and b w if w > 0, w / b if not. Drawn evenly, anew for each attacker and coordinate.

    Args:
        known: The round.
        stretch: b > 1.

    Reference:
        Fang, Cao, Jia, Gong 2020, "Local model poisoning attacks to Byzantine-robust federated learning", section 4.3
        (full knowledge), on updates instead of weights.
    """
    forward = known.honest.mean(0) > 0
    edge = torch.where(forward, known.honest.amin(0), known.honest.amax(0))
    outward = torch.where(forward == (edge > 0), 1.0 / stretch, stretch)
    return edge + (edge * outward - edge) * knowledge.uniform(known, "fang")


def fang_krum(known: knowledge.Knowledge) -> Float64[Tensor, "byzantine dim"]:
    """Returns the longest step against the sign of the honest mean that Krum still prefers to every honest update.

    All attackers send -lambda s, so that each has f - 1 neighbours at distance 0. lambda starts at the bound under which
    Krum's choice of it is possible and is halved until Krum's score of it is below all others; if it never is, the last
    one is sent.

    Raises:
        RuleError: If Krum has no neighbours to count: fewer than f + 2 honest updates.

    Reference:
        Fang et al. 2020, section 4.2, equations 3 to 5, and theorem 1, with w_Re = 0: on updates instead of weights.
    """
    honest, f = known.honest, known.byzantine
    neighbours = len(honest) - 2
    if neighbours < f:
        raise RuleError(f"{len(honest)} honest updates against {f} Byzantine ones: expected at least {f + 2}")
    sign = honest.mean(0).sign()
    between = shifts.squared_distances(honest)
    # Row l of the sorted distances begins with l itself; the honest alone give n - f - 2 of them.
    least = float(between.sort(1).values[:, 1 : neighbours + 1].sum(1).min())
    dim = honest.shape[1]
    reach = math.sqrt(least / ((neighbours - f + 1) * dim)) + float(honest.norm(dim=1).max()) / math.sqrt(dim)
    for _ in range(_HALVINGS):
        if _chosen(between, (honest + sign * reach).square().sum(1), f):
            break
        reach /= 2
    return knowledge.copies(known, sign * -reach)


def _chosen(between: Tensor, to_attack: Tensor, f: int) -> bool:
    """Whether Krum's score of f equal updates at `to_attack` from the honest is below that of every honest one."""
    neighbours = len(between) - 2
    attack = to_attack.sort().values[: neighbours - f + 1].sum()
    everyone = torch.cat([between, to_attack[:, None].repeat(1, f)], dim=1)
    honest = everyone.sort(1).values[:, 1 : neighbours + 1].sum(1)
    return bool(attack < honest.min())


def _harm(known: knowledge.Knowledge, attack: Tensor) -> float:
    """Returns how far the rule's aggregate lies from the honest mean."""
    if known.defence is None:
        raise RuleError("a line-searched attack needs to know the rule (Knowledge.defence), got none")
    aggregate = known.defence(torch.cat([known.honest, attack]))
    return float((aggregate - known.honest.mean(0)).norm())

"""Credit scores that ask what updates did for the model: Shapley values of a game between them, exact or nearly so.

The players are the updates of a round. A *utility* says what a coalition S is worth, in whole micro-units:

    v(S) = loss(parent) - loss(parent + mean of the updates in S)        v({}) = 0

Scores are exact rationals: nothing is rounded before the end, so they are the same on every machine if the utility is.

References:
    Shapley 1953, "A value for n-person games".
    Liu, Chen, Zhou, Xiang, Cai, Yu 2022, "GTG-Shapley: efficient and accurate participant contribution evaluation in
    federated learning" (`gtg`).
    Jia et al. 2019, "Towards efficient data valuation based on the Shapley value" (`leave_one_out` beside it).
"""

import hashlib
import math
from collections.abc import Callable, Collection, Sequence
from fractions import Fraction
from typing import TypeAlias

Utility: TypeAlias = Callable[[Collection[int]], int]
"""utility(members): what the coalition of these rows is worth, in micro-units; called once for each set."""

MOST_EXACT = 12
GTG_WINDOW, GTG_PERMUTATIONS = 10, 30
# GTG's thresholds are of an accuracy. In parts of what the whole round is worth, and of the parent's loss:
GTG_NEGLIGIBLE, GTG_IDLE_ROUND, GTG_MOVED = Fraction(1, 100), Fraction(1, 1000), Fraction(5, 100)


def leave_one_out(clients: int, utility: Utility) -> list[Fraction]:
    """Returns what each takes away with it: `v(N) - v(N without i)`, by n + 1 evaluations."""
    everybody = range(clients)
    whole = utility(everybody)
    return [Fraction(whole - utility([j for j in everybody if j != i])) for i in everybody]


def single_add(clients: int, utility: Utility) -> list[Fraction]:
    """Returns what each brings alone: `v({i})`, by n evaluations."""
    return [Fraction(utility([i])) for i in range(clients)]


def exact(clients: int, utility: Utility) -> list[Fraction]:
    """Returns the Shapley values, by 2**n - 1 evaluations.

        phi_i = sum over S without i of |S|! (n - |S| - 1)! / n! (v(S + i) - v(S))

    Args:
        clients: n, at most 12.
        utility: v.

    Raises:
        ValueError: If there are more than 12.
    """
    if clients > MOST_EXACT:
        raise ValueError(f"{clients} updates: exact Shapley values are worked out for at most {MOST_EXACT}")
    worth = [0] + [utility([i for i in range(clients) if mask >> i & 1]) for mask in range(1, 1 << clients)]
    total = math.factorial(clients)
    weights = [math.factorial(size) * math.factorial(clients - size - 1) for size in range(clients)]
    values = [0] * clients
    for mask in range(1 << clients):
        size = mask.bit_count()
        for i in range(clients):
            if not mask >> i & 1:
                values[i] += weights[size] * (worth[mask | 1 << i] - worth[mask])
    return [Fraction(value, total) for value in values]


def gtg(clients: int, utility: Utility, *, unit: int, draw: bytes) -> list[Fraction]:
    """Returns Shapley values from drawn permutations, truncated within and between rounds.

    Permutation k begins with client k mod n; the others follow in ascending order of sha256(draw | k | i). Walking along
    it, a marginal is 0 once what is left to gain is negligible: `|v(N) - v(prefix)| < |v(N)| / 100`. A round with
    `|v(N)| <= unit / 1000` gives nobody anything. It ends after max(30, n) permutations, or from 10 on when the running
    means of the last 10 differ from the present ones by at most 5 % on average.

    Args:
        clients: n.
        utility: v.
        unit: The parent's loss in micro-units: what the paper's thresholds, made for an accuracy, are scaled by.
        draw: Public bytes that nobody could know before the updates were fixed.

    Reference:
        Liu et al. 2022, algorithm 1.
    """
    everybody, known = frozenset(range(clients)), dict[frozenset[int], int]()

    def worth(members: frozenset[int]) -> int:
        if members not in known:
            known[members] = utility(sorted(members)) if members else 0
        return known[members]

    whole, sums = worth(everybody), [0] * clients
    if abs(whole) <= unit * GTG_IDLE_ROUND:
        return [Fraction(0)] * clients
    history: list[list[Fraction]] = []
    for count in range(1, max(GTG_PERMUTATIONS, clients) + 1):
        before, prefix = 0, frozenset[int]()
        for i in _permutation(clients, count - 1, draw):
            prefix |= {i}
            after = worth(prefix) if abs(whole - before) >= abs(whole) * GTG_NEGLIGIBLE else before
            sums[i] += after - before
            before = after
        history.append([Fraction(value, count) for value in sums])
        if count > GTG_WINDOW and _settled(history):
            break
    return history[-1]


OWN = Fraction(2, 3)
"""How far from the round's aggregate towards an update `secant` looks."""


def secant(points: Sequence[int], *, reached: int) -> list[Fraction]:
    """Returns the Shapley values of `v(S) = mean_(i in S) a_i`, its slopes a_i measured through n + 1 evaluated points.

    They are measured where coalitions lie, between the round's aggregate r, which stands for everybody, and a place two thirds
    of the way to each update, so that the bend of the loss on that way is in them:

        p_i = 2/3 x_i + 1/3 r        v(p_i) = 2/3 a_i + 1/3 v(r)

    An update alone says little of what it is worth beside others: one of a class that nobody else has spoils the model alone,
    and mends it beside the others.

    Args:
        points: `v(p_i)` of each.
        reached: `v(r)`.

    Reference:
        Ours; docs/protocol.md P29, docs/adr/0020-credit-scores.md.
    """
    return _of_mean([(point - (1 - OWN) * reached) / OWN for point in points])


def _of_mean(slopes: Sequence[Fraction]) -> list[Fraction]:
    """The Shapley values of `v(S) = mean_(i in S) a_i`."""
    n, total = len(slopes), sum(slopes, Fraction(0))
    if n == 1:
        return list(slopes)
    own = sum((Fraction(1, k) for k in range(1, n + 1)), Fraction(0)) / n
    other = (Fraction(1, n) - own) / (n - 1)
    return [own * slope + other * (total - slope) for slope in slopes]


def _permutation(clients: int, number: int, draw: bytes) -> list[int]:
    first = number % clients
    others = [i for i in range(clients) if i != first]
    return [first, *sorted(others, key=lambda i: hashlib.sha256(draw + f"\n{number}\n{i}".encode()).digest())]


def _settled(history: Sequence[Sequence[Fraction]]) -> bool:
    """Whether the last running means lie within 5 % of the present ones, on average over clients."""
    now = history[-1]
    scale = sum(map(abs, now))
    return all(
        sum(abs(a - b) for a, b in zip(before, now, strict=True)) <= GTG_MOVED * scale
        for before in history[-1 - GTG_WINDOW : -1]
    )

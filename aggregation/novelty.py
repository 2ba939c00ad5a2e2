"""Who brings something of its own: updates that only repeat what was public, or that one party sends under several keys.

**Echoes.** What the run remembers (sketches of the last aggregates and updates) spans what anybody could re-send: last
deltas, stale deltas, copies, and mixtures of them, whatever noise is added to hide it. The part of an update beyond that
span is its innovation. Noise has no relation to what others learned in this round: the share of it that the others'
innovations explain is that of a random direction, (others) / (dimensions left). Learning has: other data of the same world,
in the same round. So

    T_i = explained_i / ((n - 1 - f) / (width - h))

where h vectors are remembered. The f others most like i are left out: f colluders who share their noise do not vouch for each
other. T is 1 for noise, and 0 where less than 2**-13 of the update is innovation. One round of few dimensions can be chance,
so an update is an echo if T < 1, or if the sum over k rounds, this one and the member's last, is below k + 2 sqrt(k), each
counting as 6 at most: the same odds however many rounds are known.

**Twins.** Two updates whose directions lie far closer than independent data explain, that is, five times closer than the
median pair of the round (squared distance between unit vectors), and whose innovations are alike too (cosine above 1/2), count
as one party, if what is left of these beyond the span of all that are no such twins is alike too (cosine above 0.7): what
everybody learned makes nobody one.

Where a model repeats itself from round to round little of an update is innovation, and little noise hides that. So of two
updates so close one is the other with noise, and of its party, if it would be an echo, had the other been public (by this
round's T alone), and if half or more of what it has beyond the other is innovation: noise is, while what sets two holders
apart shows in every round.

**Silence.** An update of less than 1/32 of the median length.

Real arithmetic as in `geometry`: doubles that start from exact integers, elementwise operations, no BLAS.

References:
    Fung, Yoon, Beschastnikh 2020, "The limitations of federated learning in Sybil settings" (FoolsGold: similarity).
    Lin, Du, Liu 2019, "Free-riders in federated learning: attacks and defenses" (delta weights).
    The tests are ours; docs/protocol.md P29.
"""

import math
from collections.abc import Sequence

import numpy as np
import torch
from jaxtyping import Float64, Int16, Shaped
from torch import Tensor

from aggregation import geometry, gram

CHANCE, MOST = 1000, 6000
"""T in thousandths: of chance, below which it is an echo at once; and the most that a round counts."""
_SPREAD = 2000
"""What a sum over k rounds has to exceed chance by, in parts of sqrt(k)."""
CLOSER = 5.0
SILENT = 32
# A vector of which less than this share is left lies in the span of those before it.
_SPANNED = 2.0**-24
_INNOVATION = 2.0**-13
# Squared cosine of innovations, from which two parties may be one.
_ALIKE = 0.25
# Squared cosine of what is left of innovations beyond those of all others, from which they are one.
_ONE = 0.5


def silent(squares: list[int]) -> list[bool]:
    """Returns whose squared length is less than 1/1024 of the (lower) median's, or zero."""
    median = sorted(squares)[(len(squares) - 1) // 2] if squares else 0
    return [square == 0 or SILENT * SILENT * square < median for square in squares]


def echo(chance: int, before: Sequence[int]) -> bool:
    """Returns whether an update is an echo.

    Args:
        chance: T of this round, in thousandths.
        before: Likewise, of the member's last rounds.
    """
    whole = [min(each, MOST) for each in (chance, *before)]
    least = CHANCE * len(whole) + math.isqrt(_SPREAD * _SPREAD * len(whole))
    return chance < CHANCE or sum(whole) < least


def innovations(
    remembered: Int16[Tensor, "past width"], rows: Int16[Tensor, "clients width"]
) -> Float64[np.ndarray, "clients clients"]:
    """Returns the inner products of what each row has beyond the span of what is remembered; 0 where that is next to nothing.

    Args:
        remembered: Sketches of what is public.
        rows: Sketches of the round's updates, none of zeros.
    """
    past = len(remembered)
    inner = geometry.as_floats(gram.products(torch.cat((remembered, rows))).inner)
    left = _beyond(inner, past)
    nothing = left.diagonal() <= _INNOVATION * inner.diagonal()[past:]
    left[nothing, :] = 0.0
    left[:, nothing] = 0.0
    return left


def chances(left: Float64[np.ndarray, "clients clients"], freedom: int, f: int) -> list[int] | None:
    """Returns T of each row in thousandths, rounded down; None where there are too few rows or dimensions to tell.

    Args:
        left: As `innovations` gives it.
        freedom: Dimensions that are left: the width less the vectors remembered.
        f: Byzantine clients to withstand.
    """
    clients = len(left)
    others = clients - 1 - f
    if not _tells(others, freedom):
        return None
    similar = _similar(left)
    return [_chance(left, similar, row, others, freedom) for row in range(clients)]


def _tells(others: int, freedom: int) -> bool:
    """Returns whether so many others can vouch, in so many dimensions."""
    return others >= 2 and freedom >= 4 * others


def _chance(
    left: Float64[np.ndarray, "clients clients"],
    similar: Float64[np.ndarray, "clients clients"],
    row: int,
    others: int,
    freedom: int,
) -> int:
    """Returns T of a row, explained by so many of the others, those least like it."""
    own = float(left[row, row])
    if own <= 0.0:
        return 0
    alike = sorted((j for j in range(len(left)) if j != row), key=lambda j: (float(similar[row, j]), j))
    vouching = [*alike[:others], row]
    rest = float(_beyond(left[np.ix_(vouching, vouching)], others)[0, 0])
    return max(0, math.floor(1000.0 * ((1.0 - rest / own) / (others / freedom))))


def parties(
    inner: Shaped[np.ndarray, "clients clients"],
    left: Float64[np.ndarray, "clients clients"],
    sketched: Shaped[np.ndarray, "clients clients"],
    freedom: int,
    f: int,
) -> list[int]:
    """Returns the party of each row, named by its first row: rows far more alike than the median pair are one, transitively.

    Args:
        inner: Exact inner products of the updates, none of zeros.
        left: As `innovations` gives it, of the same rows.
        sketched: Exact inner products of their sketches.
        freedom: As `chances` takes it; 0 where nobody can tell an echo by its noise.
        f: Byzantine clients to withstand.
    """
    clients = len(inner)
    alone = list(range(clients))
    if clients < 3:
        return alone
    exact = geometry.as_floats(inner)
    lengths = np.sqrt(exact.diagonal())
    apart = 1.0 - exact / lengths / lengths[:, np.newaxis]
    similar = _similar(left)
    pairs = [(i, j) for i in range(clients) for j in range(i)]
    median = sorted(float(apart[i, j]) for i, j in pairs)[(len(pairs) - 1) // 2]
    near = [(i, j) for i, j in pairs if CLOSER * float(apart[i, j]) < median]
    close = [(i, j) for i, j in near if left[i, j] > 0.0 and similar[i, j] > _ALIKE]
    whole = geometry.as_floats(sketched)
    one = []
    for i, j in (order for pair in near for order in (pair, pair[::-1])):
        rows = [i, j, *(row for row in alone if row not in (i, j))]
        if _noised(left[np.ix_(rows, rows)], _beyond(whole[np.ix_([i, j], [i, j])], 1)[0, 0], freedom - 1, f):
            one.append((i, j))
    candidates = _joined(alone, close)
    for name in sorted({candidates[i] for i, _ in close}):
        inside = [row for row in alone if candidates[row] == name]
        order = [row for row in alone if candidates[row] != name] + inside
        rest = _beyond(left[np.ix_(order, order)], clients - len(inside))
        alike, place = _similar(rest), {row: at for at, row in enumerate(inside)}
        for i, j in close:
            if candidates[i] == name and rest[place[i], place[j]] > 0.0 and alike[place[i], place[j]] > _ONE:
                one.append((i, j))
    return _joined(alone, one)


def _noised(left: Float64[np.ndarray, "rows rows"], apart: float, freedom: int, f: int) -> bool:
    """Returns whether the second row is the first with noise.

    Args:
        left: Innovations of both, and then of all others.
        apart: Squared length of what the second has beyond the first, whether innovation or not.
        freedom: Dimensions that are left beyond the first.
        f: Byzantine clients to withstand.
    """
    rest = _beyond(left, 1)
    if rest[0, 0] <= 0.0 or 2.0 * rest[0, 0] < apart:
        return False
    others = len(rest) - 1 - f
    return _tells(others, freedom) and echo(_chance(rest, _similar(rest), 0, others, freedom), ())


def _joined(alone: Sequence[int], pairs: Sequence[tuple[int, int]]) -> list[int]:
    """Returns the first row of each row's component."""
    party = list(alone)
    for i, j in pairs:
        low, high = sorted((party[i], party[j]))
        party = [low if each == high else each for each in party]
    return party


def _similar(left: Float64[np.ndarray, "clients clients"]) -> Float64[np.ndarray, "clients clients"]:
    """Returns squared cosines; 0 where there is no direction."""
    own = np.where(left.diagonal() > 0.0, left.diagonal(), np.inf)
    return left / own * (left / own[:, np.newaxis])


def _beyond(inner: Float64[np.ndarray, "rows rows"], first: int) -> Float64[np.ndarray, "rest rest"]:
    """Returns the inner products of the rows after the first ones, less their parts in the span of these (Schur complement)."""
    left, before = inner.copy(), inner.diagonal().copy()
    for pivot in range(first):
        square = left[pivot, pivot]
        if square <= _SPANNED * before[pivot]:
            continue
        column = left[:, pivot].copy()
        left -= column[:, np.newaxis] * (column / square)
    return left[first:, first:]

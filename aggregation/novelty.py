"""Who brings something of its own: updates that only repeat what was public, or that one party sends under several keys.

**Echoes.** What the run remembers (sketches of the last aggregates and updates) spans what anybody could re-send: last
deltas, stale deltas, copies, and mixtures of them, whatever noise is added to hide it. The part of an update beyond that
span is its innovation. Noise has no relation to what others learned in this round: the share of it that the others'
innovations explain is that of a random direction, (others) / (dimensions left). Learning has: other data of the same world,
in the same round. So

    T_i = explained_i / ((n - 1 - f) / (width - h))        an echo if T_i < 3

where h vectors are remembered. The f others most like i are left out: f colluders who share their noise do not vouch for each
other. T is 1 for noise; 5 and more for 95 % of honest updates in docs/credit.md.

**Twins.** Two updates whose directions lie far closer than independent data explain, that is, five times closer than the
median pair of the round (squared distance between unit vectors), count as one party.

**Silence.** An update of less than 1/32 of the median length.

Real arithmetic as in `geometry`: doubles that start from exact integers, elementwise operations, no BLAS.

References:
    Fung, Yoon, Beschastnikh 2020, "The limitations of federated learning in Sybil settings" (FoolsGold: similarity).
    Lin, Du, Liu 2019, "Free-riders in federated learning: attacks and defenses" (delta weights).
    The tests are ours; docs/protocol.md P28.
"""

import numpy as np
from jaxtyping import Float64, Int16, Shaped
from torch import Tensor

from aggregation import geometry, gram

CHANCE = 3.0
CLOSER = 5.0
SILENT = 32
# A vector of which less than this share is left lies in the span of those before it.
_SPANNED = 2.0**-24


def silent(squares: list[int]) -> list[bool]:
    """Returns whose squared length is less than 1/1024 of the (lower) median's, or zero."""
    median = sorted(squares)[(len(squares) - 1) // 2] if squares else 0
    return [square == 0 or SILENT * SILENT * square < median for square in squares]


def chances(
    remembered: Int16[Tensor, "past width"], rows: Int16[Tensor, "clients width"], f: int
) -> Float64[np.ndarray, " clients"] | None:
    """Returns T of each row; None where there are too few rows or dimensions to tell.

    Args:
        remembered: Sketches of what is public.
        rows: Sketches of the round's updates, none of zeros.
        f: Byzantine clients to withstand.
    """
    import torch  # noqa: PLC0415  for one call

    clients, past, width = len(rows), len(remembered), rows.shape[1]
    others = clients - 1 - f
    if others < 2 or width - past < 4 * others:
        return None
    inner = geometry.as_floats(gram.products(torch.cat((remembered, rows))).inner)
    left = _beyond(inner, past)
    own = left.diagonal()
    similar = left * left / np.maximum(own, 1.0) / np.maximum(own[:, np.newaxis], 1.0)
    expected = others / (width - past)
    result = np.zeros(clients)
    for row in range(clients):
        if own[row] <= _SPANNED * inner[past + row, past + row]:
            continue
        alike = sorted((j for j in range(clients) if j != row), key=lambda j: (float(similar[row, j]), j))
        vouching = [*alike[:others], row]
        rest = _beyond(left[np.ix_(vouching, vouching)], others)[0, 0]
        result[row] = (1.0 - rest / own[row]) / expected
    return result


def parties(inner: Shaped[np.ndarray, "clients clients"]) -> list[int]:
    """Returns the party of each row, named by its first row: rows far more alike than the median pair are one, transitively.

    Args:
        inner: Exact inner products of the updates, none of zeros.
    """
    clients = len(inner)
    party = list(range(clients))
    if clients < 3:
        return party
    exact = geometry.as_floats(inner)
    lengths = np.sqrt(exact.diagonal())
    apart = 1.0 - exact / lengths / lengths[:, np.newaxis]
    pairs = [(i, j) for i in range(clients) for j in range(i)]
    median = sorted(float(apart[i, j]) for i, j in pairs)[(len(pairs) - 1) // 2]
    for i, j in pairs:
        if CLOSER * float(apart[i, j]) < median:
            low, high = sorted((party[i], party[j]))
            party = [low if each == high else each for each in party]
    return party


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

"""Rules that look for the best n - f rows among all: minimum diameter (MDA) and smallest maximum eigenvalue (SMEA).

Both are exact, and in a tie take the lexicographically first subset. Neither has a polynomial algorithm; what is out of
reach is refused before anything is computed.

Two rows farther apart than some diameter conflict. Rows of that diameter are left after removing f exactly if f rows meet
all conflicts: a vertex cover of size f, which is found by branching, at most about 1.47**f times whatever n is, where
there are C(n, f) subsets. Eigenvalues have no such structure, so SMEA looks at all subsets, many at a time.

References:
    El Mhamdi, Guerraoui, Guirguis, Hoang, Rouault 2020, "Genuinely distributed Byzantine machine learning", section 3.2
    (MDA); Rousseeuw 1985, "Multivariate estimation with high breakdown point" (minimal diameter).
    Allouah, Guerraoui, Gupta, Pinot, Stephan 2023, "On the privacy-robustness-utility trilemma in distributed learning",
    definition of SMEA.
    Buss, Goldsmith 1993, "Nondeterminism within P" (kernel of vertex cover).
"""

import itertools
import math
from collections.abc import Iterator

import numpy as np
from jaxtyping import Int64

from aggregation import geometry as geometries
from aggregation import spectral, weights
from aggregation.errors import RuleError

# Each keeps the worst case at about ten seconds on one core.
MOST_SUBSETS = 500_000
MOST_WORK = 1 << 30
MOST_CONFLICTING = 50

# Numbers in a batch of matrices: several copies of it should stay in the cache.
_BATCH = 1 << 16
# A subset must be better by more than rounding to come before an earlier one.
_BETTER = 1.0 - 2.0**-40


def require(rows: int, f: int) -> None:
    """Accepts numbers for which SMEA ends in about ten seconds: C(rows, f) subsets, the cube of their size each.

    Args:
        rows: Rows after the pre-aggregation.
        f: Byzantine rows to withstand.

    Raises:
        RuleError: If there are more than 500,000 subsets, or too large ones; the message says what would do.
    """
    if not _feasible(rows, f):
        most = next(fewer for fewer in itertools.count() if not _feasible(rows, fewer + 1))
        raise RuleError(
            f"C({rows}, {f}) = {_count(rows, f)} subsets of {rows - f} rows: expected at most {_most(rows, f)}: "
            f"lower rule.byzantine to {most}, or choose caf, which looks at n at most"
        )


def require_diameter(rows: int, f: int) -> None:
    """Accepts numbers for which MDA ends in about ten seconds.

    Args:
        rows: Rows after the pre-aggregation; any number will do.
        f: Byzantine rows to withstand.

    Raises:
        RuleError: If f is more than 50; the message says what would do.
    """
    if f > MOST_CONFLICTING:
        raise RuleError(
            f"the least diameter among C({rows}, {f}) = {_count(rows, f)} subsets: expected at most "
            f"{MOST_CONFLICTING} Byzantine rows: lower rule.byzantine to {MOST_CONFLICTING}, or choose caf"
        )


def mda(geometry: geometries.Geometry, f: int) -> weights.Weights:
    """Returns the mean of the `rows - f` rows whose diameter, their largest distance, is least.

    Args:
        geometry: Of the rows; only its distances are read, and only compared.
        f: Byzantine rows to withstand, `0 <= 2 f < rows`.

    Raises:
        RuleError: As `require_diameter`.

    Reference:
        El Mhamdi et al. 2020, section 3.2.
    """
    rows = len(geometry.squared)
    require_diameter(rows, f)
    distances, ranks = np.unique(geometry.squared, return_inverse=True)
    ranks = ranks.reshape(rows, rows)
    low, high = 0, len(distances) - 1
    while low < high:
        middle = (low + high) // 2
        if _resolvable(_conflicts(ranks, middle), (1 << rows) - 1, f):
            high = middle
        else:
            low = middle + 1
    return _mean(rows, _first_clique(_conflicts(ranks, low), f))


def smea(geometry: geometries.Geometry, f: int) -> weights.Weights:
    """Returns the mean of the `rows - f` rows whose covariance has the smallest largest eigenvalue.

    Eigenvalues that differ by less than 2**-40 of themselves count as equal: the first subset is taken.

    Args:
        geometry: Of the rows; only its distances are read.
        f: Byzantine rows to withstand, `0 <= 2 f < rows`.

    Raises:
        RuleError: As `require`.

    Reference:
        Allouah et al. 2023, SMEA.
    """
    rows = len(geometry.squared)
    require(rows, f)
    squared = geometries.as_floats(geometry.squared)
    size = rows - f
    uniform = np.full((size, 1), 1.0 / size)
    best, least = tuple(range(size)), math.inf
    for batch in _batches(rows, size):
        chosen = np.array(batch, dtype=np.int64).T
        covariances = spectral.centred(squared[chosen[:, np.newaxis], chosen[np.newaxis]], uniform)
        for subset, value in zip(batch, spectral.largest(covariances, bar=least * _BETTER).tolist(), strict=True):
            if value < least * _BETTER:
                best, least = subset, value
    return _mean(rows, best)


def _count(rows: int, f: int) -> str:
    subsets = math.comb(rows, f)
    return str(subsets) if subsets < 1 << 64 else f"about 2**{subsets.bit_length() - 1}"


def _most(rows: int, f: int) -> int:
    return min(MOST_SUBSETS, MOST_WORK // (rows - f) ** 3)


def _feasible(rows: int, f: int) -> bool:
    return f == 0 or math.comb(rows, f) <= _most(rows, f)


def _mean(rows: int, chosen: tuple[int, ...]) -> weights.Weights:
    numerators = np.zeros(rows, dtype=np.int64)
    numerators[list(chosen)] = 1
    return weights.Weights(numerators=numerators, total=len(chosen))


def _batches(rows: int, size: int) -> Iterator[list[tuple[int, ...]]]:
    """Yields all subsets in lexicographic order, many at a time."""
    remaining = itertools.combinations(range(rows), size)
    while batch := list(itertools.islice(remaining, max(_BATCH // size**2, 1))):
        yield batch


def _conflicts(ranks: Int64[np.ndarray, "rows rows"], diameter: int) -> list[int]:
    """Returns for every row the set of rows farther than the diameter, as the bits of an integer."""
    far = np.packbits(ranks > diameter, axis=1, bitorder="little")
    return [int.from_bytes(row.tobytes(), "little") for row in far]


def _resolvable(conflicts: list[int], rows: int, budget: int) -> bool:
    """Returns whether removing at most `budget` of these rows, the bits of an integer, leaves no conflict.

    A row with more conflicts than may be removed has to go itself. Where one has a single conflict, the other row may
    go. Else the row with the most conflicts, three or more except in cycles, goes, or all that it conflicts with.
    """
    while True:
        degrees = {row: (conflicts[row] & rows).bit_count() for row in _bits(rows) if conflicts[row] & rows}
        if not degrees:
            return True
        worst = max(degrees, key=degrees.__getitem__)
        most = degrees[worst]
        if sum(degrees.values()) > 2 * budget * most:
            return False
        rows = sum(1 << row for row in degrees)
        lone = next((row for row, degree in degrees.items() if degree == 1), None)
        if most > budget:
            rows &= ~(1 << worst)
        elif lone is not None:
            rows &= ~conflicts[lone]
        else:
            break
        budget -= 1
    others = conflicts[worst] & rows
    return _resolvable(conflicts, rows & ~(1 << worst), budget - 1) or _resolvable(
        conflicts, rows & ~others & ~(1 << worst), budget - most
    )


def _first_clique(conflicts: list[int], budget: int) -> tuple[int, ...]:
    """Returns the lexicographically first subset without a conflict that is `budget` smaller than all rows."""
    size, rows = len(conflicts) - budget, (1 << len(conflicts)) - 1
    chosen: list[int] = []
    for row in range(len(conflicts)):
        if len(chosen) == size or not rows >> row & 1:
            continue
        removed = conflicts[row] & rows
        if removed.bit_count() <= budget and _resolvable(conflicts, rows & ~removed, budget - removed.bit_count()):
            chosen.append(row)
            rows &= ~removed
            budget -= removed.bit_count()
        else:
            rows &= ~(1 << row)
            budget -= 1
    return tuple(chosen)


def _bits(rows: int) -> Iterator[int]:
    while rows:
        lowest = rows & -rows
        yield lowest.bit_length() - 1
        rows ^= lowest

"""Batcher's odd-even merge sort, without the compare-exchanges that no rank in demand depends on.

The same exchanges for every column: whole rows are compared at once, and no branch depends on the numbers.

Reference:
    Batcher 1968, "Sorting networks and their applications".
"""

from functools import cache


@cache
def comparators(rows: int, kept: range) -> tuple[tuple[int, int], ...]:
    """Returns the compare-exchanges (i, j), i < j, that bring the ranks `kept` to their places.

    Args:
        rows: How many numbers are sorted.
        kept: Ranks, 0 the smallest.

    Reference:
        Batcher 1968, odd-even merge sort.
    """
    network: list[tuple[int, int]] = []
    step = 1
    while step < rows:
        gap = step
        while gap >= 1:
            for start in range(gap % step, rows - gap, 2 * gap):
                lower = range(start, min(start + gap, rows - gap))
                network.extend((i, i + gap) for i in lower if i // (2 * step) == (i + gap) // (2 * step))
            gap //= 2
        step *= 2
    reached = set(kept)
    needed = []
    for i, j in reversed(network):
        if i in reached or j in reached:
            needed.append((i, j))
            reached.update((i, j))
    return tuple(reversed(needed))

"""Sorting networks by the 0-1 principle."""

import itertools

import pytest

from aggregation import network


@pytest.mark.parametrize("rows", range(1, 11))
def test_every_rank_in_demand_is_right_for_every_sequence_of_zeros_and_ones(rows):
    """By the 0-1 principle it is then right for all numbers."""
    for first in range((rows + 1) // 2):
        kept = range(first, rows - first)
        for numbers in itertools.product([0, 1], repeat=rows):
            found = list(numbers)
            for i, j in network.comparators(rows, kept):
                found[i], found[j] = min(found[i], found[j]), max(found[i], found[j])
            assert [found[rank] for rank in kept] == sorted(numbers)[first : rows - first]


def test_fewer_ranks_need_fewer_exchanges():
    assert len(network.comparators(50, range(24, 26))) < len(network.comparators(50, range(50)))

"""Nearest-neighbour mixing against the paper's algorithm, written out."""

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from aggregation import mixing


def literal_nnm(rows, f):
    """Allouah et al. 2023, algorithm 2, times n - f: sum the n - f nearest of each update, ties to the lower index."""
    mixed = []
    for x in rows:
        nearest = sorted(
            range(len(rows)), key=lambda j: (sum((a - b) ** 2 for a, b in zip(x, rows[j], strict=True)), j)
        )
        mixed.append([sum(column) for column in zip(*(rows[j] for j in nearest[: len(rows) - f]), strict=True)])
    return mixed


@pytest.mark.parametrize("reach", [1, 32767])
@given(data=st.data())
def test_mixing_is_the_algorithm_of_the_paper(reach, data):
    """Small entries make many ties."""
    clients, dim = data.draw(st.integers(1, 9)), data.draw(st.integers(1, 4))
    row = st.lists(st.integers(-reach, reach), min_size=dim, max_size=dim)
    rows = data.draw(st.lists(row, min_size=clients, max_size=clients))
    f = data.draw(st.integers(0, (clients - 1) // 2))
    mixture = mixing.nearest_neighbours(torch.tensor(rows, dtype=torch.int16), f)
    assert mixture.sums.dtype == torch.int32
    assert mixture.sums.tolist() == literal_nnm(rows, f)
    assert mixture.count == clients - f


def test_three_clients_by_hand():
    """0, 1 and 10 with f = 1: the first two mix with each other, the far one with its nearer neighbour."""
    mixture = mixing.nearest_neighbours(torch.tensor([[0], [10], [1]], dtype=torch.int16), 1)
    assert mixture.sums.tolist() == [[1], [11], [1]]
    assert mixture.count == 2


@given(st.permutations(range(9)))
def test_without_ties_rows_are_mixed_alike_in_any_order(order):
    """Powers of two on a line have distinct distances from each other: mixing commutes with a permutation."""
    matrix = torch.tensor([[2**k, 3] for k in range(9)], dtype=torch.int16)
    mixed = mixing.nearest_neighbours(matrix, 4).sums
    assert torch.equal(mixing.nearest_neighbours(matrix[list(order)], 4).sums, mixed[list(order)])


def test_wide_matrices_are_mixed_block_by_block():
    """Extremes over several blocks and a ragged last one; integer sums by torch are the other implementation."""
    matrix = torch.full((7, 40_001), 32767, dtype=torch.int16)
    matrix[3:] = -32767
    matrix[0, -1] = 0
    mixed = mixing.nearest_neighbours(matrix, 3)
    low = matrix[3:].sum(0, dtype=torch.int32)
    assert torch.equal(mixed.sums[5], low)
    assert torch.equal(mixed.sums[1], matrix[:4].sum(0, dtype=torch.int32))


def test_unmixed_updates_are_as_they_were():
    matrix = torch.tensor([[5, -7]], dtype=torch.int16)
    mixture = mixing.unmixed(matrix)
    assert torch.equal(mixture.sums, matrix)
    assert mixture.count == 1

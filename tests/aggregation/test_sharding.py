"""Matrices in parts; that the parts do not show is in test_exactness."""

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from aggregation import coordinatewise, errors, recipe, sharding


@given(st.integers(1, 50), st.integers(0, 500))
def test_shards_cover_every_column_once_and_are_even(shards, more):
    bounds = sharding.split(shards + more, shards)
    assert [0, *[last for _, last in bounds]] == [*[first for first, _ in bounds], shards + more]
    sizes = [last - first for first, last in bounds]
    assert max(sizes) - min(sizes) <= 1
    assert min(sizes) >= 1


def test_a_short_file_is_named(tmp_path):
    for name, size in (("whole", 10), ("short", 9)):
        (tmp_path / name).write_bytes(bytes(2 * size))
    files = sharding.Files(paths=[tmp_path / "whole", tmp_path / "short"], dim=10)
    with pytest.raises(errors.LatticeError, match="short ends at coordinate 9: expected 10"):
        sharding.stream(files, recipe.Method(rule="mean", pre="none", byzantine=0), lambda *_: None)


def test_too_few_files_are_refused_before_any_is_read(tmp_path):
    files = sharding.Files(paths=[tmp_path / "missing"], dim=10)
    with pytest.raises(errors.TooFewError):
        sharding.stream(files, recipe.Method(rule="median", pre="none", byzantine=1), lambda *_: None)


def test_the_running_mean_is_the_mean():
    """Bit for bit, also of updates at the bound."""
    generator = torch.Generator().manual_seed(1)
    matrix = torch.randint(-32767, 32768, (7, 100), dtype=torch.int16, generator=generator)
    running = sharding.RunningMean(100)
    for row in matrix:
        running.add(row)
    assert torch.equal(running.result(), coordinatewise.mean(matrix))

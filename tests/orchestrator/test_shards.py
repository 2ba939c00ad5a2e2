"""One aggregation over several processes."""

import pytest
import torch

from aggregation import errors, recipe
from orchestrator import errors as orchestrator_errors
from orchestrator import pool, shards


@pytest.mark.ray
def test_shards_on_ray_give_the_same_bits_as_the_whole() -> None:
    """Weighted sums, order statistics, drawn columns: three shards on two workers, and a refusal before any work."""
    generator = torch.Generator().manual_seed(4)
    matrix = torch.randint(-900, 901, (12, 5_000), dtype=torch.int16, generator=generator)
    with pool.Cluster(2) as cluster:
        for rule, pre in (("mean", "none"), ("trimmed_mean", "arc+nnm"), ("krum", "none"), ("dnc", "bucketing:2")):
            method = recipe.Method(rule=rule, pre=pre, byzantine=0 if rule == "mean" else 2, draw=b"drawn")
            assert torch.equal(shards.aggregate(cluster, matrix, method, 3), recipe.aggregate(matrix, method))
        with pytest.raises(errors.TooFewError):
            shards.aggregate(cluster, matrix, recipe.Method(rule="median", pre="none", byzantine=6), 3)
        with pytest.raises(orchestrator_errors.PoolError, match="_broken failed in a worker"):
            list(cluster.map(_broken, [(1,)]))


def _broken(number: int) -> int:
    raise ValueError(number)

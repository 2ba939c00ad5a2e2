"""One aggregation over several processes: the matrix cut by columns, each shard measured and reduced where it lies."""

import numpy as np
import torch

from aggregation import recipe, sharding
from orchestrator import pool


def aggregate(cluster: pool.Cluster, matrix: torch.Tensor, method: recipe.Method, shards: int) -> torch.Tensor:
    """The same bits as `recipe.aggregate` of the whole int16 `(clients, dim)` matrix: float64 `(dim,)`.

    Only n x n measurements travel between the shards; each is moved to shared memory once.

    Args:
        cluster: a running one.
        matrix: the updates.
        method: rule and pre-aggregation.
        shards: number of parts, 1 to `dim`.

    Raises:
        RuleError: the method cannot work with so many rows.
        PoolError: a worker failed.
    """
    method.check(len(matrix))
    dim = matrix.shape[1]
    bounds = sharding.split(dim, shards)
    kept = [cluster.keep(matrix[:, first:last].contiguous().numpy()) for first, last in bounds]
    asked = [(part, method, first, dim) for part, (first, _) in zip(kept, bounds, strict=True)]
    measured = dict(cluster.map(_measure, asked))
    decided = recipe.decide(sharding.together(measured[number] for number in range(len(bounds))), method)
    parts = dict(cluster.map(_apply, [(part, decided) for part in kept]))
    return torch.from_numpy(np.concatenate([parts[number] for number in range(len(bounds))]))


def _measure(part: np.ndarray, method: recipe.Method, first: int, dim: int) -> recipe.Measured:
    return recipe.measure(_tensor(part), method, first=first, dim=dim)


def _apply(part: np.ndarray, decided: recipe.Recipe) -> np.ndarray:
    return decided.apply(_tensor(part)).numpy()


def _tensor(part: np.ndarray) -> torch.Tensor:
    # A copy: the shared memory is read-only, and torch has no tensor that is.
    return torch.from_numpy(part.copy())

"""Ray: one cluster for these tests, the same bits as in one process, and nobody else's business."""

import stat
from collections.abc import Callable
from pathlib import Path

import pytest

from orchestrator import errors, folder, pool, replay


def checkpoint(root: Path) -> str:
    return replay.Replay(folder.RunFolder(root=root), lambda _number, _total: None).audit().checkpoint


@pytest.mark.ray
@pytest.mark.parametrize("workers", [1, 2])
def test_any_number_of_workers_gives_the_same_bits(
    pristine: Path, tmp_path: Path, execute: Callable, workers: int
) -> None:
    """One actor, two actors, or this process: the same final checkpoint, and every round audits."""
    root = tmp_path / "run"
    execute(root, "pool=ray", f"pool.workers={workers}")
    assert checkpoint(root) == checkpoint(pristine)
    assert stat.S_IMODE(pool.TOKEN.stat().st_mode) == 0o600, "the cluster's secret is its owner's (attacks 47, 49)"


def test_a_pool_that_was_not_started_says_so() -> None:
    """A mistake of the caller is named, not a crash inside Ray."""
    with pytest.raises(errors.PoolError, match="before it was started"):
        pool.RayPool(1)._submit("holder-00")

"""A run that is judged by the coordinator's own public examples."""

from pathlib import Path

import numpy as np
from rich.console import Console

from orchestrator import config, folder, infer, progress, run


def test_a_run_is_judged_by_the_coordinators_own_test_set(tmp_path: Path) -> None:
    """It lies pinned in the store, the plan names it, and a prediction is judged by it once the file itself is gone."""
    pixels = np.random.default_rng(0).integers(0, 256, (5, 28, 28))
    np.savez(tmp_path / "test.npz", inputs=pixels, labels=np.array([3, 1, 4, 1, 5]))
    choices = ["task=images", "task.channels=1", "task.holders=3", "rounds=1", "attack=none", "rule.byzantine=0"]
    chosen = config.compose(
        [*choices, "pool=inprocess", f"task.test={tmp_path / 'test.npz'}", f"dir={tmp_path / 'run'}"]
    )
    with progress.Progress(Console(quiet=True), {}) as show:
        run.execute(chosen, show)
    (tmp_path / "test.npz").unlink()
    model = infer.load(folder.RunFolder(root=tmp_path / "run"), None)
    assert model.agreed.plan.task == chosen.plan.task
    assert model.judge().total == 5
    assert chosen.plan.task.to_record()["test"] in set(map(str, model.store.pins()))

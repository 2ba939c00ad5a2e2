"""Finished runs, made once a session; whoever wants to damage one gets a copy."""

import logging
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from rich.console import Console

from orchestrator import progress, run, summary
from tests import federation


def execute(folder: Path, *overrides: str) -> summary.Summary:
    """Run to the end, in this process, silently."""
    chosen = federation.settings_for(folder, *overrides)
    with progress.Progress(Console(quiet=True), chosen.hostile) as show:
        return run.execute(chosen, show)[0]


@pytest.fixture(autouse=True)
def _commands_log_no_longer() -> Iterator[None]:
    """A command that ran in this process leaves its handler behind; a later one must not write through it."""
    yield
    for name in ("client", "orchestrator", "ledger", "exchange", "aggregation"):
        logging.getLogger(name).handlers = []


@pytest.fixture(scope="session")
def pristine(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a finished run of two rounds; nobody may change it."""
    folder = tmp_path_factory.mktemp("pristine") / "run"
    execute(folder)
    return folder


@pytest.fixture
def finished(pristine: Path, tmp_path: Path) -> Path:
    """A copy of a finished run, to damage."""
    return Path(shutil.copytree(pristine, tmp_path / "run"))


@pytest.fixture(name="execute")
def execute_fixture() -> Callable[..., summary.Summary]:
    return execute

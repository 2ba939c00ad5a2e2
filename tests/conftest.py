"""Properties run without a deadline: a loaded machine or a slow disk is not a defect of the code.

By hand they explore, with other inputs in each run. CI sets HYPOTHESIS_PROFILE=repeatable: the same inputs for the same tests,
so that a change is judged by what it changed.
"""

import itertools
import os
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import settings

from tests import nodes, servers

settings.register_profile("exploring", deadline=None)
settings.register_profile("repeatable", deadline=None, derandomize=True)
settings.load_profile(os.environ.get("HYPOTHESIS_PROFILE", "exploring"))

_STATES = itertools.count()


@pytest.fixture(autouse=True)
def _state(tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch) -> Path:
    """What an audit remembers lies in a folder of the test's own, never at home."""
    folder = tmp_path_factory.getbasetemp() / f"state-{next(_STATES)}"
    monkeypatch.setenv("FOLKMOOT_STATE", str(folder))
    return folder


@pytest.fixture(scope="session")
def server() -> Iterator[servers.Postgres]:
    """A PostgreSQL server; where none is installed its tests are skipped, unless FOLKMOOT_REQUIRE_SERVERS=1."""
    folder = servers.binaries()
    if folder is None:
        if os.environ.get("FOLKMOOT_REQUIRE_SERVERS") == "1":
            pytest.fail("FOLKMOOT_REQUIRE_SERVERS=1, and no PostgreSQL server is installed")
        pytest.skip("no PostgreSQL server is installed")
    running = servers.Postgres(folder)
    yield running
    running.stop()


@pytest.fixture(scope="session")
def ipfs() -> Iterator[tuple[nodes.Node, nodes.Node]]:
    """Two IPFS nodes that know each other; where js-ipfs is not installed their tests are skipped, as for `server`."""
    first = nodes.Node()
    try:
        second = nodes.Node()
        try:
            first.connect(second)
            yield first, second
        finally:
            second.stop()
    finally:
        first.stop()

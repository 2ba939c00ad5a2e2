"""Ray: one cluster for these tests, the same bits as in one process, and nobody else's business."""

import contextlib
import os
import signal
import socket
import stat
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
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
        pool.RayPool(1).ask(["holder-00"], b"", np.zeros(1, dtype=np.uint8))


@contextlib.contextmanager
def cluster(tmp_path: Path, mode: str) -> Iterator[str]:
    """Address of a Ray cluster on loopback that asks for a token, or does not; ended by its process group."""
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    command = [str(Path(sys.executable).with_name("ray")), "start", "--head", "--block", "--include-dashboard=false"]
    command += ["--node-ip-address=127.0.0.1", f"--port={port}", "--num-cpus=2", f"--temp-dir={tmp_path / 'r'}"]
    environment = os.environ | {"RAY_AUTH_MODE": mode, "PYTHONPATH": str(Path(__file__).parents[2])}
    with (tmp_path / "ray.log").open("wb") as log:
        process = subprocess.Popen(command, stdout=log, stderr=log, env=environment, start_new_session=True)
    try:
        until = time.monotonic() + 60
        while "runtime started" not in (tmp_path / "ray.log").read_text():
            assert process.poll() is None, (tmp_path / "ray.log").read_text()
            assert time.monotonic() < until, (tmp_path / "ray.log").read_text()
            time.sleep(0.1)
        yield f"127.0.0.1:{port}"
    finally:
        os.killpg(process.pid, signal.SIGTERM)
        with contextlib.suppress(subprocess.TimeoutExpired):
            process.wait(10)
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
        process.wait()


@pytest.mark.ray
@pytest.mark.chaos
def test_a_cluster_that_is_there_is_joined(
    pristine: Path, tmp_path: Path, tmp_path_factory: pytest.TempPathFactory, execute: Callable
) -> None:
    """The same bits, by its address; afterwards it is there still, and one that nobody answers for is named."""
    pool._protect_token()
    with cluster(tmp_path_factory.mktemp("c"), "token") as address:
        execute(tmp_path / "run", "pool=ray", f"pool.address={address}")
        assert checkpoint(tmp_path / "run") == checkpoint(pristine)
        pool._require_token(address)
    with pytest.raises(errors.PoolError, match="does not answer"):
        pool._require_token(address)


@pytest.mark.ray
@pytest.mark.chaos
def test_a_cluster_without_a_token_is_refused(
    tmp_path: Path, tmp_path_factory: pytest.TempPathFactory, execute: Callable
) -> None:
    """49: a cluster that lets anybody in is not joined, and the message says what to do."""
    with (
        cluster(tmp_path_factory.mktemp("c"), "disabled") as address,
        pytest.raises(errors.PoolError, match="RAY_AUTH_MODE=token"),
    ):
        execute(tmp_path / "run", "pool=ray", f"pool.address={address}")

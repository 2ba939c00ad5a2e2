"""Workers on Ray: the one module that imports it.

Ray places workers, moves the model to them once a round as one read-only buffer, and tells when one has died. It holds no
truth: a reply is a signed offer whose ciphertext is already in the store, and what died is asked again (docs/adr/0004).
"""

import logging
import os
import secrets
import signal
import subprocess
import sys
import threading
from collections.abc import Callable, Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any, Protocol, Self, TypeVar

# Read by Ray when it is imported: no usage statistics, no idle worker ahead of our actors, nobody without the secret.
os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")
os.environ.setdefault("RAY_enable_worker_prestart", "0")
os.environ.setdefault("RAY_prestart_worker_first_driver", "0")
os.environ.setdefault("RAY_AUTH_MODE", "token")
os.environ.setdefault("RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO", "0")

import numpy as np
import ray

from client import groups, worker
from orchestrator import errors

logger = logging.getLogger(__name__)

REPLACEMENTS = 20
Result = TypeVar("Result")
PROBING = 30.0
_TURNED_AWAY = 3
_PROBE = f"""
import sys
from ray import _raylet, exceptions
try:
    _raylet.GcsClient(address=sys.argv[1]).get_all_node_info(timeout=5)
except exceptions.AuthenticationError:
    sys.exit({_TURNED_AWAY})
"""
TOKEN = Path.home() / ".ray" / "auth_token"


class Pool(Protocol):
    """Who trains: the caller does not see whether it is this process or a cluster."""

    def start(self, settings: Any) -> None:  # noqa: ANN401  of its workers' kind
        """Make ready to play the holders of `settings`."""

    def ask(self, members: Sequence[str], opening: bytes, file: np.ndarray) -> None:
        """Have `members` contribute to the round that `opening` opens, from the checkpoint in `file`; forget older asks."""

    def wait(self, timeout: float) -> list[worker.Reply]:
        """Replies that are in, waiting at most `timeout` seconds for the first."""

    def close(self) -> None:
        """Stop every worker."""


class RayPool:
    """Persistent actors of one Ray cluster: a local one that lives as long as the pool, or one that is there.

    Args:
        workers: actors, and the CPUs that a local cluster is given.
        address: `auto` or HOST:PORT of a cluster that this machine is part of, and where the run folder has the same path on
            each; None for a local one.
        kind: what an actor is: made from the settings, it divides cohorts and answers as `worker.Worker` does.
    """

    def __init__(self, workers: int, address: str | None = None, kind: type[Any] = worker.Worker) -> None:
        self._count = workers
        self._address = address
        self._kind = kind
        self._settings: Any = None
        self._actors: list[Any] = []
        self._asked: dict[Any, tuple[groups.Group, int]] = {}
        self._request: tuple[bytes, Any] | None = None
        self._replaced = 0

    def start(self, settings: Any) -> None:  # noqa: ANN401  of the kind
        """Start the cluster, or join it, and start its workers.

        Raises:
            PoolError: Ray does not start, or the cluster takes anybody without a token.
        """
        self._settings = settings
        _start_ray(self._count, self._address)
        self._division = self._kind.division(settings)  # while the cluster starts its processes
        gpus = ray.cluster_resources().get("GPU", 0.0) / self._count
        self._actor_class = ray.remote(num_cpus=1, num_gpus=gpus, max_restarts=0)(self._kind)
        self._actors = [self._actor_class.remote(settings) for _ in range(self._count)]

    def ask(self, members: Sequence[str], opening: bytes, file: np.ndarray) -> None:
        """Place the model in the object store once, and hand each group to a worker, to each worker as many."""
        self._asked.clear()
        if self._settings is None:
            raise errors.PoolError("the pool was asked before it was started")
        self._request = (opening, ray.put(file))
        for number, group in enumerate(self._division.of(members, opening)):
            self._submit(group, (number if group.home is None else group.home) % self._count)

    def wait(self, timeout: float) -> list[worker.Reply]:
        """Replies that are in; members of a worker that died are asked again on a new one.

        Raises:
            PoolError: workers have died more often than chance explains.
        """
        if not self._asked:
            return []
        ready, _ = ray.wait(list(self._asked), timeout=timeout)
        more, _ = ray.wait(list(self._asked), num_returns=len(self._asked), timeout=0)
        replies: list[worker.Reply] = []
        for future in dict.fromkeys([*ready, *more]):
            if future not in self._asked:  # its worker's death has already moved it to another future
                continue
            group, place = self._asked[future]
            try:
                replies += ray.get(future)
                del self._asked[future]
            except ray.exceptions.RayActorError as error:
                self._replace(place, error)
            except ray.exceptions.RayError as error:
                # A holder's failure is a reply; an exception that leaves a worker is a defect, and must not pass for one.
                raise errors.PoolError(f"the worker of {', '.join(group.asked)} failed: {error}") from error
        return replies

    def close(self) -> None:
        """Stop our workers, and a local cluster with all its processes."""
        if ray.is_initialized():
            ray.shutdown()

    def _submit(self, group: groups.Group, place: int) -> None:
        if self._request is None:
            raise errors.PoolError("the pool was asked before it was started")
        opening, model = self._request
        self._asked[self._actors[place].answer.remote(group, opening, model)] = (group, place)

    def _replace(self, place: int, cause: Exception) -> None:
        self._replaced += 1
        if self._replaced > REPLACEMENTS:
            message = f"{self._replaced} workers died in this run, the last one so: {cause}"
            raise errors.PoolError(f"{message}. Is memory short? The same command resumes the run") from cause
        logger.warning("a worker died; its holders are asked again")
        self._actors[place] = self._actor_class.remote(self._settings)
        lost = [future for future, (_, where) in self._asked.items() if where == place]
        for future in lost:
            self._submit(*self._asked.pop(future))


class Cluster:
    """A local Ray cluster that applies functions to data: shards of a matrix, trials of a benchmark.

    Args:
        workers: processes, and the CPUs the cluster is given.
    """

    def __init__(self, workers: int) -> None:
        self._workers = workers

    def __enter__(self) -> Self:
        """Start it.

        Raises:
            PoolError: Ray does not start.
        """
        _start_ray(self._workers)
        return self

    def __exit__(self, *_: object) -> None:
        """Stop it and all its processes."""
        ray.shutdown()

    def keep(self, value: object) -> object:
        """A handle for a value that many calls read; it is moved into shared memory once."""
        return ray.put(value)

    def map(
        self, function: Callable[..., Result], arguments: Iterable[tuple[object, ...]]
    ) -> Iterator[tuple[int, Result]]:
        """(position, `function(*arguments)`) for each, in the order in which they are done; handles arrive as their values.

        Raises:
            PoolError: a call failed; the message ends with what it said.
        """
        call = ray.remote(num_cpus=1)(function)
        waiting = {call.remote(*each): position for position, each in enumerate(arguments)}
        while waiting:
            (done, *_), _rest = ray.wait(list(waiting), num_returns=1)
            try:
                yield waiting.pop(done), ray.get(done)
            except ray.exceptions.RayError as error:
                raise errors.PoolError(f"{function.__name__} failed in a worker: {error}") from error


def _start_ray(workers: int, address: str | None = None) -> None:
    _protect_token()
    ours = signal.getsignal(signal.SIGTERM)
    if address not in (None, "auto"):
        _require_token(str(address))
    local = {"num_cpus": workers, "include_dashboard": False} if address is None else {}
    quiet = {"logging_level": "ERROR", "log_to_driver": False, "configure_logging": False}
    try:
        ray.init(address=address or "local", **local, **quiet)
    except (RuntimeError, OSError, ValueError, ray.exceptions.RayError) as error:
        what = "Ray did not start" if address is None else f"the Ray cluster {address} cannot be joined"
        raise errors.PoolError(f"{what}: {error}; pool=inprocess runs without it") from error
    if address == "auto":
        try:
            _require_token(ray.get_runtime_context().gcs_address)
        except errors.PoolError:
            ray.shutdown()
            raise
    if threading.current_thread() is threading.main_thread():
        signal.signal(signal.SIGTERM, ours)  # Ray puts its own in the place of it


def _require_token(address: str) -> None:
    """Nothing, if a cluster turns away whoever has no token; asked by a process that has none.

    Raises:
        PoolError: it does not, so that anybody who reaches it can run code as its owner; or there is no cluster.
    """
    without = {name: value for name, value in os.environ.items() if not name.startswith("RAY_AUTH")}
    without["RAY_AUTH_MODE"] = "disabled"
    command = [sys.executable, "-c", _PROBE, address]
    try:
        asked = subprocess.run(command, env=without, capture_output=True, timeout=PROBING, check=False)
    except subprocess.TimeoutExpired:
        raise errors.PoolError(f"the Ray cluster {address} does not answer, expected its HOST:PORT") from None
    if asked.returncode == 0:
        message = f"the Ray cluster {address} lets anybody in without a token, who could then run code as you"
        raise errors.PoolError(f"{message}: start it with RAY_AUTH_MODE=token")
    if asked.returncode != _TURNED_AWAY:
        raise errors.PoolError(f"the Ray cluster {address} does not answer, expected its HOST:PORT")


def _protect_token() -> None:
    """Keep the cluster's secret from other users: Ray listens on every interface, and would make this file world-readable."""
    TOKEN.parent.mkdir(mode=0o700, exist_ok=True)
    try:
        descriptor = os.open(TOKEN, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    except FileExistsError:
        TOKEN.chmod(0o600)
        return
    with os.fdopen(descriptor, "w") as file:
        file.write(secrets.token_hex(32))

"""`folkmoot run`: one run on one folder, from wherever its ledger stands to the end of its plan."""

import contextlib
from collections.abc import Callable, Sequence
from pathlib import Path

from exchange import places
from ledger import durable, log
from orchestrator import config as config_door
from orchestrator import (
    coordinator,
    errors,
    folder,
    inprocess,
    journal,
    listener,
    metrics,
    pool,
    progress,
    remote,
    scoring,
    settings,
    summary,
    trace,
)


def execute(
    config: settings.RunConfig, show: progress.Progress, listeners: Sequence[listener.Listener] = ()
) -> tuple[summary.Summary, Path]:
    """Start or resume the run that `config` describes; its summary, and its folder.

    Args:
        config: the run.
        show: what a person sees.
        listeners: others that want to be told.

    Raises:
        FolderError: the folder is busy, or holds another run.
        OrchestratorError, LedgerError: the run cannot go on; what is on the ledger stays, and the same command resumes.
    """
    where = folder.RunFolder(root=config.folder)
    waiting = (
        (lambda: show.waiting(f"another coordinator runs {where.root}: waiting to take over"))
        if config.standby
        else None
    )
    with where.locked(waiting), contextlib.ExitStack() as stack:
        _require_same_simulation(config, where)
        acting = _lease(where, waiting, stack)
        _name_nodes(config, where)
        lines = metrics.MetricsFile(where.metrics)
        if where.ledger.exists():
            with _read(where) as record:
                lines.rebuild(record)
                before = summary.read(record)
            if before.entries:
                show.resumed(before.rounds, before.planned)
        traced = [trace.TraceFile(where.root / trace.NAME)] if config.profile else []
        _run(config, where, [lines, show, *traced, *listeners], acting)
        with _read(where) as record:
            lines.rebuild(record)
            return summary.read(record), where.root


def _read(where: folder.RunFolder) -> log.Log:
    # Not read-only: a process killed while it made the database left one without tables, which this completes.
    return journal.opened(where.ledger, journal.named(where.ledger, where.coordinator_key().public))


def _lease(
    where: folder.RunFolder, waiting: Callable[[], None] | None, stack: contextlib.ExitStack
) -> Callable[[], None]:
    """What fails when this process no longer acts on the log. The folder's lock may not reach other machines; this one does."""
    if where.server is None:
        return lambda: None
    from ledger import lease  # noqa: PLC0415 - its client is there only where it is wanted

    held = lease.Lease(where.server, journal.named(where.ledger, where.coordinator_key().public))
    stack.callback(held.close)
    held.acquire(waiting)
    return held.require


def _run(
    config: settings.RunConfig,
    where: folder.RunFolder,
    listeners: Sequence[listener.Listener],
    acting: Callable[[], None] = lambda: None,
) -> None:
    if config.post_quantum:
        where.make_second_key()
    if config.test:
        store = places.open(where.place)
        store.pin(store.put(config.test))
    workers = _pool(config, where)
    try:
        coordinator.Coordinator(
            where,
            config.plan,
            hostile=config.hostile,
            workers=workers,
            threads=config.threads,
            together=config.together,
            listeners=listeners,
            witnesses=config.witnesses,
            acting=acting,
            guests={} if config.hosting is None else config.hosting.guests,
        ).run()
        if isinstance(workers, remote.RemotePool):
            workers.linger()
    finally:
        workers.close()


def _pool(config: settings.RunConfig, where: folder.RunFolder) -> pool.Pool:
    if config.hosting is not None:
        return remote.RemotePool(where, config.hosting)
    if config.pool == "inprocess":
        return inprocess.InProcessPool(scoring.kind(config.plan))
    return pool.RayPool(config.workers, config.address, scoring.kind(config.plan))


def _name_nodes(config: settings.RunConfig, where: folder.RunFolder) -> None:
    """Nodes and gateways come and go, so those of the last command count; what a run comes to does not depend on them."""
    for file, named in ((where.api, config.api), (where.gateways, config.gateways)):
        if named:
            durable.write(file, "".join(f"{each}\n" for each in named).encode())
        else:
            file.unlink(missing_ok=True)


def _require_same_simulation(config: settings.RunConfig, where: folder.RunFolder) -> None:
    """The plan is on the ledger; who is hostile, and on how many threads, only the folder's own configuration tells."""
    if not where.ledger.exists():
        durable.write(where.config, config.resolved.encode())
        if config.url is not None:
            where.coordinator_key()  # made before there is a run that it is missing from
            durable.write(where.url, config.url.encode() + b"\n")
        return
    hostile, threads, together = config_door.simulated_in(where.config)
    if config.hosting is not None:  # nobody is played here
        hostile, threads, together = dict(config.hostile), config.threads, config.together
    if hostile != dict(config.hostile):
        differs = f"other hostile holders ({hostile or 'none'})"
    elif threads != config.threads:
        differs = f"pool.threads={threads}, on which the bits of training depend"
    elif together != config.together:
        differs = f"pool.together={together}, on which the bits of training depend"
    elif where.server != config.url:
        differs = f"its log in {where.server or where.ledger}"
    else:
        return
    message = f"{where.root} holds a run with {differs}"
    raise errors.FolderError(f"{message}: choose another folder with dir=NEW, or repeat its configuration")

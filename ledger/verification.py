"""The history of a long log, its signatures verified on all cores.

What a statement means follows from all before it, so one process folds; whether a signature is its author's does not, so
others verify. Nothing is returned before every signature has been.
"""

import collections
import concurrent.futures
import multiprocessing
import os
import signal
from collections.abc import Callable, Iterable
from typing import Self, TypeAlias

from ledger import dsse, errors, history, keys, leaf

BATCH = 256
"""Entries whose signatures one process verifies at a time."""

ALONE = 4096
"""Entries that are verified before other processes are started: that takes them as long."""

Signed: TypeAlias = tuple[int, bytes, bytes, bytes]
"""(position, 32 bytes of the key, payload, signature): as plain bytes, which go to another process for little."""


def replay(
    entries: Iterable[leaf.Entry],
    *,
    workers: int | None = None,
    progress: Callable[[int], None] = lambda done: None,  # noqa: ARG005
) -> history.History:
    """The history of a log from its first entry on, as `history.replay` has it, in constant memory.

    Args:
        entries: From position 0 on.
        workers: Processes that verify; None for one a core, 0 for this one alone.
        progress: Is told how many entries have been folded, now and then.

    Raises:
        EntryError: The first entry that is no statement, not signed by its author, or does not fit.

    Reference: docs/protocol.md P6.
    """
    count = os.cpu_count() or 1 if workers is None else workers
    if count == 0:
        return _fold(entries, _check, progress)
    with _Pool(count) as pool:
        return _fold(entries, pool.check, progress)


class _Pool:
    """Processes that verify, started when a log turns out to be long."""

    def __init__(self, count: int) -> None:
        self._count = count
        self._alone = ALONE // BATCH
        self._executor: concurrent.futures.ProcessPoolExecutor | None = None
        self._pending: collections.deque[concurrent.futures.Future[None]] = collections.deque()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        try:
            # In order: where several entries are wrong, the first one is told.
            while self._pending:
                self._pending.popleft().result()
        finally:
            if self._executor is not None:
                self._executor.shutdown(cancel_futures=True)

    def check(self, batch: list[Signed]) -> None:
        if self._alone:
            self._alone -= 1
            _check(batch)
            return
        if self._executor is None:
            # Not a fork: whoever calls may have threads.
            start = multiprocessing.get_context("spawn")
            # Ctrl-C reaches every process of the terminal; this one alone has something to say about it.
            ignore = (signal.SIGINT, signal.SIG_IGN)
            self._executor = concurrent.futures.ProcessPoolExecutor(
                self._count, mp_context=start, initializer=signal.signal, initargs=ignore
            )
        self._pending.append(self._executor.submit(_check, batch))
        while len(self._pending) > 4 * self._count:
            self._pending.popleft().result()


def _fold(
    entries: Iterable[leaf.Entry], check: Callable[[list[Signed]], None], progress: Callable[[int], None]
) -> history.History:
    known, batch = history.EMPTY, list[Signed]()

    def later(envelope: dsse.Envelope, key: keys.PublicKey) -> None:
        [(_, signature)] = envelope.signatures
        batch.append((known.size, key.raw, envelope.payload, signature))

    try:
        for entry in entries:
            known = history.apply(known, entry.seq, entry.envelope, verify=later)
            if len(batch) == BATCH:
                check(batch)
                batch = []
                progress(known.size)
    except (errors.StatementError, errors.SignatureError, errors.HistoryError) as error:
        raise errors.EntryError(known.size, error) from error
    finally:
        check(batch)
    return known


def _check(batch: list[Signed]) -> None:
    for seq, raw, payload, signature in batch:
        try:
            keys.PublicKey(raw=raw).verify(signature, dsse.pae(dsse.PAYLOAD_TYPE, payload))
        except errors.SignatureError as error:
            raise errors.EntryError(seq, error) from error

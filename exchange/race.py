"""The first good answer of several who are asked for the same thing."""

import queue
import threading
from collections.abc import Callable, Sequence
from typing import Generic, TypeVar

from exchange import errors

_T = TypeVar("_T")


def first(
    names: Sequence[str],
    ask: Callable[[str], _T],
    *,
    hedge: float | None,
    failed: Callable[[str, errors.StoreError], None],
    drop: Callable[[_T], None],
) -> tuple[str, _T] | None:
    """Who answered first, and what; None if nobody did.

    Args:
        names: who may be asked, in this order.
        ask: gives the answer of one, or raises StoreError; called in a thread of its own where there is a `hedge`.
        hedge: seconds of silence after which the next one is asked as well; None waits for each.
        failed: told who did not answer, and why.
        drop: takes an answer that came too late.
    """
    if hedge is not None:
        return _Race(ask, drop).run(list(names), hedge, failed)
    for name in names:
        try:
            return name, ask(name)
        except errors.StoreError as error:
            failed(name, error)
    return None


class _Race(Generic[_T]):
    def __init__(self, ask: Callable[[str], _T], drop: Callable[[_T], None]) -> None:
        self._ask = ask
        self._drop = drop
        self._came: queue.SimpleQueue[tuple[str, _T | Exception]] = queue.SimpleQueue()
        self._lock = threading.Lock()
        self._over = False

    def run(
        self, names: list[str], hedge: float, failed: Callable[[str, errors.StoreError], None]
    ) -> tuple[str, _T] | None:
        running = 0
        try:
            while names or running:
                if names:
                    threading.Thread(target=self._answer, args=(names.pop(0),), daemon=True).start()
                    running += 1
                try:
                    name, answer = self._came.get(timeout=hedge if names else None)
                except queue.Empty:
                    continue
                running -= 1
                if isinstance(answer, errors.StoreError):
                    failed(name, answer)
                elif isinstance(answer, Exception):
                    raise answer
                else:
                    return name, answer
            return None
        finally:
            self._end()

    def _answer(self, name: str) -> None:
        answer: _T | Exception
        try:
            answer = self._ask(name)
        except Exception as error:  # noqa: BLE001  handed to the thread that waits, which raises it
            answer = error
        with self._lock:
            if not self._over:
                self._came.put((name, answer))
                return
        if not isinstance(answer, Exception):
            self._drop(answer)

    def _end(self) -> None:
        with self._lock:
            self._over = True
        while not self._came.empty():
            _, late = self._came.get()
            if not isinstance(late, Exception):
                self._drop(late)

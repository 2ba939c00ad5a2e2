"""Work in two stages at once: the next item is made on a second thread while this one is used.

    second thread   make 1 | make 2 | make 3 | ...
    the caller               use 1  | use 2  | use 3 ...

Ciphers, hashes and system calls let go of Python's lock, so two of them take two cores. One item is being used and one is
being made, never more: a maker with two buffers may use them in turn.
"""

from collections.abc import Generator, Iterable
from concurrent import futures
from typing import TypeVar, cast

_T = TypeVar("_T")
_END = object()


def ahead(items: Iterable[_T]) -> Generator[_T]:
    """The items in their order, each begun when the one before is handed over; what their maker raises is raised here.

    Close it, if it is not read to its end: that waits for the item which is being made, and ends the thread.

    Args:
        items: made on another thread, so what makes them must not wait for somebody for long.
    """
    made = iter(items)
    with futures.ThreadPoolExecutor(1, thread_name_prefix="exchange-ahead") as thread:
        item = thread.submit(next, made, _END).result()
        while item is not _END:
            following = thread.submit(next, made, _END)
            yield cast("_T", item)
            item = following.result()

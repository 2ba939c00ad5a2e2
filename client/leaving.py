"""What leaves a holder, and what is written down before it does: at once for one holder, together for several of one owner.

spending and ciphertext on disk -> offers in their outboxes -> anybody may see them
"""

import contextlib
import dataclasses
from collections.abc import Iterator

from exchange import gathering
from exchange import store as stores
from ledger import durable


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Leaving:
    """Where a holder's update goes.

    Attributes:
        files: takes ciphertext.
        records: what the holder writes down, durable when these are finished; None for at once.
        timed: whether the work of each holder is timed by itself.
    """

    files: gathering.Sink
    records: durable.Together | None = None
    timed: bool = True


@contextlib.contextmanager
def together(store: stores.Store, *, timed: bool) -> Iterator[Leaving]:
    """For one holder or several, each `timed` or not: nobody may see their offers before this has ended without an error."""
    records = durable.Together()
    with gathering.files(store) as files:
        yield Leaving(files=files, records=records, timed=timed)
    records.finish()

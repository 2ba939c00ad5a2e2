"""What a log needs of the database under it: rows in order, one writer at a time, and commits that last.

A store knows nothing of leaves, chains and trees: it gives back what lies there, and `ledger.rows`, `ledger.nodes` and
`ledger.log` judge it. Two stores implement this: `ledger.sqlite` and `ledger.postgres`.
"""

from collections.abc import Callable, Iterator, Sequence
from typing import NamedTuple, Protocol, TypeVar

T = TypeVar("T")


class Row(NamedTuple):
    """One entry as it is stored: position, leaf hash (32 bytes), eid (32 bytes), leaf."""

    seq: int
    hash: bytes
    eid: bytes
    leaf: bytes


class NodeRow(NamedTuple):
    """One stored node: the root over the 2^level leaves from place * 2^level on."""

    level: int
    place: int
    hash: bytes


class Store(Protocol):
    """An open database.

    Every method raises CorruptError where stored bytes are damaged, and else LogError where the store refuses. Pages
    come in ascending order and hold what is there: a gap is the caller's to find.
    """

    def close(self) -> None:
        """Nothing; the database is closed."""

    def transact(self, work: Callable[[], T]) -> T:
        """What `work` returns, done in one transaction: nobody else writes meanwhile, and all of it lasts or nothing.

        Args:
            work: Reads and writes through this store. It may be run again where the outcome of a first time is unknown,
                so it must be safe to repeat.

        Raises:
            LogError: The lock, the disk or the server refused. Whether a failed commit happened is then unknown.
        """

    def size(self) -> int:
        """One more than the last position, 0 without rows."""

    def census(self) -> tuple[int, int]:
        """(number of rows, the lowest position), (0, 0) without rows."""

    def positions(self, eids: Sequence[bytes]) -> dict[bytes, int]:
        """Eid -> position, of those that have one."""

    def rows(self, start: int, stop: int) -> list[Row]:
        """The rows from position `start` to before `stop`."""

    def hashes(self, level: int, start: int, stop: int) -> list[tuple[int, bytes]]:
        """(index, hash) from index `start` to before `stop`: of the leaves at level 0, else of the stored nodes."""

    def insert(self, rows: Sequence[Row]) -> None:
        """Nothing; the rows are stored. They follow one another and the last row."""

    def insert_nodes(self, nodes: Sequence[NodeRow]) -> None:
        """Nothing; the nodes are stored."""

    def node_count(self) -> int:
        """Number of stored nodes."""

    def note(self, size: int) -> bytes | None:
        """The note stored for this size."""

    def last_note(self) -> tuple[int, bytes] | None:
        """(size, note) of the largest size."""

    def notes(self, start: int, limit: int) -> list[tuple[int, bytes]]:
        """(size, note) of the first `limit` notes whose size is at least `start`."""

    def put_note(self, size: int, note: bytes) -> None:
        """Nothing; the note is stored for this size, in place of an earlier one."""

    def damages(self) -> Iterator[str]:
        """What the database's own check of its files and indices finds, one sentence each."""

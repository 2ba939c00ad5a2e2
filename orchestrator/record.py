"""A run's log that several processes write: followed as it grows, appended to under the ledger's own rules, without any key.

The coordinator (`orchestrator.journal`) and the service write the same log, each in its own process. Whoever appends reads what
the others wrote under the store's lock, judges anew, and only then writes: nobody loses a race, and nothing forks.
"""

import itertools
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Self

from ledger import authority, checkpoint, dsse, errors, history, leaf, log, membership, note
from orchestrator import pointer

REFUSALS = (errors.StatementError, errors.SignatureError, errors.HistoryError)
"""What the rules say of a statement that does not fit; any other error is the log's."""
Still = Callable[[history.History], bool]
"""Whether what was decided by an earlier history holds by this one."""


class Record:
    """The log of a run folder, and what it says as far as it has been read. Not for use by several threads.

    Args:
        path: where the log lies, as `opened` takes it.
        origin: the log's name; None for the one that its published checkpoint gives.

    Attributes:
        history: the fold of all entries read.
        rotations: the coordinator's changes of key, in order.
        opening: the statement that opened the latest round, as it was appended; None before the first.
        log: the log itself, for reading.

    Raises:
        LogError: the log cannot be opened, or does not hold what it promised.
        StatementError, SignatureError, HistoryError: an entry does not fit those before it.
    """

    def __init__(self, path: Path, origin: str | None = None) -> None:
        self.log = opened(path, origin or claimed(path))
        self.history = history.EMPTY
        self.rotations: list[dsse.Envelope] = []
        self.opening: dsse.Envelope | None = None
        self._head = leaf.NO_HEAD
        try:
            self.refresh()
        except errors.LedgerError:
            self.close()
            raise

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Nothing; the log is closed."""
        self.log.close()

    def refresh(self) -> bool:
        """Whether there was anything new; all entries that others appended are in `history` now.

        Raises:
            LogError: the log cannot be read, or is damaged.
            StatementError, SignatureError, HistoryError: an entry does not fit those before it; nothing from it on is in.
        """
        before = self.history.size
        for entry in self.log.entries(before):
            self._follow(history.apply(self.history, entry.seq, entry.envelope), entry)
        return self.history.size > before

    def find(self, eid: str) -> int | None:
        """The position of the entry with this hex eid; None if the log has none."""
        return self.log.find(eid)

    def append(self, *envelopes: dsse.Envelope, still: Still = lambda _: True) -> int:
        """The position of the first of `envelopes`, appended in one durable transaction or, where the rules refuse one, none.

        What others appended meanwhile is read first, so it is judged by the log as it stands, which refuses what is on it
        already: after an unknown outcome, `find` tells.

        Args:
            envelopes: what to append, at least one.
            still: whether what was decided by an earlier history holds by this one.

        Raises:
            ConflictError: it does not; nothing was appended. Decide anew.
            StatementError: one is not well-formed.
            SignatureError: one is not signed by its author.
            HistoryError: one does not fit what the log says.
            LogError: the store refused; append the same again.
        """
        judged: list[tuple[history.History, leaf.Entry]] = []

        def head() -> str:
            self.refresh()
            if not still(self.history):
                raise errors.ConflictError("the log has moved on since this was decided: decide anew")
            judged[:] = self._judged(envelopes)
            return self._head

        positions = self.log.append(envelopes, head=head)
        if [entry.seq for _, entry in judged] != positions:  # the log had the very same already, and did not ask
            self.refresh()
            judged = self._judged(envelopes)
        for known, entry in judged:
            self._follow(known, entry)
        return positions[0]

    def admit(self, envelopes: Sequence[dsse.Envelope]) -> list[int | errors.LedgerError]:
        """For each envelope its position, or why the rules refuse it; what they admit is durable when this returns.

        One that is on the log already, or twice in `envelopes`, has one position. They are judged in this order, each after
        those that were admitted before it.

        Raises:
            LogError: the store refused; none of it is acknowledged. Ask the same again.
        """
        while True:
            self.refresh()
            outcomes, judged = self._sifted(envelopes)
            places = {entry.eid: entry.seq for _, entry in judged}
            try:
                added = self.log.append([entry.envelope for _, entry in judged], head=self._head) if judged else []
            except errors.ConflictError:
                continue  # somebody wrote between judging and the lock; seldom, and each time the log has grown
            if added == list(places.values()):
                for known, entry in judged:
                    self._follow(known, entry)
                return [places[each] if isinstance(each, str) else each for each in outcomes]

    def entries(self, start: int, stop: int | None = None) -> Iterator[log.Entry]:
        """The entries from `start` to before `stop`, or to the end of what was read, none of them beyond that."""
        return self.log.entries(start, self.history.size if stop is None else min(stop, self.history.size))

    def _sifted(
        self, envelopes: Sequence[dsse.Envelope]
    ) -> tuple[list[int | str | errors.LedgerError], list[tuple[history.History, leaf.Entry]]]:
        """For each envelope its position, its eid if it is to be appended, or why not; and what the log says after each."""
        outcomes: list[int | str | errors.LedgerError] = []
        admitted: dict[str, tuple[history.History, leaf.Entry]] = {}
        known, head = self.history, self._head
        for envelope in envelopes:
            place = None if envelope.eid in admitted else self.find(envelope.eid)
            if place is None and envelope.eid not in admitted:
                entry = leaf.Entry.chain(known.size, head, envelope)
                try:
                    known = history.apply(known, known.size, envelope)
                except REFUSALS as error:
                    outcomes.append(error)
                    continue
                head = entry.hash.hex()
                admitted[envelope.eid] = known, entry
            outcomes.append(envelope.eid if place is None else place)
        return outcomes, list(admitted.values())

    def _judged(self, envelopes: Sequence[dsse.Envelope]) -> list[tuple[history.History, leaf.Entry]]:
        known, head = self.history, self._head
        judged: list[tuple[history.History, leaf.Entry]] = []
        for seq, envelope in zip(itertools.count(known.size), envelopes):
            entry = leaf.Entry.chain(seq, head, envelope)
            known, head = history.apply(known, seq, envelope), entry.hash.hex()
            judged.append((known, entry))
        return judged

    def _follow(self, after: history.History, entry: leaf.Entry) -> None:
        if after.phase == history.Phase.OPEN and self.history.phase != history.Phase.OPEN:
            self.opening = entry.envelope
        if after.coordinator in self.history.members and coordinator(after).key != coordinator(self.history).key:
            self.rotations.append(entry.envelope)
        self.history = after
        self._head = entry.hash.hex()


def coordinator(known: history.History) -> membership.Member:
    """The coordinator of a log that is not empty."""
    return authority.coordinator(known)


def opened(path: Path, name: str, *, read_only: bool = False) -> log.Log:
    """The log of a run folder, wherever it lies; its published checkpoint lies in the folder.

    Args:
        path: the SQLite database, or the file `ledger.url` that names a database on a server.
        name: the log's origin.
        read_only: write nothing, create nothing.

    Raises:
        FolderError: the file is no text.
        LogError: it cannot be opened, or does not hold what it promised.
    """
    place = pointer.read(path) if path.suffix == ".url" else path
    return log.Log.open(place, origin=name, published=path.with_name("checkpoint"), read_only=read_only)


def claimed(path: Path) -> str:
    """The name that the published checkpoint beside `path` gives its log.

    Raises:
        LogError: nothing is published yet.
        StatementError: the checkpoint is none.
    """
    note_path = path.with_name("checkpoint")
    if not note_path.is_file():
        raise errors.LogError(f"{note_path} is missing: without a signed checkpoint nobody can tell a log cut short")
    text, _ = note.split(read_note(note_path))
    return checkpoint.LogCheckpoint.parse(text).origin


def read_note(path: Path) -> bytes:
    """The bytes of a published checkpoint, one too many at most: a note that is longer is refused by whoever parses it."""
    with path.open("rb") as file:
        return file.read(note.MAX_BYTES + 1)

"""The coordinator's hand on the ledger: what it signs is admitted by the ledger's own rules before it is appended."""

import time
from pathlib import Path
from typing import Self

from ledger import checkpoint, dsse, errors, history, keys, log, note, statements


class Journal:
    """The log, what it says so far, and the key that writes.

    Args:
        path: the log's database.
        key: the coordinator's.

    Attributes:
        history: the fold of all entries.
        opening: the signed statement that opened the latest round.
        seconds: wall time spent on the log since the caller last set it to zero.
    """

    def __init__(self, path: Path, key: keys.SigningKey) -> None:
        self._key = key
        self._log = log.Log.open(path, origin=origin(key.public.fingerprint))
        self.history = history.EMPTY
        self.opening: dsse.Envelope | None = None
        self.seconds = 0.0
        try:
            for entry in self._log.entries():
                self._follow(history.apply(self.history, entry.seq, entry.envelope), entry.envelope)
        except errors.LedgerError:
            self._log.close()
            raise

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._log.close()

    @property
    def genesis(self) -> dsse.Envelope:
        """The first entry."""
        return next(iter(self._log.entries(0, 1))).envelope

    def sign(self, *written: statements.Predicate) -> list[dsse.Envelope]:
        """Statements under the coordinator's key."""
        return [dsse.sign(statements.build(statement), self._key) for statement in written]

    def append(self, *envelopes: dsse.Envelope) -> None:
        """Append all of `envelopes` or, where the rules refuse one, none.

        Raises:
            StatementError: one is not well-formed.
            SignatureError: one is not signed by its author.
            HistoryError: one does not fit what the log says.
            ConflictError: somebody else appended first.
        """
        start = time.perf_counter()
        after = [self.history]
        for seq, envelope in enumerate(envelopes, start=self._log.size):
            after.append(history.apply(after[-1], seq, envelope))
        self._log.append(envelopes, head=self._log.head)
        for envelope, known in zip(envelopes, after[1:], strict=True):
            self._follow(known, envelope)
        self.seconds += time.perf_counter() - start

    def publish(self) -> None:
        """Sign and release a checkpoint of the log as it stands."""
        start = time.perf_counter()
        self._log.publish(self._key)
        self.seconds += time.perf_counter() - start

    def _follow(self, after: history.History, envelope: dsse.Envelope) -> None:
        if after.phase == history.Phase.OPEN and self.history.phase != history.Phase.OPEN:
            self.opening = envelope
        self.history = after


def published(path: Path) -> log.Log:
    """A published log, for reading by somebody who does not hold the coordinator's key.

    The log goes by the name its checkpoint gives. Whoever reads on must compare that with `origin` of the genesis' key.

    Raises:
        LogError: there is no signed checkpoint, or the database does not hold what it promises.
    """
    note_path = path.with_name("checkpoint")
    if not note_path.is_file():
        raise errors.LogError(f"{note_path} is missing: without a signed checkpoint nobody can tell a log cut short")
    text, _ = note.split(read_note(note_path))
    claimed = checkpoint.LogCheckpoint.parse(text).origin
    return log.Log.open(path, origin=claimed, read_only=True)


def read_note(path: Path) -> bytes:
    """The bytes of a published checkpoint, one too many at most: a note that is longer is refused by whoever parses it."""
    with path.open("rb") as file:
        return file.read(note.MAX_BYTES + 1)


def vouched(path: Path, coordinator: keys.PublicKey) -> checkpoint.LogCheckpoint:
    """The published checkpoint of the log in `path`, if this very key signed it under the name it gives its log.

    Raises:
        StatementError, SignatureError: it did not.
    """
    return checkpoint.verify(read_note(path.with_name("checkpoint")), origin(coordinator.fingerprint), coordinator)


def origin(fingerprint: str) -> str:
    """The log's name in its checkpoints, unique to the coordinator's key (docs/protocol.md P5)."""
    return "folkmoot/" + fingerprint.removeprefix("SHA256:").replace("+", "-").replace("/", "_")

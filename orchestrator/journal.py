"""The coordinator's hand on the ledger: what it signs is admitted by the ledger's own rules before it is appended."""

import logging
import math
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Self

from client import phases
from ledger import authority, checkpoint, cosignature, dsse, errors, history, keys, log, mldsa, note, policy, statements
from orchestrator import record, witnessing

claimed, coordinator, opened, read_note = record.claimed, record.coordinator, record.opened, record.read_note

logger = logging.getLogger(__name__)


class Journal:
    """The log, what it says so far, and the key that writes.

    Args:
        path: where the log lies, as `opened` takes it.
        key: the coordinator's.
        witnesses: who is asked to cosign what is published, and what suffices; None for nobody.
        second: a key of the coordinator that signs checkpoints too; None for none.
        acting: is called before anything is appended; raises where another coordinator has taken over.

    Attributes:
        watch: time spent on the log.
    """

    def __init__(
        self,
        path: Path,
        key: keys.SigningKey,
        witnesses: policy.Policy | None = None,
        second: mldsa.SigningKey | None = None,
        acting: Callable[[], None] = lambda: None,
    ) -> None:
        self._key = key
        self._acting = acting
        self._second = second
        self._witnesses = witnesses
        self._origin = named(path, key.public)
        self._record = record.Record(path, self._origin)
        self._published = self._own = 0
        self._released = -math.inf
        self.watch = phases.Stopwatch()
        try:
            self._require_key()
        except errors.LedgerError:
            self._record.close()
            raise

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._record.close()

    @property
    def history(self) -> history.History:
        """The fold of all entries that were read."""
        return self._record.history

    @property
    def rotations(self) -> list[dsse.Envelope]:
        """The coordinator's changes of key, in order."""
        return self._record.rotations

    @property
    def genesis(self) -> dsse.Envelope:
        """The first entry."""
        return next(self._record.entries(0, 1)).envelope

    @property
    def opening(self) -> dsse.Envelope | None:
        """The statement that opened the latest round, under the present key whichever key it was when it was appended."""
        return None if self._record.opening is None else dsse.sign(self._record.opening.payload, self._key)

    def said(self) -> Iterator[statements.Predicate]:
        """What every entry that was read states, from the first on."""
        return (statements.parse(entry.envelope.payload) for entry in self._record.entries(0))

    def sign(self, *written: statements.Predicate) -> list[dsse.Envelope]:
        """Statements under the coordinator's key."""
        return [dsse.sign(statements.build(statement), self._key) for statement in written]

    def refresh(self) -> bool:
        """Whether others appended something, which is in `history` now.

        Raises:
            LogError: the log cannot be read, or is damaged.
            StatementError, SignatureError, HistoryError: an entry does not fit those before it.
            KeyFileError: the coordinator's key has changed, so what this one signs counts no more.
        """
        with self.watch.timed("ledger"):
            grown = self._record.refresh()
            if grown:
                self._require_key()
        return grown

    def append(self, *envelopes: dsse.Envelope, still: record.Still = lambda _: True) -> int:
        """The position of the first of `envelopes`, all appended or, where the rules refuse one, none.

        They are judged by the log as it then stands, with what others appended meanwhile.

        Args:
            envelopes: what to append, at least one.
            still: whether what was decided by an earlier history holds by this one.

        Raises:
            ConflictError: it does not; nothing was appended. Decide anew.
            StatementError: one is not well-formed.
            SignatureError: one is not signed by its author.
            HistoryError: one does not fit what the log says.
            LogError: the store refused.
            LeaseError: another coordinator acts on the log.
        """
        with self.watch.timed("ledger"):
            self._acting()
            first = self._record.append(*envelopes, still=still)
            self._own = self.history.size
            return first

    def admit(self, envelopes: Sequence[dsse.Envelope]) -> list[int | errors.LedgerError]:
        """For each of the members' `envelopes` its position, or why the rules refuse it; one transaction for all of them.

        Raises:
            LogError: the store refused; none of it is acknowledged. Ask the same again.
            LeaseError: another coordinator acts on the log.
        """
        with self.watch.timed("ledger"):
            self._acting()
            outcomes = self._record.admit(envelopes)
            self._own = self.history.size
            return outcomes

    def publish(self) -> None:
        """Sign and release a checkpoint of all that was read, and have it cosigned; what lacks of that is a warning.

        Entries that others appended and nobody here has judged stay outside it.
        """
        with self.watch.timed("publish"):
            signed = self._record.log.publish(self._key, self.history.size)
            if self._second is not None:
                signer = cosignature.Signer(name=self._origin, key=self._second)
                signed = self._record.log.endorse(note.sign(note.split(signed)[0], [signer], int(time.time())))
            if self._witnesses is not None and (
                lacking := witnessing.endorse(self._record.log, signed, self._witnesses)
            ):
                logger.warning("%s", lacking)
            self._published, self._released = self.history.size, time.monotonic()

    def keep_published(self, patience: float = 0.0) -> None:
        """Nothing; what was said here is under a checkpoint, and what others said is not without one for long.

        Args:
            patience: seconds after the last checkpoint that what others said may wait: each costs each holder synced writes.
        """
        due = self._own > self._published or time.monotonic() - self._released >= patience
        if due and self.history.size > self._published:
            self.publish()

    def _require_key(self) -> None:
        """The key is the one that counts now, and the log goes by the name that follows from the first."""
        first = now = self._key.public
        if self.history.run is not None:
            first, now = coordinator(self.history).key_at(0), coordinator(self.history).key
        if self._key.public != now:
            message = f"the coordinator's key is {self._key.public.fingerprint}, the ledger expects {now.fingerprint}"
            raise errors.KeyFileError(f"{message}: where a change of key was cut short, `folkmoot key rotate` ends it")
        if self._origin != origin(first.fingerprint):
            raise errors.LogError(f"the log goes by {self._origin}, which is not the name of its genesis' key")


def named(path: Path, key: keys.PublicKey) -> str:
    """The origin of the log in `path`: the one its published checkpoint gives, or that of `key` where none is published."""
    return claimed(path) if path.with_name("checkpoint").is_file() else origin(key.fingerprint)


def published(path: Path) -> log.Log:
    """A published log, for reading by somebody who does not hold the coordinator's key.

    The log goes by the name its checkpoint gives. Whoever reads on must compare that with `origin` of the genesis' key.

    Raises:
        LogError: there is no signed checkpoint, or the database does not hold what it promises.
    """
    return opened(path, claimed(path), read_only=True)


def vouched(path: Path, known: history.History) -> checkpoint.LogCheckpoint:
    """The published checkpoint of the log in `path`, if the coordinator of its history signed it.

    Raises:
        StatementError, SignatureError: it did not.
    """
    return verify(read_note(path.with_name("checkpoint")), known)


def verify(signed: bytes, known: history.History) -> checkpoint.LogCheckpoint:
    """The log checkpoint in a note, if it is signed with the key that was the coordinator's when the log had that size.

    Args:
        signed: the note; the log goes by the name that follows from the genesis' key, whichever key signs.
        known: what the log says, to that size or beyond.

    Raises:
        StatementError, SignatureError: it is not.

    Reference: docs/protocol.md P5.
    """
    return authority.verify(signed, known)


def origin(fingerprint: str) -> str:
    """The log's name in its checkpoints, unique to the coordinator's key (docs/protocol.md P5)."""
    return authority.origin(fingerprint)

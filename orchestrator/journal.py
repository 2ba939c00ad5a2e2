"""The coordinator's hand on the ledger: what it signs is admitted by the ledger's own rules before it is appended."""

import logging
import time
from pathlib import Path
from typing import Self

from ledger import (
    checkpoint,
    cosignature,
    dsse,
    errors,
    history,
    keys,
    log,
    membership,
    mldsa,
    note,
    policy,
    statements,
)
from orchestrator import witnessing

logger = logging.getLogger(__name__)


class Journal:
    """The log, what it says so far, and the key that writes.

    Args:
        path: where the log lies, as `opened` takes it.
        key: the coordinator's.
        witnesses: who is asked to cosign what is published, and what suffices; None for nobody.
        second: a key of the coordinator that signs checkpoints too; None for none.

    Attributes:
        history: the fold of all entries.
        rotations: the coordinator's changes of key, in order.
        seconds: wall time spent on the log since the caller last set it to zero.
    """

    def __init__(
        self,
        path: Path,
        key: keys.SigningKey,
        witnesses: policy.Policy | None = None,
        second: mldsa.SigningKey | None = None,
    ) -> None:
        self._key = key
        self._second = second
        self._witnesses = witnesses
        self._origin = named(path, key.public)
        self._log = opened(path, self._origin)
        self.history = history.EMPTY
        self.rotations: list[dsse.Envelope] = []
        self._opening: dsse.Envelope | None = None
        self.seconds = 0.0
        try:
            for entry in self._log.entries():
                self._follow(history.apply(self.history, entry.seq, entry.envelope), entry.envelope)
            self._require_key()
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

    @property
    def opening(self) -> dsse.Envelope | None:
        """The statement that opened the latest round, under the present key whichever key it was when it was appended."""
        return None if self._opening is None else dsse.sign(self._opening.payload, self._key)

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
        if self._log.size != self.history.size:
            message = f"the log has {self._log.size} entries, expected the {self.history.size} known here"
            raise errors.ConflictError(f"{message}: another process is going on with the same run; stop one of the two")
        after = [self.history]
        for envelope in envelopes:
            after.append(history.apply(after[-1], after[-1].size, envelope))
        self._log.append(envelopes, head=self._log.head)
        for envelope, known in zip(envelopes, after[1:], strict=True):
            self._follow(known, envelope)
        self.seconds += time.perf_counter() - start

    def publish(self) -> None:
        """Sign and release a checkpoint of the log as it stands, and have it cosigned; what lacks of that is a warning."""
        start = time.perf_counter()
        signed = self._log.publish(self._key)
        if self._second is not None:
            signer = cosignature.Signer(name=self._origin, key=self._second)
            signed = self._log.endorse(note.sign(note.split(signed)[0], [signer], int(time.time())))
        if self._witnesses is not None and (lacking := witnessing.endorse(self._log, signed, self._witnesses)):
            logger.warning("%s", lacking)
        self.seconds += time.perf_counter() - start

    def _follow(self, after: history.History, envelope: dsse.Envelope) -> None:
        if after.phase == history.Phase.OPEN and self.history.phase != history.Phase.OPEN:
            self._opening = envelope
        if after.coordinator in self.history.members and coordinator(after).key != coordinator(self.history).key:
            self.rotations.append(envelope)
        self.history = after

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


def coordinator(known: history.History) -> membership.Member:
    """The coordinator of a log that is not empty."""
    return membership.named(known.members, known.coordinator or "")


def named(path: Path, key: keys.PublicKey) -> str:
    """The origin of the log in `path`: the one its published checkpoint gives, or that of `key` where none is published."""
    note_path = path.with_name("checkpoint")
    return _claimed(note_path) if note_path.is_file() else origin(key.fingerprint)


def opened(path: Path, name: str, *, read_only: bool = False) -> log.Log:
    """The log of a run folder, wherever it lies; its published checkpoint lies in the folder.

    Args:
        path: the SQLite database, or the file `ledger.url` that names a database on a server.
        name: the log's origin.
        read_only: write nothing, create nothing.

    Raises:
        LogError: it cannot be opened, or does not hold what it promised.
    """
    place = path.read_text().strip() if path.suffix == ".url" else path
    return log.Log.open(place, origin=name, published=path.with_name("checkpoint"), read_only=read_only)


def published(path: Path) -> log.Log:
    """A published log, for reading by somebody who does not hold the coordinator's key.

    The log goes by the name its checkpoint gives. Whoever reads on must compare that with `origin` of the genesis' key.

    Raises:
        LogError: there is no signed checkpoint, or the database does not hold what it promises.
    """
    note_path = path.with_name("checkpoint")
    if not note_path.is_file():
        raise errors.LogError(f"{note_path} is missing: without a signed checkpoint nobody can tell a log cut short")
    return opened(path, _claimed(note_path), read_only=True)


def read_note(path: Path) -> bytes:
    """The bytes of a published checkpoint, one too many at most: a note that is longer is refused by whoever parses it."""
    with path.open("rb") as file:
        return file.read(note.MAX_BYTES + 1)


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
    member = coordinator(known)
    name = origin(member.key_at(0).fingerprint)
    return checkpoint.verify(signed, name, member.key_at(checkpoint.unverified(signed, name).size))


def origin(fingerprint: str) -> str:
    """The log's name in its checkpoints, unique to the coordinator's key (docs/protocol.md P5)."""
    return "folkmoot/" + fingerprint.removeprefix("SHA256:").replace("+", "-").replace("/", "_")


def _claimed(note_path: Path) -> str:
    text, _ = note.split(read_note(note_path))
    return checkpoint.LogCheckpoint.parse(text).origin

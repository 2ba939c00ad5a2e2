"""Everything the ledger refuses, as one tree.

::

    LedgerError
     +- StatementError       bytes that are no statement, envelope, note or checkpoint of ours
     +- SignatureError       a signature that does not verify under the key it had to
     +- HistoryError         well-formed and signed, but it does not fit what the log says so far
     +- EntryError           an entry of the log that is one of the above, by its position
     +- ProofError           a Merkle proof that does not lead from its claim to the root
     +- PromiseError         a signed checkpoint that does not follow on the one accepted before
         +- ForkError        there is no way from the one to the other: two histories under one key
         +- StaleError       it is the smaller one: an old copy, or a log rolled back
     +- KeyFileError         a key, or the file that should hold one, that we do not use
         +- ProtectedKeyError  it wants a passphrase, and none was given
         +- PassphraseError    it wants another passphrase, or one of another length
     +- ExportError          an account, an address or a date with which credit cannot be written out as asked
     +- LogError             the store refused: disk, lock, permissions
         +- ConflictError    compare-and-append lost: the head moved
         +- CorruptError     stored bytes disagree with their hash, chain or tree
         +- RollbackError    the database lacks what the last published checkpoint promises
"""

from collections.abc import Callable
from typing import Self


class LedgerError(Exception):
    """Whatever the ledger refuses."""


class StatementError(LedgerError):
    """Bytes that are no statement, envelope, note or checkpoint of ours.

    Attributes:
        code: `malformed`, `non-canonical`, `wrong-type` or `too-large`.
    """

    def __init__(self, message: str, *, code: str = "malformed") -> None:
        super().__init__(message)
        self.code = code


class SignatureError(LedgerError):
    """A signature that does not verify under the key it had to."""


class HistoryError(LedgerError):
    """A statement that does not fit what the log says so far.

    Attributes:
        reason: Short code for the ledger, such as `wrong-round` or `equivocation`.
    """

    def __init__(self, reason: str, message: str) -> None:
        super().__init__(reason, message)
        self.reason = reason

    def __str__(self) -> str:
        return ": ".join(self.args)


class EntryError(LedgerError):
    """An entry that does not belong where it stands.

    Attributes:
        seq: Its position; every entry before it is sound.
    """

    def __init__(self, seq: int, cause: LedgerError) -> None:
        super().__init__(seq, cause)
        self.seq = seq

    def __str__(self) -> str:
        return f"entry {self.seq}: {self.args[1]}"


class ProofError(LedgerError):
    """A Merkle proof that does not lead from its claim to the root."""


class PromiseError(LedgerError):
    """A signed checkpoint that does not follow on the one that was accepted before.

    Attributes:
        evidence: Folder that holds both signed notes.
    """

    def __init__(self, message: str, *, evidence: str) -> None:
        super().__init__(f"{message}; both signed notes are kept in {evidence}")
        self.evidence = evidence

    def __reduce__(self) -> tuple[Callable[..., Self], tuple[type[Self], str], dict[str, str]]:
        # Not by calling the constructor: it would say twice where the notes are.
        return type(self).__new__, (type(self), str(self)), {"evidence": self.evidence}


class ForkError(PromiseError):
    """There is no way from the checkpoint accepted before to this one: two histories under one key."""


class StaleError(PromiseError):
    """The checkpoint is smaller than the one accepted before: an old copy of the log, or a log that was rolled back."""


class KeyFileError(LedgerError):
    """A key, or the file that should hold one, that we do not use."""


class ProtectedKeyError(KeyFileError):
    """A key file that is protected by a passphrase, and none was given."""


class PassphraseError(KeyFileError):
    """A passphrase that a key file does not open with, or that is too short or too long for one."""


class ExportError(LedgerError):
    """An account, an address or a date with which credit cannot be written out as asked."""


class LogError(LedgerError):
    """The store of the log refused: disk, lock, permissions."""


class ConflictError(LogError):
    """Compare-and-append lost: the head is not what the caller expected. Read on, decide again, retry."""


class LeaseError(LogError):
    """Another coordinator acts on the log."""


class CorruptError(LogError):
    """Stored bytes disagree with their hash, their chain or their tree.

    Attributes:
        seq: First entry that differs; None where the damage has no one place.
    """

    def __init__(self, message: str, *, seq: int | None = None) -> None:
        super().__init__(message if seq is None else f"entry {seq}: {message}")
        self.seq = seq


class RollbackError(LogError):
    """The database lacks what the last published checkpoint promises."""

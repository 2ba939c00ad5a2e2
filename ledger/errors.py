"""Everything the ledger refuses, as one tree.

::

    LedgerError
     +- StatementError       bytes that are no statement, envelope, note or checkpoint of ours
     +- SignatureError       a signature that does not verify under the key it had to
     +- HistoryError         well-formed and signed, but it does not fit what the log says so far
     +- ProofError           a Merkle proof that does not lead from its claim to the root
     +- KeyFileError         a key, or the file that should hold one, that we do not use
     +- LogError             the store refused: disk, lock, permissions
         +- ConflictError    compare-and-append lost: the head moved
         +- CorruptError     stored bytes disagree with their hash, chain or tree
         +- RollbackError    the database lacks what the last published checkpoint promises
"""


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


class ProofError(LedgerError):
    """A Merkle proof that does not lead from its claim to the root."""


class KeyFileError(LedgerError):
    """A key, or the file that should hold one, that we do not use."""


class LogError(LedgerError):
    """The store of the log refused: disk, lock, permissions."""


class ConflictError(LogError):
    """Compare-and-append lost: the head is not what the caller expected. Read on, decide again, retry."""


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

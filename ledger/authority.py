"""Who vouches for a log: it goes by a name that follows from its genesis' key, and the coordinator signs its checkpoints.

Whoever reads a log asks here, holder and auditor alike: a note counts if it is signed with the key that was the coordinator's
when the log had the note's size.
"""

from ledger import checkpoint, history, membership


def origin(fingerprint: str) -> str:
    """The log's name in its checkpoints, unique to the key of its genesis (docs/protocol.md P5).

    Args:
        fingerprint: of that key.
    """
    return "folkmoot/" + fingerprint.removeprefix("SHA256:").replace("+", "-").replace("/", "_")


def coordinator(known: history.History) -> membership.Member:
    """The coordinator of a log that is not empty.

    Raises:
        HistoryError: `unknown-member`: the log is empty.
    """
    return membership.named(known.members, known.coordinator or "")


def name(known: history.History) -> str:
    """The origin of a log that is not empty, whichever key signs for it by now.

    Raises:
        HistoryError: `unknown-member`: the log is empty.
    """
    return origin(coordinator(known).key_at(0).fingerprint)


def verify(signed: bytes, known: history.History) -> checkpoint.LogCheckpoint:
    """The log checkpoint in a note, if it is signed with the key that was the coordinator's when the log had that size.

    Args:
        signed: The note; the log goes by the name that follows from the genesis' key, whichever key signs.
        known: What the log says, to that size or beyond.

    Raises:
        StatementError, SignatureError: It is not.
        HistoryError: `unknown-member`: the log is empty.

    Reference: docs/protocol.md P5.
    """
    expected = name(known)
    size = checkpoint.unverified(signed, expected).size
    return checkpoint.verify(signed, expected, coordinator(known).key_at(size))

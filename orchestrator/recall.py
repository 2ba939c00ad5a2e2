"""What an audit holds a log to beside its own words: what was accepted of it before, and what a policy asks of witnesses."""

import dataclasses
import datetime as dt
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Protocol

from ledger import checkpoint, history, keys, memory, note, policy
from ledger import errors as ledger_errors
from orchestrator import errors, journal


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Standing:
    """How a published checkpoint stands to what is known from elsewhere.

    Attributes:
        before: a phrase: `first seen`, or what it extends; empty where nothing is remembered on purpose.
        witnesses: of each witness of the policy that cosigned it: when, in seconds since 1970.
    """

    before: str = ""
    witnesses: Mapping[str, int] = dataclasses.field(default_factory=dict)


class Provable(Protocol):
    """A log, wherever it lies, that proves how it has grown."""

    def root(self, size: int | None = None) -> bytes:
        """The root over the first `size` entries."""

    def consistency(self, old: int, new: int) -> list[bytes]:
        """That the first `old` entries are a prefix of the first `new`."""


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Recall:
    """What an auditor brings along.

    Attributes:
        remembered: what it accepted before; None to neither ask nor remember.
        demands: the policy that a checkpoint must meet; None for the coordinator's signature alone.
    """

    remembered: memory.Memory | None = None
    demands: policy.Policy | None = None

    def check(self, record: Provable, published: bytes, known: history.History) -> Standing:
        """How the published note stands; it is remembered from now on. Ask last, when nothing else speaks against it.

        Args:
            record: the log, whose proofs are verified here.
            published: its published note.
            known: what all its entries say.

        Raises:
            SignatureError: a signature is bad or missing, or the quorum is not met.
            ForkError, StaleError: it does not follow on what was accepted before; the message names the evidence.
            LogError: the memory cannot be read or written.

        Reference: docs/protocol.md P18.
        """
        promise = journal.verify(published, known)
        witnesses: Mapping[str, int] = {}
        if self.demands is not None:
            signer = note.Verifier(name=promise.origin, key=_signer(known, promise))
            witnesses = self.demands.accept(published, promise.origin, log=signer).witnesses
        before = ""
        if self.remembered is not None:
            last = self.remembered.accept(
                published, lambda _: promise, record.consistency, now=int(time.time()), root=record.root
            )
            before = _phrase(last, promise)
        return Standing(before=before, witnesses=witnesses)


def read_policy(path: Path) -> policy.Policy:
    """The policy in a file.

    Raises:
        ConfigError: there is none; the message names the line.
    """
    try:
        with path.open("rb") as file:
            return policy.Policy.parse(file.read(policy.MAX_BYTES + 1))
    except (OSError, ledger_errors.StatementError) as error:
        raise errors.ConfigError(f"{path} is no policy: {error}") from error


def _signer(known: history.History, promise: checkpoint.LogCheckpoint) -> keys.PublicKey:
    return journal.coordinator(known).key_at(promise.size)


def _phrase(last: memory.Remembered | None, promise: checkpoint.LogCheckpoint) -> str:
    if last is None:
        return "first seen"
    when = dt.datetime.fromtimestamp(last.time, tz=dt.UTC).date().isoformat()
    verb = "extends" if last.checkpoint.size < promise.size else "is"
    return f"{verb} the {last.checkpoint.size:,} entries accepted on {when}"

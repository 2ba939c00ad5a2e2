"""Evidence against a log: two notes that it signed, kept in a folder so that a stranger can judge with its key alone.

::

    accepted    the note that was believed, byte for byte
    refused     the note that does not follow on it
    proof       what was offered to connect them: a base64 hash a line, where anything was

What convicts: two roots at one size; a root of the empty tree that is not sha256(""); or a proof that leads to the root of
the larger tree but to another root than the signed one at the size of the smaller. A proof that leads nowhere convicts
nobody: whoever offered it may have erred. Then the log owes the proof, and anybody can ask it.
"""

import base64
import binascii
import contextlib
import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Self

from ledger import checkpoint, durable, errors, merkle, note

MOST = 64
"""Folders kept of one log: who holds its key could make any number."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Finding:
    """What evidence comes to: whether it convicts the log, and why, as a sentence."""

    convicts: bool
    why: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Evidence:
    """Two notes of one log that do not follow on each other.

    Attributes:
        accepted: The note that was believed.
        refused: The note that came after.
        proof: Nodes of a consistency proof between their sizes, as `merkle.ends` takes them; None where none was offered.
    """

    accepted: bytes
    refused: bytes
    proof: tuple[bytes, ...] | None = None

    @classmethod
    def read(cls, folder: Path) -> Self:
        """The evidence in a folder.

        Raises:
            StatementError: The folder does not hold evidence.
        """
        try:
            accepted, refused = (_read(folder / name) for name in ("accepted", "refused"))
            proof = _read(folder / "proof").decode() if (folder / "proof").exists() else None
            nodes = None if proof is None else tuple(base64.b64decode(each, validate=True) for each in proof.split())
        except (OSError, UnicodeDecodeError, binascii.Error, ValueError) as error:
            raise errors.StatementError(f"{folder} holds no evidence: {error}") from error
        return cls(accepted=accepted, refused=refused, proof=nodes)

    def judge(self, log: note.Verifies) -> Finding:
        """Whether this convicts the log, for somebody who has nothing but the log's key.

        Raises:
            StatementError: One of the two is no note, or no checkpoint.
            SignatureError: One of the two was not signed by the log: this proves nothing against it.
        """
        for data in (self.accepted, self.refused):
            note.open(data, [log])
        return self._finding(log.name)

    def keep(self, place: Path) -> Path:
        """The folder in `place` that now holds this, on disk; two notes of the same texts always have the same folder.

        A proof that convicts replaces one that did not. `place` is for all evidence against one log; once it holds `MOST`
        folders, what does not convict is not kept any more, and `place` itself is returned.
        """
        origin = checkpoint.LogCheckpoint.parse(note.split(self.accepted)[0]).origin
        # By what was signed and not by who signed it: anybody can add lines to a note, and fill the disk with folders.
        texts = (note.split(data)[0].encode() for data in (self.accepted, self.refused))
        digest = hashlib.sha256(b"".join(hashlib.sha256(text).digest() for text in texts))
        folder = place / digest.hexdigest()[:16]
        place.mkdir(parents=True, exist_ok=True)
        convicts = self._finding(origin).convicts
        if not folder.exists() and not convicts and len(list(place.iterdir())) >= MOST:
            return place
        with contextlib.suppress(errors.StatementError):
            kept = Evidence.read(folder)
            if not convicts or kept._finding(origin).convicts:  # noqa: SLF001  another of its kind
                return folder
        folder.mkdir(exist_ok=True)
        if self.proof is not None:
            lines = "".join(f"{base64.b64encode(each).decode()}\n" for each in self.proof)
            durable.write(folder / "proof", lines.encode())
        durable.write(folder / "accepted", self.accepted)
        durable.write(folder / "refused", self.refused)
        durable.sync(place)
        return folder

    def _finding(self, origin: str) -> Finding:
        promises = [checkpoint.unverified(data, origin) for data in (self.accepted, self.refused)]
        old, new = sorted(promises, key=lambda promise: promise.size)
        return _compare(old, new, self.proof)


def _compare(old: checkpoint.LogCheckpoint, new: checkpoint.LogCheckpoint, proof: Sequence[bytes] | None) -> Finding:
    for promise in (old, new):
        if promise.size == 0 and promise.root != merkle.EMPTY:
            return Finding(convicts=True, why=f"it signed {promise.root.hex()} as the root of no entries")
    if old.size == new.size:
        if old.root == new.root:
            return Finding(convicts=False, why=f"both promise the same {old.size} entries")
        return Finding(
            convicts=True, why=f"it signed two roots, {old.root.hex()} and {new.root.hex()}, at {old.size} entries"
        )
    if proof is not None and old.size:
        with contextlib.suppress(errors.ProofError):
            ends = merkle.ends(proof, old.size, new.size)
            if ends == (old.root, new.root):
                return Finding(convicts=False, why=f"the {new.size} entries extend the {old.size}")
            if ends[1] == new.root:
                why = f"its tree of {new.size} entries has root {ends[0].hex()} at {old.size}, but it signed {old.root.hex()}"
                return Finding(convicts=True, why=why)
    why = f"nothing offered connects its {old.size} entries with its {new.size}: it owes the proof"
    return Finding(convicts=False, why=why)


def _read(path: Path) -> bytes:
    with path.open("rb") as file:
        return file.read(note.MAX_BYTES + 1)

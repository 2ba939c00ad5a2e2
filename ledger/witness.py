"""Witness: cosigns a log's checkpoints, each only if it extends the one before; answers are those of C2SP tlog-witness.

::

    POST <prefix>/add-checkpoint                        old <size> LF
                                                        <base64 hash> LF, 63 at most: a consistency proof from that size
                                                        LF
                                                        <the checkpoint's note>
    GET <prefix>/<sha256 of the origin, hex>/checkpoint

    200  its cosignature lines; the checkpoint was stored before they left
    400  no such request, or old above the checkpoint's size
    403  no known key of the log signed it, or one that claims to did not
    404  a log it does not know
    409  text/x.tlog.size: old is not the size it cosigned last, which is the answer
    422  the proof does not lead from there, or another root at that size

Another root at the same size is 422 since version 1.1.0 of the specification; before, it was 409 without a size.

Reference: C2SP tlog-witness 1.1.0; docs/protocol.md P18.
"""

import base64
import binascii
import re
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Self

from ledger import checkpoint, errors, memory, note

MAX_BYTES = 128 * 1024
MAX_PROOF = 63
TEXT = "text/plain; charset=utf-8"
SIZE = "text/x.tlog.size"

_OLD = re.compile(r"old (0|[1-9][0-9]{0,15})")


@dataclass(frozen=True, slots=True, kw_only=True)
class Request:
    """What a log asks of a witness: to cosign `note`, which by `proof` extends the `old` entries it cosigned before."""

    old: int
    proof: tuple[bytes, ...]
    note: bytes

    @classmethod
    def parse(cls, body: bytes) -> Self:
        """The request in the body of an add-checkpoint call.

        Raises:
            StatementError: Not such a body.

        Reference: C2SP tlog-witness, "add-checkpoint".
        """
        head, separator, signed = body.partition(b"\n\n")
        lines = head.decode("ascii", "replace").split("\n")
        old = _OLD.fullmatch(lines[0])
        if not separator or old is None or len(lines) > MAX_PROOF + 1:
            message = f"{lines[0][:60]!r} and {len(lines) - 1} lines, expected 'old SIZE', {MAX_PROOF} hashes at most"
            raise errors.StatementError(f"{message} and an empty line")
        return cls(old=int(old.group(1)), proof=tuple(map(_hash, lines[1:])), note=signed)

    def to_bytes(self) -> bytes:
        """The body of the call."""
        lines = [f"old {self.old}\n", *(f"{base64.b64encode(each).decode()}\n" for each in self.proof), "\n"]
        return "".join(lines).encode() + self.note


@dataclass(frozen=True, slots=True, kw_only=True)
class Answer:
    """What a witness answers: an HTTP status, a content type and a body."""

    status: int
    kind: str
    body: bytes

    @classmethod
    def text(cls, status: int, words: str) -> Self:
        """An answer in words, for whoever looks into it."""
        return cls(status=status, kind=TEXT, body=f"{words}\n".encode())


class Witness:
    """A witness of some logs.

    Args:
        remembered: what it cosigned last of each log; nobody else may write there.
        signers: its keys.
        logs: the keys of each log that it knows, by origin.
    """

    def __init__(
        self,
        remembered: memory.Memory,
        signers: Iterable[note.Signs],
        logs: Mapping[str, Collection[note.Verifies]],
    ) -> None:
        self._memory = remembered
        self._signers = list(signers)
        self._logs = logs
        self._origins = {memory.digest(origin): origin for origin in logs}

    def add_checkpoint(self, body: bytes, now: int) -> Answer:
        """The answer to an add-checkpoint call; where it is 200, the checkpoint is on disk already.

        Args:
            body: Of the call.
            now: Seconds since 1970.

        Raises:
            LogError: The memory refused. Nothing was cosigned.

        Reference: C2SP tlog-witness 1.1.0, "add-checkpoint", in the order of its text.
        """
        try:
            request = Request.parse(body)
            promise = checkpoint.LogCheckpoint.parse(note.split(request.note)[0])
        except errors.StatementError as error:
            return Answer.text(400, str(error))
        if promise.origin not in self._logs:
            return Answer.text(404, f"the log {promise.origin!r} is not known here")
        try:
            note.open(request.note, self._logs[promise.origin])
        except errors.SignatureError as error:
            return Answer.text(403, str(error))
        if request.old > promise.size:
            return Answer.text(400, f"old size {request.old}, expected at most the checkpoint's {promise.size}")
        with self._memory.held(promise.origin) as slot:
            return self._cosign(slot, request, promise, now)

    def _cosign(self, slot: memory.Slot, request: Request, promise: checkpoint.LogCheckpoint, now: int) -> Answer:
        last = slot.last.checkpoint if slot.last is not None else None
        size = last.size if last is not None else 0
        forked = last is not None and promise.size == size and promise.root != last.root
        if request.old != size:
            if forked:
                slot.keep(request.note, None)
            return Answer(status=409, kind=SIZE, body=b"%d\n" % size)
        try:
            slot.extend(promise, request.proof)
        except errors.ProofError as error:
            if last is not None:
                slot.keep(request.note, None if forked else _nodes(last, promise, request.proof))
            return Answer.text(422, str(error))
        text, lines = note.split(request.note)
        ours = [signer.line(text, now) for signer in self._signers]
        # One line of each key of the log: what else came along was not looked at, and could be as long as it likes.
        known = {(key.name, note.key_id(key)) for key in self._logs[promise.origin]}
        theirs = {line[:2]: line for line in lines if line[:2] in known}
        stored = [*theirs.values(), *ours]
        slot.store(promise, f"{text}\n{''.join(map(str, stored))}".encode(), now)
        return Answer(status=200, kind=TEXT, body="".join(map(str, ours)).encode())

    def checkpoint(self, digest: str) -> Answer:
        """The note that was cosigned last of the log whose origin has this hex sha256, with the cosignature.

        Raises:
            LogError: The memory refused.
        """
        last = self._memory.last(self._origins[digest]) if digest in self._origins else None
        if last is None:
            return Answer.text(404, "no checkpoint of such a log was cosigned here")
        return Answer(status=200, kind=TEXT, body=last.note)


def _nodes(
    old: checkpoint.LogCheckpoint, new: checkpoint.LogCheckpoint, proof: Sequence[bytes]
) -> Sequence[bytes] | None:
    """The proof as evidence needs it: the true old root is not known where the proof leaves it out."""
    return None if old.size & (old.size - 1) == 0 or new.size <= old.size else proof


def _hash(line: str) -> bytes:
    try:
        value = base64.b64decode(line, validate=True)
    except (binascii.Error, ValueError) as error:
        raise errors.StatementError(f"proof line {line[:60]!r} is not base64: {error}") from error
    if len(value) != 32 or base64.b64encode(value).decode() != line:
        raise errors.StatementError(f"proof line {line[:60]!r}, expected 32 bytes in canonical base64")
    return value

"""age v1 files: sealed for several recipients, read and written in constant memory.

    header (exchange.header) | 16-byte nonce | chunks of 64 KiB, each with its tag (exchange.stream)

Any age program opens what is written here. We refuse more than the specification does: passphrases (scrypt), headers
over 64 KiB or 64 stanzas, and files for post-quantum and classical recipients at once: no safer than the latter alone.

Reference: C2SP age v1, https://c2sp.org/age.
"""

import io
import os
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import TYPE_CHECKING, BinaryIO

from exchange import errors, header, memory, pieces, stream
from exchange import recipients as keys

if TYPE_CHECKING:
    from _typeshed import ReadableBuffer

BATCH = 16  # chunks that are read and written at once
QUANTUM_TYPES = frozenset({"mlkem768x25519", "mlkem768p256tag"})
CLASSICAL_TYPES = frozenset({"X25519", "ssh-ed25519", "ssh-rsa", "piv-p256", "p256tag"})

CheckStanzas = Callable[[Sequence[header.Stanza]], None]


def encrypt(
    source: BinaryIO,
    sink: BinaryIO,
    recipients: Sequence[keys.Recipient],
    stanzas: Sequence[header.Stanza] = (),
) -> None:
    """Write `source`, read to its end, to `sink` as an age file.

    Args:
        source: a binary file.
        sink: a buffered binary file, whose `write` takes all it is given.
        recipients: each of them alone can open the file; one or more, all hybrid or all X25519.
        stanzas: further stanzas, put before those of the recipients; other age programs pass over them.

    Raises:
        SealError: recipients empty, mixed, or too many for a header.

    Reference: C2SP age v1.
    """
    plaintext = iter(lambda: _read(source, BATCH * stream.CHUNK), b"")
    sink.writelines(encrypted(plaintext, recipients, stanzas))


def encrypted(
    plaintext: Iterable[pieces.Piece], recipients: Sequence[keys.Recipient], stanzas: Sequence[header.Stanza] = ()
) -> Iterator[bytes | memoryview]:
    """The age file that `encrypt` would write, in pieces, each overwritten when the next one is asked for.

    Args:
        plaintext: its buffers, of any size; copied only where a batch of chunks goes over from one to the next.
        recipients: as for `encrypt`.
        stanzas: as for `encrypt`.

    Raises:
        SealError: recipients empty, mixed, or too many for a header.
    """
    file_key, head = start(recipients, stanzas)
    nonce = os.urandom(stream.NONCE_SIZE)
    yield head + nonce
    payload = stream.Stream(file_key, nonce)
    target = memoryview(bytearray(BATCH * stream.SEALED_CHUNK))
    batches = pieces.batches(plaintext, BATCH * stream.CHUNK)
    current: pieces.Piece | None = next(batches, b"")
    while current is not None:
        following = next(batches, None)
        sealed = target[: stream.sealed_size(len(current))]
        payload.seal(memoryview(current), sealed, last=following is None)
        yield sealed
        current = following


def decrypt(
    source: BinaryIO,
    sink: BinaryIO,
    identities: Sequence[keys.Identity],
    check_stanzas: CheckStanzas | None = None,
) -> None:
    """Write the plaintext of the age file `source` to `sink`.

    Chunks are written as they verify, so nothing in `sink` may be used unless this returns.

    Args:
        source: a binary file that ends where the age file ends.
        sink: a buffered binary file, whose `write` takes all it is given.
        identities: one that opens the file is enough.
        check_stanzas: called with all stanzas once the header MAC is verified and before any payload is read;
            it refuses by raising.

    Raises:
        SealError: not an age file, damaged, or of a kind that we refuse.
        RecipientError: no identity opens it.

    Reference: C2SP age v1; docs/protocol.md P10.
    """
    file_key = unlock(source, identities, check_stanzas)
    payload = stream.Stream(file_key, _read_nonce(source))
    target = memoryview(bytearray(BATCH * stream.CHUNK))
    current = _read(source, BATCH * stream.SEALED_CHUNK)
    while True:
        following = _read(source, BATCH * stream.SEALED_CHUNK)
        opened = target[: stream.opened_size(len(current))]
        payload.open(memoryview(current), opened, last=not following)
        sink.write(opened)
        if not following:
            return
        current = following


class Opening(io.RawIOBase):
    """An age file that is written to this, in pieces of any size, and opened as it comes; none of it shows before `finish`."""

    def __init__(
        self, size: int, identities: Sequence[keys.Identity], check_stanzas: CheckStanzas | None = None
    ) -> None:
        """Await a file of exactly `size` bytes; the other arguments are those of `decrypt`."""
        super().__init__()
        self._size, self._identities, self._check_stanzas = size, identities, check_stanzas
        self._received = self._opened = 0
        self._pending = bytearray()  # a header that may go on, or less than two chunks
        self._payload: stream.Stream | None = None
        self._plaintext = memoryview(b"")

    def writable(self) -> bool:
        """Yes."""
        return True

    def write(self, data: "ReadableBuffer", /) -> int:
        """Take the next bytes of the file; raises as `decrypt` does."""
        with memoryview(data).cast("B") as view:
            self._received += len(view)
            if self._received > self._size:
                raise errors.SealError(f"file goes on after {self._size} bytes")
            self._pending += view
            if self._payload is None and len(self._pending) >= header.MAX_HEADER + stream.NONCE_SIZE:
                self._begin()
            # What comes last can only be told by nothing coming after it, so one byte is always kept back.
            self._open((len(self._pending) - 1) // stream.SEALED_CHUNK * stream.SEALED_CHUNK, last=False)
            return len(view)

    def finish(self) -> memoryview:
        """The plaintext, all of it verified; raises as `decrypt` does."""
        if self._received != self._size:
            raise errors.SealError(f"file ends after {self._received} bytes, expected {self._size}")
        if self._payload is None:
            self._begin()
        self._open(len(self._pending), last=True)
        return self._plaintext

    def _begin(self) -> None:
        source = io.BytesIO(self._pending[: header.MAX_HEADER + stream.NONCE_SIZE])
        file_key = unlock(source, self._identities, self._check_stanzas)
        self._payload = stream.Stream(file_key, _read_nonce(source))
        self._plaintext = memory.zeros(stream.opened_size(self._size - source.tell()))
        del self._pending[: source.tell()]

    def _open(self, size: int, *, last: bool) -> None:
        """Open the first `size` bytes of what is pending, if the header is through."""
        if self._payload is None or (size <= 0 and not last):
            return
        end = self._opened + stream.opened_size(size)
        with memoryview(self._pending) as pending:
            self._payload.open(pending[:size], self._plaintext[self._opened : end], last=last)
        self._opened = end
        del self._pending[:size]


def start(recipients: Sequence[keys.Recipient], stanzas: Sequence[header.Stanza] = ()) -> tuple[bytes, bytes]:
    """A fresh file key, and the header that wraps it for `recipients`: (file key, header bytes).

    Raises:
        SealError: recipients empty, mixed, or too many for a header.
    """
    if not recipients:
        raise errors.SealError("no recipients: nobody could open the file")
    file_key = os.urandom(header.FILE_KEY_SIZE)
    wrapped = [recipient.wrap(file_key) for recipient in recipients]
    _refuse_mixture(wrapped)
    return file_key, header.encode(file_key, [*stanzas, *wrapped])


def unlock(source: BinaryIO, identities: Sequence[keys.Identity], check_stanzas: CheckStanzas | None = None) -> bytes:
    """The 16-byte file key of the age file `source`, which is left at the payload nonce; raises as `decrypt` does."""
    head = header.parse(source)
    if any(stanza.args[0] == "scrypt" for stanza in head.stanzas):
        raise errors.SealError("file is sealed with a passphrase (scrypt), expected recipients")
    _refuse_mixture(head.stanzas)
    # Every stanza is looked at, so that whether a malformed one is noticed does not depend on their order.
    unwrapped = [identity.unwrap(stanza) for stanza in head.stanzas for identity in identities]
    file_key = next((key for key in unwrapped if key is not None), None)
    if file_key is None:
        raise errors.RecipientError(
            f"none of {len(identities)} identities opens the file, which has {len(head.stanzas)} stanzas"
        )
    head.verify(file_key)
    if check_stanzas is not None:
        check_stanzas(head.stanzas)
    return file_key


def _refuse_mixture(stanzas: Sequence[header.Stanza]) -> None:
    types = {stanza.args[0] for stanza in stanzas}
    classical = sorted(types & CLASSICAL_TYPES)
    if types & QUANTUM_TYPES and classical:
        raise errors.SealError(
            f"file is for hybrid and {classical[0]} recipients at once: it would be no safer than {classical[0]}"
        )


def _read_nonce(source: BinaryIO) -> bytes:
    nonce = _read(source, stream.NONCE_SIZE)
    if len(nonce) != stream.NONCE_SIZE:
        raise errors.SealError(
            f"payload nonce of {len(nonce)} bytes, expected {stream.NONCE_SIZE}: the file is truncated"
        )
    return nonce


def _read(source: BinaryIO, size: int) -> bytes:
    """`size` bytes, fewer only at the end: what a short read would cut off must not look like the end of the file."""
    parts = []
    while size > 0 and (part := source.read(size)):
        parts.append(part)
        size -= len(part)
    return b"".join(parts)

"""age v1 files: sealed for several recipients, read and written in constant memory.

    header (exchange.header) | 16-byte nonce | chunks of 64 KiB, each with its tag (exchange.stream)

Any age program opens what is written here. We refuse more than the specification does: passphrases (scrypt), headers
over 64 KiB or 64 stanzas, and files for post-quantum and classical recipients at once: no safer than the latter alone.

Reference: C2SP age v1, https://c2sp.org/age.
"""

import os
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import BinaryIO

from exchange import errors, header, pieces, stream
from exchange import recipients as keys

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
    batches = pieces.batches(plaintext, BATCH * stream.CHUNK)
    current: pieces.Piece | None = next(batches, b"")
    target = memoryview(bytearray(stream.sealed_size(len(current or b""))))  # none is larger than the first
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
    payload = begin(source, identities, check_stanzas)
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


def begin(source: BinaryIO, identities: Sequence[keys.Identity], check_stanzas: CheckStanzas | None) -> stream.Stream:
    """The payload of the age file `source`, which is left at its first chunk; raises as `decrypt` does."""
    file_key = unlock(source, identities, check_stanzas)
    return stream.Stream(file_key, _read_nonce(source))


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

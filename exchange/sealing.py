"""Sealed updates: an age file that is bound to one context (run, round, parent, sender).

    -> folkmoot/context v1
    <sha256 of the context, base64>

The stanza stands in the header, under its MAC, and is checked before any payload is opened. A fellow recipient knows
the file key and could write another header around the same payload; so the payload repeats the context in its
safetensors metadata, and the sender signs an offer that names the file.

A file is sealed from memory to memory (`seal`, `unseal`), from file to file (`seal_file`, `open_file`), or into a store
and out of it (`deposit`, `collect`). The last two pairs hold no second copy of it. Nobody sees a byte of plaintext before
the last chunk has verified.
"""

import contextlib
import functools
import hmac
import io
import itertools
import os
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import BinaryIO, cast

from exchange import age, ahead, cid, errors, gathering, header, memory, opening, pieces, staged, store, stream, unixfs
from exchange import recipients as keys

CONTEXT_TYPE = "folkmoot/context"
CONTEXT_ARGS = (CONTEXT_TYPE, "v1")
CONTEXT_SIZE = 32  # bytes
SMALL = 256 * 1024  # bytes that cost less to copy once than to hand on piece by piece; sealed, they are one block
_LEAVES = memory.Kept(most=2 * unixfs.CHUNK)


def seal(plaintext: bytes | bytearray | memoryview, *, recipients: Sequence[keys.Recipient], context: bytes) -> bytes:
    """The age file that holds `plaintext` for `recipients`, bound to `context`. No two calls give the same bytes.

    Args:
        plaintext: contiguous bytes.
        recipients: each of them alone can open the file; one or more, all hybrid or all X25519.
        context: 32 bytes, a sha256 digest.

    Returns:
        The file: a header of 235 to 65,536 bytes, then 16 bytes and the plaintext with 16 more for every 64 KiB.

    Raises:
        SealError: recipients empty, mixed, or too many for a header.
        ValueError: a context that is not 32 bytes.

    Reference: C2SP age v1; docs/protocol.md P10.
    """
    file_key, head = age.start(recipients, [_stanza(context)])
    nonce = os.urandom(stream.NONCE_SIZE)
    with memoryview(plaintext).cast("B") as source:
        # A buffer of the final size that becomes `bytes` without a copy.
        sink = io.BytesIO(bytes(len(head) + len(nonce) + stream.sealed_size(len(source))))
        sink.write(head + nonce)
        with sink.getbuffer() as target:
            stream.Stream(file_key, nonce).seal(source, target[sink.tell() :], last=True)
    return sink.getvalue()


def sealed_size(size: int, *, recipients: Sequence[keys.Recipient]) -> int:
    """Bytes of the file that `seal` gives for `size` bytes."""
    empty = len(seal(b"", recipients=recipients, context=bytes(CONTEXT_SIZE)))
    return empty - stream.sealed_size(0) + stream.sealed_size(size)


def unseal(
    ciphertext: bytes | bytearray | memoryview, *, identities: Sequence[keys.Identity], context: bytes
) -> memoryview:
    """The plaintext of a sealed file, all of it verified.

    Args:
        ciphertext: contiguous bytes, the whole file and nothing else.
        identities: one that opens the file is enough.
        context: the 32 bytes that the file must be bound to.

    Returns:
        The plaintext, in memory of its own that may be written to.

    Raises:
        SealError: not an age file, damaged, or of a kind that we refuse.
        RecipientError: no identity opens it.
        ContextError: it opens, but carries no context, two, or another one.
        ValueError: a context that is not 32 bytes.

    Reference: C2SP age v1; docs/protocol.md P10.
    """
    check = _check(context)
    with memoryview(ciphertext).cast("B") as source:
        head = io.BytesIO(bytes(source[: header.MAX_HEADER]))
        file_key = age.unlock(head, identities, check)
        start = head.tell() + stream.NONCE_SIZE
        nonce, sealed = bytes(source[head.tell() : start]), source[start:]
        plaintext = memory.zeros(stream.opened_size(len(sealed)))
        stream.Stream(file_key, nonce).open(sealed, plaintext, last=True)
    return plaintext


def seal_file(source: Path, target: Path, *, recipients: Sequence[keys.Recipient], context: bytes) -> None:
    """Write the file `source` to `target` as `seal` gives it, in constant memory; `target` appears when it is whole.

    Raises:
        SealError: recipients empty, mixed, or too many for a header.
        StoreError: an error of the operating system, which is its cause.
        ValueError: a context that is not 32 bytes.

    Reference: C2SP age v1; docs/protocol.md P10.
    """
    stanza = _stanza(context)
    with staged.writing(target) as sink, source.open("rb") as plaintext:
        age.encrypt(plaintext, sink, recipients, [stanza])


def open_file(source: Path, target: Path, *, identities: Sequence[keys.Identity], context: bytes) -> None:
    """Write the plaintext of the sealed file `source` to `target`, in constant memory.

    `target` appears, or is replaced, once the last chunk has verified; if anything is refused it stays as it was.

    Raises:
        SealError, RecipientError, ContextError, ValueError: as `unseal` does.
        StoreError: an error of the operating system, which is its cause.

    Reference: C2SP age v1; docs/protocol.md P10.
    """
    check = _check(context)
    with staged.writing(target) as sink, source.open("rb") as ciphertext:
        age.decrypt(ciphertext, sink, identities, check)


def deposit(
    into: gathering.Sink, plaintext: Iterable[pieces.Piece], *, recipients: Sequence[keys.Recipient], context: bytes
) -> unixfs.Root:
    """Name and size of the file that `seal` would give for the joined `plaintext`, put into a store as it is sealed.

    Args:
        into: the store, or what gathers for it.
        plaintext: buffers, read one after the other, by another thread, and copied nowhere.
        recipients: as for `seal`.
        context: as for `seal`.

    Raises:
        SealError: recipients empty, mixed, or too many for a header.
        StoreError: the store could not take it.
        ValueError: a context that is not 32 bytes.

    Reference: C2SP age v1; docs/protocol.md P10.
    """
    if isinstance(plaintext, Sequence) and sum(map(len, plaintext)) <= SMALL:
        whole = seal(b"".join(plaintext), recipients=recipients, context=context)
        return unixfs.Root(cid=into.put_file(io.BytesIO(whole)), size=len(whole))
    sealed = source(plaintext, recipients=recipients, context=context)
    with _LEAVES.lent(2 * unixfs.CHUNK) as room:
        leaves = _leaves(sealed, room)
        first = next(leaves)
        if len(first) < unixfs.CHUNK:  # no more comes, so there is nothing to make ahead
            return unixfs.Root(cid=_put(into, [first]), size=sealed.size)
        with contextlib.closing(ahead.ahead(itertools.chain([first], leaves))) as made:
            name = _put(into, made)
    return unixfs.Root(cid=name, size=sealed.size)


def _leaves(sealed: pieces.Source, room: memoryview) -> Iterator[memoryview]:
    """The leaves of a file, in the two halves of `room` by turns."""
    for half in itertools.cycle((room[: unixfs.CHUNK], room[unixfs.CHUNK :])):
        count = sealed.readinto(half)
        if count:
            yield half[:count]
        if count < len(half):
            return


def _put(into: gathering.Sink, leaves: Iterable[memoryview]) -> cid.Cid:
    if isinstance(into, gathering.Gatherer):
        return into.put_leaves(leaves)
    return into.put_file(cast("BinaryIO", pieces.Source(leaves)))


def source(plaintext: Iterable[pieces.Piece], *, recipients: Sequence[keys.Recipient], context: bytes) -> pieces.Source:
    """The file that `seal` would give for the joined `plaintext`, sealed as it is read; arguments and errors as `deposit`."""
    return pieces.Source(age.encrypted(plaintext, recipients, [_stanza(context)]))


def collect(
    out_of: store.Store,
    name: cid.Cid | str,
    *,
    size: int,
    identities: Sequence[keys.Identity],
    context: bytes,
    room: memoryview | None = None,
) -> memoryview:
    """The plaintext of the sealed file `name`, opened block by block as the store gives them, all of it verified.

    Args:
        out_of: the store.
        name: of the sealed file.
        size: its bytes, neither more nor fewer, held against a limit by the caller; memory use stays within it.
        identities: as for `unseal`.
        context: as for `unseal`.
        room: where the plaintext is put, if it is large enough; what it held is lost, whatever comes of the file.

    Raises:
        SealError, RecipientError, ContextError, ValueError: as `unseal` does.
        StoreError: as `Store.get` does, and before anything is said of the seal; or there is no room for the plaintext.

    Reference: C2SP age v1; docs/protocol.md P10.
    """
    opened = opening.Opening(size, identities, _check(context), room)
    try:
        out_of.get_file(name, cast("BinaryIO", opened), limit=size)
        return opened.finish()
    except MemoryError as error:
        raise errors.StoreError(f"no memory for the {size} bytes of {name}: free some, and try again") from error


def _stanza(context: bytes) -> header.Stanza:
    _check_size(context)
    return header.Stanza(args=CONTEXT_ARGS, body=context)


def _check(context: bytes) -> age.CheckStanzas:
    _check_size(context)
    return functools.partial(_check_context, context=context)


def _check_size(context: bytes) -> None:
    if len(context) != CONTEXT_SIZE:
        raise ValueError(f"context of {len(context)} bytes, expected {CONTEXT_SIZE}, a sha256 digest")


def _check_context(stanzas: Sequence[header.Stanza], *, context: bytes) -> None:
    found = [stanza for stanza in stanzas if stanza.args[0] == CONTEXT_TYPE]
    if len(found) != 1:
        raise errors.ContextError(f"{len(found)} context stanzas, expected exactly 1")
    if found[0].args != CONTEXT_ARGS:
        raise errors.ContextError(
            f"context stanza {' '.join(found[0].args)[:80]!r}, expected {' '.join(CONTEXT_ARGS)!r}"
        )
    if not hmac.compare_digest(found[0].body, context):
        raise errors.ContextError(f"sealed for context {found[0].body[:32].hex()}, expected {context.hex()}")

"""An age file that comes in pieces, opened as it comes into memory that is given out only when the last chunk has verified.

A chunk that lies whole in a piece is opened where it lies; only one that two pieces share is put together first.
"""

import io
from collections.abc import Sequence
from typing import TYPE_CHECKING

from exchange import age, errors, header, memory, stream
from exchange import recipients as keys

if TYPE_CHECKING:
    from _typeshed import ReadableBuffer

HEAD = header.MAX_HEADER + stream.NONCE_SIZE  # bytes in which every header and nonce ends


class Opening(io.RawIOBase):
    """An age file that is written to this, in pieces of any size, and opened as it comes; none of it shows before `finish`.

    What is wrong with it is told by `finish` alone, after its size. So whoever reads it from a store says the same of it,
    whichever of its blocks are here and whichever come from elsewhere.
    """

    def __init__(
        self,
        size: int,
        identities: Sequence[keys.Identity],
        check_stanzas: age.CheckStanzas | None = None,
        room: memoryview | None = None,
    ) -> None:
        """Await a file of exactly `size` bytes, and open it into `room`, if that is large enough; else as `age.decrypt`."""
        super().__init__()
        self._room = memoryview(bytearray()) if room is None else room
        self._size, self._identities, self._check_stanzas = size, identities, check_stanzas
        self._received = self._opened = 0
        self._pending = bytearray()  # a header that may go on, or at most one chunk
        self._payload: stream.Stream | None = None
        self._plaintext = memoryview(b"")
        self._refused: errors.SealError | None = None

    def writable(self) -> bool:
        """Yes."""
        return True

    def write(self, data: "ReadableBuffer", /) -> int:
        """Take the next bytes of the file; MemoryError if there is no room for its plaintext."""
        with memoryview(data).cast("B") as view:
            self._received += len(view)
            if self._refused is None and self._received <= self._size:
                try:
                    self._take(view)
                except errors.SealError as error:
                    self._refused = error
            return len(view)

    def finish(self) -> memoryview:
        """The plaintext, all of it verified; raises as `age.decrypt` does."""
        if self._received != self._size:
            raise errors.SealError(f"file has {self._received} bytes, expected {self._size}")
        if self._refused is not None:
            raise self._refused
        payload = self._begin() if self._payload is None else self._payload
        self._open(payload, memoryview(self._pending), last=True)
        return self._plaintext

    def _take(self, view: memoryview) -> None:
        """Open what has come, most of it where it lies, as far as it can be told not to be the end; keep the rest."""
        payload = self._payload
        if payload is None:
            self._pending += view
            if len(self._pending) < HEAD:
                return
            payload = self._begin()
            view = memoryview(bytes(self._pending))
            self._pending.clear()
        missing = stream.SEALED_CHUNK - len(self._pending) if self._pending else 0
        self._pending += view[:missing]
        # What comes last can only be told by nothing coming after it, so one byte is always kept back.
        if len(view) <= missing:
            return
        if self._pending:
            self._open(payload, memoryview(self._pending), last=False)
            self._pending.clear()
        whole = missing + (len(view) - missing - 1) // stream.SEALED_CHUNK * stream.SEALED_CHUNK
        if whole > missing:
            self._open(payload, view[missing:whole], last=False)
        self._pending += view[whole:]

    def _begin(self) -> stream.Stream:
        source = io.BytesIO(self._pending[:HEAD])
        self._payload = age.begin(source, self._identities, self._check_stanzas)
        size = stream.opened_size(self._size - source.tell())
        self._plaintext = self._room[:size] if size <= len(self._room) else memory.zeros(size)
        del self._pending[: source.tell()]
        return self._payload

    def _open(self, payload: stream.Stream, sealed: memoryview, *, last: bool) -> None:
        """Open the next chunks, and let go of them."""
        with sealed:
            end = self._opened + stream.opened_size(len(sealed))
            payload.open(sealed, self._plaintext[self._opened : end], last=last)
        self._opened = end

"""The payload of an age file: ChaCha20-Poly1305 over chunks of 64 KiB, which cannot be reordered, dropped or cut off.

    16-byte nonce | chunk of 65,536 + 16-byte tag | ... | last chunk of 1 to 65,536 + 16-byte tag
    payload key = HKDF(file key, salt nonce, "payload");  chunk nonce = 11-byte counter | 1 in the last chunk, 0 before

An empty payload is one empty chunk, and only then may a chunk be empty.

Reference: C2SP age v1, "Payload"; Hoang, Reyhanitabar, Rogaway, Vizar 2015 (STREAM).
"""

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import ChaCha20Poly1305

from exchange import errors, header

CHUNK = 64 * 1024  # bytes of plaintext
TAG = 16  # bytes
SEALED_CHUNK = CHUNK + TAG
NONCE_SIZE = 16  # bytes


def sealed_size(size: int) -> int:
    """The bytes that `size` bytes of plaintext take when sealed, without the nonce."""
    return size + TAG * max(1, -(-size // CHUNK))


def opened_size(size: int) -> int:
    """The bytes of plaintext in `size` bytes of sealed chunks.

    Raises:
        SealError: no payload has this size: it was cut off before or inside the tag of its last chunk.
    """
    chunks, last = divmod(size, SEALED_CHUNK)
    if 0 < last < TAG or size == 0:
        raise errors.SealError(f"payload is truncated: its last chunk has {last} bytes, expected at least {TAG}")
    return size - TAG * (chunks + (last > 0))


class Stream:
    """One direction of one payload; it counts the chunks that went through it."""

    def __init__(self, file_key: bytes, nonce: bytes) -> None:
        self.cipher = ChaCha20Poly1305(header.derive(file_key, salt=nonce, info=b"payload"))
        self.counter = 0

    def seal(self, plaintext: memoryview, sealed: memoryview, *, last: bool) -> None:
        """Encrypt the next bytes of the payload.

        Args:
            plaintext: whole chunks, or any number of bytes if `last`.
            sealed: where to write, exactly `sealed_size(len(plaintext))` bytes.
            last: whether the payload ends here.
        """
        # One round also for an empty payload.
        for start in range(0, max(1, len(plaintext)), CHUNK):
            chunk = plaintext[start : start + CHUNK]
            position = start // CHUNK * SEALED_CHUNK
            nonce = self._nonce(last=last and start + CHUNK >= len(plaintext))
            self.cipher.encrypt_into(nonce, chunk, None, sealed[position : position + len(chunk) + TAG])

    def open(self, sealed: memoryview, plaintext: memoryview, *, last: bool) -> None:
        """Decrypt and verify the next bytes of the payload.

        Args:
            sealed: whole sealed chunks, or anything if `last`.
            plaintext: where to write, exactly `opened_size(len(sealed))` bytes; worthless if this raises.
            last: whether the payload ends here.

        Raises:
            SealError: a chunk was changed, moved, left out or added, or the payload does not end here.

        Reference: C2SP age v1, "Payload"; docs/protocol.md P10.
        """
        for start in range(0, len(sealed), SEALED_CHUNK):
            chunk = sealed[start : start + SEALED_CHUNK]
            position = start // SEALED_CHUNK * CHUNK
            number = self.counter
            if len(chunk) == TAG and number > 0:
                raise errors.SealError(f"payload chunk {number} is empty, which only the first may be")
            nonce = self._nonce(last=last and start + SEALED_CHUNK >= len(sealed))
            try:
                self.cipher.decrypt_into(nonce, chunk, None, plaintext[position : position + len(chunk) - TAG])
            except InvalidTag:
                raise errors.SealError(f"payload chunk {number} does not verify") from None

    def _nonce(self, *, last: bool) -> bytes:
        nonce = self.counter.to_bytes(11, "big") + bytes([last])
        self.counter += 1
        return nonce

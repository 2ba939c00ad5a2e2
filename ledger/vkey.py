"""Verifier keys: a public key, its name and the kind of signature it checks, as one line of text.

::

    <name>+<key id, 8 lower-case hex digits>+<base64 of type | public key>

Type 01 is Ed25519 over a text, 04 an Ed25519 cosignature, 06 an ML-DSA-44 cosignature. `note.vkey` writes it.
"""

import base64
import binascii

from ledger import cosignature, errors, keys, mldsa, note


def parse(text: str) -> note.Verifies:
    """The named key of a verifier key.

    Raises:
        KeyFileError: Not a verifier key in its one form, of another type, or with the id of another key.

    Reference: C2SP signed-note 1.0.0, "Verifier keys"; docs/protocol.md P5.
    """
    name, _, rest = text.partition("+")
    _, _, encoded = rest.partition("+")
    try:
        note.check_name(name)
        raw = base64.b64decode(encoded, validate=True)
    except (binascii.Error, ValueError, errors.StatementError) as error:
        raise errors.KeyFileError(f"{text[:100]!r} is no verifier key, expected name+id+base64: {error}") from error
    verifier = _of_type(name, raw)
    if note.vkey(verifier) != text:
        raise errors.KeyFileError(f"{text[:100]!r} is no verifier key, expected {note.vkey(verifier)[:100]!r}")
    return verifier


def _of_type(name: str, raw: bytes) -> note.Verifies:
    match raw[:1]:
        case b"\x01":
            return note.Verifier(name=name, key=keys.PublicKey(raw=raw[1:]))
        case b"\x04":
            return cosignature.Verifier(name=name, key=keys.PublicKey(raw=raw[1:]))
        case b"\x06":
            return cosignature.Verifier(name=name, key=mldsa.PublicKey(raw=raw[1:]))
        case b"":
            raise errors.KeyFileError(f"{name[:100]!r} is no verifier key, expected name+id+base64")
        case other:
            raise errors.KeyFileError(f"key {name!r} is of type {other.hex()}, expected 01, 04 or 06")

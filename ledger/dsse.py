"""DSSE envelopes: one payload, one signature, one byte form.

::

    {"payload":"<base64>","payloadType":"application/vnd.in-toto+json","signatures":[{"keyid":"SHA256:...","sig":"<base64>"}]}

as canonical JSON. DSSE lets either base64 alphabet in and any JSON; a log that hashes envelopes must not, so base64 is
standard and padded here, and version 1 carries exactly one signature.
"""

import base64
import binascii
import hashlib
import re
from dataclasses import dataclass, field
from typing import Self

from ledger import canonical, errors, keys

PAYLOAD_TYPE = "application/vnd.in-toto+json"
MAX_BYTES = 60 * 1024
MAX_PAYLOAD = 45_000
"""Bytes of payload: in base64, with all around it, under `MAX_BYTES`; so the leaf stays under the 65,535 of a tile."""

_KEYID = re.compile(r"SHA256:[A-Za-z0-9+/]{43}")
_FORM = b'{"payload":"%s","payloadType":"' + PAYLOAD_TYPE.encode() + b'","signatures":[{"keyid":"%s","sig":"%s"}]}'
_PARTS = re.compile(
    rb'\{"payload":"([^"]*)","payloadType":"[^"]*","signatures":\[\{"keyid":"([!-~]*?)","sig":"([^"]*)"\}\]\}'
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Envelope:
    """A payload and its one (keyid, signature). The keyid is a hint that decides nothing.

    Attributes:
        eid: Hex sha256 of the signed bytes: the statement's identity, the same however often it is signed or sent.
    """

    payload: bytes
    signatures: tuple[tuple[str, bytes], ...]
    eid: str = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        if len(self.payload) > MAX_PAYLOAD:
            message = f"payload of {len(self.payload)} bytes, expected at most {MAX_PAYLOAD}"
            raise errors.StatementError(message, code="too-large")
        if len(self.signatures) != 1:
            raise errors.StatementError(f"{len(self.signatures)} signatures, expected exactly one")
        keyid, signature = self.signatures[0]
        if not _KEYID.fullmatch(keyid) or len(signature) != 64:
            expected = "expected SHA256:<fingerprint> and 64 bytes"
            raise errors.StatementError(f"keyid {keyid[:60]!r} with a signature of {len(signature)} bytes, {expected}")
        object.__setattr__(self, "eid", hashlib.sha256(self.pae()).hexdigest())

    @classmethod
    def parse(cls, data: bytes) -> Self:
        """The envelope of its canonical bytes.

        Raises:
            StatementError: Anything but the one byte form.

        Reference: DSSE 1.0.2 envelope.md; docs/protocol.md P2.
        """
        if len(data) <= MAX_BYTES and (parts := _PARTS.fullmatch(data)):
            payload, keyid, signature = parts.groups()
            envelope = cls(payload=_decode64(payload), signatures=((keyid.decode(), _decode64(signature)),))
            if envelope.to_bytes() == data:
                return envelope
        # Whatever it is, it is not the one form; what is wrong with it takes longer to say.
        return cls.from_json(canonical.decode(data, limit=MAX_BYTES))

    @classmethod
    def from_json(cls, value: canonical.Json) -> Self:
        """The envelope of its decoded JSON object, as it lies inside a leaf.

        Raises:
            StatementError: Other members, another payload type, or base64 that is not standard and padded.

        Reference: DSSE 1.0.2 envelope.md; docs/protocol.md P2.
        """
        match value:
            case {"payload": str(payload), "payloadType": kind, "signatures": [{"keyid": str(keyid), "sig": str(sig)}]}:
                pass
            case _:
                raise errors.StatementError(f"{str(value)[:100]} is no DSSE envelope with exactly one signature")
        if kind != PAYLOAD_TYPE:
            raise errors.StatementError(f"payload type {str(kind)[:60]!r}, expected {PAYLOAD_TYPE}", code="wrong-type")
        envelope = cls(payload=_decode64(payload), signatures=((keyid, _decode64(sig)),))
        if envelope.to_json() != value:
            raise errors.StatementError("an envelope with unknown members or loose base64", code="non-canonical")
        return envelope

    def to_json(self) -> dict[str, canonical.Json]:
        """The envelope as a JSON object."""
        return {
            "payload": base64.b64encode(self.payload).decode(),
            "payloadType": PAYLOAD_TYPE,
            "signatures": [{"keyid": keyid, "sig": base64.b64encode(sig).decode()} for keyid, sig in self.signatures],
        }

    def to_bytes(self) -> bytes:
        """The one byte form: what canonical JSON makes of `to_json`, in which nothing needs an escape."""
        [(keyid, signature)] = self.signatures
        return _FORM % (base64.b64encode(self.payload), keyid.encode(), base64.b64encode(signature))

    def pae(self) -> bytes:
        """The bytes that are signed."""
        return pae(PAYLOAD_TYPE, self.payload)


def pae(payload_type: str, payload: bytes) -> bytes:
    """The pre-authentication encoding `DSSEv1 SP len(type) SP type SP len(body) SP body`.

    Reference: DSSE 1.0.2 protocol.md, "Signature Definition".
    """
    kind = payload_type.encode()
    return b"DSSEv1 %d %s %d %s" % (len(kind), kind, len(payload), payload)


def sign(payload: bytes, key: keys.SigningKey) -> Envelope:
    """The envelope of `payload` under one signature by `key`.

    Raises:
        StatementError: The payload is larger than `MAX_PAYLOAD`.
    """
    return Envelope(payload=payload, signatures=((key.public.fingerprint, key.sign(pae(PAYLOAD_TYPE, payload))),))


def verify(envelope: Envelope, public_key: keys.PublicKey) -> bytes:
    """The payload, the very bytes that were verified.

    The keyid is not looked at: it is not signed (DSSE 1.0.2: "MUST NOT be used for security decisions").

    Raises:
        SignatureError: The signature is not by `public_key`.

    Reference: DSSE 1.0.2 protocol.md, "Protocol"; docs/protocol.md P2.
    """
    [(_, signature)] = envelope.signatures
    public_key.verify(signature, envelope.pae())
    return envelope.payload


def _decode64(text: str | bytes) -> bytes:
    try:
        return binascii.a2b_base64(text, strict_mode=True)
    except (binascii.Error, ValueError) as error:
        raise errors.StatementError(f"{text[:60]!r} is not standard padded base64: {error}") from error

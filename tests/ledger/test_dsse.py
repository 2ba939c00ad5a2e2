"""Envelopes."""

import base64
import hashlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ledger import canonical, dsse, errors, keys

KEY = keys.SigningKey.generate()


def test_pae_vector():
    """The example of the DSSE specification (protocol.md, "Test vectors")."""
    assert dsse.pae("http://example.com/HelloWorld", b"hello world") == (
        b"DSSEv1 29 http://example.com/HelloWorld 11 hello world"
    )


def test_pae_counts_bytes():
    """Lengths are of bytes, not of characters."""
    assert dsse.pae("\u00e9", "\u00e9".encode()) == b"DSSEv1 2 \xc3\xa9 2 \xc3\xa9"


def test_eid_is_the_hash_of_what_is_signed():
    """The eid follows from payload and type alone: who signs and how does not change it."""
    one, two = dsse.sign(b"x", KEY), dsse.sign(b"x", keys.SigningKey.generate())
    assert one != two
    assert one.eid == two.eid == hashlib.sha256(b"DSSEv1 28 application/vnd.in-toto+json 1 x").hexdigest()


@given(st.binary(max_size=200))
def test_an_envelope_survives_its_bytes(payload):
    """parse(to_bytes(e)) == e, and verification hands back the payload."""
    envelope = dsse.sign(payload, KEY)
    assert dsse.Envelope.parse(envelope.to_bytes()) == envelope
    assert dsse.verify(envelope, KEY.public) == payload


ENVELOPE = dsse.sign(b'{"a":1}', KEY)
DATA = ENVELOPE.to_bytes()


@given(st.integers(0, len(DATA) - 1), st.integers(1, 255))
def test_any_changed_byte_is_noticed(position, change):
    """A changed byte is refused in parsing or in verifying; only the hint of the keyid may differ, and nothing follows."""
    spoiled = bytes([*DATA[:position], DATA[position] ^ change, *DATA[position + 1 :]])
    try:
        envelope = dsse.Envelope.parse(spoiled)
        payload = dsse.verify(envelope, KEY.public)
    except (errors.StatementError, errors.SignatureError):
        return
    assert (payload, envelope.signatures[0][1]) == (ENVELOPE.payload, ENVELOPE.signatures[0][1])


def changed(**changes):
    return canonical.encode({**ENVELOPE.to_json(), **changes})


SIGNATURE = ENVELOPE.to_json()["signatures"][0]


@pytest.mark.parametrize(
    ("data", "code"),
    [
        (changed(payloadType="application/json"), "wrong-type"),
        (changed(payload="eyJhIjoxfR=="), "non-canonical"),
        (changed(payload="eyJhIjoxfQ"), "malformed"),
        (changed(payload=" eyJhIjoxfQ=="), "malformed"),
        (changed(payload=base64.urlsafe_b64encode(b"\xff\xef").decode()), "malformed"),
        (changed(payload="é"), "malformed"),
        (changed(payload=1), "malformed"),
        (changed(signatures=[]), "malformed"),
        (changed(signatures=[SIGNATURE, SIGNATURE]), "malformed"),
        (changed(signatures=[{**SIGNATURE, "keyid": "SHA256:short"}]), "malformed"),
        (changed(signatures=[{**SIGNATURE, "sig": base64.b64encode(bytes(63)).decode()}]), "malformed"),
        (changed(signatures=[{**SIGNATURE, "cert": ""}]), "non-canonical"),
        (changed(more=1), "non-canonical"),
        (DATA + b"\n", "non-canonical"),
        (b"[]", "malformed"),
        (b" " * (dsse.MAX_BYTES + 1), "too-large"),
    ],
)
def test_an_envelope_has_one_form(data, code):
    """Payload type, alphabet, padding, spare bits, number of signatures, extra members: refused (attacks 17, 18)."""
    with pytest.raises(errors.StatementError) as caught:
        dsse.Envelope.parse(data)
    assert caught.value.code == code


def test_no_envelope_without_exactly_one_signature():
    """Not even our own code can make one."""
    for signatures in ((), ENVELOPE.signatures * 2):
        with pytest.raises(errors.StatementError, match="exactly one"):
            dsse.Envelope(payload=b"", signatures=signatures)


def test_the_largest_payload_fits_and_the_next_does_not():
    """The payload's limit keeps the envelope within its own."""
    largest = dsse.sign(bytes(dsse.MAX_PAYLOAD), KEY)
    assert len(largest.to_bytes()) <= dsse.MAX_BYTES
    with pytest.raises(errors.StatementError) as caught:
        dsse.sign(bytes(dsse.MAX_PAYLOAD + 1), KEY)
    assert caught.value.code == "too-large"


def test_the_keyid_decides_nothing():
    """A wrong hint neither helps a wrong signature nor spoils a right one."""
    other = keys.SigningKey.generate()
    hinted = dsse.Envelope(
        payload=b"x", signatures=((KEY.public.fingerprint, dsse.sign(b"x", other).signatures[0][1]),)
    )
    assert dsse.verify(hinted, other.public) == b"x"
    with pytest.raises(errors.SignatureError):
        dsse.verify(hinted, KEY.public)


def test_the_signature_covers_the_payload_type():
    """A signature over the bare payload is no signature of the envelope (attack 17)."""
    bare = dsse.Envelope(payload=b"x", signatures=((KEY.public.fingerprint, KEY.sign(b"x")),))
    with pytest.raises(errors.SignatureError):
        dsse.verify(bare, KEY.public)

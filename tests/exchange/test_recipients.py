"""Recipients and identities: texts that other programs read, stanzas that only the right one opens."""

import dataclasses
import hashlib
import os

import pyrage
import pytest

from exchange import bech32, errors, header, recipients

CLASSES = [recipients.X25519Identity, recipients.HybridIdentity]
# The points of low order of Curve25519 and its twist below 2^255, little-endian: 0, 1, the two of order 8, p - 1, p, p + 1.
LOW_ORDER = [
    "0000000000000000000000000000000000000000000000000000000000000000",
    "0100000000000000000000000000000000000000000000000000000000000000",
    "e0eb7a7c3b41b8ae1656e3faf19fc46ada098deb9c32b1fd866205165f49b800",
    "5f9c95bca3508c24b1d0b1559c83ef5b04445cc4581c8e86d8224eddd09f1157",
    "ecffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f",
    "edffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f",
    "eeffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f",
]


def test_x25519_texts_are_those_of_another_implementation() -> None:
    """Recipient and identity of an age program are read here, spelled the same, and belong together here too."""
    theirs = pyrage.x25519.Identity.generate()
    ours = recipients.X25519Identity.parse(str(theirs))
    assert (str(ours), str(ours.recipient)) == (str(theirs), str(theirs.to_public()))
    assert recipients.X25519Recipient.parse(str(theirs.to_public())) == ours.recipient


def test_our_x25519_keys_are_read_by_another_implementation() -> None:
    """An identity made here gives the same recipient in another age program."""
    ours = recipients.X25519Identity.generate()
    assert str(pyrage.x25519.Identity.from_str(str(ours)).to_public()) == str(ours.recipient)


def test_hybrid_recipient_is_that_of_another_implementation() -> None:
    """The post-quantum recipient that belongs to an identity is the text that typage 0.3 gives for it."""
    identity = recipients.parse_identity(
        "AGE-SECRET-KEY-PQ-1HZLGZUPT4ETPKDEV8HSGFDCYZ4E522W0A7PU2LHT8EH9W6YLNC3SW78XKG"
    )
    text = str(identity.recipient)
    assert text.startswith("age1pq1z4f9zeapqujpskesfxhujkg525ymk8mep")
    assert hashlib.sha256(text.encode()).hexdigest() == (
        "3391361ba4a3d211173b3161b1460630cee790d95b732cd447313243226cb082"
    )


@pytest.mark.parametrize("kind", CLASSES)
def test_texts_are_read_back(kind: type[recipients.Identity]) -> None:
    """The text of an identity or recipient gives it back, whichever parser picks the class."""
    identity = kind.generate()
    assert recipients.parse_identity(str(identity)) == identity
    assert recipients.parse_identity(str(identity)).recipient == identity.recipient
    assert recipients.parse_recipient(str(identity.recipient)) == identity.recipient


@pytest.mark.parametrize("kind", CLASSES)
def test_a_key_has_one_text(kind: type[recipients.Identity]) -> None:
    """The other case, although right bech32, is refused: recipients are lower case, identities upper case."""
    identity = kind.generate()
    with pytest.raises(errors.KeyTextError):
        recipients.parse_identity(str(identity).lower())
    with pytest.raises(errors.KeyTextError):
        recipients.parse_recipient(str(identity.recipient).upper())


@pytest.mark.parametrize(("prefix", "size"), [("age", 31), ("age", 33), ("age1pq", 32), ("age1pq", 1217), ("bc", 32)])
def test_refuses_keys_of_another_length_or_prefix(prefix: str, size: int) -> None:
    """A right checksum does not make a key: the length and the prefix must be those of a recipient."""
    with pytest.raises(errors.KeyTextError, match="expected"):
        recipients.parse_recipient(bech32.encode(prefix, b"\x05" * size))


@pytest.mark.parametrize("kind", CLASSES)
def test_an_identity_given_as_recipient_is_refused_and_not_repeated(kind: type[recipients.Identity]) -> None:
    """Who pastes a secret where a recipient is due gets an error that does not hold the secret."""
    text = str(kind.generate())
    with pytest.raises(errors.KeyTextError) as caught:
        recipients.parse_recipient(text)
    assert text[18:30] not in str(caught.value)
    assert text[18:30].lower() not in str(caught.value)


@pytest.mark.parametrize("kind", CLASSES)
def test_secrets_stay_out_of_representations(kind: type[recipients.Identity]) -> None:
    """The repr of an identity, as logs and tracebacks show it, does not hold its secret."""
    identity = kind.generate()
    assert repr(identity.raw)[2:-1] not in repr(identity)
    assert identity.raw.hex() not in repr(identity)


@pytest.mark.parametrize("point", LOW_ORDER)
def test_refuses_recipients_of_low_order(point: str) -> None:
    """6: a recipient with which every exchange gives zero is refused, alone and as half of a hybrid."""
    raw = bytes.fromhex(point)
    with pytest.raises(errors.SealError, match="low order"):
        recipients.parse_recipient(bech32.encode("age", raw))
    lattice = recipients.HybridIdentity.generate().recipient.raw[: recipients.LATTICE_SIZE]
    with pytest.raises(errors.SealError, match="low order"):
        recipients.parse_recipient(bech32.encode("age1pq", lattice + raw))


def test_refuses_a_hybrid_recipient_whose_lattice_half_is_none() -> None:
    """An ML-KEM key with coefficients beyond the modulus is refused (FIPS 203, 7.2)."""
    point = recipients.X25519Identity.generate().recipient.raw
    with pytest.raises(errors.KeyTextError, match="ML-KEM"):
        recipients.parse_recipient(bech32.encode("age1pq", b"\xff" * recipients.LATTICE_SIZE + point))


@pytest.mark.parametrize("kind", CLASSES)
def test_only_the_right_identity_unwraps(kind: type[recipients.Identity]) -> None:
    """The identity of a recipient gets the file key back; another one, and another type of stanza, get None."""
    identity, file_key = kind.generate(), os.urandom(16)
    stanza = identity.recipient.wrap(file_key)
    assert identity.unwrap(stanza) == file_key
    assert kind.generate().unwrap(stanza) is None
    assert identity.unwrap(header.Stanza(args=("ssh-rsa", "AAAA"), body=stanza.body)) is None


@pytest.mark.parametrize("kind", CLASSES)
def test_no_two_wrappings_are_alike(kind: type[recipients.Identity]) -> None:
    """The same file key for the same recipient gives another stanza each time."""
    recipient, file_key = kind.generate().recipient, bytes(16)
    assert recipient.wrap(file_key) != recipient.wrap(file_key)


@pytest.mark.parametrize("kind", CLASSES)
def test_malformed_stanzas_of_the_own_type_are_refused(kind: type[recipients.Identity]) -> None:
    """A stanza of the right type with other arguments or lengths is malformed, not somebody else's."""
    identity = kind.generate()
    stanza = identity.recipient.wrap(bytes(16))
    share = header.decode_base64(stanza.args[1])
    for args, body in [
        ((identity.TYPE,), stanza.body),
        ((*stanza.args, "x"), stanza.body),
        ((identity.TYPE, header.encode_base64(share[:-1])), stanza.body),
        ((identity.TYPE, header.encode_base64(share + b"x")), stanza.body),
        (stanza.args, stanza.body[:-1]),
        (stanza.args, stanza.body + bytes(16)),
    ]:
        with pytest.raises(errors.SealError, match="stanza with"):
            identity.unwrap(header.Stanza(args=args, body=body))


@pytest.mark.parametrize("point", LOW_ORDER)
def test_refuses_shares_of_low_order(point: str) -> None:
    """6: a stanza whose ephemeral point is of low order could be read by anybody; it is refused, not tried."""
    for kind in CLASSES:
        identity = kind.generate()
        stanza = identity.recipient.wrap(bytes(16))
        share = header.decode_base64(stanza.args[1])[:-32] + bytes.fromhex(point)
        forged = dataclasses.replace(stanza, args=(identity.TYPE, header.encode_base64(share)))
        with pytest.raises(errors.SealError, match="low order"):
            identity.unwrap(forged)

"""CIDs: one spelling for each, and nothing else passes for one."""

import base64
import hashlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from exchange import cid, errors

EMPTY = "bafkreihdwdcefgh4dqkjv67uzcmw7ojee6xedzdetojuzjevtenxquvyku"


def spell(data: bytes) -> str:
    return "b" + base64.b32encode(data).decode().rstrip("=").lower()


def test_the_empty_block_has_its_well_known_name() -> None:
    """The CID of the empty raw block is the one every IPFS node knows."""
    assert str(cid.Cid.of_block(cid.RAW, b"")) == EMPTY
    assert cid.Cid.parse(EMPTY).digest == hashlib.sha256().digest()


@given(st.sampled_from([cid.RAW, cid.DAG_PB]), st.binary(max_size=100))
def test_both_forms_are_read_back(codec: int, block: bytes) -> None:
    """A CID survives the way to text and to bytes."""
    name = cid.Cid.of_block(codec, block)
    assert cid.Cid.parse(str(name)) == name
    assert cid.Cid.from_bytes(bytes(name)) == name
    assert (name.codec, name.digest, len(str(name))) == (codec, hashlib.sha256(block).digest(), 59)


@pytest.mark.parametrize(
    "text",
    [
        "",
        "b",
        "../../etc/passwd",
        EMPTY + "/../../x",
        EMPTY + "\n",
        " " + EMPTY,
        EMPTY.upper(),
        "B" + EMPTY[1:],
        EMPTY[:-1],
        EMPTY + "a",
        EMPTY[:-1] + "v",  # the same bytes, unused bits set
        EMPTY[:-1] + "1",
        EMPTY[:-1] + "\u212a",  # KELVIN SIGN, which lower() makes a k
        "QmbFMke1KXqnYyBBWxB74N4c5SBnJMVAiMNRcGu6x1AwQH",  # version 0
        "zb2rhmy65F3REf8SZp7De11gxtECBGgUKaLdiDj7MCGCHxbDW",  # base58
        spell(b"\x01\x55\x00\x04abcd"),  # identity hash
        spell(b"\x01\x55\x00\x20" + bytes(32)),  # identity hash of 32 bytes
        spell(b"\x01\x55\x11\x14" + bytes(20)),  # sha1
        spell(b"\x01\x55\x11\x20" + bytes(32)),
        spell(b"\x01\x55\x13\x40" + bytes(64)),  # sha2-512
        spell(b"\x01\x55\x12\x1f" + bytes(31)),  # truncated
        spell(b"\x01\x55\x12\x21" + bytes(32)),  # a length that lies
        spell(b"\x01\x71\x12\x20" + bytes(32)),  # dag-cbor
        spell(b"\x01\x72\x12\x20" + bytes(32)),  # libp2p-key
        spell(b"\x00\x55\x12\x20" + bytes(32)),
        spell(b"\x02\x55\x12\x20" + bytes(32)),
        spell(b"\x01\xd5\x00\x12\x20" + bytes(32)),  # a codec in too many bytes
    ],
)
def test_hostile_cids_are_refused(text: str) -> None:
    """33: paths, other versions, bases, codecs and hashes, and other spellings of a right CID, are refused."""
    with pytest.raises(errors.CidError, match="is not a CID"):
        cid.Cid.parse(text)


@given(st.binary(max_size=40))
def test_bytes_that_are_no_cid_are_refused(data: bytes) -> None:
    """33: random bytes are refused with our error and no other."""
    with pytest.raises(errors.CidError):
        cid.Cid.from_bytes(data)


@pytest.mark.parametrize("start", ["00551220", "02551220", "01711220", "01550020", "01551120", "0155121f", "01551221"])
def test_hostile_binary_cids_are_refused(start: str) -> None:
    """33: in its 36-byte form too a CID has one version, two codecs and one hash of one length."""
    with pytest.raises(errors.CidError, match=start):
        cid.Cid.from_bytes(bytes.fromhex(start) + bytes(32))


@pytest.mark.parametrize("size", [31, 33])
def test_binary_cids_have_36_bytes(size: int) -> None:
    """33: a digest that is cut off, or followed by a byte, is refused."""
    with pytest.raises(errors.CidError):
        cid.Cid.from_bytes(b"\x01\x55\x12\x20" + bytes(size))

"""Proof files."""

import base64
import dataclasses
import functools
import hashlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ledger import checkpoint, errors, keys, merkle, proof

ORIGIN = "folkmoot.test/log"
KEY = keys.SigningKey.generate()
LEAVES = [b"leaf %d" % n for n in range(21)]
NODE = merkle.over([merkle.leaf_hash(each) for each in LEAVES])
VERIFY = functools.partial(checkpoint.verify, origin=ORIGIN, public_key=KEY.public)


def proof_of(index, size=21, extra=b""):
    promise = checkpoint.LogCheckpoint(origin=ORIGIN, size=size, root=merkle.root(size, NODE))
    path = tuple(merkle.inclusion_proof(index, size, NODE))
    return proof.Proof(index=index, path=path, note=checkpoint.sign(promise, KEY), extra=extra)


def test_the_bytes():
    """The lines of C2SP tlog-proof, and the note as it is."""
    made = proof.Proof(index=7, path=(bytes(32), b"\xff" * 32), note=b"note\n", extra=b"hello")
    zeros, ones = base64.b64encode(bytes(32)), base64.b64encode(b"\xff" * 32)
    lines = [b"c2sp.org/tlog-proof@v1", b"extra aGVsbG8=", b"index 7", zeros, ones, b"", b"note", b""]
    assert made.to_bytes() == b"\n".join(lines)
    bare = dataclasses.replace(made, index=0, path=(), extra=b"")
    assert bare.to_bytes() == b"c2sp.org/tlog-proof@v1\nindex 0\n\nnote\n"


@given(st.integers(0, 10**15), st.lists(st.binary(min_size=32, max_size=32), max_size=63), st.binary(), st.binary())
def test_a_proof_survives_its_file(index, path, note, extra):
    """parse(p.to_bytes()) == p."""
    made = proof.Proof(index=index, path=tuple(path), note=note, extra=extra)
    assert proof.Proof.parse(made.to_bytes()) == made


@pytest.mark.parametrize("size", [1, 2, 7, 21])
def test_every_entry_is_proven(size):
    """The file alone, the leaf and the log's key tell that the entry is in the log, at every index of every size."""
    for index in range(size):
        promise = proof.Proof.parse(proof_of(index, size).to_bytes()).verify(LEAVES[index], VERIFY)
        assert promise.size == size


def test_extra_data_is_not_vouched_for():
    """Anybody can change it, and the proof still holds."""
    made = dataclasses.replace(proof_of(3, extra=b"one"), extra=b"other")
    assert proof.Proof.parse(made.to_bytes()).verify(LEAVES[3], VERIFY).size == len(LEAVES)


def test_a_proof_of_another_leaf_is_refused():
    """Another leaf, index, path, root or key: no."""
    sound = proof_of(3)
    with pytest.raises(errors.ProofError):
        sound.verify(LEAVES[4], VERIFY)
    for changes in (
        {"index": 4},
        {"index": 21},
        {"path": sound.path[:-1]},
        {"path": (*sound.path, sound.path[0])},
        {"path": sound.path[::-1]},
        {"note": proof_of(3, 20).note},
    ):
        with pytest.raises(errors.ProofError):
            dataclasses.replace(sound, **changes).verify(LEAVES[3], VERIFY)
    stranger = functools.partial(VERIFY, public_key=keys.SigningKey.generate().public)
    with pytest.raises(errors.SignatureError):
        sound.verify(LEAVES[3], stranger)


HASH = base64.b64encode(hashlib.sha256().digest()).decode()
SOUND = f"c2sp.org/tlog-proof@v1\nextra aGVsbG8=\nindex 7\n{HASH}\n\nnote\n"


@pytest.mark.parametrize(
    "text",
    [
        "",
        SOUND.replace("@v1", "@v2"),
        SOUND.replace("index 7", "index 07"),
        SOUND.replace("index 7", "index -7"),
        SOUND.replace("index 7", "index 7 "),
        SOUND.replace("index 7", "index \u0667"),
        SOUND.replace("index 7\n", ""),
        SOUND.replace("extra aGVsbG8=", "extra "),
        SOUND.replace("extra aGVsbG8=", "extra aGVsbG8"),
        SOUND.replace("extra aGVsbG8=", "extra aGVsbG9="),
        SOUND.replace("extra aGVsbG8=\nindex 7", "index 7\nextra aGVsbG8="),
        SOUND.replace("extra aGVsbG8=\n", "extra aGVsbG8=\nextra aGVsbG8=\n"),
        SOUND.replace(HASH, HASH[:-4]),
        SOUND.replace(HASH, HASH[:-2] + "V="),
        SOUND.replace("\n", "\r\n"),
        SOUND.replace(f"{HASH}\n\n", f"{HASH}\n"),
        SOUND.replace(f"{HASH}\n", f"{HASH}\n" * 64),
        "\n" + SOUND,
        " " + SOUND,
    ],
)
def test_a_proof_file_has_one_form(text):
    """Other versions, numbers, orders, base64 or line ends: refused."""
    assert proof.Proof.parse(SOUND.encode()).index == 7
    with pytest.raises(errors.StatementError):
        proof.Proof.parse(text.encode())


@given(st.binary(max_size=300) | st.text(max_size=300).map(lambda text: (SOUND[:31] + text).encode()))
def test_any_bytes_are_a_proof_or_refused(data):
    """Whatever is read is written back as it was; nothing but a StatementError comes of the rest."""
    try:
        found = proof.Proof.parse(data)
    except errors.StatementError:
        return
    assert found.to_bytes() == data


def test_a_large_file_is_not_looked_at():
    """The size of what is read is bounded before it is taken apart."""
    with pytest.raises(errors.StatementError, match="expected at most"):
        proof.Proof.parse(SOUND.encode() + bytes(proof.MAX_BYTES))

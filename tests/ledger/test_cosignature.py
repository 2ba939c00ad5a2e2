"""Cosignatures against C2SP tlog-cosignature."""

import base64
import struct

import pytest

from ledger import checkpoint, cosignature, errors, keys, mldsa, note

KEY, QUANTUM = keys.SigningKey.generate(), mldsa.SigningKey.generate()
WITNESS = cosignature.Signer(name="witness.test/w1", key=KEY)
MODERN = cosignature.Signer(name="witness.test/w1", key=QUANTUM)
# The example checkpoint of the specification.
TEXT = "example.com/behind-the-sofa\n20852163\nCsUYapGGPo4dkMgIAUqom/Xajj7h2fB2MPA3j2jxq2I=\n"
ROOT = base64.b64decode("CsUYapGGPo4dkMgIAUqom/Xajj7h2fB2MPA3j2jxq2I=")


def test_the_message_of_type_04():
    """The example of the specification, byte for byte."""
    assert cosignature.message(WITNESS.verifier, TEXT, 1679315147) == (
        b"cosignature/v1\ntime 1679315147\nexample.com/behind-the-sofa\n20852163\n"
        b"CsUYapGGPo4dkMgIAUqom/Xajj7h2fB2MPA3j2jxq2I=\n"
    )


def test_the_message_of_type_06():
    """The struct of the specification: label, name, time, origin, 0, size, root; lengths in one byte."""
    assert cosignature.message(MODERN.verifier, TEXT, 1679315147) == (
        b"subtree/v1\n\0\x0fwitness.test/w1"
        + (1679315147).to_bytes(8, "big")
        + b"\x1bexample.com/behind-the-sofa"
        + bytes(8)
        + (20852163).to_bytes(8, "big")
        + ROOT
    )


@pytest.mark.parametrize(("signer", "size"), [(WITNESS, 72), (MODERN, 2_428)], ids=["04", "06"])
def test_a_cosignature_states_its_time(signer, size):
    """The line opens beside others, the time it states is told, and the time is under the signature."""
    data = note.sign(TEXT, [signer], 1_700_000_000)
    assert note.open(data, [signer.verifier]).times == {signer.verifier: 1_700_000_000}
    (line,) = note.split(data)[1]
    assert len(line.signature) == size
    moved = line._replace(signature=struct.pack(">Q", 1_700_000_001) + line.signature[8:])
    with pytest.raises(errors.SignatureError):
        note.open(f"{TEXT}\n{moved}".encode(), [signer.verifier])


@pytest.mark.parametrize("signer", [WITNESS, MODERN], ids=["04", "06"])
def test_a_cosignature_belongs_to_its_checkpoint(signer):
    """Moved to another size, root or origin it condemns the note (attack 44)."""
    (line,) = note.split(note.sign(TEXT, [signer], 1_700_000_000))[1]
    for other in (TEXT.replace("20852163", "20852164"), TEXT.replace("sofa", "couch"), TEXT.replace("CsU", "DsU")):
        with pytest.raises(errors.SignatureError):
            note.open(f"{other}\n{line}".encode(), [signer.verifier])


def test_a_key_that_cosigned_twice():
    """The latest time counts; one bad line of the two condemns."""
    first, second = (note.split(note.sign(TEXT, [WITNESS], time))[1][0] for time in (20, 10))
    assert note.open(f"{TEXT}\n{first}{second}".encode(), [WITNESS.verifier]).times == {WITNESS.verifier: 20}
    bad = second._replace(signature=second.signature[:-1] + bytes([second.signature[-1] ^ 1]))
    with pytest.raises(errors.SignatureError):
        note.open(f"{TEXT}\n{first}{bad}".encode(), [WITNESS.verifier])


def test_only_checkpoints_are_cosigned():
    """Another text, or a time past 2^63-1, is refused by whoever signs or reads."""
    with pytest.raises(errors.StatementError):
        WITNESS.line("something else\n", 5)
    late = KEY.sign(cosignature.message(WITNESS.verifier, TEXT, 2**63))
    with pytest.raises(errors.SignatureError, match="expected a time"):
        WITNESS.verifier.verify(TEXT, struct.pack(">Q", 2**63) + late)
    with pytest.raises(errors.StatementError, match="1 to 255"):
        cosignature.message(MODERN.verifier, TEXT.replace("example", "e" * 256), 5)


def test_a_log_signs_twice():
    """Beside Ed25519 a log signs with ML-DSA-44 under the same name, and a reader of either key accepts."""
    promise = checkpoint.LogCheckpoint.parse(TEXT)
    second = cosignature.Signer(name=promise.origin, key=QUANTUM)
    data = checkpoint.sign(promise, KEY, second, now=5)
    assert checkpoint.verify(data, promise.origin, KEY.public) == promise
    assert note.open(data, [second.verifier]).times == {second.verifier: 5}

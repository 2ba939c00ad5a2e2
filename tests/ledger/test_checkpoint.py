"""Checkpoints of the log."""

import hashlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ledger import checkpoint, errors, keys, note

KEY = keys.SigningKey.generate()
ROOT = hashlib.sha256(b"root").digest()


def test_the_bytes():
    """Three lines: origin, size, root."""
    value = checkpoint.LogCheckpoint(origin="folkmoot.test/log", size=7, root=bytes(32))
    assert str(value) == "folkmoot.test/log\n7\nAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA=\n"


@given(st.integers(0, 2**53 - 1), st.binary(min_size=32, max_size=32))
def test_a_checkpoint_survives_its_note(size, root):
    """verify(sign(c)) == c, and the log can read its own without the key."""
    value = checkpoint.LogCheckpoint(origin="folkmoot.test/log", size=size, root=root)
    signed = checkpoint.sign(value, KEY)
    assert checkpoint.verify(signed, "folkmoot.test/log", KEY.public) == value
    assert checkpoint.unverified(signed, "folkmoot.test/log") == value


TEXT = str(checkpoint.LogCheckpoint(origin="log", size=10, root=ROOT))


@pytest.mark.parametrize(
    "text",
    [
        TEXT + "extension\n",
        TEXT[:-1],
        TEXT.replace("\n10\n", "\n010\n"),
        TEXT.replace("\n10\n", "\n+10\n"),
        TEXT.replace("\n10\n", "\n-1\n"),
        TEXT.replace("\n10\n", "\n1_0\n"),
        TEXT.replace("\n10\n", "\n\u0661\n"),
        TEXT.replace("\n10\n", "\n\n"),
        TEXT.replace("log\n", "\n"),
        TEXT.replace("=", ""),
        str(checkpoint.LogCheckpoint(origin="log", size=10, root=ROOT[:31])),
        TEXT[:-3] + chr(ord(TEXT[-3]) + 1) + "=\n",
    ],
)
def test_a_checkpoint_has_one_form(text):
    """Extension lines, leading zeros, signs, other digits, short or loose roots: refused, however well signed."""
    assert checkpoint.LogCheckpoint.parse(TEXT).size == 10
    with pytest.raises(errors.StatementError):
        checkpoint.LogCheckpoint.parse(text)


def test_a_checkpoint_of_another_log_is_refused():
    """A key of two logs cannot pass one log's checkpoint off as the other's."""
    text = TEXT.replace("log\n", "other\n")
    with pytest.raises(errors.StatementError, match="expected one of 'log'"):
        checkpoint.verify(note.sign(text, [note.Signer(name="log", key=KEY)]), "log", KEY.public)
    with pytest.raises(errors.SignatureError):
        checkpoint.verify(note.sign(TEXT, [note.Signer(name="log", key=keys.SigningKey.generate())]), "log", KEY.public)

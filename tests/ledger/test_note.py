"""Signed notes against C2SP."""

import base64

import pytest

from ledger import errors, keys, note

# The example of the C2SP specification and of Go's golang.org/x/mod/sumdb/note.
PETER = keys.PublicKey(raw=base64.b64decode("ARpc2QcUPDhMQegwxbzhKqiBfsVkmqq/LDE4izWy10TW")[1:])
TEXT = "If you think cryptography is the answer to your problem,\nthen you don't know what your problem is.\n"
NOTE = (
    f"{TEXT}\n\u2014 PeterNeumann "
    "x08go/ZJkuBS9UG/SffcvIAQxVBtiFupLLr8pAcElZInNIuGUgYN1FFYC2pZSNXgKvqfqdngotpRZb6KE6RyyBwJnAM=\n"
).encode()

KEY, OTHER = keys.SigningKey.generate(), keys.SigningKey.generate()
SIGNED = note.sign("one\ntwo\n", "folkmoot.test/log", KEY)


def test_go_vector():
    """The note of the Go reference opens under its key, and the verifier key prints as theirs."""
    assert note.open(NOTE, "PeterNeumann", PETER) == TEXT
    assert note.vkey("PeterNeumann", PETER) == "PeterNeumann+c74f20a3+ARpc2QcUPDhMQegwxbzhKqiBfsVkmqq/LDE4izWy10TW"


def test_key_id_vector():
    """The key id of the Go checksum database follows from its name and key."""
    encoded = "Ac4zctda0e5eza+HJyk9SxEdh+s3Ux18htTTAD8OuAn8"
    assert note.vkey("sum.golang.org", keys.PublicKey(raw=base64.b64decode(encoded)[1:])) == (
        f"sum.golang.org+033de0ae+{encoded}"
    )


def test_a_signed_note_opens_under_its_name_and_key_alone():
    """Another key, or another name for the key, is no signer of this note."""
    assert note.open(SIGNED, "folkmoot.test/log", KEY.public) == "one\ntwo\n"
    for name, key in (("folkmoot.test/log", OTHER.public), ("folkmoot.test/other", KEY.public)):
        with pytest.raises(errors.SignatureError, match="no signature"):
            note.open(SIGNED, name, key)


def test_a_text_with_empty_lines_survives():
    """The last empty line separates; earlier ones belong to the text."""
    assert note.open(note.sign("a\n\nb\n", "log", KEY), "log", KEY.public) == "a\n\nb\n"


def test_signatures_of_unknown_keys_are_passed_over():
    """A witness' line, before or after ours, changes nothing."""
    witness = note.sign("one\ntwo\n", "witness.test", OTHER).split(b"\n\n")[1]
    text, ours = SIGNED.split(b"\n\n")
    for lines in (ours + witness, witness + ours):
        assert note.open(text + b"\n\n" + lines, "folkmoot.test/log", KEY.public) == "one\ntwo\n"


def test_a_bad_signature_of_a_known_key_condemns_the_note():
    """Even beside a good one of the same key."""
    _, good = SIGNED.split(b"\n\n")
    _, bad = note.sign("other\n", "folkmoot.test/log", KEY).split(b"\n\n")
    with pytest.raises(errors.SignatureError):
        note.open(b"one\ntwo\n\n" + good + bad, "folkmoot.test/log", KEY.public)


def test_every_changed_byte_is_noticed():
    """A changed byte anywhere refuses the note (attack 41)."""
    for position in range(len(SIGNED)):
        spoiled = bytearray(SIGNED)
        spoiled[position] ^= 1
        with pytest.raises((errors.StatementError, errors.SignatureError)):
            note.open(bytes(spoiled), "folkmoot.test/log", KEY.public)


LINE = SIGNED.split(b"\n\n")[1]
UNKNOWN = note.sign("one\n", "w", OTHER).split(b"\n\n")[1]


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"one\n",
        b"one\n\n",
        b"one\n" + LINE,
        LINE,
        b"one\n\n" + LINE[:-1],
        b"one\r\n\n" + LINE,
        b"o\x00ne\n\n" + LINE,
        b"o\xffne\n\n" + LINE,
        b"one\n\n" + LINE + b"\n",
        b"one\n\n" + LINE + b"words\n",
        b"one\n\n" + LINE.replace(b" f", b"  f"),
        b"one\n\n" + LINE + UNKNOWN.replace(b" w ", b" w+w "),
        b"one\n\n" + LINE + UNKNOWN.replace(b" w ", b"  "),
        b"one\n\n" + LINE + "\u2014 w\u00a0w AAAAAAAA\n".encode(),
        b"one\n\n" + LINE + "\u2014 w AAAA\n".encode(),
        b"one\n\n" + LINE + "\u2014 w AAAAAAB=\n".encode(),
        b"one\n\n" + LINE + "\u2014 w AAAAAAAA \n".encode(),
        b"one\n\n" + LINE.replace("\u2014".encode(), b"-"),
    ],
)
def test_malformed_notes(data):
    """Ends, separators, control characters, encodings, names, short or loose base64: refused before any key is asked."""
    with pytest.raises(errors.StatementError):
        note.split(data)


@pytest.mark.parametrize(
    "data", [b"one\n\n" + LINE * (note.MAX_SIGNATURES + 1), b"x" * note.MAX_BYTES + b"\n\n" + LINE]
)
def test_oversized_notes(data):
    """More signatures or more bytes than allowed are refused."""
    with pytest.raises(errors.StatementError) as caught:
        note.split(data)
    assert caught.value.code == "too-large"


def test_sixteen_signatures_are_taken():
    """C2SP asks for at least 16."""
    witnesses = b"".join(note.sign("one\ntwo\n", f"w{n}", OTHER).split(b"\n\n")[1] for n in range(15))
    assert note.open(SIGNED + witnesses, "folkmoot.test/log", KEY.public) == "one\ntwo\n"


@pytest.mark.parametrize(
    ("text", "name"), [("no end", "log"), ("a\tb\n", "log"), ("a\n", "a b"), ("a\n", "a+b"), ("a\n", "")]
)
def test_what_cannot_be_read_is_not_signed(text, name):
    """The signer holds itself to the verifier's rules."""
    with pytest.raises(errors.StatementError):
        note.sign(text, name, KEY)

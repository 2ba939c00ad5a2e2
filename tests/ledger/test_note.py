"""Signed notes against C2SP."""

import base64

import pytest

from ledger import errors, keys, note, vkey

# The example of the C2SP specification and of Go's golang.org/x/mod/sumdb/note.
PETER = keys.PublicKey(raw=base64.b64decode("ARpc2QcUPDhMQegwxbzhKqiBfsVkmqq/LDE4izWy10TW")[1:])
TEXT = "If you think cryptography is the answer to your problem,\nthen you don't know what your problem is.\n"
NOTE = (
    f"{TEXT}\n\u2014 PeterNeumann "
    "x08go/ZJkuBS9UG/SffcvIAQxVBtiFupLLr8pAcElZInNIuGUgYN1FFYC2pZSNXgKvqfqdngotpRZb6KE6RyyBwJnAM=\n"
).encode()

KEY, OTHER = keys.SigningKey.generate(), keys.SigningKey.generate()


def signed(text, name, *keys_of_name):
    return note.sign(text, [note.Signer(name=name, key=key) for key in keys_of_name])


def opened(data, name, *public):
    return note.open(data, [note.Verifier(name=name, key=key) for key in public]).text


SIGNED = signed("one\ntwo\n", "folkmoot.test/log", KEY)


def test_go_vector():
    """The note of the Go reference opens under its key, and the verifier key prints as theirs."""
    assert opened(NOTE, "PeterNeumann", PETER) == TEXT
    text = "PeterNeumann+c74f20a3+ARpc2QcUPDhMQegwxbzhKqiBfsVkmqq/LDE4izWy10TW"
    assert note.vkey(note.Verifier(name="PeterNeumann", key=PETER)) == text
    assert note.open(NOTE, [vkey.parse(text)]).text == TEXT


def test_key_id_vector():
    """The key id of the Go checksum database follows from its name and key."""
    encoded = "Ac4zctda0e5eza+HJyk9SxEdh+s3Ux18htTTAD8OuAn8"
    verifier = note.Verifier(name="sum.golang.org", key=keys.PublicKey(raw=base64.b64decode(encoded)[1:]))
    assert note.vkey(verifier) == f"sum.golang.org+033de0ae+{encoded}"


def test_a_signed_note_opens_under_its_name_and_key_alone():
    """Another key, or another name for the key, is no signer of this note."""
    assert opened(SIGNED, "folkmoot.test/log", KEY.public) == "one\ntwo\n"
    for name, key in (("folkmoot.test/log", OTHER.public), ("folkmoot.test/other", KEY.public)):
        with pytest.raises(errors.SignatureError, match="no signature"):
            opened(SIGNED, name, key)


def test_a_text_with_empty_lines_survives():
    """The last empty line separates; earlier ones belong to the text."""
    assert opened(signed("a\n\nb\n", "log", KEY), "log", KEY.public) == "a\n\nb\n"


def test_signatures_of_unknown_keys_are_passed_over():
    """A witness' line, before or after ours, changes nothing."""
    witness = signed("one\ntwo\n", "witness.test", OTHER).split(b"\n\n")[1]
    text, ours = SIGNED.split(b"\n\n")
    for lines in (ours + witness, witness + ours):
        assert opened(text + b"\n\n" + lines, "folkmoot.test/log", KEY.public) == "one\ntwo\n"


def test_a_bad_signature_of_a_known_key_condemns_the_note():
    """Even beside a good one of the same key."""
    _, good = SIGNED.split(b"\n\n")
    _, bad = signed("other\n", "folkmoot.test/log", KEY).split(b"\n\n")
    with pytest.raises(errors.SignatureError):
        opened(b"one\ntwo\n\n" + good + bad, "folkmoot.test/log", KEY.public)


def test_several_known_keys():
    """Each known key that signed is named, one is enough, and a bad line of any condemns (C2SP, "Signatures")."""
    both = signed("one\n", "log", KEY, OTHER)
    first, second = (note.Verifier(name="log", key=key.public) for key in (KEY, OTHER))
    assert note.open(both, [first, second]).times == {first: 0, second: 0}
    assert note.open(signed("one\n", "log", OTHER), [first, second]).times == {second: 0}
    _, bad = signed("two\n", "log", OTHER).split(b"\n\n")
    with pytest.raises(errors.SignatureError):
        note.open(signed("one\n", "log", KEY) + bad, [first, second])


def test_a_name_and_an_id_belong_to_one_key():
    """Verifiers that no line could tell apart are refused, as Go does."""
    verifier = note.Verifier(name="folkmoot.test/log", key=KEY.public)
    with pytest.raises(errors.KeyFileError):
        note.open(SIGNED, [verifier, verifier])


def test_a_name_or_an_id_alone_is_another_key():
    """A line that shares only the name, or only the id, with a known key is passed over, however bad."""
    line = note.split(SIGNED)[1][0]
    strays = f"{line._replace(name='other', signature=bytes(64))}{line._replace(key_id=bytes(4), signature=bytes(64))}"
    assert opened(SIGNED + strays.encode(), "folkmoot.test/log", KEY.public) == "one\ntwo\n"


def test_every_changed_byte_is_noticed():
    """A changed byte anywhere refuses the note (attack 41)."""
    for position in range(len(SIGNED)):
        spoiled = bytearray(SIGNED)
        spoiled[position] ^= 1
        with pytest.raises((errors.StatementError, errors.SignatureError)):
            opened(bytes(spoiled), "folkmoot.test/log", KEY.public)


LINE = SIGNED.split(b"\n\n")[1]
UNKNOWN = signed("one\n", "w", OTHER).split(b"\n\n")[1]


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
    witnesses = b"".join(signed("one\ntwo\n", f"w{n}", OTHER).split(b"\n\n")[1] for n in range(15))
    assert opened(SIGNED + witnesses, "folkmoot.test/log", KEY.public) == "one\ntwo\n"


@pytest.mark.parametrize(
    ("text", "name"), [("no end", "log"), ("a\tb\n", "log"), ("a\n", "a b"), ("a\n", "a+b"), ("a\n", "")]
)
def test_what_cannot_be_read_is_not_signed(text, name):
    """The signer holds itself to the verifier's rules."""
    with pytest.raises(errors.StatementError):
        signed(text, name, KEY)

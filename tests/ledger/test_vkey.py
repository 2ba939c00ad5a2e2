"""Verifier keys against C2SP."""

import pytest

from ledger import cosignature, errors, keys, mldsa, note, vkey

# A key of a fixed seed: it stands in names of tests, which have to be the same in each process that runs them.
KEY, QUANTUM = keys.SigningKey.from_seed(bytes(32)), mldsa.SigningKey.generate()
VERIFIERS = [
    note.Verifier(name="folkmoot.test/log", key=KEY.public),
    cosignature.Verifier(name="witness.test/w1", key=KEY.public),
    cosignature.Verifier(name="witness.test/w1", key=QUANTUM.public),
]
TEXT = note.vkey(VERIFIERS[1])


@pytest.mark.parametrize("verifier", VERIFIERS, ids=["01", "04", "06"])
def test_a_verifier_key_survives_its_text(verifier):
    """parse(vkey(v)) == v for each type, and one key has another id under another type."""
    assert vkey.parse(note.vkey(verifier)) == verifier
    assert len({note.key_id(each) for each in VERIFIERS}) == 3


@pytest.mark.parametrize(
    "text",
    [
        "",
        "+",
        TEXT + "\n",
        " " + TEXT,
        TEXT.replace("w1", "w2"),
        TEXT.replace("w1", "w 1"),
        TEXT.replace("witness", "wit+ness"),
        TEXT[:16] + TEXT[16:24].upper() + TEXT[24:],
        TEXT.replace("+", "+0", 1),
        TEXT + "=",
        TEXT[:-4],
        TEXT[:-1] + ("A" if TEXT[-1] != "A" else "B"),
        TEXT.partition("+")[0] + "+00000000+AgAA",
        TEXT.partition("+")[0] + "+00000000+",
        TEXT.replace(TEXT.rpartition("+")[2], "B" + "A" * 43),
    ],
)
def test_anything_else_is_refused(text):
    """Another id, name, case, padding, type, length or a small-order key: a verifier key has one form."""
    with pytest.raises(errors.KeyFileError):
        vkey.parse(text)

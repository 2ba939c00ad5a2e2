"""Keys, and the files they live in."""

import base64
import os
import subprocess

import pytest
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec, ed25519

from ledger import errors, keys
from tests.ledger import programs

FORMAT = (serialization.Encoding.PEM, serialization.PrivateFormat.OpenSSH)


def openssh(*arguments):
    return subprocess.run([programs.ssh_keygen(), *arguments], check=True, capture_output=True, text=True).stdout


def test_openssh_reads_our_key(tmp_path):
    """`ssh-keygen` derives the same public line and the same fingerprint from the file we write."""
    key = keys.SigningKey.generate()
    key.save(tmp_path / "key")
    assert openssh("-y", "-f", tmp_path / "key").split()[:2] == str(key.public).split()
    (tmp_path / "key.pub").write_text(f"{key.public}\n")
    assert openssh("-l", "-f", tmp_path / "key.pub").split()[1] == key.public.fingerprint


def test_we_read_an_openssh_key(tmp_path):
    """A key that `ssh-keygen` made loads, and is the one of its public file."""
    openssh("-q", "-t", "ed25519", "-N", "", "-f", tmp_path / "key")
    line = " ".join((tmp_path / "key.pub").read_text().split()[:2])
    key = keys.SigningKey.load(tmp_path / "key")
    assert key.public == keys.PublicKey.parse(line)
    assert str(key.public) == line


def test_a_saved_key_loads_and_is_private(tmp_path):
    """Save then load is the same key, the file is 0600, and nothing else is left in the folder."""
    key = keys.SigningKey.generate()
    key.save(tmp_path / "key")
    assert keys.SigningKey.load(tmp_path / "key").public == key.public
    assert (tmp_path / "key").stat().st_mode & 0o777 == 0o600
    assert list(tmp_path.iterdir()) == [tmp_path / "key"]
    key.public.verify(keys.SigningKey.load(tmp_path / "key").sign(b"data"), b"data")


@pytest.mark.parametrize("phrase", [b"phrase", b"\x00\xff", "n\u00f6 ".encode() * 100, b"x" * 1023])
def test_a_key_under_a_passphrase(tmp_path, phrase):
    """Opens with it and with nothing else; what is missing and what is wrong are told apart; the file is 0600 as ever."""
    key = keys.SigningKey.generate()
    key.save(tmp_path / "key", phrase)
    assert keys.SigningKey.load(tmp_path / "key", phrase).public == key.public
    assert (tmp_path / "key").stat().st_mode & 0o777 == 0o600
    for missing in (None, b""):
        with pytest.raises(errors.ProtectedKeyError, match="none was given"):
            keys.SigningKey.load(tmp_path / "key", missing)
    for wrong in (phrase + b"x", phrase[:-1] or b"x", b"x" * 2000):
        with pytest.raises(errors.PassphraseError, match="does not open"):
            keys.SigningKey.load(tmp_path / "key", wrong)


def test_a_passphrase_does_not_lock_what_is_open(tmp_path):
    """A plain key loads whatever is given, so one passphrase can serve a folder of both."""
    key = keys.SigningKey.generate()
    key.save(tmp_path / "key")
    assert keys.SigningKey.load(tmp_path / "key", b"phrase").public == key.public


@pytest.mark.parametrize("phrase", [b"", b"x" * 1024])
def test_a_passphrase_has_a_length(tmp_path, phrase):
    """None at all, or one that could not be read back: nothing is written."""
    with pytest.raises(errors.PassphraseError, match="expected 1 to 1023"):
        keys.SigningKey.generate().save(tmp_path / "key", phrase)
    assert list(tmp_path.iterdir()) == []


def test_damage_is_not_a_wrong_passphrase(tmp_path):
    """A protected key with a changed byte, under its right passphrase: said as it is."""
    key = keys.SigningKey.generate()
    key.save(tmp_path / "key", b"phrase")
    first, *middle, last = (tmp_path / "key").read_bytes().splitlines(keepends=True)
    blob = bytearray(base64.b64decode(b"".join(middle)))
    blob[-40] ^= 1
    (tmp_path / "key").write_bytes(first + base64.encodebytes(blob) + last)
    with pytest.raises(errors.KeyFileError, match="not an OpenSSH private key") as caught:
        keys.SigningKey.load(tmp_path / "key", b"phrase")
    assert type(caught.value) is errors.KeyFileError


def test_openssh_opens_our_protected_key_and_we_open_its(tmp_path):
    """One passphrase, both ways; with another `ssh-keygen` refuses too."""
    key = keys.SigningKey.generate()
    key.save(tmp_path / "ours", b"phrase")
    assert openssh("-y", "-P", "phrase", "-f", tmp_path / "ours").split()[:2] == str(key.public).split()
    with pytest.raises(subprocess.CalledProcessError):
        openssh("-y", "-P", "other", "-f", tmp_path / "ours")
    openssh("-q", "-t", "ed25519", "-N", "phrase", "-f", tmp_path / "theirs")
    line = " ".join((tmp_path / "theirs.pub").read_text().split()[:2])
    assert str(keys.SigningKey.load(tmp_path / "theirs", b"phrase").public) == line


def test_a_key_is_never_overwritten(tmp_path):
    """A second save refuses and leaves the first key."""
    first = keys.SigningKey.generate()
    first.save(tmp_path / "key")
    with pytest.raises(errors.KeyFileError, match="never overwritten"):
        keys.SigningKey.generate().save(tmp_path / "key")
    assert keys.SigningKey.load(tmp_path / "key").public == first.public
    assert list(tmp_path.iterdir()) == [tmp_path / "key"]


def test_a_folder_that_is_missing_is_a_key_file_error(tmp_path):
    """The file system's refusal comes typed."""
    with pytest.raises(errors.KeyFileError, match="cannot be written"):
        keys.SigningKey.generate().save(tmp_path / "missing" / "key")


def loosen(path):
    path.chmod(0o640)


def link(path):
    path.rename(path.with_name("real"))
    path.symlink_to("real")


def pipe(path):
    path.unlink()
    os.mkfifo(path, 0o600)


def other_kind(path):
    plain = serialization.NoEncryption()
    path.write_bytes(ec.generate_private_key(ec.SECP256R1()).private_bytes(*FORMAT, plain))


@pytest.mark.parametrize(
    ("spoil", "said"),
    [
        (loosen, "expected -rw-------"),
        (link, "symbolic link"),
        (pipe, "prw-------"),
        (other_kind, "expected an Ed25519 key"),
        (lambda path: path.write_bytes(b"not a key"), "not an OpenSSH private key"),
        (lambda path: path.write_bytes(b"x" * 20_000), "longer than"),
        (lambda path: path.unlink(), "No such file"),
    ],
    ids=["group-readable", "symlink", "fifo", "ecdsa", "garbage", "huge", "missing"],
)
def test_a_spoiled_key_file_is_refused(tmp_path, spoil, said):
    """Group-readable, symlinked, piped, of another kind, damaged: refused with the cause (attack 48)."""
    path = tmp_path / "key"
    keys.SigningKey.generate().save(path)
    spoil(path)
    with pytest.raises(errors.KeyFileError, match=said):
        keys.SigningKey.load(path)


LINE = str(keys.PublicKey(raw=bytes(range(32))))


@pytest.mark.parametrize(
    "text",
    [
        LINE + " comment",
        LINE + "\n",
        " " + LINE,
        LINE.replace("ssh-ed25519 ", "ssh-ed25519  "),
        LINE.replace("ssh-ed25519 ", ""),
        LINE[:-4],
        LINE + "AAAA",
        LINE.replace("ssh-ed25519 A", "ssh-ed25519 B"),
        "ssh-ed25519 not base64",
        "",
    ],
)
def test_a_public_key_has_one_text(text):
    """Comments, spaces, padding, length, another type name: refused."""
    assert str(keys.PublicKey.parse(LINE)) == LINE
    with pytest.raises(errors.KeyFileError):
        keys.PublicKey.parse(text)


P = 2**255 - 19


@pytest.mark.parametrize("sign_bit", [0, 1])
@pytest.mark.parametrize("y", [*sorted(keys._SMALL_ORDER), P, P + 1])
def test_keys_of_small_order_are_refused(y, sign_bit):
    """A key under which strangers can sign is no key."""
    raw = (y | sign_bit << 255).to_bytes(32, "little")
    with pytest.raises(errors.KeyFileError):
        keys.PublicKey(raw=raw)


def test_why_small_order_is_refused():
    """Under the neutral element as key, one signature by nobody holds for every message."""
    neutral = (1).to_bytes(32, "little")
    ed25519.Ed25519PublicKey.from_public_bytes(neutral).verify(neutral + bytes(32), b"whatever")


def test_the_small_order_list_is_the_torsion_group():
    """Each y listed belongs to a point that eight additions bring to the neutral element, and there are no others."""
    d = -121665 * pow(121666, -1, P) % P

    def add(a, b):
        (x1, y1), (x2, y2) = a, b
        t = d * x1 * x2 * y1 * y2
        return (x1 * y2 + x2 * y1) * pow(1 + t, -1, P) % P, (y1 * y2 + x1 * x2) * pow(1 - t, -1, P) % P

    def point(y):
        square = (y * y - 1) * pow(d * y * y + 1, -1, P) % P
        x = pow(square, (P + 3) // 8, P)
        x = x if x * x % P == square else x * pow(2, (P - 1) // 4, P) % P
        assert x * x % P == square
        return x, y

    for y in keys._SMALL_ORDER:
        total = (0, 1)
        for _ in range(8):
            total = add(total, point(y))
        assert total == (0, 1)
    generator = next(point(y) for y in keys._SMALL_ORDER if add(point(y), point(y))[1] == 0)
    multiples = [(0, 1)]
    for _ in range(7):
        multiples.append(add(multiples[-1], generator))
    assert {y for _, y in multiples} == keys._SMALL_ORDER


def test_a_signature_holds_for_its_data_and_key_alone():
    """Other data, another key or a short signature: SignatureError."""
    key, other = keys.SigningKey.generate(), keys.SigningKey.generate()
    signature = key.sign(b"data")
    key.public.verify(signature, b"data")
    for public, made, data in (
        (key.public, signature, b"date"),
        (other.public, signature, b"data"),
        (key.public, signature[:63], b"data"),
    ):
        with pytest.raises(errors.SignatureError):
            public.verify(made, data)


def test_rfc8032_vector():
    """TEST 2 of RFC 8032 section 7.1."""
    raw = bytes.fromhex("3d4017c3e843895a92b70aa74d1b7ebc9c982ccf2ec4968cc0cd55f12af4660c")
    signature = bytes.fromhex(
        "92a009a9f0d4cab8720e820b5f642540a2b27b5416503f8fb3762223ebdb69da"
        "085ac1e43e15996e458f3613d0f11d8c387b2eaeb4302aeeb00d291612bb0c00"
    )
    keys.PublicKey(raw=raw).verify(signature, b"\x72")

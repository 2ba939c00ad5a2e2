"""ML-DSA-44 keys and their files."""

import pytest
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.asymmetric import mldsa as reference

from ledger import errors, keys, mldsa

KEY = mldsa.SigningKey.generate()


def test_a_key_survives_its_file(tmp_path):
    """What was saved signs for the same public key, is its owner's alone, and is never overwritten."""
    path = tmp_path / "key"
    KEY.save(path)
    again = mldsa.SigningKey.load(path)
    assert again.public == KEY.public
    assert path.stat().st_mode & 0o777 == 0o600
    KEY.public.verify(again.sign(b"data"), b"data")
    with pytest.raises(errors.KeyFileError, match="never overwritten"):
        KEY.save(path)


def test_a_signature_is_over_its_bytes_and_by_its_key():
    """Any other bytes, signature or key is refused."""
    signature = KEY.sign(b"data")
    assert len(signature) == mldsa.SIGNATURE_BYTES
    for public, said, data in (
        (KEY.public, signature, b"date"),
        (KEY.public, bytes([signature[0] ^ 1]) + signature[1:], b"data"),
        (KEY.public, signature[:-1], b"data"),
        (mldsa.SigningKey.generate().public, signature, b"data"),
    ):
        with pytest.raises(errors.SignatureError):
            public.verify(said, data)
    with pytest.raises(errors.KeyFileError):
        mldsa.PublicKey(raw=KEY.public.raw[:-1])


def pem(key, encryption=None):
    encryption = encryption or serialization.NoEncryption()
    return key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, encryption)


@pytest.mark.parametrize(
    ("content", "mode"),
    [
        (pem(reference.MLDSA44PrivateKey.generate()), 0o640),
        (pem(reference.MLDSA65PrivateKey.generate()), 0o600),
        (pem(ec.generate_private_key(ec.SECP256R1())), 0o600),
        (pem(reference.MLDSA44PrivateKey.generate(), serialization.BestAvailableEncryption(b"word")), 0o600),
        (b"", 0o600),
        (b"x" * 20_000, 0o600),
    ],
)
def test_a_spoiled_key_file_is_refused(tmp_path, content, mode):
    """Open to others, of another algorithm, under a passphrase, empty or huge (attack 48)."""
    path = tmp_path / "key"
    path.write_bytes(content)
    path.chmod(mode)
    with pytest.raises(errors.KeyFileError):
        mldsa.SigningKey.load(path)


def test_a_symlink_is_no_key_file(tmp_path):
    """Nor is one kind of key the other (attack 48)."""
    KEY.save(tmp_path / "key")
    (tmp_path / "link").symlink_to(tmp_path / "key")
    with pytest.raises(errors.KeyFileError):
        mldsa.SigningKey.load(tmp_path / "link")
    with pytest.raises(errors.KeyFileError):
        keys.SigningKey.load(tmp_path / "key")

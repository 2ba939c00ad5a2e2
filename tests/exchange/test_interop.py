"""Files that go to other age programs and come from them: `age` of the system (Go), pyrage (Rust), typage (TypeScript)."""

import io
import os
import subprocess
from pathlib import Path

import pyrage
import pytest

from exchange import age, errors, recipients, sealing, stream
from tests.exchange import age_programs

CONTEXT, OTHER = b"\x01" * 32, b"\x02" * 32
CHUNK = stream.CHUNK
SIZES = [0, 1, CHUNK, CHUNK + 1, 17 * CHUNK + 5]
KINDS = [recipients.X25519Identity, recipients.HybridIdentity]


def readers(kind: type[recipients.Identity]) -> tuple[list[recipients.Identity], list[recipients.Recipient]]:
    identities = [kind.generate() for _ in range(3)]
    return identities, [identity.recipient for identity in identities]


@pytest.mark.parametrize("size", SIZES)
def test_the_age_command_opens_what_we_seal(tmp_path: Path, size: int) -> None:
    """Stock `age` opens our file, context stanza and all, for each of three recipients."""
    identities, wanted = readers(recipients.X25519Identity)
    plaintext = os.urandom(size)
    sealed = sealing.seal(plaintext, recipients=wanted, context=CONTEXT)
    for path in age_programs.identity_files(tmp_path, [str(identity) for identity in identities]):
        assert age_programs.age("--decrypt", "--identity", str(path), data=sealed) == plaintext


def test_the_age_command_refuses_a_moved_context(tmp_path: Path) -> None:
    """8: the context stanza is unknown to stock `age`, but under the MAC that it verifies: altered, the file is refused."""
    [identity, *_], wanted = readers(recipients.X25519Identity)
    [path] = age_programs.identity_files(tmp_path, [str(identity)])
    sealed = sealing.seal(b"secret", recipients=wanted, context=CONTEXT)
    here, there = sealed.split(b"\n")[2], bytes(sealed.split(b"\n")[2]).replace(b"AQEB", b"AgIC")
    with pytest.raises(subprocess.CalledProcessError) as caught:
        age_programs.age("--decrypt", "--identity", str(path), data=sealed.replace(here, there))
    assert b"MAC" in caught.value.stderr


def test_keys_of_age_keygen_are_ours() -> None:
    """An identity that age-keygen makes has the same recipient here."""
    lines = age_programs.age("age-keygen").decode().splitlines()
    [public] = [line.removeprefix("# public key: ") for line in lines if line.startswith("# public key: ")]
    assert str(recipients.parse_identity(lines[-1]).recipient) == public


@pytest.mark.parametrize("size", SIZES)
def test_we_open_what_the_age_command_seals(size: int) -> None:
    """A file of stock `age` for three recipients opens here for each; without a context it is no update, though."""
    identities, wanted = readers(recipients.X25519Identity)
    plaintext = os.urandom(size)
    sealed = age_programs.age(*(word for each in wanted for word in ("--recipient", str(each))), data=plaintext)
    check_opened(sealed, identities, plaintext)


def check_opened(sealed: bytes, identities: list[recipients.Identity], plaintext: bytes) -> None:
    """Opened here by each of `identities`, as an age file and not as an update."""
    for identity in identities:
        sink = io.BytesIO()
        age.decrypt(io.BytesIO(sealed), sink, [identity])
        assert sink.getvalue() == plaintext
        with pytest.raises(errors.ContextError, match="0 context stanzas"):
            sealing.unseal(sealed, identities=[identity], context=CONTEXT)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("size", SIZES)
def test_typage_opens_what_we_seal(kind: type[recipients.Identity], size: int) -> None:
    """Typage opens our files, classical and post-quantum, for the last of three recipients."""
    identities, wanted = readers(kind)
    plaintext = os.urandom(size)
    sealed = sealing.seal(plaintext, recipients=wanted, context=CONTEXT)
    assert age_programs.typage("open", str(identities[-1]), data=sealed) == plaintext


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("size", SIZES)
def test_we_open_what_typage_seals(kind: type[recipients.Identity], size: int) -> None:
    """A file of typage for three recipients of either kind opens here for each of them."""
    identities, wanted = readers(kind)
    plaintext = os.urandom(size)
    sealed = age_programs.typage("seal", *(str(each) for each in wanted), data=plaintext)
    check_opened(sealed, identities, plaintext)


def test_recipients_are_spelled_alike() -> None:
    """Typage and we give the same recipient for an identity of either kind, whoever made it."""
    ours = [kind.generate() for kind in KINDS]
    spelled = age_programs.typage("recipient", *(str(identity) for identity in ours)).decode().split()
    assert spelled == [str(identity.recipient) for identity in ours]
    for line in age_programs.typage("keys").decode().splitlines():
        theirs, public = line.split()
        assert str(recipients.parse_identity(theirs).recipient) == public
        assert str(recipients.parse_recipient(public)) == public


def test_programs_without_the_lattice_do_not_open_hybrid_files() -> None:
    """13: a hybrid file gives nothing to an X25519 identity of another program."""
    identity = recipients.HybridIdentity.generate()
    sealed = sealing.seal(b"secret", recipients=[identity.recipient], context=CONTEXT)
    with pytest.raises(pyrage.DecryptError):
        pyrage.decrypt(sealed, [pyrage.x25519.Identity.generate()])


def test_pyrage_opens_what_we_seal_into_a_file(tmp_path: Path) -> None:
    """What `seal_file` writes is what every age program reads."""
    theirs = pyrage.x25519.Identity.generate()
    ours = recipients.X25519Identity.parse(str(theirs))
    plain, sealed = tmp_path / "plain", tmp_path / "sealed"
    plain.write_bytes(os.urandom(3 * CHUNK))
    sealing.seal_file(plain, sealed, recipients=[ours.recipient], context=CONTEXT)
    assert pyrage.decrypt(sealed.read_bytes(), [theirs]) == plain.read_bytes()

"""age files: what others write and read, and what an attacker makes of them."""

import hashlib
import io
import os
import tracemalloc
import zlib
from pathlib import Path

import pyrage
import pytest

from exchange import age, errors, header, recipients, stream

CHUNK, SEALED_CHUNK = stream.CHUNK, stream.SEALED_CHUNK
CCTV = sorted((Path(__file__).parent / "cctv").glob("[a-z]*"))
# Armor and passphrases, which we do not read, in 33 and 25 files.
UNREAD = [path for path in CCTV if path.name.startswith(("armor_", "scrypt"))]
SIZES = [0, 1, CHUNK - 1, CHUNK, CHUNK + 1, age.BATCH * CHUNK, age.BATCH * CHUNK + 1, 2 * age.BATCH * CHUNK + 70_000]
CLASSES = [recipients.X25519Identity, recipients.HybridIdentity]


def seal(plaintext: bytes, *identities: recipients.Identity, stanzas: tuple[header.Stanza, ...] = ()) -> bytes:
    sink = io.BytesIO()
    age.encrypt(io.BytesIO(plaintext), sink, [identity.recipient for identity in identities], stanzas)
    return sink.getvalue()


def unseal(sealed: bytes, *identities: recipients.Identity) -> bytes:
    sink = io.BytesIO()
    age.decrypt(io.BytesIO(sealed), sink, identities)
    return sink.getvalue()


@pytest.mark.parametrize("path", [path for path in CCTV if path not in UNREAD], ids=lambda path: path.name)
def test_verdict_is_that_of_the_common_vectors(path: Path) -> None:
    """Every file of C2SP's test vectors is opened to the payload it names, or refused for the reason it names."""
    fields, file = path.read_bytes().split(b"\n\n", 1)
    lines = [line.split(": ", 1) for line in fields.decode().split("\n")]
    expected = dict(lines)
    if "compressed" in expected:
        file = zlib.decompress(file)
    identities = [recipients.parse_identity(value) for key, value in lines if key == "identity"]
    if path.name == "hybrid_and_x25519":
        # The specification only says SHOULD NOT; we refuse.
        expected["expect"] = "header failure"
    if expected["expect"] == "success":
        assert hashlib.sha256(unseal(file, *identities)).hexdigest() == expected["payload"]
        return
    refusal = errors.RecipientError if expected["expect"] == "no match" else errors.SealError
    with pytest.raises(errors.SealError) as caught:
        unseal(file, *identities)
    assert type(caught.value) is refusal


def test_all_the_common_vectors_are_here() -> None:
    """C2SP's vectors are 143; 58 of them are about armor or passphrases."""
    assert (len(CCTV), len(UNREAD)) == (143, 58)


@pytest.mark.parametrize("path", UNREAD, ids=lambda path: path.name)
def test_what_we_do_not_read_is_refused(path: Path) -> None:
    """A file in armor, or for a passphrase, is refused as such even if the vectors call it good, and no key is stretched."""
    fields, file = path.read_bytes().split(b"\n\n", 1)
    lines = [line.split(": ", 1) for line in fields.decode().split("\n")]
    assert any(key in {"armored", "passphrase"} for key, _ in lines)
    identities = [recipients.parse_identity(value) for key, value in lines if key == "identity"]
    with pytest.raises(errors.SealError):
        unseal(file, *identities)


@pytest.mark.parametrize("size", SIZES)
def test_another_implementation_opens_what_we_seal(size: int) -> None:
    """Each of several recipients opens our file with another age program, our own stanza notwithstanding."""
    theirs = [pyrage.x25519.Identity.generate() for _ in range(2)]
    ours = [recipients.X25519Identity.parse(str(identity)) for identity in theirs]
    plaintext = os.urandom(size)
    sealed = seal(plaintext, *ours, stanzas=(header.Stanza(args=("folkmoot/context", "v1"), body=bytes(32)),))
    for identity in theirs:
        assert pyrage.decrypt(sealed, [identity]) == plaintext


@pytest.mark.parametrize("size", SIZES)
def test_we_open_what_another_implementation_seals(size: int) -> None:
    """Each of several recipients opens here what another age program sealed."""
    theirs = [pyrage.x25519.Identity.generate() for _ in range(2)]
    plaintext = os.urandom(size)
    sealed = pyrage.encrypt(plaintext, [identity.to_public() for identity in theirs])
    for identity in theirs:
        assert unseal(sealed, recipients.X25519Identity.parse(str(identity))) == plaintext


@pytest.mark.parametrize("kind", CLASSES)
@pytest.mark.parametrize("size", SIZES)
def test_every_recipient_opens_it(kind: type[recipients.Identity], size: int) -> None:
    """Files of all sizes, for several recipients of either kind, come back whole for each of them."""
    identities = [kind.generate() for _ in range(3)]
    plaintext = os.urandom(size)
    sealed = seal(plaintext, *identities)
    assert [unseal(sealed, identity) for identity in identities] == [plaintext] * 3


class Drip(io.BytesIO):
    """A source that gives less than asked for, as pipes and sockets do."""

    def read(self, size: int | None = -1) -> bytes:
        return super().read(min(size or 0, 50_000))


def test_a_source_that_drips_is_read_to_its_end() -> None:
    """A short read is not the end of the file, in either direction."""
    identity, plaintext = recipients.X25519Identity.generate(), os.urandom(3_000_000)
    sealed, opened = io.BytesIO(), io.BytesIO()
    age.encrypt(Drip(plaintext), sealed, [identity.recipient])
    age.decrypt(Drip(sealed.getvalue()), opened, [identity])
    assert opened.getvalue() == plaintext


def test_memory_does_not_grow_with_the_file(tmp_path: Path) -> None:
    """40 MiB go through in less than 8 MiB of memory, sealing and opening."""
    identity = recipients.X25519Identity.generate()
    plain, sealed, opened = tmp_path / "plain", tmp_path / "sealed", tmp_path / "opened"
    plain.write_bytes(bytes(40 << 20))
    tracemalloc.start()
    with plain.open("rb") as source, sealed.open("wb") as sink:
        age.encrypt(source, sink, [identity.recipient])
    with sealed.open("rb") as source, opened.open("wb") as sink:
        age.decrypt(source, sink, [identity])
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 8 << 20
    assert opened.stat().st_size == 40 << 20


def test_nobody_else_opens_it() -> None:
    """5: an identity that is not among the recipients, or none at all, is told so; the file is not called damaged."""
    sealed = seal(b"secret", recipients.X25519Identity.generate())
    for identities in ([], [recipients.X25519Identity.generate()], [recipients.HybridIdentity.generate()]):
        with pytest.raises(errors.RecipientError, match=f"none of {len(identities)}"):
            unseal(sealed, *identities)


def test_file_keys_are_fresh() -> None:
    """Every file gets a file key of its own, so who was let into one can open no other."""
    recipient = recipients.X25519Identity.generate().recipient
    assert age.start([recipient])[0] != age.start([recipient])[0]


def test_no_recipients_are_refused() -> None:
    """A file that nobody could open is not written."""
    with pytest.raises(errors.SealError, match="nobody"):
        seal(b"")


def test_hybrid_and_classical_recipients_do_not_mix() -> None:
    """13: a post-quantum file is not weakened by a classical recipient beside, neither written nor read."""
    strong, weak = recipients.HybridIdentity.generate(), recipients.X25519Identity.generate()
    with pytest.raises(errors.SealError, match="at once"):
        seal(b"", strong, weak)
    file_key = os.urandom(16)
    for stanza in (weak.recipient.wrap(file_key), header.Stanza(args=("ssh-rsa", "AAAA"), body=b"")):
        mixed = header.encode(file_key, [strong.recipient.wrap(file_key), stanza])
        with pytest.raises(errors.SealError, match="at once"):
            age.unlock(io.BytesIO(mixed), [strong])
    tagged = header.encode(
        file_key, [weak.recipient.wrap(file_key), header.Stanza(args=("mlkem768p256tag",), body=b"")]
    )
    with pytest.raises(errors.SealError, match="at once"):
        age.unlock(io.BytesIO(tagged), [weak])


def test_a_passphrase_is_refused() -> None:
    """A file for a passphrase is refused before any key is stretched, alone and beside a right recipient."""
    identity, file_key = recipients.X25519Identity.generate(), os.urandom(16)
    scrypt = header.Stanza(args=("scrypt", "A" * 22, "20"), body=bytes(32))
    for stanzas in ([scrypt], [identity.recipient.wrap(file_key), scrypt]):
        with pytest.raises(errors.SealError, match="passphrase"):
            age.unlock(io.BytesIO(header.encode(file_key, stanzas)), [identity])


def test_a_malformed_stanza_is_noticed_wherever_it_stands() -> None:
    """All recipients come to the same verdict: a malformed stanza after the right one spoils the file too."""
    identity, file_key = recipients.X25519Identity.generate(), os.urandom(16)
    right, malformed = identity.recipient.wrap(file_key), header.Stanza(args=("X25519", "AAAA"), body=bytes(32))
    for stanzas in ([right, malformed], [malformed, right]):
        with pytest.raises(errors.SealError, match="share of 3"):
            age.unlock(io.BytesIO(header.encode(file_key, stanzas)), [identity])


def test_stanzas_are_checked_after_the_mac_and_before_the_payload() -> None:
    """The check sees only stanzas that the MAC covers, and if it refuses nothing of the payload is read or written."""
    identity = recipients.X25519Identity.generate()
    extra = header.Stanza(args=("folkmoot/context", "v1"), body=bytes(32))
    sealed = seal(b"secret", identity, stanzas=(extra,))
    seen: list[header.Stanza] = []

    def refuse(stanzas: object) -> None:
        seen.extend(stanzas)  # type: ignore[call-overload]
        raise errors.ContextError("no")

    source, sink = io.BytesIO(sealed), io.BytesIO()
    with pytest.raises(errors.ContextError):
        age.decrypt(source, sink, [identity], refuse)
    assert (seen[0], len(seen), sink.getvalue()) == (extra, 2, b"")
    assert source.tell() == sealed.index(b"\n--- ") + 49
    seen.clear()
    forged = sealed.replace(b"AAAAAAAA", b"AAAABAAA", 1)
    with pytest.raises(errors.SealError, match="MAC"):
        age.decrypt(io.BytesIO(forged), io.BytesIO(), [identity], refuse)
    assert seen == []


@pytest.fixture(scope="module")
def three_chunks() -> tuple[recipients.Identity, bytes, list[bytes]]:
    """An identity, header and nonce, and the three chunks of a file for it."""
    identity = recipients.X25519Identity.generate()
    sealed = seal(os.urandom(2 * CHUNK + 1000), identity)
    start = len(sealed) - 2 * SEALED_CHUNK - 1000 - stream.TAG
    chunks = [sealed[start : start + SEALED_CHUNK], sealed[start + SEALED_CHUNK : start + 2 * SEALED_CHUNK]]
    return identity, sealed[:start], [*chunks, sealed[start + 2 * SEALED_CHUNK :]]


@pytest.mark.parametrize("order", [(1, 0, 2), (0, 2), (1, 2), (0, 1), (0, 1, 1, 2), (0, 1, 2, 2), (2,), (), (0, 2, 1)])
def test_chunks_stay_in_their_places(
    three_chunks: tuple[recipients.Identity, bytes, list[bytes]], order: tuple
) -> None:
    """2, 3: chunks swapped, dropped or duplicated, and a file cut at any border of a chunk, are refused."""
    identity, head, chunks = three_chunks
    assert len(unseal(head + b"".join(chunks), identity)) == 2 * CHUNK + 1000
    with pytest.raises(errors.SealError, match="payload"):
        unseal(head + b"".join(chunks[index] for index in order), identity)


@pytest.mark.parametrize("extra", [1, 16, 17, CHUNK, SEALED_CHUNK])
def test_trailing_bytes_are_refused(three_chunks: tuple[recipients.Identity, bytes, list[bytes]], extra: int) -> None:
    """4: nothing may follow the last chunk, be it a byte or a whole chunk of zeros."""
    identity, head, chunks = three_chunks
    with pytest.raises(errors.SealError, match="payload"):
        unseal(head + b"".join(chunks) + bytes(extra), identity)


@pytest.mark.parametrize("extra", [1, 15, 16, 17])
def test_bytes_after_a_full_batch_are_refused(extra: int) -> None:
    """4: also where the file ends on the border between two reads."""
    identity = recipients.X25519Identity.generate()
    with pytest.raises(errors.SealError, match="payload"):
        unseal(seal(bytes(age.BATCH * CHUNK), identity) + bytes(extra), identity)


def test_an_empty_chunk_is_refused_in_a_later_batch() -> None:
    """An empty last chunk with a right tag is refused also where it is alone in its batch."""
    identity = recipients.X25519Identity.generate()
    file_key, head = age.start([identity.recipient])
    payload, sealed = stream.Stream(file_key, bytes(16)), bytearray(age.BATCH * SEALED_CHUNK)
    payload.seal(memoryview(bytes(age.BATCH * CHUNK)), memoryview(sealed), last=False)
    tag = bytearray(stream.TAG)
    payload.seal(memoryview(b""), memoryview(tag), last=True)
    with pytest.raises(errors.SealError, match="empty"):
        unseal(head + bytes(16) + sealed + tag, identity)


def test_a_truncated_nonce_is_refused() -> None:
    """2: a file that ends inside the payload nonce is refused."""
    identity = recipients.X25519Identity.generate()
    sealed = seal(b"", identity)
    with pytest.raises(errors.SealError, match="nonce of 15"):
        unseal(sealed[: -stream.TAG - 1], identity)

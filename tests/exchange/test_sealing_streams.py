"""Sealed updates from file to file and through a store: the same bytes and the same refusals, in constant memory."""

import io
import os
import tracemalloc
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from exchange import age, blocks, errors, gathering, opening, recipients, sealing, stream, tensors, unixfs

CONTEXT, OTHER = b"\x01" * 32, b"\x02" * 32
ALICE, BOB, HYBRID = (
    recipients.X25519Identity.generate(),
    recipients.X25519Identity.generate(),
    recipients.HybridIdentity.generate(),
)
BATCH = age.BATCH * stream.CHUNK
SIZES = [0, 1, stream.CHUNK, BATCH - 1, BATCH, BATCH + 1, 3 * BATCH + 70_000]
PLAINTEXT = bytes(range(256)) * 700  # three chunks
SEALED = sealing.seal(PLAINTEXT, recipients=[ALICE.recipient, BOB.recipient], context=CONTEXT)


def opened(sealed: bytes, cut: int = 1 << 20, *, size: int | None = None, identity=ALICE, context=CONTEXT) -> bytes:
    """`sealed` written to an Opening in pieces of `cut` bytes."""
    taking = opening.Opening(len(sealed) if size is None else size, [identity], sealing._check(context))
    for start in range(0, len(sealed), cut):
        assert taking.write(sealed[start : start + cut]) == len(sealed[start : start + cut])
    return bytes(taking.finish())


def files(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


@pytest.mark.parametrize("identity", [ALICE, HYBRID])
@pytest.mark.parametrize("size", SIZES)
def test_a_file_comes_back(tmp_path: Path, identity: recipients.Identity, size: int) -> None:
    """Files of all sizes, for either kind of recipient, come back whole; memory opens what a file was sealed into."""
    plain, sealed, back = tmp_path / "plain", tmp_path / "sealed", tmp_path / "back"
    plain.write_bytes(os.urandom(size))
    sealing.seal_file(plain, sealed, recipients=[identity.recipient], context=CONTEXT)
    sealing.open_file(sealed, back, identities=[identity], context=CONTEXT)
    assert back.read_bytes() == plain.read_bytes()
    assert sealing.unseal(sealed.read_bytes(), identities=[identity], context=CONTEXT) == plain.read_bytes()


@pytest.mark.parametrize("damage", ["last byte", "cut", "more", "context", "reader"])
def test_nothing_is_seen_of_a_file_that_is_refused(tmp_path: Path, damage: str) -> None:
    """1, 2, 4, 5, 8: a plaintext has its name only when the last chunk has verified; what had the name before keeps it."""
    bad = {"last byte": SEALED[:-1] + bytes([SEALED[-1] ^ 1]), "cut": SEALED[:-20_000], "more": SEALED + b"x"}
    sealed, back = tmp_path / "sealed", tmp_path / "back"
    sealed.write_bytes(bad.get(damage, SEALED))
    for before in (None, b"what was here"):
        if before is not None:
            back.write_bytes(before)
        names = files(tmp_path)
        with pytest.raises(errors.SealError):
            sealing.open_file(
                sealed,
                back,
                identities=[HYBRID if damage == "reader" else ALICE],
                context=OTHER if damage == "context" else CONTEXT,
            )
        assert files(tmp_path) == names
        assert before is None or back.read_bytes() == before


def test_files_that_cannot_be_read_or_written_are_typed(tmp_path: Path) -> None:
    """A source that is not there, and a folder that is not there, are store errors; a wrong context is the caller's."""
    with pytest.raises(errors.StoreError):
        sealing.seal_file(tmp_path / "no", tmp_path / "sealed", recipients=[ALICE.recipient], context=CONTEXT)
    with pytest.raises(ValueError, match="context of 31"):
        sealing.open_file(tmp_path / "no", tmp_path / "back", identities=[ALICE], context=CONTEXT[1:])
    assert files(tmp_path) == []


def test_the_memory_of_files_is_constant(tmp_path: Path) -> None:
    """40 MiB go from file to file, and through a store, in less than 8 MiB beyond the plaintext that is asked for."""
    plain, sealed, back = tmp_path / "plain", tmp_path / "sealed", tmp_path / "back"
    data = os.urandom(40 << 20)
    plain.write_bytes(data)
    store = blocks.BlockStore(tmp_path / "store")
    tracemalloc.start()
    sealing.seal_file(plain, sealed, recipients=[ALICE.recipient], context=CONTEXT)
    sealing.open_file(sealed, back, identities=[ALICE], context=CONTEXT)
    root = sealing.deposit(store, [b"head", data], recipients=[ALICE.recipient], context=CONTEXT)
    # The plaintext lies in memory of its own that Python does not count.
    plaintext = sealing.collect(store, root.cid, size=root.size, identities=[ALICE], context=CONTEXT)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 8 << 20
    assert plaintext[4:] == data
    assert back.read_bytes() == data


@pytest.mark.parametrize("identity", [ALICE, HYBRID])
@pytest.mark.parametrize("size", SIZES)
def test_an_update_goes_through_a_store(tmp_path: Path, identity: recipients.Identity, size: int) -> None:
    """What was sealed into a store as it was read is the file of that name and size, and comes back opened."""
    store, plaintext = blocks.BlockStore(tmp_path), os.urandom(size)
    parts = [plaintext[:3], b"", plaintext[3:70_000], plaintext[70_000:]]
    root = sealing.deposit(store, parts, recipients=[identity.recipient], context=CONTEXT)
    with gathering.files(store) as out:
        gathered = sealing.deposit(out, parts, recipients=[identity.recipient], context=CONTEXT)
    for each in (root, gathered):
        sealed = store.get(each.cid, limit=each.size)
        assert (unixfs.of(sealed), len(sealed)) == (each.cid, each.size)
        assert sealing.unseal(sealed, identities=[identity], context=CONTEXT) == plaintext
        for room in (None, memoryview(bytearray(size + 3)), memoryview(bytearray(size // 2))):
            opened = sealing.collect(store, each.cid, size=each.size, identities=[identity], context=CONTEXT, room=room)
            assert opened == plaintext


def test_tensors_go_through_a_store(tmp_path: Path) -> None:
    """Header and data of a tensor file need not be joined to be sealed, nor copied to be read."""
    store, specs = blocks.BlockStore(tmp_path), [tensors.TensorSpec(name="w", shape=(1_000, 1_500))]
    data, metadata = os.urandom(3_000_000), {"context": CONTEXT.hex()}
    parts = tensors.pieces(specs, dtype="I16", data=data, metadata=metadata)
    root = sealing.deposit(store, parts, recipients=[ALICE.recipient], context=CONTEXT)
    file = sealing.collect(store, root.cid, size=root.size, identities=[ALICE], context=CONTEXT)
    read = tensors.decode(file, specs, dtype="I16", metadata=metadata)
    assert read.data == data
    assert read.data.obj is file.obj


def test_a_size_that_lies_is_refused(tmp_path: Path) -> None:
    """12: a sealed file has the size that was signed, neither more nor fewer bytes, however large it is said to be."""
    store = blocks.BlockStore(tmp_path)
    root = sealing.deposit(store, [PLAINTEXT], recipients=[ALICE.recipient], context=CONTEXT)
    for size, refusal in [
        (root.size + 1, errors.SealError),
        (10 << 30, errors.SealError),
        (root.size - 1, errors.TooLargeError),
        (1, errors.TooLargeError),
    ]:
        with pytest.raises(refusal):
            sealing.collect(store, root.cid, size=size, identities=[ALICE], context=CONTEXT)
    for size in (len(SEALED) - 1, 0):
        with pytest.raises(errors.SealError, match="bytes, expected"):
            opened(SEALED, size=size)


def test_a_ciphertext_swapped_after_signing_is_refused(tmp_path: Path) -> None:
    """11: other bytes in the place of those that the offer names, even well sealed for the same context, are corrupt."""
    store = blocks.BlockStore(tmp_path)
    seal = {"recipients": [ALICE.recipient], "context": CONTEXT}
    signed, other = sealing.deposit(store, [PLAINTEXT], **seal), sealing.deposit(store, [PLAINTEXT[::-1]], **seal)
    assert signed.size == other.size
    [place], [theirs] = ([*tmp_path.rglob(str(root.cid))] for root in (signed, other))
    place.write_bytes(theirs.read_bytes())
    with pytest.raises(errors.BlockCorruptError):
        sealing.collect(store, signed.cid, size=signed.size, identities=[ALICE], context=CONTEXT)


@given(st.integers(1, len(SEALED)))
def test_pieces_of_any_size_open(cut: int) -> None:
    """The file may come in pieces of a byte or all at once: cuts in header, tag or chunk do not matter."""
    assert opened(SEALED, max(cut, 7)) == PLAINTEXT


@given(st.integers(0, len(SEALED) - 1), st.integers(0, 7), st.integers(1000, len(SEALED)))
def test_every_bit_counts(position: int, bit: int, cut: int) -> None:
    """1: with one bit flipped anywhere nothing is opened, piece by piece either."""
    flipped = bytearray(SEALED)
    flipped[position] ^= 1 << bit
    with pytest.raises(errors.SealError):
        opened(bytes(flipped), cut)


@given(st.integers(0, len(SEALED) - 1))
def test_every_truncation_is_noticed(length: int) -> None:
    """2: cut at any byte, whether or not the size that was announced is cut too, nothing is opened."""
    for size in (length, len(SEALED)):
        with pytest.raises(errors.SealError):
            opened(SEALED[:length], size=size)


def test_chunks_stay_in_their_places() -> None:
    """3: chunks swapped, dropped or duplicated are refused, piece by piece either."""
    start = len(SEALED) - stream.sealed_size(len(PLAINTEXT))
    first, second, third = (SEALED[start + index * stream.SEALED_CHUNK :][: stream.SEALED_CHUNK] for index in range(3))
    for chunks in ([second, first, third], [first, third], [first, second, second, third], [third], [first, second]):
        with pytest.raises(errors.SealError, match="payload chunk"):
            opened(SEALED[:start] + b"".join(chunks))


def test_the_context_is_checked_before_the_payload() -> None:
    """8: of a file of another context nothing is opened, from its header on."""
    taking = opening.Opening(len(SEALED), [ALICE], sealing._check(OTHER))
    assert taking.writable()
    for start in range(0, len(SEALED), 100 * 1024):
        taking.write(SEALED[start : start + 100 * 1024])
    with pytest.raises(errors.ContextError):
        taking.finish()
    assert taking._plaintext.nbytes == 0


def test_what_cannot_be_had_comes_before_what_is_badly_sealed(tmp_path: Path) -> None:
    """34: of a file that is no age file and of which a later block is missing or damaged, the store's word is told.

    So nobody's verdict depends on which blocks were near: whoever fetches a file as a whole says the same.
    """
    store, garbage = blocks.BlockStore(tmp_path), bytes(3 << 20)
    root = store.put(garbage[1:] + b"!")
    last = unixfs.of(garbage[: (1 << 20) - 1] + b"!")
    [place] = tmp_path.rglob(str(last))

    def collect() -> None:
        sealing.collect(store, root, size=len(garbage), identities=[ALICE], context=CONTEXT)

    with pytest.raises(errors.SealError):
        collect()
    place.write_bytes(b"other")
    with pytest.raises(errors.BlockCorruptError):
        collect()
    place.unlink()
    with pytest.raises(errors.BlockMissingError):
        collect()


def test_a_size_that_the_machine_cannot_hold_is_typed(tmp_path: Path) -> None:
    """12, 32: no room for the plaintext is a fault of the machine's store, not a crash and not the sender's doing."""
    store = blocks.BlockStore(tmp_path)
    root = sealing.deposit(store, [PLAINTEXT], recipients=[ALICE.recipient], context=CONTEXT)
    with pytest.raises(errors.StoreError, match="no memory for the 4611686018427387904 bytes") as caught:
        sealing.collect(store, root.cid, size=1 << 62, identities=[ALICE], context=CONTEXT)
    assert type(caught.value) is errors.StoreError


def test_what_age_writes_in_pieces_is_one_file() -> None:
    """Pieces of plaintext of any size give the file that the whole gives, to the reader of age files."""
    made = io.BytesIO(b"".join(bytes(piece) for piece in age.encrypted([b"a", b"", b"bc" * 50_000], [BOB.recipient])))
    sink = io.BytesIO()
    age.decrypt(made, sink, [BOB])
    assert sink.getvalue() == b"a" + b"bc" * 50_000

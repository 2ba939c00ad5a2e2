"""Sealed updates: opened whole, by the right one, in the right context, or not at all."""

import io
import os

import pytest
from hypothesis import given
from hypothesis import strategies as st

from exchange import age, errors, header, recipients, sealing, stream, tensors

CONTEXT, OTHER = b"\x01" * 32, b"\x02" * 32
ALICE, BOB = recipients.X25519Identity.generate(), recipients.X25519Identity.generate()
HYBRID = recipients.HybridIdentity.generate()
PLAINTEXT = bytes(range(256)) * 700  # three chunks
SEALED = sealing.seal(PLAINTEXT, recipients=[ALICE.recipient, BOB.recipient], context=CONTEXT)


def reheader(sealed: bytes, identity: recipients.Identity, stanzas: list[header.Stanza]) -> bytes:
    """What a recipient can make of a file: the same payload under a header of its own, rightly MACed."""
    source = io.BytesIO(sealed)
    file_key = age.unlock(source, [identity])
    return header.encode(file_key, [*stanzas, identity.recipient.wrap(file_key)]) + source.read()


def context_stanza(body: bytes, *args: str) -> header.Stanza:
    return header.Stanza(args=args or sealing.CONTEXT_ARGS, body=body)


@given(st.binary(max_size=300), st.sampled_from([ALICE, HYBRID]), st.binary(min_size=32, max_size=32))
def test_unseal_inverts_seal(plaintext: bytes, identity: recipients.Identity, context: bytes) -> None:
    """Any bytes, either kind of recipient and any context: what was sealed is what is opened."""
    sealed = sealing.seal(plaintext, recipients=[identity.recipient], context=context)
    assert sealing.unseal(sealed, identities=[identity], context=context) == plaintext


@pytest.mark.parametrize("wrap", [bytes, bytearray, memoryview, lambda data: memoryview(data).cast("H")])
def test_any_contiguous_buffer_will_do(wrap: type) -> None:
    """Both directions take bytes, bytearrays and views of any element, such as arrays give."""
    sealed = sealing.seal(wrap(PLAINTEXT), recipients=[ALICE.recipient], context=CONTEXT)
    assert sealing.unseal(sealed, identities=[ALICE], context=CONTEXT) == PLAINTEXT
    even = sealing.seal(PLAINTEXT + b"x", recipients=[ALICE.recipient], context=CONTEXT)
    assert sealing.unseal(wrap(even), identities=[ALICE], context=CONTEXT) == PLAINTEXT + b"x"


def test_the_result_may_be_written_to() -> None:
    """Opened bytes live in memory of their own that can be turned into a tensor without a copy."""
    opened = sealing.unseal(SEALED, identities=[BOB], context=CONTEXT)
    opened[0] = 77
    assert sealing.unseal(SEALED, identities=[BOB], context=CONTEXT)[0] == 0


def test_it_is_an_age_file() -> None:
    """The file that comes from memory is the one that comes from files: the reader of age files opens it."""
    sink = io.BytesIO()
    age.decrypt(io.BytesIO(SEALED), sink, [ALICE])
    assert sink.getvalue() == PLAINTEXT


def test_no_two_seals_are_alike() -> None:
    """The same bytes sealed twice have no payload in common, so nobody sees that they are the same."""
    first, second = (sealing.seal(PLAINTEXT, recipients=[ALICE.recipient], context=CONTEXT) for _ in range(2))
    assert first[-len(PLAINTEXT) :] != second[-len(PLAINTEXT) :]


@given(st.integers(0, len(SEALED) - 1), st.integers(0, 7))
def test_every_bit_counts(position: int, bit: int) -> None:
    """1: with one bit flipped anywhere, in header, nonce, chunk or tag, nothing is opened."""
    flipped = bytearray(SEALED)
    flipped[position] ^= 1 << bit
    with pytest.raises(errors.SealError):
        sealing.unseal(flipped, identities=[ALICE, BOB], context=CONTEXT)


@given(st.integers(0, len(SEALED) - 1))
def test_every_truncation_is_noticed(length: int) -> None:
    """2: cut at any byte, in the header, at a border of a chunk or in the last one, nothing is opened."""
    with pytest.raises(errors.SealError):
        sealing.unseal(SEALED[:length], identities=[ALICE, BOB], context=CONTEXT)


def test_chunks_stay_in_their_places() -> None:
    """3: two chunks swapped, one dropped, one duplicated: nothing is opened."""
    start = len(SEALED) - stream.sealed_size(len(PLAINTEXT))
    first, second, third = (SEALED[start + index * stream.SEALED_CHUNK :][: stream.SEALED_CHUNK] for index in range(3))
    for chunks in ([second, first, third], [first, third], [first, second, second, third]):
        with pytest.raises(errors.SealError, match="payload chunk"):
            sealing.unseal(SEALED[:start] + b"".join(chunks), identities=[ALICE], context=CONTEXT)


@given(st.binary(min_size=1, max_size=100))
def test_trailing_bytes_are_refused(extra: bytes) -> None:
    """4: nothing may follow the file."""
    with pytest.raises(errors.SealError):
        sealing.unseal(SEALED + extra, identities=[ALICE], context=CONTEXT)


def test_the_wrong_recipient_is_told_so() -> None:
    """5: who is not among the recipients gets a reason of its own, whether or not its kind of key is the right one."""
    for stranger in (recipients.X25519Identity.generate(), HYBRID):
        with pytest.raises(errors.RecipientError):
            sealing.unseal(SEALED, identities=[stranger], context=CONTEXT)


def test_a_megabyte_header_is_not_taken_in() -> None:
    """7: a header beyond 64 KiB is refused however long it goes on."""
    flood = header.VERSION + b"-> X\n" + (b"A" * 64 + b"\n") * 20_000
    with pytest.raises(errors.SealError, match="longer than 65536"):
        sealing.unseal(flood, identities=[ALICE], context=CONTEXT)


@pytest.mark.parametrize(
    "stanzas",
    [
        [],
        [context_stanza(CONTEXT), context_stanza(CONTEXT)],
        [context_stanza(CONTEXT), context_stanza(OTHER)],
        [context_stanza(CONTEXT), context_stanza(CONTEXT, "folkmoot/context", "v2")],
        [context_stanza(OTHER)],
        [context_stanza(CONTEXT[:-1])],
        [context_stanza(b"")],
        [context_stanza(CONTEXT, "folkmoot/context", "v2")],
        [context_stanza(CONTEXT, "folkmoot/context")],
        [context_stanza(CONTEXT, "folkmoot/context", "v1", "x")],
        [context_stanza(CONTEXT, "Folkmoot/context", "v1")],
    ],
)
def test_exactly_one_right_context(stanzas: list[header.Stanza]) -> None:
    """8: the context missing, doubled, shortened, of another version or another one: nothing is opened."""
    with pytest.raises(errors.ContextError):
        sealing.unseal(reheader(SEALED, ALICE, stanzas), identities=[ALICE], context=CONTEXT)
    right = reheader(SEALED, ALICE, [context_stanza(CONTEXT)])
    assert sealing.unseal(right, identities=[ALICE], context=CONTEXT) == PLAINTEXT


def test_the_context_of_another_round_is_refused_before_the_payload() -> None:
    """8: a file for another context is refused for that reason, even if its payload is damaged too."""
    with pytest.raises(errors.ContextError, match="expected " + OTHER.hex()):
        sealing.unseal(SEALED[:-1] + b"\x00", identities=[ALICE], context=OTHER)


def test_an_altered_context_breaks_the_mac() -> None:
    """8: who is no recipient cannot move a file to another context: the header MAC notices."""
    here, there = (header.encode_base64(context).encode() for context in (CONTEXT, OTHER))
    assert SEALED.count(here) == 1
    with pytest.raises(errors.SealError, match="MAC"):
        sealing.unseal(SEALED.replace(here, there), identities=[ALICE], context=OTHER)


def test_a_co_recipient_that_moves_an_update_is_caught_by_the_inner_copy() -> None:
    """9: Bob, a recipient, re-MACs a file for another round; the envelope opens there, the metadata inside does not fit."""
    specs = [tensors.TensorSpec(name="w", shape=(4,))]
    here, there = {"context": CONTEXT.hex()}, {"context": OTHER.hex()}
    update = tensors.encode(specs, dtype="I16", data=bytes(8), metadata=here)
    sealed = sealing.seal(update, recipients=[ALICE.recipient, BOB.recipient], context=CONTEXT)
    source = io.BytesIO(sealed)
    file_key = age.unlock(source, [BOB])
    stanzas = [context_stanza(OTHER), ALICE.recipient.wrap(file_key)]
    moved = header.encode(file_key, stanzas) + source.read()
    opened = sealing.unseal(moved, identities=[ALICE], context=OTHER)
    with pytest.raises(errors.TensorContextError):
        tensors.decode(opened, specs, dtype="I16", metadata=there)


def test_a_post_quantum_file_cannot_be_downgraded() -> None:
    """13: neither does a hybrid file get a classical recipient, nor does a classical file pass for a hybrid recipient's."""
    with pytest.raises(errors.SealError, match="at once"):
        sealing.seal(b"", recipients=[HYBRID.recipient, ALICE.recipient], context=CONTEXT)
    with pytest.raises(errors.RecipientError):
        sealing.unseal(SEALED, identities=[HYBRID], context=CONTEXT)


def test_a_context_is_a_digest() -> None:
    """A context of another length is the caller's mistake, in both directions."""
    with pytest.raises(ValueError, match="context of 31 bytes"):
        sealing.seal(b"", recipients=[ALICE.recipient], context=CONTEXT[:31])
    with pytest.raises(ValueError, match="context of 33 bytes"):
        sealing.unseal(SEALED, identities=[ALICE], context=CONTEXT + b"x")


def test_sizes_are_as_documented() -> None:
    """One X25519 recipient costs a header of 235 bytes; the payload costs 16 bytes, and 16 more for every 64 KiB."""
    head = sum(
        len(line) + 1 for line in ("age-encryption.org/v1", "-> folkmoot/context v1", "b" * 43, "-> X25519 ", "s" * 43)
    )
    head += len("b" * 43 + "\n" + "--- " + "m" * 43 + "\n") - 1  # the share stands on the line of its type
    assert head == 235
    for size, chunks in ((0, 1), (65_536, 1), (65_537, 2)):
        sealed = sealing.seal(os.urandom(size), recipients=[ALICE.recipient], context=CONTEXT)
        assert len(sealed) == head + 16 + size + 16 * chunks

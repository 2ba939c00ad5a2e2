"""Signatures verified on other processes: the same history, the same first error."""

import dataclasses
import itertools

import pytest

from benchmarks import federation
from ledger import dsse, errors, history, leaf, verification

SIZE = verification.ALONE + 5 * verification.BATCH + 7
ENVELOPES = list(itertools.islice(federation.envelopes(40), SIZE))


def entries(envelopes):
    prev = leaf.NO_HEAD
    for seq, envelope in enumerate(envelopes):
        entry = leaf.Entry.chain(seq, prev, envelope)
        yield entry
        prev = entry.hash.hex()


def forged(envelope):
    [(keyid, signature)] = envelope.signatures
    return dataclasses.replace(envelope, signatures=((keyid, signature[:-1] + bytes([signature[-1] ^ 1])),))


@pytest.mark.parametrize("workers", [0, 2])
def test_the_history_is_that_of_one_process(workers):
    """Whoever verifies, the log says the same."""
    told = []
    known = verification.replay(entries(ENVELOPES), workers=workers, progress=told.append)
    assert known == history.replay(entries(ENVELOPES))
    assert told == list(range(verification.BATCH, SIZE, verification.BATCH))


@pytest.mark.parametrize("workers", [0, 2])
@pytest.mark.parametrize("seq", [100, verification.ALONE + 3, SIZE - 1])
def test_a_forged_signature_is_named(workers, seq):
    """One bad signature, early, late or in the last batch: refused, by its position (attacks 10, 16)."""
    bad = [*ENVELOPES[:seq], forged(ENVELOPES[seq]), *ENVELOPES[seq + 1 :]]
    with pytest.raises(errors.EntryError, match=f"^entry {seq}: signature") as caught:
        verification.replay(entries(bad), workers=workers)
    assert caught.value.seq == seq


@pytest.mark.parametrize("workers", [0, 2])
def test_the_first_of_several_errors_is_named(workers):
    """A forgery long before a statement that does not fit; and that statement alone."""
    seq = verification.ALONE + 10
    bad = [*ENVELOPES[: SIZE - 1], ENVELOPES[0]]
    with pytest.raises(errors.EntryError, match=f"^entry {SIZE - 1}: out-of-order"):
        verification.replay(entries(bad), workers=workers)
    bad[seq] = forged(bad[seq])
    with pytest.raises(errors.EntryError, match=f"^entry {seq}: signature"):
        verification.replay(entries(bad), workers=workers)


def test_what_is_no_statement_is_named():
    """A payload that nobody can read."""
    junk = dsse.sign(b"{}", federation.key("coordinator"))
    with pytest.raises(errors.EntryError, match=r"^entry 1: "):
        verification.replay(entries([ENVELOPES[0], junk]), workers=0)

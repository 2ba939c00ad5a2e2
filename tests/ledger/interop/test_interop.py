"""Verifiers that are not ours accept a published log, and notice what was done to it."""

import base64
import re

import pytest

from ledger import checkpoint, history, source, tiled
from tests.ledger.interop import mutations

OWN_WORDS = {
    "G": re.compile(
        r"inconsistent tile|transparency proof|signature for key|malformed note|no verifiable|lead to root"
    ),
    "S": re.compile("^VerificationError"),
    "D": re.compile("^VerificationError"),
    "O": re.compile("Signature Verification Failure"),
    "P": re.compile("^RefusedError: root"),
}
SEEN = [(letter, name) for name, (_, seen) in mutations.MUTATIONS.items() for letter in seen]


def test_the_log_is_one_that_we_accept(evidence):
    """The published files hold at least 10,000 entries, every one signed by a member and in its place in a run."""

    def verify(data):
        return checkpoint.verify(data, evidence.origin, evidence.public)

    reader = tiled.TiledLog.open(source.folder(evidence.folder / "log"), verify)
    told = history.replay(reader.entries())
    assert told.size == reader.size >= 10_000
    assert told.round > 200


@pytest.mark.parametrize(
    ("letter", "counts"),
    [
        ("G", {"entries": 10_300, "proofs": 103}),
        ("S", {"proofs": 103}),
        ("D", {"envelopes": 10_300}),
        ("O", {"notes": 1, "envelopes": 13}),
        ("P", {"entries": 10_300}),
    ],
)
def test_others_accept_the_log(evidence, run, letter, counts):
    """Go's sumdb, sigstore-python, securesystemslib, openssl and pymerkle each find the log sound, all of it."""
    (said,), status = run(letter, [evidence.folder])
    assert (status, said | counts) == (0, said)


@pytest.mark.parametrize(("letter", "name"), SEEN)
def test_others_notice(refusals, letter, name):
    """Each verifier refuses what it can see: bits, entries, envelopes, tiles, notes and proofs that are not the log's."""
    assert refusals(letter)[name].get("refused")


@pytest.mark.parametrize("letter", OWN_WORDS)
def test_each_verifier_refuses_ten_kinds_by_itself(refusals, letter):
    """Not the script around it, for want of a file or a field: its own code said no, to ten kinds of mutation or more."""
    said = [each["refused"] for each in refusals(letter).values()]
    assert sum(bool(OWN_WORDS[letter].search(each)) for each in said) >= 10


def test_they_agree_on_the_root(evidence, run):
    """Go computes from the tiles the root that the checkpoint says, and proves the way from the earlier checkpoint."""
    (said,), _ = run("G", [evidence.folder])
    promise = checkpoint.verify((evidence.folder / "log/checkpoint").read_bytes(), evidence.origin, evidence.public)
    assert base64.b64decode(said["root"]) == promise.root
    assert said["consistency"] > 0

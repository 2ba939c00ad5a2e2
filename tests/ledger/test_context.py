"""The context digest."""

import hashlib

from ledger import context


def test_context_digest_is_of_these_bytes(cid):
    """The digest is reproducible with sha256 and a text editor."""
    text = f'{{"parent":"{cid("x")}","round":7,"run":"{"ab" * 32}","sender":"ash","v":1}}'
    assert context.context_digest("ab" * 32, 7, cid("x"), "ash") == hashlib.sha256(text.encode()).digest()


def test_each_part_counts(cid):
    """Another run, round, parent or sender is another context (attack 14)."""
    parts = [("a" * 64, 1, cid("x"), "ash"), ("b" * 64, 2, cid("y"), "birch")]
    digests = {
        context.context_digest(*(pair[choice >> bit & 1] for bit, pair in enumerate(zip(*parts, strict=True))))
        for choice in range(16)
    }
    assert len(digests) == 16

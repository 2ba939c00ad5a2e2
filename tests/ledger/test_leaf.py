"""Leaves and their one byte form."""

import json

import pytest

from ledger import canonical, errors, leaf, merkle


def test_the_leaf_bytes(folder):
    """A leaf is canonical JSON of exactly these members."""
    with folder.open() as record:
        entry = next(record.entries())
    expected = {"dsse": folder.envelopes[0].to_json(), "prev": "0" * 64, "seq": 0, "v": 1}
    assert entry.leaf == canonical.encode(expected)
    assert entry.hash == merkle.leaf_hash(entry.leaf)


@pytest.mark.parametrize(
    "change",
    [
        {"v": 2},
        {"v": True},
        {"seq": False},
        {"seq": "0"},
        {"more": 1},
        {"seq": 1},
        {"prev": "1" * 64},
        {"prev": None},
        {"dsse": {}},
        {"dsse": 1},
    ],
)
def test_a_leaf_has_one_form(fresh, change):
    """Another version, true for 1, false for 0, more members: no leaf (attack 18)."""
    entry = leaf.Entry.chain(0, leaf.NO_HEAD, fresh.envelopes[0])
    assert leaf.Entry.parse(entry.leaf, seq=0, prev=leaf.NO_HEAD) == entry
    with pytest.raises(errors.StatementError):
        leaf.Entry.parse(canonical.encode({**json.loads(entry.leaf), **change}), seq=0, prev=leaf.NO_HEAD)

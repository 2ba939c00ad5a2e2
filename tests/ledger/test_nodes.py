"""Stored nodes: what they spare, and that no damaged one leads to a signature or a proof."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ledger import checkpoint, dsse, errors, merkle, nodes

SIZE = 70_000
"""Beyond 256 * 256, so that a node of level 16 is there, with nodes of level 8 and leaves beside it."""


def test_an_edge_has_the_root_of_its_leaves():
    """At every size the edge's root is the frontier's, and each completed node is the root over its leaves."""
    edge, frontier, leaves, completed = nodes.Edge(), merkle.Frontier(), [], []
    for n in range(SIZE):
        leaves.append(merkle.leaf_hash(b"%d" % n))
        completed += edge.append(leaves[-1])
        frontier.append(leaves[-1])
        if n % 97 == 0 or (n % 256 in (254, 255, 0) and n % 8192 < 512):
            assert edge.root() == frontier.root()
    assert [node.level for node in completed].count(8) == SIZE // 256
    assert [(node.level, node.place) for node in completed if node.level != 8] == [(16, 0)]
    below = merkle.over(leaves)
    for node in [*completed[:3], *completed[-3:]]:
        assert node.hash == below(node.level, node.place)


@pytest.fixture(scope="module")
def grown(long_folder):
    """The hashes of a log of 1,300 entries, signed at 700."""
    with long_folder.open() as record:
        return long_folder, [entry.hash for entry in record.entries()]


def test_the_tree_of_a_store_is_that_of_its_leaves(grown):
    """Roots and nodes at any size and level are those over the leaf hashes."""
    folder, leaves = grown
    below = merkle.over(leaves)
    with folder.open() as record:
        for size in (0, 1, 255, 256, 257, 512, 699, 700, 701, 1024, 1300):
            assert record.root(size) == merkle.root(size, below)
        for level in range(11):
            for index in {0, (1300 >> level) - 1}:
                assert record.node(level, index) == below(level, index)
        with pytest.raises(errors.CorruptError):
            record.node(11, 0)


@given(st.integers(0, 1300), st.integers(0, 1300), st.integers(0, 1299))
def test_proofs_verify(grown, one, other, index):
    """Every proof leads from its claim to the roots over the leaf hashes (attack 43)."""
    folder, leaves = grown
    old, new = sorted((one, other))
    below = merkle.over(leaves)
    with folder.open(read_only=True) as record:
        proof = record.consistency(old, new)
        merkle.verify_consistency(old, new, merkle.root(old, below), merkle.root(new, below), proof)
        if index < new:
            merkle.verify_inclusion(leaves[index], index, new, record.inclusion(index, new), merkle.root(new, below))


def test_a_proof_of_what_is_not_there_is_refused(folder):
    """Sizes and positions beyond the log are the caller's mistake, not damage."""
    with folder.open() as record:
        for ask in (
            lambda: record.inclusion(8, 8),
            lambda: record.inclusion(-1, 8),
            lambda: record.inclusion(0, 9),
            lambda: record.consistency(3, 9),
            lambda: record.consistency(5, 3),
            lambda: record.root(9),
            lambda: record.root(-1),
        ):
            with pytest.raises(errors.ProofError):
                ask()


def more(folder, first, count):
    return [dsse.sign(b"more %d" % n, folder.key) for n in range(first, first + count)]


@pytest.mark.parametrize("place", [0, 1])
def test_a_damaged_node_below_the_last_note_is_never_signed_over(grown_copy, place):
    """One bit of a stored node changed: no signature, no opening, no proof; the last note stands (attacks 41, 43)."""
    folder = grown_copy
    with folder.open() as record:
        before = record.notes()
        folder.flip_node(8, place)
        for ask in (
            lambda: record.publish(folder.key),
            lambda: record.root(700),
            lambda: record.root(600),
            lambda: record.inclusion(650, 700),
            lambda: record.consistency(600, 700),
        ):
            with pytest.raises(errors.CorruptError):
                ask()
        (folder / "checkpoint").unlink()  # the note in the store is enough
        with pytest.raises(errors.CorruptError, match="expected the signed"):
            record.publish(folder.key)
        assert record.notes() == before
    with pytest.raises(errors.CorruptError, match=f"node {place} of level 8"):
        folder.open()


def test_a_damaged_node_beyond_the_last_note_is_never_signed_over(grown_copy):
    """A node that no signed root covers yet is compared with what the leaves say before it is signed for (41, 43)."""
    folder = grown_copy
    with folder.open() as record:
        before = record.notes()
        folder.flip_node(8, 3)
        with pytest.raises(errors.CorruptError, match="node 3 of level 8") as caught:
            record.publish(folder.key)
        assert caught.value.seq == 1023
        assert record.notes() == before


def test_a_missing_node_is_found(grown_copy):
    """Without its row: the same."""
    folder = grown_copy
    folder.tamper("DELETE FROM node WHERE i = 3")
    with folder.open() as record, pytest.raises(errors.CorruptError, match="node 3 of level 8 is missing"):
        record.publish(folder.key)
    folder.tamper("DELETE FROM node WHERE i = 1")
    with pytest.raises(errors.CorruptError, match="node 1 of level 8 is missing"):
        folder.open()


def test_a_leaf_that_changed_since_it_was_hashed_is_never_signed(grown_copy):
    """Leaf, hash and eid exchanged for another valid entry's: the chain or the node tells (attack 41)."""
    folder = grown_copy
    folder.flip("leaf", 1_000, 300)
    with folder.open() as record, pytest.raises(errors.CorruptError) as caught:
        record.publish(folder.key)
    assert caught.value.seq == 1_000


def test_publishing_goes_on_from_the_signed_root(grown_copy):
    """After more entries the signed root is that over all leaf hashes, also across a stored node."""
    folder = grown_copy
    with folder.open() as record:
        for first, count in ((0, 1), (1, 235), (236, 1), (237, 300)):
            record.append(more(folder, first, count), head=record.head)
            signed = checkpoint.verify(record.publish(folder.key), "folkmoot.test/log", folder.key.public)
            leaves = [entry.hash for entry in record.entries()]
            assert signed.size == len(leaves)
            assert signed.root == merkle.root(len(leaves), merkle.over(leaves))


def test_a_left_over_node_is_damage(grown_copy):
    """A node that is there before its entries are: appending them says so, and appends nothing."""
    folder = grown_copy
    folder.tamper("INSERT INTO node SELECT 8, 5, hash FROM node WHERE i = 0")
    with folder.open() as record:
        with pytest.raises(errors.CorruptError):
            record.append(more(folder, 0, 300), head=record.head)
        assert record.size == 1_300

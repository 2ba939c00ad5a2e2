"""Trees and proofs against RFC 6962."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ledger import errors, merkle

# The reference leaves of certificate-transparency (merkle_tree_test.cc) and their published roots.
LEAVES = ["", "00", "10", "2021", "3031", "40414243", "5051525354555657", "606162636465666768696a6b6c6d6e6f"]
ROOTS = [
    "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855",
    "6e340b9cffb37a989ca544e6bb780a2c78901d3fb33738768511a30617afa01d",
    "fac54203e7cc696cf0dfcb42c92a1d9dbaf70ad9e621f4bd8d98662f00e3c125",
    "aeb6bcfe274b70a14fb067a5e5578264db0fa9b51af5e0ba159158f329e06e77",
    "d37ee418976dd95753c1c73862b9398fa2a2cf9b4ff0fdfe8b30cd95209614b7",
    "4e3bbb1f7b478dcfe71fb631631519a3bca12c9aefca1612bfce4c13a86264d4",
    "76e67dadbcdf1e10e1b74ddc608abd2f98dfb16fbce75277b5232a127f2087ef",
    "ddb89be403809e325750d3d263cd78929c2942b7942a34b77e122c9594a74c8c",
    "5dc9da79a70659a9ad559cb701ded9a2ab9d823aad2f4960cfe370eff4604328",
]
REFERENCE = [merkle.leaf_hash(bytes.fromhex(leaf)) for leaf in LEAVES]
HASHES = [merkle.leaf_hash(b"%d" % index) for index in range(64)]


@pytest.mark.parametrize("size", range(9))
def test_reference_roots(size):
    """The published roots of the reference trees of 0 to 8 leaves, from the definition and from the frontier."""
    frontier = merkle.Frontier()
    for leaf in REFERENCE[:size]:
        frontier.append(leaf)
    assert merkle.root(size, merkle.over(REFERENCE)).hex() == frontier.root().hex() == ROOTS[size]
    assert frontier.size == size


def test_reference_proofs():
    """Published proofs over the reference leaves: inclusion of leaf 0 in 8, consistency of 6 with 8."""
    assert [step.hex() for step in merkle.inclusion_proof(0, 8, merkle.over(REFERENCE))] == [
        "96a296d224f285c67bee93c30f8a309157f0daa35dc5b87e410b78630a09cfc7",
        "5f083f0a1a33ca076a95279832580db3e0ef4584bdff1f54c8a360f50de3031e",
        "6b47aaf29ee3c2af9af889bc1fb9254dabd31177f16232dd6aab035ca39bf6e4",
    ]
    assert [step.hex() for step in merkle.consistency_proof(6, 8, merkle.over(REFERENCE))] == [
        "0ebc5d3437fbe2db158b9f126a1d118e308181031d0a949f8dededebc558ef6a",
        "ca854ea128ed050b41b35ffc1b87b8eb2bde461e9e3b5596ece6b9d5975a0ae0",
        "d37ee418976dd95753c1c73862b9398fa2a2cf9b4ff0fdfe8b30cd95209614b7",
    ]


def test_the_frontier_is_the_root_at_every_size():
    """Appending one by one passes through the roots of the definition."""
    frontier = merkle.Frontier()
    for size in range(65):
        assert frontier.root() == merkle.root(size, merkle.over(HASHES))
        if size < 64:
            frontier.append(HASHES[size])


def test_every_inclusion_proof_verifies_and_only_there():
    """All leaves of all trees up to 64; at another index or in another size the same proof is refused."""
    for size in range(1, 65):
        root = merkle.root(size, merkle.over(HASHES))
        for index in range(size):
            proof = merkle.inclusion_proof(index, size, merkle.over(HASHES))
            merkle.verify_inclusion(HASHES[index], index, size, proof, root)
            for wrong in {index ^ 1, (index + 1) % size} - {index}:
                with pytest.raises(errors.ProofError):
                    merkle.verify_inclusion(HASHES[index], wrong, size, proof, root)


def test_every_consistency_proof_verifies():
    """All pairs of sizes up to 64; against another old root the proof is refused."""
    roots = [merkle.root(size, merkle.over(HASHES)) for size in range(65)]
    for new in range(65):
        for old in range(new + 1):
            proof = merkle.consistency_proof(old, new, merkle.over(HASHES))
            merkle.verify_consistency(old, new, roots[old], roots[new], proof)
            with pytest.raises(errors.ProofError):
                merkle.verify_consistency(old, new, bytes(32), roots[new], proof)
            if old:
                with pytest.raises(errors.ProofError):
                    merkle.verify_consistency(old, new, roots[old], bytes(32), proof)


def spoiled(data, proof):
    """A proof with one bit flipped, one hash dropped, doubled or added."""
    position = data.draw(st.integers(0, len(proof) - 1))
    bit = data.draw(st.integers(0, 255))
    flipped = int.from_bytes(proof[position], "big") ^ 1 << bit
    choices = [
        [*proof[:position], flipped.to_bytes(32, "big"), *proof[position + 1 :]],
        [*proof[:position], *proof[position + 1 :]],
        [*proof[: position + 1], *proof[position:]],
        [*proof, HASHES[0]],
    ]
    return data.draw(st.sampled_from(choices))


@given(st.data())
def test_a_spoiled_inclusion_proof_is_refused(data):
    """Any flipped bit, any missing or added hash (attack 43)."""
    size = data.draw(st.integers(2, 64))
    index = data.draw(st.integers(0, size - 1))
    proof = spoiled(data, merkle.inclusion_proof(index, size, merkle.over(HASHES)))
    with pytest.raises(errors.ProofError):
        merkle.verify_inclusion(HASHES[index], index, size, proof, merkle.root(size, merkle.over(HASHES)))


@given(st.data())
def test_a_spoiled_consistency_proof_is_refused(data):
    """Any flipped bit, any missing or added hash (attack 43)."""
    new = data.draw(st.integers(2, 64))
    old = data.draw(st.integers(1, new - 1))
    proof = spoiled(data, merkle.consistency_proof(old, new, merkle.over(HASHES)))
    with pytest.raises(errors.ProofError):
        merkle.verify_consistency(
            old, new, merkle.root(old, merkle.over(HASHES)), merkle.root(new, merkle.over(HASHES)), proof
        )


@pytest.mark.parametrize(("old", "new"), [(3, 2), (-1, 4), (1, 65)])
def test_sizes_that_cannot_be(old, new):
    """A log that shrinks, a negative size, more leaves than there are: no proof is made or believed."""
    with pytest.raises(errors.ProofError):
        merkle.consistency_proof(old, new, merkle.over(HASHES))
    with pytest.raises(errors.ProofError, match="cannot become" if old > new or old < 0 else "leads to|too short"):
        merkle.verify_consistency(old, new, HASHES[0], HASHES[0], [])


@pytest.mark.parametrize(("index", "size"), [(4, 4), (-1, 4), (0, 0), (0, 65)])
def test_leaves_that_cannot_be(index, size):
    """An index beyond the tree: no proof is made or believed."""
    with pytest.raises(errors.ProofError):
        merkle.inclusion_proof(index, size, merkle.over(HASHES))
    with pytest.raises(errors.ProofError):
        merkle.verify_inclusion(HASHES[0], index, size, [], HASHES[0])


def test_the_empty_tree_is_consistent_with_all_and_no_other_root_is_empty():
    """From size 0 no proof is due, and none is taken."""
    merkle.verify_consistency(0, 2, merkle.EMPTY, merkle.root(2, merkle.over(HASHES)), [])
    with pytest.raises(errors.ProofError):
        merkle.verify_consistency(0, 2, merkle.EMPTY, merkle.root(2, merkle.over(HASHES)), [HASHES[0]])


def test_an_empty_proof_proves_only_equality():
    """Between two sizes at least one hash is due."""
    for old in (2, 3):
        with pytest.raises(errors.ProofError):
            merkle.verify_consistency(
                old, 4, merkle.root(old, merkle.over(HASHES)), merkle.root(4, merkle.over(HASHES)), []
            )


def test_a_leaf_is_no_node():
    """The prefixes keep an inner node from being shown as a leaf."""
    left, right = HASHES[:2]
    assert merkle.leaf_hash(left + right) != merkle.node_hash(left, right)


def test_a_proof_of_a_larger_tree_is_none_of_a_smaller():
    """Hashes beyond the tree's height are refused, though they would lead to the given roots."""
    root = merkle.root(8, merkle.over(HASHES))
    with pytest.raises(errors.ProofError, match="too long"):
        merkle.verify_inclusion(HASHES[7], 0, 1, merkle.inclusion_proof(7, 8, merkle.over(HASHES)), root)
    with pytest.raises(errors.ProofError, match="too long"):
        merkle.verify_consistency(
            3, 4, merkle.root(7, merkle.over(HASHES)), root, merkle.consistency_proof(7, 8, merkle.over(HASHES))
        )

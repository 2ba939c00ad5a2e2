"""The Merkle tree of the log: roots, inclusion proofs and consistency proofs.

    leaf  sha256(00 | data)
    node  sha256(01 | left | right)
    empty sha256()

A tree of n > 1 leaves splits at k, the largest power of two below n. Everything here works on leaf hashes.

References: RFC 6962 section 2.1 (Laurie, Langley, Kasper 2013) for the definitions; RFC 9162 section 2.1 (2021) for the
two verification algorithms; docs/protocol.md P4.
"""

import functools
import hashlib
from collections.abc import Callable, Sequence
from typing import TypeAlias

from ledger import errors

EMPTY = hashlib.sha256().digest()

Node: TypeAlias = Callable[[int, int], bytes]
"""node(level, index): the root of the perfect subtree over the 2^level leaves from index * 2^level on."""


def leaf_hash(data: bytes) -> bytes:
    """The 32-byte hash of one leaf."""
    return hashlib.sha256(b"\x00" + data).digest()


def node_hash(left: bytes, right: bytes) -> bytes:
    """The 32-byte hash of an inner node."""
    return hashlib.sha256(b"\x01" + left + right).digest()


class Frontier:
    """A compact range: the roots of the perfect subtrees of a growing tree, largest first."""

    __slots__ = ("_roots", "size")

    def __init__(self) -> None:
        self._roots: list[bytes] = []
        self.size = 0

    def append(self, leaf: bytes) -> None:
        """Nothing; the tree has one more leaf, of this hash."""
        self._roots.append(leaf)
        # A binary counter: every trailing one bit of the old size is a subtree that the new leaf completes.
        carry = self.size
        while carry & 1:
            right = self._roots.pop()
            self._roots.append(node_hash(self._roots.pop(), right))
            carry >>= 1
        self.size += 1

    def root(self) -> bytes:
        """The root of the tree so far."""
        if not self._roots:
            return EMPTY
        return functools.reduce(lambda right, left: node_hash(left, right), reversed(self._roots))


def over(leaves: Sequence[bytes]) -> Node:
    """The nodes over leaf hashes that lie in memory; each is hashed anew when asked for, and refused beyond the last."""

    def node(level: int, index: int) -> bytes:
        if (index + 1) << level > len(leaves):
            raise errors.ProofError(f"{len(leaves)} leaves, expected {(index + 1) << level}")
        return fold(leaves[index << level : (index + 1) << level])

    return node


def fold(hashes: Sequence[bytes]) -> bytes:
    """The root of the perfect subtree over 2^k nodes of one level, left to right."""
    row = list(hashes)
    while len(row) > 1:
        row = [node_hash(left, right) for left, right in zip(row[::2], row[1::2], strict=True)]
    return row[0]


def root(size: int, node: Node) -> bytes:
    """The tree's root: MTH of RFC 6962 section 2.1.

    Args:
        size: Leaves of the tree.
        node: Where its nodes are looked up; only nodes of perfect subtrees of this tree are asked for.
    """
    return _range_root(0, size, node) if size else EMPTY


def inclusion_proof(index: int, size: int, node: Node) -> list[bytes]:
    """The audit path of one leaf: PATH of RFC 6962 section 2.1.1, lowest node first.

    Args:
        index: The leaf, 0 <= index < size.
        size: Leaves of the tree that the proof is for.
        node: Where its nodes are looked up.

    Raises:
        ProofError: There is no such leaf in a tree of this size.
    """
    if not 0 <= index < size:
        raise errors.ProofError(f"leaf {index} is not in a tree of {size}")
    path: list[bytes] = []
    first, last = 0, size
    while last - first > 1:
        middle = first + _split(last - first)
        if index < middle:
            path.append(_range_root(middle, last, node))
            last = middle
        else:
            path.append(_range_root(first, middle, node))
            first = middle
    return path[::-1]


def consistency_proof(old_size: int, new_size: int, node: Node) -> list[bytes]:
    """That the old tree is a prefix of the new one: PROOF of RFC 6962 section 2.1.2.

    Args:
        old_size: Leaves of the old tree, 0 <= old_size <= new_size; an empty tree needs no proof.
        new_size: Leaves of the new tree.
        node: Where its nodes are looked up.

    Raises:
        ProofError: The old tree is larger than the new one.
    """
    if not 0 <= old_size <= new_size:
        raise errors.ProofError(f"a log of {old_size} entries cannot become one of {new_size}")
    if old_size in (0, new_size):
        return []
    path: list[bytes] = []
    first, last = 0, new_size
    while last != old_size:
        middle = first + _split(last - first)
        if old_size <= middle:
            path.append(_range_root(middle, last, node))
            last = middle
        else:
            path.append(_range_root(first, middle, node))
            first = middle
    # The old tree itself is the first node, and its root is known to whoever verifies.
    return [*([_range_root(first, last, node)] if first else []), *path[::-1]]


def verify_inclusion(leaf: bytes, index: int, size: int, proof: Sequence[bytes], root: bytes) -> None:
    """Nothing; a proof that does not show `leaf` at `index` of the tree raises.

    Args:
        leaf: The leaf's hash.
        index: Where it is said to be.
        size: Leaves of the tree.
        proof: Audit path, lowest node first.
        root: The tree's root, from a verified checkpoint.

    Raises:
        ProofError: The proof leads elsewhere, or has another length than this leaf's.

    Reference: RFC 9162 section 2.1.3.2; docs/protocol.md P4.
    """
    if not 0 <= index < size:
        raise errors.ProofError(f"leaf {index} is not in a tree of {size}")
    node, last, value = index, size - 1, leaf
    for step in proof:
        if last == 0:
            raise errors.ProofError(f"inclusion proof of {len(proof)} hashes is too long for leaf {index} of {size}")
        if node & 1 or node == last:
            value = node_hash(step, value)
            while not node & 1 and node:
                node, last = node >> 1, last >> 1
        else:
            value = node_hash(value, step)
        node, last = node >> 1, last >> 1
    if last or value != root:
        raise errors.ProofError(f"leaf {index} of {size}: the proof leads to {value.hex()}, expected {root.hex()}")


def verify_consistency(old_size: int, new_size: int, old_root: bytes, new_root: bytes, proof: Sequence[bytes]) -> None:
    """Nothing; a proof that does not show the old tree as a prefix of the new one raises.

    Raises:
        ProofError: The proof does not lead to both roots.

    Reference: RFC 9162 section 2.1.4.2; docs/protocol.md P4.
    """
    if not 0 <= old_size <= new_size:
        raise errors.ProofError(f"a log of {old_size} entries cannot become one of {new_size}")
    if old_size in (0, new_size):
        expected = new_root if old_size else EMPTY
        if proof or old_root != expected:
            raise errors.ProofError(f"size {old_size} has root {old_root.hex()}, expected {expected.hex()}, no proof")
        return
    path = list(proof) if old_size & (old_size - 1) else [old_root, *proof]
    old, new = ends(path, old_size, new_size)
    if (old, new) != (old_root, new_root):
        message = f"the proof leads to {old.hex()} and {new.hex()}, expected {old_root.hex()} and {new_root.hex()}"
        raise errors.ProofError(message)


def ends(path: Sequence[bytes], old_size: int, new_size: int) -> tuple[bytes, bytes]:
    """The roots of the old and of the new tree to which the nodes of a consistency proof lead.

    Args:
        path: The proof; where the old size is a power of two, the old root goes before it.
        old_size: Leaves of the old tree, 0 < old_size < new_size.
        new_size: Leaves of the new tree.

    Raises:
        ProofError: The path has another length than a proof between these sizes.
    """
    node, last = old_size - 1, new_size - 1
    while node & 1:
        node, last = node >> 1, last >> 1
    if not path:
        raise errors.ProofError(f"an empty proof from {old_size} to {new_size} entries")
    old = new = path[0]
    for step in path[1:]:
        if last == 0:
            raise errors.ProofError(f"consistency proof of {len(path)} hashes is too long")
        if node & 1 or node == last:
            old, new = node_hash(step, old), node_hash(step, new)
            while not node & 1 and node:
                node, last = node >> 1, last >> 1
        else:
            new = node_hash(new, step)
        node, last = node >> 1, last >> 1
    if last:
        raise errors.ProofError(f"consistency proof of {len(path)} hashes is too short")
    return old, new


def _range_root(first: int, last: int, node: Node) -> bytes:
    """The root over the leaves from `first` to before `last`, where `first` is a multiple of the first split."""
    size = last - first
    if size & (size - 1) == 0:
        level = size.bit_length() - 1
        return node(level, first >> level)
    middle = first + _split(size)
    return node_hash(_range_root(first, middle, node), _range_root(middle, last, node))


def _split(size: int) -> int:
    return 1 << (size - 1).bit_length() - 1

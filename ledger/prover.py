"""Roots and proofs of a stored log, each verified before it is handed out.

What lies in the store may be damaged, and a wrong proof would make an honest log look forged. So a root must lead to the
next signed one, where there is one, and a proof from its claim to the root.

Reference: RFC 6962 sections 2.1.1 and 2.1.2; docs/protocol.md P4.
"""

import contextlib
import functools
from collections.abc import Iterator

from ledger import errors, merkle, nodes, promises, rows, store


class Prover:
    """The tree of a log at one moment: it remembers the nodes that it has read, so it is for one question."""

    def __init__(self, source: store.Store, origin: str) -> None:
        self._store = source
        self._origin = origin
        self._size = source.size()
        self._node = functools.cache(nodes.tree(source))

    def root(self, size: int | None = None) -> bytes:
        """The root over the first `size` leaves, or over all.

        Raises:
            ProofError: The log has fewer entries.
            CorruptError: A row is missing, or the root does not lead to the next signed one.
        """
        size = self._bounded(self._size if size is None else size)
        root = merkle.root(size, self._node)
        for signed_size, signed_note in self._store.notes(size, 1):
            signed = promises.parse(signed_note, self._origin, signed_size).root
            path = merkle.consistency_proof(size, signed_size, self._node)
            with _sound():
                merkle.verify_consistency(size, signed_size, root, signed, path)
        return root

    def inclusion(self, index: int, size: int) -> list[bytes]:
        """The audit path of one leaf, lowest node first.

        Raises:
            ProofError: There is no such leaf in a tree of this size, or the log has fewer entries.
            CorruptError: The path does not lead from the leaf to the root.
        """
        path = merkle.inclusion_proof(index, self._bounded(size), self._node)
        hashed, root = rows.leaf_hash(self._store, index), self.root(size)
        with _sound():
            merkle.verify_inclusion(hashed, index, size, path, root)
        return path

    def consistency(self, old: int, new: int) -> list[bytes]:
        """That the first `old` leaves are a prefix of the first `new`.

        Raises:
            ProofError: `old` is larger than `new`, or the log has fewer entries.
            CorruptError: The path does not lead to both roots.
        """
        path = merkle.consistency_proof(old, self._bounded(new), self._node)
        roots = self.root(old), self.root(new)
        with _sound():
            merkle.verify_consistency(old, new, *roots, path)
        return path

    def _bounded(self, size: int) -> int:
        if not 0 <= size <= self._size:
            raise errors.ProofError(f"the log has {self._size} entries, expected {size}")
        return size


@contextlib.contextmanager
def _sound() -> Iterator[None]:
    try:
        yield
    except errors.ProofError as error:
        raise errors.CorruptError(f"the stored hashes and nodes do not agree: {error}") from error

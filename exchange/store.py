"""Where files are kept by their CID: what every store does, whoever holds the bytes.

    exchange.blocks    a folder of this machine, the default
    exchange.ipfs      an IPFS node, asked over its RPC
    exchange.gateway   somebody else's store, asked over HTTP; read only
    exchange.layered   the first of these, then the others

No store is trusted: every byte that comes out was hashed, and its hash is part of the name it was asked for by. Each
implementation passes the same tests (tests/exchange/test_stores.py).
"""

from collections.abc import Iterator
from types import TracebackType
from typing import BinaryIO, Protocol, Self

from exchange import cid as cids
from exchange import unixfs


class Store(Protocol):
    """Files by CID. A CID is given as a value or as its text; a text that is none raises CidError.

    All methods raise StoreError, or a kind of it: QuotaError and ReadOnlyError when nothing may be written, PeerError when
    another machine answered nonsense, too late or not at all.
    """

    def put(self, data: bytes | bytearray | memoryview) -> cids.Cid:
        """The CID of a file that holds `data`, stored when this returns."""
        ...

    def put_file(self, file: BinaryIO) -> cids.Cid:
        """The CID of the file that `file` holds from its position to its end, read in constant memory."""
        ...

    def get(self, cid: cids.Cid | str, *, limit: int) -> bytes:
        """The file `cid`.

        Args:
            cid: its name.
            limit: the most bytes it may have; memory use stays within it.

        Raises:
            BlockMissingError: a block of it is not here.
            BlockCorruptError: a block does not hash to its name, or the tree is not laid out as the profile says.
            TooLargeError: it has more than `limit` bytes.
        """
        ...

    def get_file(self, cid: cids.Cid | str, file: BinaryIO, *, limit: int) -> int:
        """The bytes of the file `cid`, written to `file` in constant memory, each block once it is verified.

        What was written is a true beginning of the file, and all of it only if this returns. Raises as `get` does.
        """
        ...

    def block(self, cid: cids.Cid | str, *, limit: int = unixfs.MAX_BLOCK) -> bytes:
        """The bytes of the one block `cid`, verified; raises as `get` does."""
        ...

    def has(self, cid: cids.Cid | str) -> bool:
        """Whether the root block of the file `cid` is here; whoever stores a file stores that one last."""
        ...

    def pin(self, cid: cids.Cid | str) -> None:
        """Keep the whole file `cid`, all of which must be here, until it is unpinned. Twice is as good as once.

        Raises:
            BlockMissingError: a block of it is not here; nothing is pinned.
            ReadOnlyError: the store keeps nothing for us.
        """
        ...

    def unpin(self, cid: cids.Cid | str) -> None:
        """Keep the file `cid` no longer, unless another pinned file shares its blocks. Not pinned is no error."""
        ...

    def pins(self) -> Iterator[cids.Cid]:
        """The names of the files that are pinned, in no order."""
        ...

    def close(self) -> None:
        """Let go of connections. A store can be closed twice; it is not used afterwards."""
        ...

    def __enter__(self) -> Self: ...

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None: ...

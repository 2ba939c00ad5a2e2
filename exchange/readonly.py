"""What every store is that is only read: nothing is put or pinned there, and a whole file comes as its bytes do."""

import io
from collections.abc import Iterator
from types import TracebackType
from typing import BinaryIO, NoReturn, Self

from exchange import cid as cids
from exchange import errors


class ReadOnly:
    """The part of `exchange.store.Store` that such stores share.

    Args:
        refusal: the sentence for whoever would write.
    """

    def __init__(self, refusal: str) -> None:
        self._refusal = refusal

    def put(self, data: bytes | bytearray | memoryview) -> NoReturn:
        """Nothing; raises ReadOnlyError."""
        del data
        self._refuse()

    def put_file(self, file: BinaryIO) -> NoReturn:
        """Nothing; raises ReadOnlyError."""
        del file
        self._refuse()

    def pin(self, cid: cids.Cid | str) -> NoReturn:
        """Nothing; raises ReadOnlyError."""
        del cid
        self._refuse()

    def unpin(self, cid: cids.Cid | str) -> NoReturn:
        """Nothing; raises ReadOnlyError."""
        del cid
        self._refuse()

    def pins(self) -> Iterator[cids.Cid]:
        """Nothing; raises ReadOnlyError."""
        self._refuse()

    def get(self, cid: cids.Cid | str, *, limit: int) -> bytes:
        """The file `cid`; see `exchange.store.Store`."""
        file = io.BytesIO()
        self.get_file(cid, file, limit=limit)
        return file.getvalue()

    def get_file(self, cid: cids.Cid | str, file: BinaryIO, *, limit: int) -> int:
        """The bytes of the file `cid`, written to `file` block by block; see `exchange.store.Store`."""
        raise NotImplementedError

    def close(self) -> None:
        """Nothing; see `exchange.store.Store`."""

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def _refuse(self) -> NoReturn:
        raise errors.ReadOnlyError(self._refusal)

"""The embedded block store: a folder with one file for each block, which several processes may share.

    <folder>/blocks/<2 characters>/<cid>    the blocks (exchange.shelf), with tmp/ and usage beside them
    <folder>/blocks/pins/<cid>              what must stay (exchange.pins)
    <folder>/blocks/packs/<random>.car      small files that were put together (exchange.packs)
    <folder>/blocks/owed/<cid>              what a node has yet to be given (exchange.copies)
    <folder>/blocks/lock                    held together by who writes, alone by who collects (exchange.collection)

Leaves are durable before the node that names them. Readers take no lock and write nothing: a file that is collected while
it is read ends in BlockMissingError. Nothing that is read is trusted: every block is hashed.
"""

import contextlib
from collections.abc import Iterable, Iterator
from pathlib import Path
from types import TracebackType
from typing import BinaryIO, Self

from exchange import ahead, assembly, collection, errors, inventory, lock, pins, shelf, unixfs, writer
from exchange import cid as cids


class BlockStore:
    """Files by CID in a folder; made when something is first put."""

    def __init__(self, folder: Path, *, quota: int | None = None, fsync: shelf.Fsync = "always") -> None:
        """The store in `folder`.

        Args:
            folder: may be missing.
            quota: the most bytes that its blocks may have together; None sets no limit. It binds who asks for it: others
                that share the folder are counted, not refused.
            fsync: "always" survives a crash of the machine; "never" is for what nobody needs after one.
        """
        self.folder = folder
        self.blocks = folder / "blocks"
        self._shelf = shelf.Shelf(self.blocks, quota=quota, fsync=fsync)
        self._pins = pins.Pins(self.blocks / "pins", durable=fsync == "always")
        self._lock = self.blocks / "lock"

    def put(self, data: bytes | bytearray | memoryview) -> cids.Cid:
        """The CID of `data`, all of whose blocks are on disk when this returns.

        A block that is already there is left alone if it is intact and replaced if it is not. What is neither pinned nor
        part of a pinned file may be collected once it is an hour old.

        Args:
            data: contiguous bytes, any number.

        Raises:
            QuotaError: the store would hold more than it may.
            StoreError: no space, no permission or another error of the operating system, which is its cause. What was
                stored so far stays and does no harm.
        """
        with memoryview(data).cast("B") as view, self.writing() as target:
            return unixfs.assemble(unixfs.slices(view), target.put).cid

    def put_file(self, file: BinaryIO) -> cids.Cid:
        """The CID of what `file` holds from its position to its end, read in constant memory; otherwise as `put`.

        An error of `file` itself passes through as it is.
        """
        with self.writing() as target:
            return unixfs.build(file, target.put).cid

    def pack(self, files: Iterable[BinaryIO]) -> list[unixfs.Root]:
        """Name and size of each of `files`: as `put_file`, but all in one file of ours, written and synced once.

        What is packed is not collected, and nothing of it is there before all of it is. Files that may go again:
        `exchange.gathering`.

        Raises:
            QuotaError, StoreError: as `put` does; nothing was stored.
        """
        with self.held() as held, writer.Packer(held) as target:
            return [unixfs.build(file, target.put) for file in files]

    @contextlib.contextmanager
    def writing(self) -> Iterator[writer.Writer]:
        """Blocks one by one, safe from collection from here on; durable, names too, when this ends without an error."""
        with self.held() as target, writer.Writer(target) as taking:
            yield taking

    @contextlib.contextmanager
    def held(self) -> Iterator[shelf.Shelf]:
        """The shelf, ready to be written to and safe from collection from here on."""
        with contextlib.ExitStack() as stack:
            with shelf.reporting(f"write to {self.folder}"):
                self._shelf.staging.mkdir(parents=True, exist_ok=True)
                # Old and nobody's: with a slow source, what another put has staged may be old as well.
                with contextlib.suppress(errors.BusyError), lock.alone(self._lock, wait=0):
                    self._shelf.sweep()
                stack.enter_context(lock.shared(self._lock))
            yield self._shelf

    def get(self, cid: cids.Cid | str, *, limit: int) -> bytes:
        """The bytes of the file `cid`, every block of it verified.

        Args:
            cid: the name that `put` gave, or its text.
            limit: the most bytes that the file may have; memory use stays within it.

        Raises:
            CidError: `cid` is a text that is no CID.
            BlockMissingError: a block of the file is not here.
            BlockCorruptError: a block does not hash to its name, or the tree is not laid out as the profile says.
            TooLargeError: the file has more than `limit` bytes.
            StoreError: an error of the operating system, which is its cause.

        Reference: docs/protocol.md P11.
        """
        return assembly.get(assembly.name(cid), self.block, limit=limit, fill=self._shelf.read_into)

    def get_file(self, cid: cids.Cid | str, file: BinaryIO, *, limit: int) -> int:
        """The bytes of the file `cid`, written to `file`, a buffered one, in constant memory, block by verified block.

        What was written is the file's true beginning, and all of it only if this returns. Raises as `get` does; an error
        of `file` itself passes through as it is.
        """
        name = assembly.name(cid)
        if name.codec == cids.RAW:
            return assembly.get_file(name, self.block, file, limit=limit)
        blocks = assembly.filled(name, self.block, self._shelf.read_into, limit=limit)
        with contextlib.closing(ahead.ahead(blocks)) as read:
            return assembly.write(read, file)

    def block(self, cid: cids.Cid | str, *, limit: int = unixfs.MAX_BLOCK) -> bytes:
        """The bytes of the one block `cid`, at most `limit` of them, verified; raises as `get` does."""
        return self._shelf.read(assembly.name(cid), limit=limit)

    def has(self, cid: cids.Cid | str) -> bool:
        """Whether the root block of the file `cid` is here; it is written last and collected first.

        Raises:
            CidError: `cid` is a text that is no CID.
            StoreError: an error of the operating system, which is its cause.
        """
        name = assembly.name(cid)
        with shelf.reporting(f"look for {name}"):
            return self._shelf.holds(name)

    def pin(self, cid: cids.Cid | str) -> None:
        """Keep the whole file `cid` until it is unpinned, whatever is collected; durable when this returns.

        Raises:
            CidError: `cid` is a text that is no CID.
            BlockMissingError: a block of the file is not here; nothing is pinned.
            BlockCorruptError: a node of it is damaged, or a leaf has another size; nothing is pinned.
            StoreError: an error of the operating system, which is its cause.
        """
        for error in self.pin_all([cid]).values():
            raise error

    def pin_all(self, named: Iterable[cids.Cid | str]) -> dict[str, errors.StoreError]:
        """Pin those of the files that are whole here, durably when this returns; of each other one why it is not pinned.

        Raises:
            CidError: a text that is no CID; nothing is pinned.
            StoreError: an error of the operating system, which is its cause.
        """
        names = [assembly.name(each) for each in named]
        refused: dict[str, errors.StoreError] = {}
        with shelf.reporting(f"pin {', '.join(map(str, names[:3]))}"):
            here = [name for name in names if self._shelf.holds(name)]
            for name in set(names) - set(here):
                refused[str(name)] = errors.BlockMissingError(f"block {name} is not in {self.folder}")
            if not here:  # before a lock would make the folder
                return refused
            with lock.shared(self._lock):
                for name in here:
                    try:
                        inventory.check(name, self._shelf)
                    except (errors.BlockMissingError, errors.BlockCorruptError) as error:
                        refused[str(name)] = error
                if whole := [name for name in here if str(name) not in refused]:
                    self._pins.add(*whole)
        return refused

    def unpin(self, cid: cids.Cid | str) -> None:
        """Keep the file `cid` no longer, unless another pin needs its blocks. Not pinned is no error."""
        name = assembly.name(cid)
        with shelf.reporting(f"unpin {name}"):
            self._pins.remove(name)

    def pins(self) -> Iterator[cids.Cid]:
        """The roots of the pinned files, in no order."""
        with shelf.reporting("list pins"):
            yield from self._pins

    def collect(self, *, grace: float = collection.GRACE, wait: float = 10.0) -> collection.Collected:
        """Remove every block that no pin needs and that belongs to nothing put within the last `grace` seconds.

        Args:
            grace: seconds; 0 takes also what was put and is about to be pinned.
            wait: seconds to wait for puts that are under way.

        Raises:
            BlockMissingError, BlockCorruptError: a node below a pin is damaged; nothing was removed.
            BusyError: a put was under way for longer than `wait`; nothing was removed.
            StoreError: an error of the operating system, which is its cause.
        """
        with shelf.reporting(f"collect in {self.folder}"):
            if not self._shelf.staging.is_dir():
                return collection.Collected(blocks=0, size=0, kept=0)
            with lock.alone(self._lock, wait=wait):
                self._shelf.sweep(older=0.0)  # nobody writes, so all of it is what the killed left
                collected = collection.collect(self._shelf, self._pins, grace=grace)
                self._shelf.recount()
                return collected

    def ls(self) -> Iterator[inventory.File]:
        """The files that are here: roots that are pinned, or that no node here names."""
        with shelf.reporting(f"list {self.folder}"):
            yield from inventory.files(self._shelf, self._pins)

    def verify(self) -> Iterator[inventory.Verdict]:
        """A verdict on every block that is here, and one on each that a pin needs and that is missing."""
        with shelf.reporting(f"verify {self.folder}"):
            yield from inventory.verify(self._shelf, self._pins)

    def close(self) -> None:
        """Nothing: the store holds no file open between calls."""

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

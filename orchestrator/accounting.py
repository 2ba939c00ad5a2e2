"""`folkmoot ledger export`: the credit accounts of a log, written out for accountants, chains and members.

Only what a signed checkpoint covers is exported, and nothing is kept of it before every entry was verified: hashed, linked,
signed by its author, as the rules allow, and under the root that the coordinator signed.
"""

import contextlib
import os
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import IO, TypeAlias

from ledger import account_statement, accounts, durable, errors, history, leaf, merkle
from orchestrator import archive, journal

Form: TypeAlias = Callable[["Vouched"], Iterable[str]]
"""form(entries): the pieces of the text that they come to. All entries are asked for."""


class Vouched:
    """The entries that a log's signed checkpoint covers, to be gone through once.

    Attributes:
        history: what the entries so far say.
    """

    def __init__(self, found: archive.Archive) -> None:
        self._archive = found
        self.history = history.EMPTY

    def __iter__(self) -> Iterator[leaf.Entry]:
        tree, promise = merkle.Frontier(), self._archive.promise
        for entry in self._archive.record.entries(0, promise.size):
            try:
                self.history = history.apply(self.history, entry.seq, entry.envelope)
            except errors.LedgerError as error:
                raise errors.EntryError(entry.seq, error) from error
            tree.append(entry.hash)
            yield entry
        if (tree.size, tree.root()) != (promise.size, promise.root):
            message = f"{tree.size} entries have root {tree.root().hex()}"
            raise errors.CorruptError(f"{message}, the signed checkpoint of {promise.size} has {promise.root.hex()}")
        journal.verify(self._archive.note, self.history)

    @property
    def transfers(self) -> Iterator[accounts.Transfer]:
        """The transfers among them."""
        return accounts.transfers(self)


def statement(found: archive.Archive, entries: Vouched, member: str) -> str:
    """A member's account statement.

    Raises:
        ExportError: nobody of that name is a member.

    Reference: docs/protocol.md P20.
    """
    chosen = list(account_statement.select(entries, member))
    if member not in entries.history.members:
        names = ", ".join(sorted(entries.history.members)[:20])
        raise errors.ExportError(f"{member!r} is no member of this run; members are {names}")
    size, inclusion = found.promise.size, found.record.inclusion
    return account_statement.build(member, chosen, found.note, size, inclusion).decode()


def export(found: archive.Archive, form: Form, file: IO[bytes]) -> history.History:
    """What a log says, its accounts being written to `file`, which is worth nothing if this raises.

    Raises:
        LedgerError: an entry or the checkpoint is not what it should be, or the accounts cannot be written in that form.
    """
    entries = Vouched(found)
    for piece in form(entries):
        file.write(piece.encode())
    return entries.history


@contextlib.contextmanager
def replacing(path: Path) -> Iterator[IO[bytes]]:
    """A file that becomes `path` at the end, durably and all at once; after an error `path` is as it was."""
    temporary = path.with_name(f"{path.name}.{os.getpid()}.new")
    try:
        with temporary.open("xb") as file:
            yield file
            file.flush()
            os.fsync(file.fileno())
        temporary.replace(path)
        durable.sync(path.parent)
    finally:
        temporary.unlink(missing_ok=True)

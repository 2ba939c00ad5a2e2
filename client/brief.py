"""What a Flower strategy says in one phase: a message to each node that it chose, in one public file.

    "folkmoot-brief/v1" LF | 8-byte length of the head, little-endian | head | contents, one after the other

    {"contents":[27114],"messages":[["node-00","train","1",0],["node-01","train","1",0]],"number":1,"parent":""}

Nodes that are told the same share one content (client.records), so the model is in the file once. `parent` is the CID of the
brief before: the last one names them all. The last brief of a run has no messages; its content, if any, is the final model.

Reference: docs/protocol.md P27.
"""

import itertools
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from client import errors
from ledger import canonical
from ledger import errors as ledger_errors

MAGIC = b"folkmoot-brief/v1\n"
MAX_HEAD = 1 << 24


@dataclass(frozen=True, slots=True, kw_only=True)
class Said:
    """One message.

    Attributes:
        kind: `train`, `evaluate` or `query`, with an action behind a dot if it has one.
        group: Flower's group id, which strategies use for the round.
        content: its place among the brief's contents.
    """

    kind: str
    group: str
    content: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Brief:
    """The messages of a phase.

    Attributes:
        number: of the phase, from 1.
        parent: CID of the brief before; empty in the first.
        messages: by node.
        contents: records as bytes; views of the file they were read from.
    """

    number: int
    parent: str
    messages: Mapping[str, Said]
    contents: Sequence[bytes | memoryview]

    def encode(self) -> bytes:
        """The file."""
        head = self.head()
        return b"".join((MAGIC, len(head).to_bytes(8, "little"), head, *self.contents))

    def head(self) -> bytes:
        """The head of the file."""
        messages: canonical.Json = [
            [name, each.kind, each.group, each.content] for name, each in sorted(self.messages.items())
        ]
        sizes: canonical.Json = [len(each) for each in self.contents]
        head = {"contents": sizes, "messages": messages, "number": self.number, "parent": self.parent}
        return canonical.encode(head, limit=MAX_HEAD)


def decode(file: bytes | memoryview) -> Brief:
    """The brief in a file.

    Raises:
        RecordsError: it is none.
    """
    view = memoryview(file).cast("B")
    if bytes(view[: len(MAGIC)]) != MAGIC:
        raise errors.RecordsError(f"a brief that begins with {bytes(view[:20])!r}, expected {MAGIC!r}")
    start = len(MAGIC) + 8
    end = start + int.from_bytes(view[len(MAGIC) : start], "little")
    try:
        head: Any = canonical.decode(bytes(view[start:end]), limit=MAX_HEAD)
        messages = {name: Said(kind=kind, group=group, content=place) for name, kind, group, place in head["messages"]}
        bounds = list(itertools.accumulate(head["contents"], initial=end))
        contents = [view[first:last] for first, last in itertools.pairwise(bounds)]
        found = Brief(number=head["number"], parent=head["parent"], messages=messages, contents=contents)
        written = found.head()
    except (ledger_errors.StatementError, TypeError, ValueError, KeyError) as error:
        raise errors.RecordsError(f"a brief that is none: {str(error)[:200]}") from error
    if written != view[start:end] or bounds[-1] != len(view):
        raise errors.RecordsError("a brief that is not in its one form")
    if any(not 0 <= each.content < len(contents) for each in messages.values()):
        raise errors.RecordsError("a brief whose message has no content")
    return found

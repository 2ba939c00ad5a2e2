"""Server-sent events, read as they come.

    id: 7 LF event: entry LF data: {...} LF LF        a message, ended by an empty line
    : anything LF                                     a comment, which keeps a line open

Lines end in LF or CRLF. What is longer than `MOST` is refused, so a server cannot fill the memory.

Reference: WHATWG HTML, "Server-sent events", sections 9.2.5 and 9.2.6; docs/protocol.md P24.
"""

import dataclasses

from client import errors

MOST = 256 * 1024
"""Bytes of a line, and of all lines of a message."""


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Message:
    """One message.

    Attributes:
        kind: of its `event` field, `message` if it has none.
        id: of its `id` field, empty if it has none.
        data: the lines of its `data` fields, joined by LF.
    """

    kind: str
    id: str
    data: bytes


class Reader:
    """The messages of one stream."""

    def __init__(self) -> None:
        self._rest = bytearray()
        self._fields: dict[str, list[bytes]] = {}
        self._size = 0

    def feed(self, piece: bytes) -> list[Message | None]:
        """The messages that end in this next piece of the stream, and None for each comment.

        Raises:
            ServiceError: a line or a message is too long, or a name is no UTF-8.
        """
        # Split where a line ends and only there: else a long line that comes in small pieces would cost their square.
        first, newline, rest = piece.partition(b"\n")
        self._rest += first
        _require(len(self._rest))
        if not newline:
            return []
        lines = [bytes(self._rest), *rest.split(b"\n")]
        self._rest = bytearray(lines.pop())
        _require(len(self._rest))
        found: list[Message | None] = []
        for line in (each.removesuffix(b"\r") for each in lines):
            if line.startswith(b":"):
                found.append(None)
            elif line:
                self._add(line)
            elif self._fields:
                found.append(self._message())
        return found

    def _add(self, line: bytes) -> None:
        self._size += len(line) + 1
        _require(self._size)
        name, _, value = line.partition(b":")
        self._fields.setdefault(_text(name), []).append(value.removeprefix(b" "))

    def _message(self) -> Message:
        kind, identity = (_text(self._fields.get(name, [b""])[-1]) for name in ("event", "id"))
        data = b"\n".join(self._fields.get("data", []))
        self._fields, self._size = {}, 0
        return Message(kind=kind or "message", id=identity, data=data)


def _text(name: bytes) -> str:
    try:
        return name.decode()
    except UnicodeDecodeError as error:
        raise errors.ServiceError(f"an event stream with {name[:40]!r}, expected UTF-8") from error


def _require(size: int) -> None:
    if size > MOST:
        raise errors.ServiceError(f"a line or message of over {MOST} bytes in an event stream")

"""What Flower's messages hold, as bytes in one form: the content of a message, and a client's own state.

    "folkmoot-records/v1" LF | 8-byte length of the head, little-endian | head | bytes of the arrays, in the head's order

    [["arrays","A",[["0.weight","float32",[10,64],"numpy.ndarray",2688]]],
     ["config","C",[["lr","f:0.5"],["names",["s:a","s:b"]]]],["metrics","M",[["num-examples","i:64"]]]]

The head is canonical JSON, which has no floats: a number is its shortest decimal text, behind a letter for its type. The order
of names is kept, for Flower's own strategies keep it. Nothing in it is code, and nothing is unpickled.

Reference: docs/protocol.md P27.
"""

import os
from collections.abc import Callable, Mapping
from typing import Any

from client import errors
from ledger import canonical
from ledger import errors as ledger_errors

os.environ.setdefault("FLWR_TELEMETRY_ENABLED", "0")  # read when flwr is imported
from flwr import app

MAGIC = b"folkmoot-records/v1\n"
MAX_HEAD = 1 << 24
READERS: Mapping[str, Callable[[str], Any]] = {
    "b:": {"True": True, "False": False}.__getitem__,
    "f:": float,
    "i:": int,
    "s:": str,
    "x:": bytes.fromhex,
}


def encode(content: app.RecordDict) -> bytes:
    """The bytes of records; the same records give the same bytes."""
    return b"".join(pieces(content))


def pieces(content: app.RecordDict) -> list[bytes]:
    """The bytes of records in pieces, those of the arrays as they are."""
    blobs: list[bytes] = []
    head: list[Any] = [[name, *_written(record, blobs)] for name, record in content.items()]
    text = canonical.encode(head, limit=MAX_HEAD)
    return [b"".join((MAGIC, len(text).to_bytes(8, "little"), text)), *blobs]


def copied(content: app.RecordDict) -> app.RecordDict:
    """The same records for somebody else, who may change them; only what cannot change is shared, such as arrays' bytes."""
    made = app.RecordDict()
    for name, record in content.items():
        if isinstance(record, app.ArrayRecord):
            arrays = {
                key: app.Array(dtype=a.dtype, shape=tuple(a.shape), stype=a.stype, data=a.data)
                for key, a in record.items()
            }
            made[name] = app.ArrayRecord(arrays, keep_input=False)
        else:
            made[name] = type(record)(
                {key: list(value) if isinstance(value, list) else value for key, value in record.items()}
            )
    return made


def decode(data: bytes | memoryview) -> app.RecordDict:
    """The records in `data`.

    Raises:
        RecordsError: they are not in the one form that `encode` gives.
    """
    view = memoryview(data).cast("B")
    start = len(MAGIC) + 8
    length = int.from_bytes(view[len(MAGIC) : start], "little")
    if bytes(view[: len(MAGIC)]) != MAGIC or not start + length <= len(view):
        raise errors.RecordsError(f"{bytes(view[:24])!r}: expected {MAGIC!r} and the length of a head")
    content, body = app.RecordDict(), view[start + length :]
    try:
        head: Any = canonical.decode(bytes(view[start : start + length]), limit=MAX_HEAD)
        for name, kind, items in head:
            content[name], body = _read(kind, items, body)
        named = len(head)
    except (ledger_errors.StatementError, TypeError, ValueError, KeyError) as error:
        raise errors.RecordsError(f"records that are none: {str(error)[:200]}") from error
    if named != len(content):
        raise errors.RecordsError("a name of records is there twice")
    if len(body):
        raise errors.RecordsError(f"{len(body)} bytes after the last array, expected none")
    return content


def _written(record: Any, blobs: list[bytes]) -> tuple[str, list[Any]]:  # noqa: ANN401  one of Flower's three records
    if isinstance(record, app.ArrayRecord):
        blobs.extend(array.data for array in record.values())
        items: list[Any] = [[key, a.dtype, list(a.shape), a.stype, len(a.data)] for key, a in record.items()]
        return "A", items
    return "M" if isinstance(record, app.MetricRecord) else "C", [[key, _text(value)] for key, value in record.items()]


def _read(kind: str, items: list[Any], body: memoryview) -> tuple[Any, memoryview]:
    if kind == "A":
        arrays: dict[str, app.Array] = {}
        for key, dtype, shape, stype, size in items:
            if not 0 <= size <= len(body):
                raise ValueError(f"array {key[:80]!r} of {size} bytes, and {len(body)} are left")
            arrays[key] = app.Array(dtype=dtype, shape=tuple(shape), stype=stype, data=bytes(body[:size]))
            body = body[size:]
        made: Any = app.ArrayRecord(arrays, keep_input=False)
    else:
        made = {"M": app.MetricRecord, "C": app.ConfigRecord}[kind]({key: _value(text) for key, text in items})
    if len(made) != len(items):
        raise ValueError("a key is there twice")
    return made, body


def _text(value: Any) -> Any:  # noqa: ANN401  what a record may hold
    match value:
        case list():
            return [_text(each) for each in value]
        case bytes():
            return f"x:{value.hex()}"
        case str():
            return f"s:{value}"
        case bool():
            return f"b:{value}"
        case int():
            return f"i:{value}"
        case _:
            return f"f:{float(value)!r}"  # numpy's double is a float too, and spells itself otherwise


def _value(text: Any) -> Any:  # noqa: ANN401  what a record may hold
    if isinstance(text, list):
        return [_value(each) for each in text]
    value = READERS[text[:2]](text[2:])
    if _text(value) != text:
        raise ValueError(f"{text[:80]!r} is no value in its one form")
    return value


def behind(file: bytes | memoryview, bound: bytes) -> memoryview:
    """The records of a reply, in what was sealed behind the context it belongs to: nobody can pass it on as another's.

    Raises:
        RecordsError: it belongs to another context.
    """
    view = memoryview(file)
    if bytes(view[: len(bound)]) != bound:
        raise errors.RecordsError(f"a reply for context {bytes(view[: len(bound)]).hex()}, expected {bound.hex()}")
    return view[len(bound) :]

r"""Canonical JSON: RFC 8785 restricted until each value has exactly one byte form.

::

    {"a":[1,true,null],"b":"two\nlines"}

No floats; integers within 2^53-1; object keys printable ASCII, no two equal, in ascending order; no lone surrogates;
at most 32 levels; no white space; bounded length. Over ASCII keys the UTF-16 order of RFC 8785 section 3.2.3 is the
order of code points, and the string escapes of the standard library are those of section 3.2.2.2.
"""

import json
from collections.abc import Collection, Mapping, Sequence
from typing import Any, NoReturn, TypeAlias

from ledger import errors

Json: TypeAlias = "bool | int | str | Sequence[Json] | Mapping[str, Json] | None"

MAX_BYTES = 48 * 1024
MAX_DEPTH = 32
MAX_INTEGER = 2**53 - 1
MAX_DIGITS = len(str(-MAX_INTEGER))


def encode(value: Json, *, limit: int = MAX_BYTES) -> bytes:
    """Canonical bytes of a value.

    Args:
        value: None, bool, int, str, and lists, tuples and dicts of them; subclasses are refused.
        limit: Most bytes allowed.

    Raises:
        StatementError: The value is outside the profile, or its bytes exceed the limit.

    Reference: RFC 8785 (JSON Canonicalization Scheme), section 3.2; docs/protocol.md P1.
    """
    _check(value, MAX_DEPTH)
    return bounded(_written(value), limit=limit)


def decode(data: bytes, *, limit: int = MAX_BYTES) -> Json:
    """The value of canonical bytes; bytes that `encode` would not write are refused.

    Raises:
        StatementError: Not JSON, outside the profile, not canonical, or longer than `limit`.

    Reference: RFC 8785 (JSON Canonicalization Scheme), section 3.2; docs/protocol.md P1.
    """
    bounded(data, limit=limit)
    try:
        value: Json = _DECODER.decode(data.decode())
    except (UnicodeDecodeError, json.JSONDecodeError) as error:
        raise errors.StatementError(f"{data[:60]!r} is not JSON in UTF-8: {error}") from error
    except RecursionError as error:
        raise errors.StatementError(f"nested deeper than {MAX_DEPTH} levels: {data[:60]!r}") from error
    # The decoder has refused keys and numbers outside the profile; only depth is left, and few brackets cannot be deep.
    if data.count(b"[") + data.count(b"{") > MAX_DEPTH:
        _check(value, MAX_DEPTH)
    if _written(value) != data:
        raise errors.StatementError(f"{data[:60]!r} is JSON, but not in canonical form", code="non-canonical")
    return value


def bounded(data: bytes, *, limit: int = MAX_BYTES) -> bytes:
    """`data`, if it is no longer than `limit`; raises StatementError."""
    if len(data) > limit:
        raise errors.StatementError(f"{len(data)} bytes, expected at most {limit}", code="too-large")
    return data


def _written(value: Json) -> bytes:
    try:
        return _ENCODER.encode(value).encode()
    except UnicodeEncodeError as error:
        raise errors.StatementError(f"string with a lone surrogate: {error}, expected Unicode scalar values") from error


def _check(value: Any, depth: int) -> None:  # noqa: ANN401  whatever a caller hands over
    if depth < 0:
        raise errors.StatementError(f"nested deeper than {MAX_DEPTH} levels")
    # By exact type, because True is an int and an IntEnum prints as something else.
    kind = type(value)
    if kind is dict:
        _check_keys(value)
        _check_items(value.values(), depth - 1)
    elif kind is list or kind is tuple:
        _check_items(value, depth - 1)
    elif kind is int:
        if abs(value) > MAX_INTEGER:
            raise errors.StatementError(f"integer of {value.bit_length()} bits, expected at most 2^53-1")
    elif kind is not str and kind is not bool and value is not None:
        raise errors.StatementError(f"{kind.__name__} in JSON, expected null, bool, int, str, list or dict")


def _check_items(values: Collection[Any], depth: int) -> None:
    for value in values:
        if type(value) is not str or depth < 0:  # most of them are, and there is nothing more to check
            _check(value, depth)


def _check_keys(keys: Collection[object]) -> None:
    # All at once: only where something is wrong is it asked with which key.
    if set(map(type, keys)) <= {str} and (joined := "".join(map(str, keys))).isascii() and joined.isprintable():
        return
    for key in keys:
        _check_key(key)


def _check_key(key: object) -> None:
    if type(key) is not str or not (key.isascii() and key.isprintable()):
        raise errors.StatementError(f"object key {str(key)[:60]!r}, expected printable ASCII")


def _members(pairs: list[tuple[str, Json]]) -> dict[str, Json]:
    members = dict(pairs)
    if len(members) != len(pairs):
        raise errors.StatementError(f"an object of {len(pairs)} members repeats a key, expected distinct keys")
    joined = "".join(members)
    if not (joined.isascii() and joined.isprintable()):
        _check_keys(members)
    return members


def _integer(text: str) -> int:
    # Bounded before int(): the conversion of a long numeral is quadratic.
    if len(text) > MAX_DIGITS or abs(number := int(text)) > MAX_INTEGER:
        raise errors.StatementError(f"integer of {len(text)} characters, expected at most 2^53-1")
    return number


def _no_number(text: str) -> NoReturn:
    raise errors.StatementError(f"number {text[:60]}, expected an integer")


_ENCODER = json.JSONEncoder(ensure_ascii=False, sort_keys=True, separators=(",", ":"), allow_nan=False)
_DECODER = json.JSONDecoder(
    object_pairs_hook=_members, parse_int=_integer, parse_float=_no_number, parse_constant=_no_number
)

"""Named tensors as bytes: safetensors, in one byte form only.

    8-byte length of the header, little-endian
    {"__metadata__":{"run":"..."},"w":{"dtype":"I16","shape":[2,3],"data_offsets":[0,12]},"b":{...}}   spaces to 8 bytes
    data, little-endian, without gaps

The header is compact JSON: metadata first (left out if there is none) with sorted keys, then the tensors in the order
of their specs. The safetensors package reads what we write; what it writes we read only if it has this form. The reader
knows the specs, so it compares, and never allocates what a header claims.
"""

import functools
import itertools
import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

from exchange import errors

Dtype = Literal["I16", "I32", "F32", "F64"]

WIDTHS: Mapping[Dtype, int] = {"I16": 2, "I32": 4, "F32": 4, "F64": 8}  # bytes an element
METADATA = "__metadata__"
_compact = functools.partial(json.dumps, ensure_ascii=False, separators=(",", ":"))
MAX_HEADER = 1 << 20  # bytes
MAX_NAME = 256  # characters
MAX_METADATA = 64  # entries
MAX_VALUE = 8192  # characters of a metadata value
ALIGNMENT = 8  # bytes


@dataclass(frozen=True, slots=True, kw_only=True)
class TensorSpec:
    """What a tensor must look like.

    Attributes:
        name: 1 to MAX_NAME printable characters, not "__metadata__" (TensorNamesError).
        shape: the length of each axis, 1 or more (TensorShapeError); () for a single number.
    """

    name: str
    shape: tuple[int, ...]

    def __post_init__(self) -> None:
        if not 1 <= len(self.name) <= MAX_NAME or not self.name.isprintable() or self.name == METADATA:
            raise errors.TensorNamesError(
                f"tensor name {self.name[:80]!r}, expected 1 to {MAX_NAME} printable characters"
            )
        if not all(length >= 1 for length in self.shape):
            raise errors.TensorShapeError(f"shape {self.shape} of {self.name!r}, expected lengths of 1 or more")

    @property
    def size(self) -> int:
        """The number of elements."""
        return math.prod(self.shape)


@dataclass(frozen=True, slots=True, kw_only=True)
class Tensors:
    """What a file holds.

    Attributes:
        data: all elements, little-endian, tensor after tensor in spec order; a view of the file.
        metadata: what the writer said about them.
    """

    data: memoryview
    metadata: dict[str, str]


def encode(
    specs: Sequence[TensorSpec],
    *,
    dtype: Dtype,
    data: bytes | bytearray | memoryview,
    metadata: Mapping[str, str],
) -> bytes:
    """The file that holds the tensors `specs`.

    Args:
        specs: names and shapes, in the order of the data; no name twice.
        dtype: the type of all elements.
        data: the elements, little-endian, contiguous, tensor after tensor.
        metadata: at most MAX_METADATA entries of printable text, keys of up to MAX_NAME and values of up to MAX_VALUE
            characters.

    Raises:
        TensorNamesError: a name is there twice.
        TensorsError: metadata over its limits, or a header over MAX_HEADER.
        ValueError: `data` has not the size that the specs ask for.

    Reference: safetensors, "Format"; docs/protocol.md P10.
    """
    return b"".join(pieces(specs, dtype=dtype, data=data, metadata=metadata))


def pieces(
    specs: Sequence[TensorSpec],
    *,
    dtype: Dtype,
    data: bytes | bytearray | memoryview,
    metadata: Mapping[str, str],
) -> tuple[bytes, memoryview]:
    """What `encode` joins, without a copy: the length and the header, and a view of `data`. Takes and raises the same."""
    header = _header(specs, dtype, _metadata(dict(metadata)))
    view = memoryview(data).cast("B")
    expected = _data_size(specs, dtype)
    if len(view) != expected:
        raise ValueError(f"data of {len(view)} bytes, expected {expected} for {len(specs)} tensors of {dtype}")
    return len(header).to_bytes(8, "little") + header, view


def decode(
    file: bytes | bytearray | memoryview,
    specs: Sequence[TensorSpec],
    *,
    dtype: Dtype,
    metadata: Mapping[str, str] | None,
) -> Tensors:
    """The tensors in `file`, which must be exactly those that `specs` and `dtype` say, in our byte form.

    Args:
        file: contiguous bytes from outside; they must not change while the result is used.
        specs: the expected names and shapes, in the order of the data.
        dtype: the expected type of all elements.
        metadata: the expected metadata, or None to take what is there (printable text within the limits of `encode`).

    Returns:
        A view of the data, which starts at a multiple of 8 bytes in `file`, and the metadata.

    Raises:
        TensorsError: not safetensors, not in our byte form, or a length that lies.
        TensorNamesError: a tensor is missing or one too many.
        TensorDtypeError: a tensor has another type.
        TensorShapeError: a tensor has another shape.
        TensorContextError: the metadata differs from what was expected.

    Reference: safetensors, "Format"; docs/protocol.md P10.
    """
    view = memoryview(file).cast("B")
    header = _read_header(view)
    entries = _parse_json(header)
    found = _metadata(entries.pop(METADATA, {}))
    _check_names(entries, specs)
    for spec in specs:
        _check_entry(entries[spec.name], spec, dtype)
    start = 8 + len(header)
    if len(view) - start != _data_size(specs, dtype):
        raise errors.TensorsError(f"{len(view) - start} bytes of data, expected {_data_size(specs, dtype)}")
    if metadata is not None and found != metadata:
        raise errors.TensorContextError(f"metadata {_shorten(found)}, expected {_shorten(dict(metadata))}")
    if header != _header(specs, dtype, found):
        raise errors.TensorsError("header is not in canonical form: order, offsets, spaces or escapes differ")
    return Tensors(data=view[start:], metadata=found)


def _read_header(view: memoryview) -> bytes:
    size = int.from_bytes(view[:8], "little")
    # In a file of less than 8 bytes any length is too much.
    if size > min(MAX_HEADER, len(view) - 8):
        raise errors.TensorsError(f"header length {size} in a file of {len(view)} bytes, expected at most {MAX_HEADER}")
    return bytes(view[8 : 8 + size])


def _parse_json(header: bytes) -> dict[str, Any]:
    try:
        entries = json.loads(header.decode("utf-8"), object_pairs_hook=_unique)
    # ValueError also covers bad UTF-8 and numbers of more than 4,300 digits.
    except (ValueError, RecursionError) as error:
        raise errors.TensorsError(f"header is not JSON: {_shorten(str(error))}") from None
    if not isinstance(entries, dict):
        raise errors.TensorsError(f"header is a JSON {type(entries).__name__}, expected an object")
    return entries


def _unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    entries = dict(pairs)
    if len(entries) != len(pairs):
        raise errors.TensorsError(f"header repeats one of the keys {_list([key for key, _ in pairs])}")
    return entries


def _metadata(found: object) -> dict[str, str]:
    if not isinstance(found, dict) or len(found) > MAX_METADATA:
        raise errors.TensorsError(f"metadata {_shorten(found)}, expected an object of at most {MAX_METADATA} entries")
    for key, value in found.items():
        if not _is_text(key, MAX_NAME) or not _is_text(value, MAX_VALUE):
            raise errors.TensorsError(
                f"metadata {_shorten(key)}: {_shorten(value)}, expected printable text, not too long"
            )
    return found


def _is_text(value: object, limit: int) -> bool:
    return isinstance(value, str) and len(value) <= limit and value.isprintable()


def _check_names(entries: Mapping[str, Any], specs: Sequence[TensorSpec]) -> None:
    expected = {spec.name for spec in specs}
    missing = [name for name in expected if name not in entries]
    extra = [name for name in entries if name not in expected]
    if missing or extra:
        raise errors.TensorNamesError(f"missing tensors {_list(missing)}, unexpected tensors {_list(extra)}")


def _check_entry(entry: object, spec: TensorSpec, dtype: Dtype) -> None:
    if not isinstance(entry, dict) or entry.keys() != {"dtype", "shape", "data_offsets"}:
        expected = "expected dtype, shape and data_offsets"
        raise errors.TensorsError(f"entry of {spec.name!r} is {_shorten(entry)}, {expected}")
    if entry["dtype"] != dtype:
        raise errors.TensorDtypeError(f"{spec.name!r} has dtype {_shorten(entry['dtype'])}, expected {dtype!r}")
    if entry["shape"] != list(spec.shape):
        found = _shorten(entry["shape"])
        raise errors.TensorShapeError(f"{spec.name!r} has shape {found}, expected {list(spec.shape)}")


def _header(specs: Sequence[TensorSpec], dtype: Dtype, metadata: Mapping[str, str]) -> bytes:
    parts = (_compact({METADATA: dict(sorted(metadata.items()))} if metadata else {}), _entries(tuple(specs), dtype))
    text = ("{" + ",".join(part[1:-1] for part in parts if part != "{}") + "}").encode()
    padded = text.ljust(-(-len(text) // ALIGNMENT) * ALIGNMENT)
    if len(padded) > MAX_HEADER:
        raise errors.TensorsError(f"header of {len(padded)} bytes, expected at most {MAX_HEADER}")
    return padded


@functools.lru_cache(maxsize=16)  # the same for all files of one layout
def _entries(specs: tuple[TensorSpec, ...], dtype: Dtype) -> str:
    entries: dict[str, object] = {}
    ends = list(itertools.accumulate(WIDTHS[dtype] * spec.size for spec in specs))
    for spec, start, end in zip(specs, [0, *ends], ends, strict=False):
        if spec.name in entries:
            raise errors.TensorNamesError(f"two tensors are named {spec.name!r}")
        entries[spec.name] = {"dtype": dtype, "shape": list(spec.shape), "data_offsets": [start, end]}
    return _compact(entries)


def _data_size(specs: Sequence[TensorSpec], dtype: Dtype) -> int:
    return WIDTHS[dtype] * sum(spec.size for spec in specs)


def _shorten(value: object) -> str:
    text = repr(value)
    return text if len(text) <= 120 else text[:117] + "..."


def _list(names: Sequence[str]) -> str:
    shown = ", ".join(_shorten(name) for name in sorted(names)[:3])
    return f"[{shown}]" if len(names) <= 3 else f"[{shown} and {len(names) - 3} more]"

r"""Flower's arrays and our flat vectors: what a `ClientApp` replies, read against what the model's arrays are.

An Array of Flower's holds a file of numpy's, which this reads itself: the reader knows the model, so it compares, and never
allocates what a header claims. Of the forms that a header could have it takes the one that numpy writes:

    \x93NUMPY 1 0   2-byte length, little-endian   {'descr': '<f4', 'fortran_order': False, 'shape': (3, 4), }   spaces, \n

The flat vector of a model is its floating-point arrays one after the other, in the record's order. Its other arrays, such as
a counter of batches, are no part of it.
"""

import os
import re
from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import torch

from aggregation import errors as aggregation_errors
from exchange import errors, tensors

os.environ.setdefault("FLWR_TELEMETRY_ENABLED", "0")  # read when flwr is imported
from flwr import app

NUMPY = "numpy.ndarray"
MAGIC = b"\x93NUMPY\x01\x00"
HEADER = re.compile(
    rb"\{'descr': '(?P<descr>[<>|][biuf][1-8])', 'fortran_order': (?P<fortran>True|False), "
    rb"'shape': \((?P<shape>(?:[0-9]{1,18}, ?)*(?:[0-9]{1,18})?)\), \} *\n"
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Layout:
    """What the arrays of a model look like, in their order.

    Attributes:
        specs: names and shapes.
        dtypes: types of their elements: floats of 2, 4 or 8 bytes, integers or truth values.
    """

    specs: tuple[tensors.TensorSpec, ...]
    dtypes: tuple[np.dtype, ...]

    @property
    def floating(self) -> tuple[tensors.TensorSpec, ...]:
        """Those that make up the flat vector."""
        return tuple(spec for spec, dtype in zip(self.specs, self.dtypes, strict=True) if dtype.kind == "f")

    @property
    def others(self) -> tuple[tensors.TensorSpec, ...]:
        """The rest."""
        return tuple(spec for spec, dtype in zip(self.specs, self.dtypes, strict=True) if dtype.kind != "f")


def layout(record: app.ArrayRecord) -> Layout:
    """What the arrays of a trusted record look like: the model that a strategy starts from.

    Raises:
        TensorsError: an array that is no plain numbers, is empty, or has a name that no tensor may have.
    """
    specs, dtypes = [], []
    for name, array in record.items():
        descr, _, shape, _ = _header(name, array)
        specs.append(tensors.TensorSpec(name=name, shape=shape))
        dtypes.append(descr)
    if not specs:
        raise errors.TensorNamesError("a model of no arrays, expected at least one")
    return Layout(specs=tuple(specs), dtypes=tuple(dtypes))


def read(record: app.ArrayRecord, expected: Layout) -> dict[str, np.ndarray]:
    """The arrays of a record that came from outside, by name in the layout's order; views of its bytes where they can be.

    Raises:
        TensorsError: they are not exactly the expected ones; `code` says what differs.
    """
    names = [spec.name for spec in expected.specs]
    if set(record) != set(names):
        missing, extra = sorted(set(names) - set(record)), sorted(set(record) - set(names))
        raise errors.TensorNamesError(
            f"arrays missing: {str(missing)[:200]}, not asked for: {str(extra)[:200]}; expected the {len(names)} of the model"
        )
    return {
        spec.name: _array(record[spec.name], spec, dtype)
        for spec, dtype in zip(expected.specs, expected.dtypes, strict=True)
    }


def flat(arrays: Mapping[str, np.ndarray], expected: Layout) -> torch.Tensor:
    """The flat vector: float64 `(dim,)`, which holds every float of 2, 4 or 8 bytes exactly.

    Raises:
        LatticeError: a number is not finite; the message names its array.
    """
    dim = sum(spec.size for spec in expected.floating)
    vector = np.empty(dim, dtype=np.float64)
    offset = 0
    for spec in expected.floating:
        part = vector[offset : offset + spec.size]
        part[:] = arrays[spec.name].reshape(-1)
        if not np.isfinite(part).all():
            position = int(np.flatnonzero(~np.isfinite(part))[0])
            raise aggregation_errors.LatticeError(
                f"{part[position]} at {position} of array {spec.name!r}: expected finite numbers"
            )
        offset += spec.size
    return torch.from_numpy(vector)


def record(expected: Layout, vector: torch.Tensor, others: Mapping[str, np.ndarray]) -> app.ArrayRecord:
    """The record of a flat vector, each array in its own type, with the arrays that are no part of it.

    Args:
        expected: the model's layout.
        vector: `(dim,)`, finite.
        others: an array for each of `expected.others`, by name.
    """
    made = {}
    values, offset = vector.numpy(), 0
    for spec, dtype in zip(expected.specs, expected.dtypes, strict=True):
        if dtype.kind == "f":
            made[spec.name] = app.Array(values[offset : offset + spec.size].astype(dtype).reshape(spec.shape))
            offset += spec.size
        else:
            made[spec.name] = app.Array(np.asarray(others[spec.name], dtype=dtype).reshape(spec.shape))
    return app.ArrayRecord(made)


def _array(array: app.Array, spec: tensors.TensorSpec, dtype: np.dtype) -> np.ndarray:
    descr, fortran, shape, start = _header(spec.name, array)
    if descr != dtype:
        raise errors.TensorDtypeError(f"array {spec.name!r} of {descr}: expected {dtype}")
    if shape != spec.shape:
        raise errors.TensorShapeError(f"array {spec.name!r} of shape {str(shape)[:80]}: expected {spec.shape}")
    if len(array.data) - start != spec.size * dtype.itemsize:
        have, want = len(array.data) - start, spec.size * dtype.itemsize
        raise errors.TensorsError(f"array {spec.name!r} of {have} bytes: expected {want}")
    values = np.frombuffer(array.data, dtype=dtype, offset=start)
    return values.reshape(spec.shape, order="F" if fortran else "C")


def _header(name: str, array: app.Array) -> tuple[np.dtype, bool, tuple[int, ...], int]:
    """Type, order, shape, and where the numbers begin; what Flower's own fields say of them is not read.

    Reference: NEP 1, "A simple file format for NumPy arrays", version 1.0.
    """
    if array.stype != NUMPY:
        raise errors.TensorsError(f"array {name[:80]!r} of kind {array.stype[:80]!r}: expected {NUMPY}")
    if array.data[: len(MAGIC)] != MAGIC:
        raise errors.TensorsError(f"array {name[:80]!r} begins with {array.data[:8]!r}: expected a file of numpy's")
    first = len(MAGIC) + 2
    start = first + int.from_bytes(array.data[len(MAGIC) : first], "little")
    match = HEADER.fullmatch(array.data[first:start])
    if match is None:
        raise errors.TensorsError(f"array {name[:80]!r} has a header that numpy does not write for plain numbers")
    try:
        descr = np.dtype(match["descr"].decode())
    except TypeError as error:
        raise errors.TensorDtypeError(
            f"array {name[:80]!r} of {match['descr']!r}: expected a type of numbers"
        ) from error
    shape = tuple(int(length) for length in match["shape"].split(b",") if length.strip())
    return descr, match["fortran"] == b"True", shape, start

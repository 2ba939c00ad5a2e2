"""Arrays as numpy writes them: `.npz`, never with a pickle in it.

    inputs.npy    numbers, (examples, columns), or (examples, height, width) of pictures; not scaled
    labels.npy    names of classes, (examples,): text, or integers
    columns.npy   text, (columns,): may be left out; if it is there, it must be the task's

An array is believed only as far as its header and the archive's directory agree: nothing is allocated before. Memory: one
batch, and the labels.

Reference: the format of .npy files, numpy.org/doc/stable/reference/generated/numpy.lib.format.html.
"""

import warnings
import zipfile
import zlib
from collections.abc import Iterator
from math import prod
from pathlib import Path
from typing import IO

import numpy as np

from client import errors
from client.data import batches, schema

LABELS = 2**28
"""Bytes of `labels` and of `columns`."""
HEADER = 10_000
"""Bytes of an array's header."""
ARRAYS = ("inputs", "labels", "columns")
FAULTS = (OSError, EOFError, ValueError, NotImplementedError, RuntimeError, UserWarning, zipfile.BadZipFile, zlib.error)
"""What zipfile and numpy say of bytes that are not theirs; RuntimeError of an archive under a password."""


def batches_of(path: Path, wanted: schema.Features) -> Iterator[batches.Batch]:
    """The rows of two arrays.

    Raises:
        DataError: they are no such arrays; the message names the array, or the row.
    """
    try:
        with zipfile.ZipFile(path) as archive:
            labels = _labels(path, archive)
            if "columns.npy" in archive.namelist():
                _require_columns(path, _whole(path, archive, "columns"), wanted)
            with archive.open("inputs.npy") as file:
                yield from _inputs(path, file, archive.getinfo("inputs.npy").file_size, labels, wanted)
    except FAULTS as error:
        raise errors.DataError(path, "", f"is no .npz file that can be read: {error}") from error


def _labels(path: Path, archive: zipfile.ZipFile) -> np.ndarray:
    names = archive.namelist()
    for name in names:
        if name not in {f"{each}.npy" for each in ARRAYS} or names.count(name) > 1:
            raise errors.DataError(path, "", f"holds {batches.shown(name)}, expected each once: {', '.join(ARRAYS)}")
    for name in ("inputs", "labels"):
        if f"{name}.npy" not in names:
            raise errors.DataError(path, "", f"lacks the array {name!r}")
    found = _whole(path, archive, "labels")
    if found.ndim != 1 or found.dtype.kind not in "iuU":
        message = f"is {found.dtype} of shape {found.shape}, expected names of classes, (examples,): text or integers"
        raise errors.DataError(path, "array 'labels'", message)
    return found


def _whole(path: Path, archive: zipfile.ZipFile, name: str) -> np.ndarray:
    size = archive.getinfo(f"{name}.npy").file_size
    if size > LABELS:
        raise errors.DataError(path, f"array {name!r}", f"has {size:,} bytes, expected at most {LABELS:,}")
    with archive.open(f"{name}.npy") as file:
        shape, dtype = _header(path, file, name, size, by_row=False)
        return np.frombuffer(file.read(), dtype=dtype).reshape(shape)


def _header(path: Path, file: IO[bytes], name: str, size: int, *, by_row: bool) -> tuple[tuple[int, ...], np.dtype]:
    """Shape and type of the array, of which exactly the bytes follow that the archive says."""
    version = np.lib.format.read_magic(file)
    read = {(1, 0): np.lib.format.read_array_header_1_0, (2, 0): np.lib.format.read_array_header_2_0}.get(version)
    if read is None:
        raise errors.DataError(path, f"array {name!r}", f"is of format {version}, expected (1, 0) or (2, 0)")
    with warnings.catch_warnings():
        warnings.simplefilter("error")  # of headers that need mending
        shape, by_column, dtype = read(file, max_header_size=HEADER)
    if dtype.hasobject or dtype.kind not in "biufU":
        message = f"is of type {dtype}, expected numbers or text; pickled objects are never read"
        raise errors.DataError(path, f"array {name!r}", message)
    if by_row and by_column and len(shape) > 1:
        raise errors.DataError(path, f"array {name!r}", "lies by columns: write numpy.ascontiguousarray of it")
    if min(shape, default=0) < 0 or prod(shape) * dtype.itemsize != size - file.tell():
        message = f"announces {dtype} of shape {shape}, but {size - file.tell():,} bytes follow"
        raise errors.DataError(path, f"array {name!r}", message)
    return shape, dtype


def _inputs(
    path: Path, file: IO[bytes], size: int, labels: np.ndarray, wanted: schema.Features
) -> Iterator[batches.Batch]:
    shape, dtype = _header(path, file, "inputs", size, by_row=True)
    fits = [(len(wanted.columns),), wanted.shape] + ([wanted.picture] if wanted.picture else [])
    if shape[1:] not in fits or shape[:1] != (len(labels),):
        expected = " or ".join(str((len(labels), *each)) for each in dict.fromkeys(fits))
        raise errors.DataError(path, "array 'inputs'", f"is of shape {shape}, expected {expected}")
    if dtype.kind not in "iuf":
        raise errors.DataError(path, "array 'inputs'", f"is of type {dtype}, expected numbers")
    row = dtype.itemsize * len(wanted.columns)
    for first in range(0, len(labels), batches.ROWS):
        named = list(map(str, labels[first : first + batches.ROWS].tolist()))
        values = np.frombuffer(file.read(row * len(named)), dtype=dtype).reshape(len(named), len(wanted.columns))
        yield batches.Batch(
            values=values.astype(np.float64),
            labels=named,
            unit="row ",
            places=range(first + 1, first + 1 + len(named)),
        )


def _require_columns(path: Path, found: np.ndarray, wanted: schema.Features) -> None:
    if found.dtype.kind != "U" or found.tolist() != list(wanted.columns):
        message = f"are not the {len(wanted.columns)} columns of the task in their order"
        raise errors.DataError(path, "array 'columns'", f"{message}, beginning with {batches.shown(wanted.columns[0])}")

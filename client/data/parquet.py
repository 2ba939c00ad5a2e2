"""Tables as Apache Parquet: `.parquet`; the one door to pyarrow, which `folkmoot[tables]` installs.

Columns are found by name. Those of numbers are integers or floats, that of the class is text or integers. Memory: one batch,
and the pages of the file that it lies in.
"""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
from pyarrow import parquet, types

from client import errors
from client.data import batches, schema

METADATA = 10_000_000
"""Bytes of a text, and entries of a list, in the file's own description."""


def batches_of(path: Path, wanted: schema.Features) -> Iterator[batches.Batch]:
    """The rows of a table.

    Raises:
        DataError: it is no such table, a cell is empty or of another type.
    """
    try:
        with parquet.ParquetFile(
            path,
            thrift_string_size_limit=METADATA,
            thrift_container_size_limit=METADATA,
            page_checksum_verification=True,
        ) as file:
            batches.require_columns(path, file.schema_arrow.names, wanted)
            _require_types(path, file.schema_arrow, wanted)
            first = 1
            for part in file.iter_batches(batches.ROWS, columns=[*wanted.columns, wanted.label], use_threads=False):
                yield _batch(path, part, first, wanted)
                first += part.num_rows
    except (pa.ArrowException, OSError, ValueError) as error:
        message = str(error).splitlines()[0] if str(error) else type(error).__name__
        raise errors.DataError(path, "", f"is no Parquet file that can be read: {message}") from error


def _require_types(path: Path, found: Any, wanted: schema.Features) -> None:  # noqa: ANN401  pyarrow's
    for name in wanted.columns:
        kind = found.field(name).type
        if not (types.is_integer(kind) or types.is_floating(kind)):
            raise errors.DataError(path, f"column {batches.shown(name)}", f"is of type {kind}, expected numbers")
    kind = found.field(wanted.label).type
    inner = kind.value_type if types.is_dictionary(kind) else kind
    if not (types.is_integer(inner) or types.is_string(inner) or types.is_large_string(inner)):
        place = f"column {batches.shown(wanted.label)}"
        raise errors.DataError(path, place, f"is of type {kind}, expected text or integers: names of classes")


def _batch(path: Path, part: Any, first: int, wanted: schema.Features) -> batches.Batch:  # noqa: ANN401  pyarrow's
    for name in (*wanted.columns, wanted.label):
        column = part.column(name)
        if column.null_count:
            row = first + column.is_null().to_pylist().index(True)
            place = f"row {row}, column {batches.shown(name)}"
            raise errors.DataError(path, place, "is empty, a missing value, expected one")
    values = [part.column(name).to_numpy(zero_copy_only=False).astype(np.float64) for name in wanted.columns]
    return batches.Batch(
        values=np.stack(values, axis=1),
        labels=[str(label) for label in part.column(wanted.label).to_pylist()],
        unit="row ",
        places=range(first, first + part.num_rows),
    )

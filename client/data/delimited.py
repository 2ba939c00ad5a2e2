"""Tables as text: `.csv`, or `.csv.gz`, with commas, a header and UTF-8 (RFC 4180).

    age,pressure,class LF
    61,140,ill LF

Columns may stand in any order; they are found by name. A number has a decimal point. Memory: one batch.

Reference: Y. Shafranovich, "Common Format and MIME Type for CSV Files", RFC 4180, 2005.
"""

import csv
import gzip
import io
import itertools
import math
import zlib
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

import numpy as np

from client import errors
from client.data import batches, schema

LINE = 2**20
"""Bytes of a line."""
MISSING = frozenset({"", "na", "n/a", "nan", "null", "none", "-", "?"})
"""What people write where there is nothing."""


def batches_of(path: Path, wanted: schema.Features) -> Iterator[batches.Batch]:
    """The rows of a table.

    Raises:
        DataError: it is no such table; the message names the line.
    """
    packed = path.name.lower().endswith(".gz")
    with gzip.open(path) if packed else path.open("rb") as file:
        rows = _rows(path, file)
        first = next(rows, None)
        if first is None:
            raise errors.DataError(path, "", "is empty, expected a header")
        header = [name.strip() for name in first[1]]
        batches.require_columns(path, header, wanted)
        order = {name: header.index(name) for name in (*wanted.columns, wanted.label)}
        while some := list(itertools.islice(rows, batches.ROWS)):
            yield _batch(path, some, order, wanted)


def _batch(
    path: Path, rows: Sequence[tuple[int, list[str]]], order: Mapping[str, int], wanted: schema.Features
) -> batches.Batch:
    for line, cells in rows:
        if len(cells) != len(order):
            message = f"has {len(cells)} cells, expected {len(order)} as in the header"
            raise errors.DataError(path, f"line {line}", message)
    places = [order[name] for name in wanted.columns]
    try:
        values = np.array([[float(cells[place]) for place in places] for _, cells in rows])
    except ValueError:
        values = np.array([math.nan])
    if not np.isfinite(values).all():
        for line, cells in rows:
            for name in wanted.columns:
                _require_number(path, f"line {line}, column {batches.shown(name)}", cells[order[name]])
    return batches.Batch(
        values=values,
        labels=[cells[order[wanted.label]].strip() for _, cells in rows],
        unit="line ",
        places=[line for line, _ in rows],
    )


def _rows(path: Path, file: io.BufferedIOBase) -> Iterator[tuple[int, list[str]]]:
    """Each row, and the number of its last line."""
    reader = csv.reader(_lines(path, file), strict=True)
    while True:
        try:
            row = next(reader, None)
        except csv.Error as error:
            raise errors.DataError(path, f"line {reader.line_num}", f"is no CSV: {error}") from error
        if row is None:
            return
        yield reader.line_num, row


def _lines(path: Path, file: io.BufferedIOBase) -> Iterator[str]:
    """Lines of bounded length: iterating over a file would take a line of any length into memory."""
    for number in itertools.count(1):
        try:
            line = file.readline(LINE + 1)
        except (EOFError, gzip.BadGzipFile, zlib.error) as error:
            raise errors.DataError(path, f"line {number}", f"cannot be unpacked: {error}") from error
        if not line:
            return
        if len(line) > LINE:
            raise errors.DataError(path, f"line {number}", f"is longer than {LINE:,} bytes")
        try:
            yield line.decode("utf-8-sig" if number == 1 else "utf-8")
        except UnicodeDecodeError as error:
            raise errors.DataError(path, f"line {number}", f"is not UTF-8 at byte {error.start}") from error


def _require_number(path: Path, where: str, cell: str) -> None:
    if cell.strip().lower() in MISSING:
        raise errors.DataError(path, where, f"got {batches.shown(cell)}, a missing value, expected a number")
    try:
        number = float(cell)
    except ValueError as error:
        point = ", with a decimal point" if "," in cell else ""
        raise errors.DataError(path, where, f"got {batches.shown(cell)}, expected a number{point}") from error
    if not math.isfinite(number):
        raise errors.DataError(path, where, f"got {batches.shown(cell)}, expected a finite number")

"""A holder's own data: one door for every format, chosen by the name of what is given.

    TABLE.csv  TABLE.csv.gz  TABLE.parquet  ARRAYS.npz      any task of numbers
    FOLDER                                                  pictures, a sub-folder a class; or text, for a task of text
    FILE.txt                                                text

How to lay each out: docs/data.md.
"""

from collections.abc import Iterator
from pathlib import Path

from client import errors, task
from client.data import batches, delimited, npz, pictures, schema, text

LIMIT = 2**31
"""Bytes of inputs in memory."""


def read(path: Path, made: task.Task, *, limit: int = LIMIT) -> task.Examples:
    """The examples in a holder's own file or folder.

    Args:
        path: a file or a folder.
        made: the task that they are for; its `schema` is what they must hold.
        limit: bytes that the inputs may take in memory.

    Raises:
        DataError: they are not what the task takes; the message names file, line or row, column, and what was expected. It
            may quote a value: it is for the holder's eyes, never for the log of a run.
    """
    if not path.exists():
        raise errors.DataError(path, "", "there is no such file or folder")
    try:
        if made.program is not None:
            return made.program.own(path)
        if isinstance(made.schema, schema.Text):
            return text.read(path, made.schema, limit=limit)
        return batches.collect(path, _batches(path, made.schema), made.schema, limit=limit)
    except OSError as error:
        raise errors.DataError(path, "", f"cannot be read: {error.strerror or error}") from error


def _batches(path: Path, wanted: schema.Features) -> Iterator[batches.Batch]:
    if path.is_dir():
        return pictures.batches_of(path, wanted)
    name = path.name.lower()
    if name.endswith((".csv", ".csv.gz")):
        return delimited.batches_of(path, wanted)
    if name.endswith(".npz"):
        return npz.batches_of(path, wanted)
    if name.endswith(".parquet"):
        return _parquet(path, wanted)
    raise errors.DataError(path, "", "expected a .csv, .csv.gz, .parquet or .npz file, or a folder of pictures")


def _parquet(path: Path, wanted: schema.Features) -> Iterator[batches.Batch]:
    try:
        from client.data import parquet  # noqa: PLC0415 - an optional extra, asked for only where a holder has such a file
    except ImportError as error:
        message = "needs pyarrow, which is not installed: pip install 'folkmoot[tables]', or write the table as .csv"
        raise errors.DataError(path, "", message) from error
    return parquet.batches_of(path, wanted)

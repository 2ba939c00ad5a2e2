"""Text: a `.txt` file, or a folder of text files, as UTF-8; each example is a few bytes, its class the byte that follows.

    window 4, stride 2, "hold on"    "hold" -> " "    "ld o" -> "n"

An example never reaches from one file into the next. Memory: the examples, and one file.
"""

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import torch

from client import errors, task
from client.data import schema

SUFFIXES = (".txt", ".md", ".rst", ".py")
BYTES = 2**28
"""Of a file."""


def read(path: Path, wanted: schema.Text, *, limit: int) -> task.Examples:
    """The examples in a text file, or in all text files below a folder, in the order of their names.

    Args:
        path: the file or folder.
        wanted: how many bytes the model sees.
        limit: bytes that the inputs may take in memory.

    Raises:
        DataError: there is no text, a file is none, or they are too large.
    """
    parts: list[task.Examples] = []
    # Classes of every byte are int64, beside float32 inputs.
    room = limit // ((12 if wanted.every else 4) * wanted.window)
    for file in _files(path):
        data = _bytes(file)
        room -= max(0, len(data) - wanted.window) // wanted.stride
        if room < 0:
            raise errors.DataError(path, "", f"has more text than fits into {limit:,} bytes of inputs")
        parts.append(cut(data, wanted))
    inputs = [part.inputs for part in parts if len(part)]
    if not inputs:
        raise errors.DataError(
            path, "", f"has no text of more than {wanted.window} bytes in {', '.join(SUFFIXES)} files"
        )
    return task.Examples(inputs=torch.cat(inputs), labels=torch.cat([part.labels for part in parts if len(part)]))


def cut(text: bytes, wanted: schema.Text) -> task.Examples:
    """The examples in `text`: inputs are bytes as float32, 0 to 255."""
    data = np.frombuffer(text, dtype=np.uint8)
    if len(data) <= wanted.window:
        empty = torch.empty(0, wanted.window)
        return task.Examples(inputs=empty, labels=torch.empty(0, dtype=torch.int64))
    windows = np.lib.stride_tricks.sliding_window_view(data, wanted.window + 1)[:: wanted.stride]
    return task.Examples(
        inputs=torch.from_numpy(windows[:, :-1].astype(np.float32)),
        labels=torch.from_numpy((windows[:, 1:] if wanted.every else windows[:, -1]).astype(np.int64)),
    )


def _files(path: Path) -> Iterator[Path]:
    if path.is_file():
        if path.suffix.lower() not in SUFFIXES:
            raise errors.DataError(path, "", f"expected a text file: {', '.join(SUFFIXES)}")
        yield path
        return
    for file in sorted(path.rglob("*")):
        hidden = any(part.startswith(".") for part in file.relative_to(path).parts)
        if file.is_file() and not hidden and file.suffix.lower() in SUFFIXES:
            yield file


def _bytes(file: Path) -> bytes:
    size = file.stat().st_size
    if size > BYTES:
        raise errors.DataError(file, "", f"has {size:,} bytes, expected at most {BYTES:,}")
    data = file.read_bytes()
    try:
        data.decode()
    except UnicodeDecodeError as error:
        raise errors.DataError(file, f"byte {error.start}", "is not UTF-8") from error
    return data

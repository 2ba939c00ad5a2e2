"""Pictures in a folder: a sub-folder a class, `.png` or `.jpg` files in it; the one door to Pillow.

    FOLDER/0/first.png  FOLDER/0/second.jpg  FOLDER/1/third.png

A picture becomes greyscale (ITU-R 601-2 luma), without its transparency, and is shrunk or enlarged to the task's size by
averaging, without regard to its proportions. Black is the schema's smallest value, white its largest. Memory: one picture.
"""

import itertools
from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np
from PIL import Image

from client import errors
from client.data import batches, schema

SIDE = 4096
"""Pixels of a picture's width or height."""
BYTES = 64 * 2**20
"""Of a picture's file."""
MODES = ("1", "L", "LA", "P", "RGB", "RGBA")
SUFFIXES = (".png", ".jpg", ".jpeg")


def batches_of(path: Path, wanted: schema.Features) -> Iterator[batches.Batch]:
    """The pictures of a folder, by the names of their sub-folders and then their own.

    Raises:
        DataError: the task takes no pictures; a file is no picture, or too large; a sub-folder is no class of the task.
    """
    if wanted.picture is None:
        message = "is a folder, and the task does not take pictures: expected a .csv, .csv.gz, .parquet or .npz file"
        raise errors.DataError(path, "", message)
    files = _files(path, wanted)
    while some := list(itertools.islice(files, batches.ROWS)):
        names = [name for name, _ in some]
        yield batches.Batch(
            values=np.stack([_values(file, wanted.low, wanted.high, wanted.picture) for _, file in some]),
            labels=names,
            unit="",
            places=[file.relative_to(path) for _, file in some],
        )


def _files(path: Path, wanted: schema.Features) -> Iterator[tuple[str, Path]]:
    """Each picture with the name of its class. Hidden files are not looked at."""
    for folder in _visible(path):
        if not folder.is_dir():
            raise errors.DataError(folder, "", "expected a sub-folder for each class, and pictures in it")
        if folder.name not in wanted.classes:
            some = ", ".join(wanted.classes[: batches.SHOWN])
            raise errors.DataError(folder, "", f"is named after no class of the task, expected one of: {some}")
        for file in _visible(folder):
            if not file.is_file() or file.suffix.lower() not in SUFFIXES:
                raise errors.DataError(file, "", f"expected a picture: {', '.join(SUFFIXES)}")
            yield folder.name, file


def _visible(folder: Path) -> Sequence[Path]:
    return sorted(each for each in folder.iterdir() if not each.name.startswith("."))


def _values(file: Path, low: float, high: float, size: tuple[int, int]) -> np.ndarray:
    """The pixels of a picture, float64 `(height * width,)`."""
    if file.stat().st_size > BYTES:
        raise errors.DataError(file, "", f"has {file.stat().st_size:,} bytes, expected at most {BYTES:,}")
    try:
        with Image.open(file, formats=("PNG", "JPEG")) as picture:
            _require_modest(file, picture)
            grey = picture.convert("L")
    except (OSError, ValueError, SyntaxError, Image.DecompressionBombError) as error:
        raise errors.DataError(file, "", f"is no picture that can be read: {error}") from error
    height, width = size
    if grey.size != (width, height):
        grey = grey.resize((width, height), Image.Resampling.BOX)
    return low + np.asarray(grey, dtype=np.float64).reshape(-1) * ((high - low) / 255)


def _require_modest(file: Path, picture: Image.Image) -> None:
    """Refuse by what the header says, before a pixel is unpacked."""
    width, height = picture.size
    if max(width, height) > SIDE:
        raise errors.DataError(file, "", f"has {width:,} x {height:,} pixels, expected at most {SIDE:,} x {SIDE:,}")
    if picture.mode not in MODES:
        raise errors.DataError(
            file, "", f"has pixels of kind {picture.mode}, expected 8 bits a colour: {', '.join(MODES)}"
        )
    if getattr(picture, "n_frames", 1) > 1:
        raise errors.DataError(file, "", "is animated, expected one picture")

"""A small task of numbers, and one table of it written in every format."""

import csv
import gzip
from pathlib import Path

import numpy as np
import pyarrow as pa
from PIL import Image
from pyarrow import parquet
from torch import nn

from client import task
from client.data import schema

WARD = schema.Features(
    columns=("age", "pressure"),
    label="class",
    classes=("well", "ill"),
    low=-schema.LARGEST,
    high=schema.LARGEST,
    centre=(50.0, 120.0),
    spread=(20.0, 25.0),
    shape=(2,),
    picture=None,
)
TINY = schema.Features(
    columns=schema.pixels(2, 3),
    label="class",
    classes=("dog", "cat"),
    low=0.0,
    high=255.0,
    centre=(0.0,) * 6,
    spread=(255.0,) * 6,
    shape=(1, 2, 3),
    picture=(2, 3),
)


def made(wanted: schema.Schema) -> task.Task:
    """A task of that schema; nothing but the schema is looked at."""
    return task.Task(
        name="ward",
        classes=2,
        schema=wanted,
        model=nn.Identity,
        shard=lambda _: missing(),
        size=lambda _: 0,
        test=missing,
    )


def missing() -> task.Examples:
    raise AssertionError("a reader asked for public data")


def write(folder: Path, suffix: str, wanted: schema.Features, values: np.ndarray, labels: list[str]) -> Path:
    """A table in one format; its columns in reverse order where the format knows their names."""
    path = folder / f"table{suffix}"
    columns = {name: values[:, place] for place, name in enumerate(wanted.columns)}
    backwards = dict(reversed(columns.items()))
    if suffix in {".csv", ".csv.gz"}:
        with gzip.open(path, "wt", newline="") if suffix == ".csv.gz" else path.open("w", newline="") as file:
            writer = csv.writer(file)
            writer.writerow([wanted.label, *backwards])
            writer.writerows(zip(labels, *([repr(float(v)) for v in c] for c in backwards.values()), strict=True))
    elif suffix == ".parquet":
        parquet.write_table(pa.table({wanted.label: labels, **backwards}), path)
    else:
        np.savez_compressed(path, inputs=values, labels=np.array(labels), columns=np.array(wanted.columns))
    return path


def pictures(folder: Path, values: np.ndarray, labels: list[str]) -> Path:
    """Pictures of TINY's size, in the order of `labels`, which must be that of their classes' names."""
    for number, (pixels, label) in enumerate(zip(values, labels, strict=True)):
        where = folder / "pictures" / label / f"{number:06}.png"
        where.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(pixels.reshape(2, 3).astype(np.uint8)).save(where)
    return folder / "pictures"

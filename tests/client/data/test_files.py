"""A holder's own files: the same data are the same examples in every format, and what is no data is refused by place."""

import csv
import gzip
import io
import sys
import zipfile
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays
from PIL import Image
from pyarrow import parquet

from client import errors
from client.data import batches, files, pictures, schema
from tests.client.data import holdings

FORMATS = (".csv", ".csv.gz", ".parquet", ".npz")
WARD = holdings.made(holdings.WARD)
TINY = holdings.made(holdings.TINY)
reused = settings(max_examples=25, suppress_health_check=[HealthCheck.function_scoped_fixture])


@st.composite
def tables(draw: st.DrawFn) -> tuple[np.ndarray, list[str]]:
    labels = draw(st.lists(st.sampled_from(holdings.WARD.classes), min_size=1, max_size=20))
    values = arrays.arrays(np.float64, (len(labels), 2), elements=st.floats(-1e30, 1e30))
    return draw(values), labels


@pytest.mark.parametrize("suffix", FORMATS)
@reused
@given(table=tables())
def test_a_table_is_the_same_examples_in_every_format(
    tmp_path: Path, suffix: str, table: tuple[np.ndarray, list[str]]
) -> None:
    """Written and read back: each value less its centre, over its spread, as float32; each label the place of its class."""
    values, labels = table
    examples = files.read(holdings.write(tmp_path, suffix, holdings.WARD, values, labels), WARD)
    expected = ((values - [50.0, 120.0]) / [20.0, 25.0]).astype(np.float32)
    assert examples.inputs.dtype == torch.float32
    assert torch.equal(examples.inputs, torch.from_numpy(expected))
    assert examples.labels.tolist() == [holdings.WARD.classes.index(label) for label in labels]


def test_pictures_and_tables_of_pixels_are_the_same_examples(tmp_path: Path) -> None:
    """White is 1 and black is 0, whatever the pixels came in."""
    draw = np.random.default_rng(0)
    values = draw.integers(0, 256, (9, 6)).astype(np.float64)
    labels = ["cat"] * 5 + ["dog"] * 4
    found = files.read(holdings.pictures(tmp_path, values, labels), TINY)
    assert torch.equal(found.inputs, torch.from_numpy((values / 255).astype(np.float32)).reshape(9, 1, 2, 3))
    assert found.labels.tolist() == [1] * 5 + [0] * 4
    for suffix in FORMATS:
        table = files.read(holdings.write(tmp_path, suffix, holdings.TINY, values, labels), TINY)
        assert torch.equal(table.inputs, found.inputs)
        assert torch.equal(table.labels, found.labels)


def test_more_rows_than_a_batch(tmp_path: Path) -> None:
    """Batches are joined in order, and a place names the row of the file."""
    rows = 2 * batches.ROWS + 3
    values = np.stack([np.arange(rows), np.arange(rows)], axis=1).astype(np.float64)
    labels = ["ill", *["well"] * (rows - 2), "ill"]
    for suffix in FORMATS:
        examples = files.read(holdings.write(tmp_path, suffix, holdings.WARD, values, labels), WARD)
        expected = (values - [50.0, 120.0]) / [20.0, 25.0]
        assert torch.equal(examples.inputs, torch.from_numpy(expected.astype(np.float32)))
        assert examples.labels.nonzero().flatten().tolist() == [0, rows - 1]
        spoiled = holdings.write(tmp_path, suffix, holdings.WARD, values, [*labels[:-1], "dead"])
        place = f"line {rows + 1}" if "csv" in suffix else f"row {rows}"
        with pytest.raises(
            errors.DataError, match=rf"{place}, column 'class': got the class 'dead', expected one of: well, ill"
        ):
            files.read(spoiled, WARD)


def test_pictures_of_another_size_are_averaged(tmp_path: Path) -> None:
    """Twice the size: each pixel is the mean of four; colours become grey; transparency is left out."""
    large = np.zeros((4, 6), dtype=np.uint8)
    large[:2, :2] = [[0, 100], [100, 200]]
    (tmp_path / "p" / "dog").mkdir(parents=True)
    Image.fromarray(large).convert("RGBA").save(tmp_path / "p" / "dog" / "one.png")
    found = files.read(tmp_path / "p", TINY).inputs.reshape(2, 3) * 255
    assert found.round().tolist() == [[100, 0, 0], [0, 0, 0]]


def test_text_is_cut_into_windows(tmp_path: Path) -> None:
    """Each example is four bytes and the byte after them, two bytes on from the one before; none spans two files."""
    (tmp_path / "b.txt").write_text("hold on")
    (tmp_path / "a.txt").write_text("held")
    (tmp_path / ".hidden.txt").write_text("not this one")
    (tmp_path / "c.md").write_text("moots")
    found = files.read(tmp_path, holdings.made(schema.Text(window=4, stride=2)))
    assert [bytes(map(int, row)) for row in found.inputs.tolist()] == [b"hold", b"ld o", b"moot"]
    assert bytes(found.labels.tolist()) == b" ns"


@pytest.mark.parametrize(
    ("content", "sentence"),
    [
        ("", "is empty, expected a header"),
        ("age,pressure,class\n", "has no examples, expected at least one"),
        ("age,class\n1,ill\n", "lacks the column 'pressure': the task needs it"),
        ("age,pressure,class,name\n1,2,ill,Ada\n", "has the column 'name': the task does not take it: leave it out"),
        ("age,age,pressure,class\n1,1,2,ill\n", "repeats the column 'age': expected each column once"),
        ("age,pressure,class\n1,2,ill\n1,2\n", "line 3: has 2 cells, expected 3 as in the header"),
        ("age,pressure,class\n1,2,ill\n\n1,2,ill\n", "line 3: has 0 cells"),
        ("age,pressure,class\n1,two,ill\n", "line 2, column 'pressure': got 'two', expected a number$"),
        ('age,pressure,class\n1,"2,5",ill\n', "got '2,5', expected a number, with a decimal point"),
        ("age,pressure,class\n1,,ill\n", "line 2, column 'pressure': got '', a missing value, expected a number"),
        ("age,pressure,class\nNA,2,ill\n", "line 2, column 'age': got 'NA', a missing value"),
        ("age,pressure,class\n1,nan,ill\n", "line 2, column 'pressure': got 'nan', a missing value"),
        ("age,pressure,class\n1,inf,ill\n", "line 2, column 'pressure': got 'inf', expected a finite number"),
        ("age,pressure,class\n1,1e999,ill\n", "got '1e999', expected a finite number"),
        ("age,pressure,class\n1,1e308,ill\n", r"line 2, column 'pressure': got 1e\+308, expected a number from -3.4"),
        ("age,pressure,class\n1,2,sick\n", "line 2, column 'class': got the class 'sick', expected one of: well, ill"),
        ("age,pressure,class\n1,2,\n", "got the class '', expected one of: well, ill"),
        ('age,pressure,class\n1,2,"ill\n', "is no CSV: unexpected end of data"),
        ("age;pressure;class\n1;2;ill\n", "lacks the column 'age' .and 2 more.: the task needs it"),
        ("age,pressure,class\n1,\x1b[2J,ill\n", r"got '\?\[2J', expected a number"),
        ("age,pressure,class\n1,2," + "x" * 2**20, "line 2: is longer than 1,048,576 bytes"),
    ],
)
def test_a_damaged_table_is_refused_by_place(tmp_path: Path, content: str, sentence: str) -> None:
    """File, line, column, what is there and what was expected; control characters are not repeated."""
    for name, data in (("t.csv", content.encode()), ("t.csv.gz", gzip.compress(content.encode()))):
        (tmp_path / name).write_bytes(data)
        with pytest.raises(errors.DataError, match=sentence) as caught:
            files.read(tmp_path / name, WARD)
        assert str(caught.value).startswith(str(tmp_path / name))
        assert "\x1b" not in str(caught.value)


def test_a_byte_order_mark_and_spaces_are_no_difference(tmp_path: Path) -> None:
    """As spreadsheets write them; and the file ends without a line feed."""
    (tmp_path / "t.csv").write_bytes("\ufeffage, pressure,class\r\n 50 ,120, ill".encode())
    examples = files.read(tmp_path / "t.csv", WARD)
    assert (examples.inputs.tolist(), examples.labels.tolist()) == ([[0.0, 0.0]], [1])


@pytest.mark.parametrize(
    ("data", "sentence"),
    [
        (b"age,pressure,class\n1,2,ill\n\xff\n", "line 3: is not UTF-8 at byte 0"),
        (b"age,pressure,class\n1,2,ill\n" * 3, "line 3, column 'age': got 'age', expected a number"),
    ],
)
def test_bytes_that_are_no_text_are_refused(tmp_path: Path, data: bytes, sentence: str) -> None:
    """A table in another encoding, or two in one file."""
    (tmp_path / "t.csv").write_bytes(data)
    with pytest.raises(errors.DataError, match=sentence):
        files.read(tmp_path / "t.csv", WARD)


def test_a_truncated_or_false_gzip_is_refused(tmp_path: Path) -> None:
    """Half a file, another kind of file, a wrong checksum."""
    whole = gzip.compress(b"age,pressure,class\n" + b"1,2,ill\n" * 1000)
    for data in (whole[:-20], b"age,pressure,class\n", whole[:-8] + b"\0" * 8):
        (tmp_path / "t.csv.gz").write_bytes(data)
        with pytest.raises(errors.DataError, match="cannot be unpacked"):
            files.read(tmp_path / "t.csv.gz", WARD)


@pytest.mark.parametrize("suffix", FORMATS)
def test_a_table_larger_than_the_limit_is_refused(tmp_path: Path, suffix: str) -> None:
    """What is packed small may be large; no more than the limit is ever kept (attacks: decompression bombs)."""
    path = holdings.write(tmp_path, suffix, holdings.WARD, np.zeros((50_000, 2)), ["ill"] * 50_000)
    with pytest.raises(errors.DataError, match="has more rows than fit into 80,000 bytes of inputs"):
        files.read(path, WARD, limit=80_000)


def npz(path: Path, *, compression: int = zipfile.ZIP_DEFLATED, **members: bytes) -> Path:
    with zipfile.ZipFile(path, "w", compression) as archive:
        for name, data in members.items():
            archive.writestr(f"{name}.npy", data)
    return path


def npy(array: np.ndarray, *, allow_pickle: bool = False) -> bytes:
    buffer = io.BytesIO()
    np.lib.format.write_array(buffer, array, allow_pickle=allow_pickle)
    return buffer.getvalue()


def header(shape: str, descr: str = "'<f8'", *, order: str = "False") -> bytes:
    text = f"{{'descr': {descr}, 'fortran_order': {order}, 'shape': {shape}, }}".encode().ljust(117) + b"\n"
    return b"\x93NUMPY\x01\x00" + len(text).to_bytes(2, "little") + text


class Payload:
    """Ends the program that unpickles it."""

    """Ends the program that unpickles it."""

    def __reduce__(self) -> tuple:
        return (sys.exit, ("a pickle was run",))


ROW = np.array([[50.0, 120.0]])
ILL = npy(np.array(["ill"]))


@pytest.mark.parametrize(
    ("members", "sentence"),
    [
        ({"inputs": npy(np.array([Payload()]), allow_pickle=True), "labels": ILL}, "pickled objects are never read"),
        (
            {"inputs": npy(ROW), "labels": npy(np.array([Payload()]), allow_pickle=True)},
            "pickled objects are never read",
        ),
        (
            {"inputs": header("(1250000000,)") + bytes(8), "labels": ILL},
            "announces float64 of shape .1250000000,., but 8 bytes",
        ),
        ({"inputs": header("(1, -2)"), "labels": ILL}, "announces float64 of shape .1, -2."),
        ({"inputs": header(f"({2**62}, 4)"), "labels": ILL}, "but 0 bytes follow"),
        ({"inputs": header("__import__('os').getcwd()"), "labels": ILL}, "is no .npz file that can be read"),
        ({"inputs": header("(1, 2)", "[('a', 'O')]") + bytes(16), "labels": ILL}, "pickled objects are never read"),
        ({"inputs": header("(2, 2)", order="True") + bytes(32), "labels": ILL}, "lies by columns: write numpy.ascont"),
        ({"inputs": b"\x93NUMPY\x07\x00" + bytes(200), "labels": ILL}, "is of format .7, 0., expected"),
        ({"inputs": b"not an array", "labels": ILL}, "is no .npz file that can be read"),
        ({"inputs": npy(np.zeros((1, 3))), "labels": ILL}, r"is of shape \(1, 3\), expected \(1, 2\)"),
        ({"inputs": npy(np.zeros((2, 2))), "labels": ILL}, r"is of shape \(2, 2\), expected \(1, 2\)"),
        ({"inputs": npy(np.array([["a", "b"]])), "labels": ILL}, "is of type <U1, expected numbers"),
        (
            {"inputs": npy(np.array([[1, np.nan]])), "labels": ILL},
            "row 1, column 'pressure': got nan, expected a finite",
        ),
        (
            {"inputs": npy(np.array([[1, 1e308]])), "labels": ILL},
            r"row 1, column 'pressure': got 1e\+308, expected a number",
        ),
        (
            {"inputs": npy(ROW), "labels": npy(np.array([7]))},
            "row 1, column 'class': got the class '7', expected one of",
        ),
        (
            {"inputs": npy(ROW), "labels": npy(np.array([0.5]))},
            "array 'labels': is float64 of shape .1,., expected names",
        ),
        ({"inputs": npy(ROW)}, "lacks the array 'labels'"),
        ({"inputs": npy(ROW), "labels": ILL, "extra": ILL}, "holds 'extra.npy', expected each once: inputs, labels"),
        ({"inputs": npy(ROW), "labels": ILL, "columns": npy(np.array(["pressure", "age"]))}, "are not the 2 columns"),
    ],
)
def test_a_hostile_archive_is_refused(tmp_path: Path, members: dict[str, bytes], sentence: str) -> None:
    """Pickles, announced sizes, headers that are code, other shapes: refused before anything is made of them."""
    with pytest.raises(errors.DataError, match=sentence):
        files.read(npz(tmp_path / "t.npz", **members), WARD)


def test_an_archive_that_announces_too_much_is_refused(tmp_path: Path) -> None:
    """Ten gigabytes of labels in the directory of a small archive: refused by their size alone."""
    path = npz(tmp_path / "t.npz", inputs=npy(ROW), labels=ILL)
    data = bytearray(path.read_bytes())
    entry = data.rindex(b"labels.npy") - 46
    data[entry + 24 : entry + 28] = (2**32 - 2).to_bytes(4, "little")
    path.write_bytes(data)
    with pytest.raises(
        errors.DataError, match=r"array 'labels': has 4,294,967,294 bytes, expected at most 268,435,456"
    ):
        files.read(path, WARD)


def test_a_damaged_archive_is_refused(tmp_path: Path) -> None:
    """Half of one, none at all, and one under a password."""
    whole = npz(tmp_path / "t.npz", inputs=npy(np.zeros((999, 2))), labels=ILL).read_bytes()
    locked = bytearray(whole)
    locked[whole.index(b"PK\x01\x02") + 8] |= 1
    locked[6] |= 1
    for data in (whole[: len(whole) // 2], b"", b"PK\x03\x04", bytes(locked)):
        (tmp_path / "t.npz").write_bytes(data)
        with pytest.raises(errors.DataError, match=r"is no \.npz file that can be read"):
            files.read(tmp_path / "t.npz", WARD)


@pytest.mark.parametrize(
    ("columns", "sentence"),
    [
        (
            {"age": [1.0, None], "pressure": [1.0, 2.0], "class": ["ill", "ill"]},
            "row 2, column 'age': is empty, a missing",
        ),
        ({"age": [1.0, 2.0], "pressure": [1.0, 2.0], "class": ["ill", None]}, "row 2, column 'class': is empty"),
        ({"age": ["1"], "pressure": [1.0], "class": ["ill"]}, "column 'age': is of type string, expected numbers"),
        (
            {"age": [1.0], "pressure": [1.0], "class": [0.5]},
            "column 'class': is of type double, expected text or integers",
        ),
        ({"age": [1.0], "pressure": [1.0], "class": [3]}, "row 1, column 'class': got the class '3'"),
        (
            {"age": [1.0], "pressure": [float("inf")], "class": ["ill"]},
            "row 1, column 'pressure': got inf, expected a finite",
        ),
        ({"age": [1.0], "class": ["ill"]}, "lacks the column 'pressure'"),
    ],
)
def test_a_parquet_table_of_other_columns_is_refused(tmp_path: Path, columns: dict, sentence: str) -> None:
    """By row and column, as in any other format."""
    parquet.write_table(pa.table(columns), tmp_path / "t.parquet")
    with pytest.raises(errors.DataError, match=sentence):
        files.read(tmp_path / "t.parquet", WARD)


def test_a_damaged_parquet_file_is_refused(tmp_path: Path) -> None:
    """Cut short, of another kind, empty, and with a footer whose length lies."""
    path = holdings.write(tmp_path, ".parquet", holdings.WARD, np.zeros((999, 2)), ["ill"] * 999)
    whole = path.read_bytes()
    for data in (whole[:-9], b"PAR1", b"", whole[:-8] + b"\xff\xff\xff\x7fPAR1"):
        path.write_bytes(data)
        with pytest.raises(errors.DataError, match="is no Parquet file that can be read"):
            files.read(path, WARD)


def test_a_bomb_of_a_picture_is_refused_before_it_is_unpacked(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """By the size that its header announces; a megapixel PNG of nothing is a kilobyte (attacks: image bombs)."""
    (tmp_path / "p" / "cat").mkdir(parents=True)
    Image.new("L", (pictures.SIDE + 1, 8)).save(tmp_path / "p" / "cat" / "bomb.png")
    with pytest.raises(errors.DataError, match=r"bomb\.png: has 4,097 x 8 pixels, expected at most 4,096 x 4,096"):
        files.read(tmp_path / "p", TINY)
    monkeypatch.setattr(pictures, "BYTES", 10)
    with pytest.raises(errors.DataError, match=r"bomb\.png: has \d+ bytes, expected at most 10"):
        files.read(tmp_path / "p", TINY)


@pytest.mark.parametrize(
    ("name", "data", "sentence"),
    [
        ("cat/a.png", b"no picture", "is no picture that can be read"),
        ("cat/a.png", b"\x89PNG\r\n\x1a\n", "is no picture that can be read"),
        ("cat/a.gif", b"GIF89a", "expected a picture: .png, .jpg, .jpeg"),
        ("cow/a.png", b"", "cow: is named after no class of the task, expected one of: dog, cat"),
        ("a.png", b"", "expected a sub-folder for each class"),
    ],
)
def test_a_folder_of_something_else_is_refused(tmp_path: Path, name: str, data: bytes, sentence: str) -> None:
    """Files that are no pictures, and folders that are no class."""
    where = tmp_path / "p" / name
    where.parent.mkdir(parents=True)
    where.write_bytes(data)
    with pytest.raises(errors.DataError, match=sentence):
        files.read(tmp_path / "p", TINY)


def test_pictures_of_more_than_eight_bits_or_frames_are_refused(tmp_path: Path) -> None:
    """Sixteen bits would lose half of them, an animation all but its first."""
    where = tmp_path / "p" / "cat" / "a.png"
    where.parent.mkdir(parents=True)
    Image.fromarray(np.zeros((2, 3), dtype=np.uint16)).save(where)
    with pytest.raises(errors.DataError, match="has pixels of kind I;16, expected 8 bits a colour"):
        files.read(tmp_path / "p", TINY)
    frames = [Image.new("L", (3, 2), shade) for shade in (0, 99)]
    frames[0].save(where, save_all=True, append_images=frames[1:])
    with pytest.raises(errors.DataError, match="is animated, expected one picture"):
        files.read(tmp_path / "p", TINY)


def test_text_that_is_none_is_refused(tmp_path: Path) -> None:
    """Too short, not UTF-8, another suffix, more than the limit."""
    task = holdings.made(schema.Text(window=4, stride=1))
    for name, data, sentence in (
        ("a.txt", b"four", "has no text of more than 4 bytes"),
        ("a.txt", b"text \xff\xfe", "byte 5: is not UTF-8"),
        ("a.pdf", b"%PDF-1.7", "expected a text file: .txt, .md, .rst, .py"),
        ("a.txt", b"x" * 1000, "has more text than fits into 1,000 bytes of inputs"),
    ):
        (tmp_path / name).write_bytes(data)
        with pytest.raises(errors.DataError, match=sentence):
            files.read(tmp_path / name, task, limit=1000)


def test_what_is_not_there_or_of_no_format_is_refused(tmp_path: Path) -> None:
    """The message lists the formats."""
    (tmp_path / "t.xlsx").write_bytes(b"PK")
    for path, sentence in (
        (tmp_path / "none.csv", "there is no such file or folder"),
        (tmp_path / "t.xlsx", "expected a .csv, .csv.gz, .parquet or .npz file, or a folder of pictures"),
        (tmp_path, "is a folder, and the task does not take pictures"),
    ):
        with pytest.raises(errors.DataError, match=sentence):
            files.read(path, WARD)


def test_a_cell_with_a_line_feed_counts_its_lines(tmp_path: Path) -> None:
    """A place is the line that an editor shows: that on which the row ends."""
    with (tmp_path / "t.csv").open("w", newline="") as file:
        csv.writer(file).writerows([["age", "pressure", "class"], [1, 2, "ill\nor so"]])
    with pytest.raises(errors.DataError, match=r"line 3, column 'class': got the class 'ill\?or so'"):
        files.read(tmp_path / "t.csv", WARD)

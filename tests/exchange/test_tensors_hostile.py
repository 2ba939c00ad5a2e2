"""Tensors from outside: every trick with the header is refused, each for its own reason."""

import io
import json
import pickle
import zipfile
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from exchange import errors, tensors

SPECS = [tensors.TensorSpec(name="w", shape=(2, 3)), tensors.TensorSpec(name="b", shape=(3,))]
DATA = bytes(range(18))
METADATA = {"run": "ab" * 32, "round": "7"}
FILE = tensors.encode(SPECS, dtype="I16", data=DATA, metadata=METADATA)


def decode(file: bytes, **changes: Any) -> tensors.Tensors:
    return tensors.decode(file, changes.pop("specs", SPECS), **({"dtype": "I16", "metadata": METADATA} | changes))


def entries() -> dict[str, Any]:
    """What the header of FILE says, to be changed and written by `forge`."""
    return {
        "__metadata__": {"round": "7", "run": "ab" * 32},
        "w": {"dtype": "I16", "shape": [2, 3], "data_offsets": [0, 12]},
        "b": {"dtype": "I16", "shape": [3], "data_offsets": [12, 18]},
    }


def forge(header: dict[str, Any] | bytes | str, data: bytes = DATA, size: int | None = None) -> bytes:
    """A file around a header of one's own, by default with an honest length and a padding to 8 bytes."""
    text = json.dumps(header, separators=(",", ":")) if isinstance(header, dict) else header
    raw = text.encode() if isinstance(text, str) else text
    if size is None:
        raw += b" " * (-len(raw) % 8)
    return (len(raw) if size is None else size).to_bytes(8, "little") + raw + data


@given(st.integers(0, len(FILE) - len(DATA) - 1), st.integers(0, 7))
def test_every_bit_of_the_header_counts(position: int, bit: int) -> None:
    """26: a header with one bit flipped anywhere is refused with a typed error."""
    flipped = bytearray(FILE)
    flipped[position] ^= 1 << bit
    with pytest.raises(errors.TensorsError):
        decode(flipped)


@given(st.integers(0, len(FILE) - 1))
def test_every_truncation_is_noticed(length: int) -> None:
    """26: a file cut at any byte is refused."""
    with pytest.raises(errors.TensorsError):
        decode(FILE[:length])


@given(st.binary(max_size=100))
def test_garbage_is_refused_with_a_typed_error(garbage: bytes) -> None:
    """Random bytes, as a file or as a header, are refused with our error and no other."""
    for file in (garbage, forge(garbage), forge(b'{"w":' + garbage)):
        with pytest.raises(errors.TensorsError):
            decode(file)


@pytest.mark.parametrize("make", ["pickle", "zip"])
def test_other_formats_are_refused(make: str) -> None:
    """24: a pickle, and a zip as .pt and .npz files are, are refused without being looked into."""
    archive = io.BytesIO()
    with zipfile.ZipFile(archive, "w", zipfile.ZIP_DEFLATED) as bomb:
        bomb.writestr("w.npy", bytes(1_000_000))
    file = {"pickle": pickle.dumps({"w": [0] * 6}), "zip": archive.getvalue()}[make]
    with pytest.raises(errors.TensorsError, match="header length"):
        decode(file)


@pytest.mark.parametrize("size", [0, 1, 7, len(FILE), len(FILE) - 7, 1 << 20, (1 << 20) + 8, 1 << 63, (1 << 64) - 1])
def test_a_header_length_that_lies_is_refused(size: int) -> None:
    """26: a header said to be shorter, longer than the file, or of exabytes, is refused before any memory is taken."""
    with pytest.raises(errors.TensorsError, match="header length" if size > len(FILE) - 8 else "header is"):
        decode(size.to_bytes(8, "little") + FILE[8:])


def test_a_header_over_a_mebibyte_is_not_parsed() -> None:
    """26: padding and keys of megabytes are refused by the length alone, by the reader and by the writer."""
    for header in (json.dumps(entries()) + " " * (1 << 20), '{"' + "x" * (1 << 20) + '":0}'):
        with pytest.raises(errors.TensorsError, match="at most 1048576"):
            decode(forge(header))
    many = [tensors.TensorSpec(name=f"{index:050}", shape=()) for index in range(12_000)]
    with pytest.raises(errors.TensorsError, match="at most 1048576"):
        tensors.encode(many, dtype="I16", data=bytes(24_000), metadata={})


@pytest.mark.parametrize(
    "text",
    [
        '{"w":{"dtype":"I16","shape":[2,3],"data_offsets":[0,12]},' + json.dumps(entries())[1:],
        json.dumps(entries()).replace('"round": "7"', '"round": "8", "round": "7"'),
        json.dumps(entries()).replace('"shape": [3]', '"shape": [4], "shape": [3]'),
    ],
)
def test_duplicate_keys_are_refused(text: str) -> None:
    """26: a key given twice, at any level, is refused: parsers disagree on which one counts."""
    with pytest.raises(errors.TensorsError, match="repeats"):
        decode(forge(text))


@pytest.mark.parametrize(
    "header",
    [
        json.dumps(entries()),  # spaces after the separators
        json.dumps(entries(), separators=(",", ":")).replace('"w"', '"\\u0077"'),
        json.dumps(entries(), separators=(",", ":")).replace("[2,3]", "[2,3.0]"),
        json.dumps(entries(), separators=(",", ":")).replace("[0,12]", "[false,12]"),
        json.dumps(entries(), separators=(",", ":")).replace("[0,12]", "[-0,12]"),
        json.dumps(entries(), separators=(",", ":")).replace("[0,12]", "[0,1.2e1]"),
        " " + json.dumps(entries(), separators=(",", ":")),
        json.dumps(entries(), separators=(",", ":")) + " " * 16,
        json.dumps({key: entries()[key] for key in ("w", "b", "__metadata__")}, separators=(",", ":")),
        json.dumps({key: entries()[key] for key in ("__metadata__", "b", "w")}, separators=(",", ":")),
        json.dumps(entries() | {"__metadata__": {"run": "ab" * 32, "round": "7"}}, separators=(",", ":")),
    ],
)
def test_another_spelling_of_the_same_header_is_refused(header: str) -> None:
    """26: what other writers may write differently is refused, so that the same tensors are always the same bytes."""
    with pytest.raises(errors.TensorsError, match="canonical"):
        decode(forge(header))


def test_an_empty_metadata_object_is_another_spelling() -> None:
    """No metadata is written as none, not as an empty object."""
    with pytest.raises(errors.TensorsError, match="canonical"):
        decode(forge(entries() | {"__metadata__": {}}), metadata={})


def test_a_header_without_padding_is_refused() -> None:
    """26: the data starts at a multiple of 8 bytes, or the file is refused."""
    text = json.dumps(entries(), separators=(",", ":")).encode()
    assert len(text) % 8
    with pytest.raises(errors.TensorsError, match="canonical"):
        decode(forge(text, size=len(text)))


@pytest.mark.parametrize("offsets", [[0, 10], [2, 14], [0, 18], [12, 0], [0], [-12, 12], "ab", [0, 1 << 70], None])
def test_offsets_with_gaps_or_overlaps_are_refused(offsets: object) -> None:
    """26: offsets are those of tensors one after the other, and no others."""
    with pytest.raises(errors.TensorsError):
        decode(forge(entries() | {"w": {"dtype": "I16", "shape": [2, 3], "data_offsets": offsets}}))


@pytest.mark.parametrize("data", [DATA[:-1], DATA + b"x", b"", DATA * 2])
def test_data_of_another_size_is_refused(data: bytes) -> None:
    """12, 26: less data than the header promises, or bytes that belong to no tensor, are refused."""
    with pytest.raises(errors.TensorsError, match=f"{len(data)} bytes of data, expected 18"):
        decode(forge(entries(), data))


@pytest.mark.parametrize("name", ["../../etc/passwd", "w ", "W", "", "x" * 100_000, "\x1b[2J", "\ud800"])
def test_another_set_of_names_is_refused(name: str) -> None:
    """26, 27: a tensor more, less or under another name is refused; the error names it, short and printable."""
    for header in (entries() | {name: entries()["w"]}, {name: entries()["w"], "b": entries()["b"]}):
        with pytest.raises(errors.TensorNamesError) as caught:
            decode(forge(header))
        assert str(caught.value).isprintable()
        assert len(str(caught.value)) < 300
    with pytest.raises(errors.TensorNamesError, match="'b'"):
        decode(forge({"w": entries()["w"]}))


def test_a_flood_of_tensors_is_refused_quickly() -> None:
    """26: thousands of tensors that nobody asked for are refused in one error that names three of them."""
    flood = entries() | {f"x{index}": entries()["b"] for index in range(15_000)}
    with pytest.raises(errors.TensorNamesError, match="and 14997 more"):
        decode(forge(flood))


@pytest.mark.parametrize("shape", [[3, 2], [6], [2, 3, 1], [], [0, 1 << 60], [-2, -3], [2, "3"], None, "23", {"2": 3}])
def test_another_shape_is_refused(shape: object) -> None:
    """26, 27: a shape of as many elements, of none, or no shape at all, is refused with a reason of its own."""
    with pytest.raises(errors.TensorShapeError, match=r"expected \[2, 3\]"):
        decode(forge(entries() | {"w": {"dtype": "I16", "shape": shape, "data_offsets": [0, 12]}}))


@pytest.mark.parametrize("dtype", ["U16", "BF16", "i16", "I32", None, 7, ["I16"]])
def test_another_dtype_is_refused(dtype: object) -> None:
    """27: another type of element, even of the same width, is refused with a reason of its own."""
    with pytest.raises(errors.TensorDtypeError, match="expected 'I16'"):
        decode(forge(entries() | {"w": {"dtype": dtype, "shape": [2, 3], "data_offsets": [0, 12]}}))


@pytest.mark.parametrize("entry", [None, [], "w", 0, {}, {"dtype": "I16", "shape": [2, 3]}, entries()["w"] | {"x": 0}])
def test_an_entry_is_dtype_shape_and_offsets(entry: object) -> None:
    """26: an entry that is no object, lacks a key or has one more is refused."""
    with pytest.raises(errors.TensorsError, match="entry of 'w'"):
        decode(forge(entries() | {"w": entry}))


@pytest.mark.parametrize("header", ["[]", "null", "7", '"w"', "", "{", "{}{}", "[" * 100_000, "\xff", "1" * 5000])
def test_what_is_no_json_object_is_refused(header: str) -> None:
    """26: other JSON, broken JSON, JSON nested without end and numbers without end are refused with our error."""
    with pytest.raises(errors.TensorsError, match="header is"):
        decode(forge(header.encode("latin-1")))


@pytest.mark.parametrize(
    "metadata",
    [
        None,
        [],
        "x",
        {"a": 1},
        {"a": None},
        {"a": {"b": "c"}},
        {"a": "line\nbreak"},
        {"a": "\x1b[31m"},
        {"a": "\ud800"},
        {"k" * 257: ""},
        {"a": "v" * 8193},
        {str(index): "" for index in range(65)},
    ],
)
def test_metadata_is_a_little_printable_text(metadata: Any) -> None:
    """26: metadata of other types, unprintable, too long or too many is refused, also where any metadata is welcome."""
    with pytest.raises(errors.TensorsError, match="metadata"):
        decode(forge(entries() | {"__metadata__": metadata}), metadata=None)
    if isinstance(metadata, dict):
        with pytest.raises(errors.TensorsError, match="metadata"):
            tensors.encode(SPECS, dtype="I16", data=DATA, metadata=metadata)

"""Tensors as bytes: read by others, and in one form only."""

import array
from typing import Any

import pytest
import safetensors
from hypothesis import given
from hypothesis import strategies as st

from exchange import errors, tensors

SPECS = [tensors.TensorSpec(name="w", shape=(2, 3)), tensors.TensorSpec(name="b", shape=(3,))]
DATA = array.array("h", [0, 1, -1, 32767, -32768, 5, 6, 7, 8]).tobytes()
METADATA = {"run": "ab" * 32, "round": "7"}
FILE = tensors.encode(SPECS, dtype="I16", data=DATA, metadata=METADATA)

texts = st.text(st.characters(exclude_categories=["C", "Z"]), max_size=20)
specs = st.lists(
    st.builds(
        lambda name, shape: tensors.TensorSpec(name=name, shape=tuple(shape)),
        texts.filter(lambda name: name and name != tensors.METADATA),
        st.lists(st.integers(1, 4), max_size=3),
    ),
    max_size=5,
    unique_by=lambda spec: spec.name,
)


def decode(file: bytes, **changes: Any) -> tensors.Tensors:
    return tensors.decode(file, changes.pop("specs", SPECS), **({"dtype": "I16", "metadata": METADATA} | changes))


def test_the_bytes_are_these() -> None:
    """The one byte form, spelled out."""
    header = (
        b'{"__metadata__":{"round":"7","run":"'
        + b"ab" * 32
        + b'"},"w":{"dtype":"I16","shape":[2,3],"data_offsets":[0,12]},'
        b'"b":{"dtype":"I16","shape":[3],"data_offsets":[12,18]}}'
    )
    padded = header + b" " * (-len(header) % 8)
    assert len(padded).to_bytes(8, "little") + padded + DATA == FILE


def test_text_is_not_escaped() -> None:
    """Letters of any language stand in the header as UTF-8, only quotes and backslashes are escaped."""
    file = tensors.encode([], dtype="I16", data=b"", metadata={"å": '"\\'})
    assert file[8:] == '{"__metadata__":{"å":"\\"\\\\"}}'.encode().ljust(32)


@given(specs, st.sampled_from(["I16", "I32", "F32", "F64"]), st.dictionaries(texts, texts, max_size=4), st.data())
def test_decode_inverts_encode(
    layout: list[tensors.TensorSpec], dtype: tensors.Dtype, metadata: dict[str, str], draw: st.DataObject
) -> None:
    """Any tensors and any printable metadata, of any language, come back as they were, NaN and -0.0 included."""
    size = tensors.WIDTHS[dtype] * sum(spec.size for spec in layout)
    data = draw.draw(st.binary(min_size=size, max_size=size))
    file = tensors.encode(layout, dtype=dtype, data=data, metadata=metadata)
    assert (len(file) - size) % 8 == 0
    for expected in (metadata, None):
        decoded = tensors.decode(file, layout, dtype=dtype, metadata=expected)
        assert (decoded.data, decoded.metadata) == (data, metadata)


@given(specs.filter(bool), st.sampled_from(["I16", "I32", "F32", "F64"]), st.dictionaries(texts, texts, max_size=4))
def test_the_safetensors_package_reads_it(
    layout: list[tensors.TensorSpec], dtype: tensors.Dtype, metadata: dict[str, str]
) -> None:
    """What we write is safetensors: another implementation finds the same names, shapes, types and bits."""
    width = tensors.WIDTHS[dtype]
    data = bytes(index % 251 for index in range(width * sum(spec.size for spec in layout)))
    found = dict(safetensors.deserialize(tensors.encode(layout, dtype=dtype, data=data, metadata=metadata)))
    start = 0
    for spec in layout:
        end = start + width * spec.size
        assert found.pop(spec.name) == {"shape": list(spec.shape), "dtype": dtype, "data": bytearray(data[start:end])}
        start = end
    assert found == {}


@pytest.mark.parametrize("wrap", [bytes, bytearray, memoryview])
def test_the_data_is_a_view_of_the_file(wrap: type) -> None:
    """Nothing is copied: the data is where it is in the file, at a multiple of 8 bytes."""
    file = wrap(FILE)
    data = decode(file).data
    assert data.obj is getattr(file, "obj", file)
    assert (len(FILE) - data.nbytes) % 8 == 0
    assert data.nbytes == len(DATA)


def test_metadata_that_is_not_expected_is_refused() -> None:
    """9: other metadata than expected, more or less of it, is refused with a reason of its own."""
    for expected in ({}, METADATA | {"round": "8"}, METADATA | {"x": ""}, {"run": "ab" * 32}):
        with pytest.raises(errors.TensorContextError):
            decode(FILE, metadata=expected)
    with pytest.raises(errors.TensorContextError):
        decode(tensors.encode(SPECS, dtype="I16", data=DATA, metadata={}))


@pytest.mark.parametrize("name", ["", "__metadata__", "a\nb", "\ud800", "x" * 257])
def test_a_spec_has_a_printable_name(name: str) -> None:
    """No spec can be made whose name a header could not hold."""
    with pytest.raises(errors.TensorNamesError):
        tensors.TensorSpec(name=name, shape=(1,))


@pytest.mark.parametrize("shape", [(0,), (2, -1), (0, 1 << 60)])
def test_a_spec_has_no_empty_axis(shape: tuple[int, ...]) -> None:
    """No spec can be made for a tensor without elements."""
    with pytest.raises(errors.TensorShapeError):
        tensors.TensorSpec(name="w", shape=shape)


def test_size_counts_elements() -> None:
    """The size of a spec is the product of its shape, 1 for a single number."""
    assert [tensors.TensorSpec(name="w", shape=shape).size for shape in ((), (5,), (2, 3))] == [1, 5, 6]


def test_a_name_cannot_be_given_twice() -> None:
    """Two specs of one name are refused."""
    with pytest.raises(errors.TensorNamesError, match="two tensors"):
        tensors.encode([SPECS[1], SPECS[1]], dtype="I16", data=bytes(12), metadata={})


def test_data_to_encode_has_the_size_of_the_specs() -> None:
    """Data that does not fit the specs is the caller's mistake."""
    for data in (DATA[:-1], DATA + b"x", b""):
        with pytest.raises(ValueError, match=f"data of {len(data)} bytes, expected 18"):
            tensors.encode(SPECS, dtype="I16", data=data, metadata={})


@pytest.mark.parametrize("wrap", [bytes, bytearray, lambda data: memoryview(data).cast("h")])
def test_pieces_are_the_file_without_a_copy(wrap: Any) -> None:
    """The pieces joined are the file; the second is the caller's own data, so what changes there changes here."""
    data = wrap(DATA)
    head, view = tensors.pieces(SPECS, dtype="I16", data=data, metadata=METADATA)
    assert head + bytes(view) == FILE
    assert (view.format, view.nbytes) == ("B", len(DATA))
    if isinstance(data, bytearray):
        data[0] ^= 1
        assert view[0] == DATA[0] ^ 1
    assert view.obj is (data.obj if isinstance(data, memoryview) else data)

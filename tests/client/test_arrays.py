"""Flower's arrays: read against the model, never trusted (attacks.md: malformed updates)."""

import io

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from aggregation import errors as aggregation_errors
from client import arrays
from exchange import errors

from flwr import app  # isort: skip  client.arrays comes first

MODEL = {
    "w": np.arange(6, dtype=np.float32).reshape(2, 3),
    "half": np.array([0.5, -2.0], dtype=np.float16),
    "batches": np.array(7, dtype=np.int64),
    "long": np.array([1e300], dtype=np.float64),
    "mask": np.array([True, False]),
}


def record(**other: np.ndarray | app.Array) -> app.ArrayRecord:
    made = MODEL | other
    return app.ArrayRecord({n: a if isinstance(a, app.Array) else app.Array(a) for n, a in made.items()})


def file(array: np.ndarray) -> bytes:
    stream = io.BytesIO()
    np.save(stream, array)
    return stream.getvalue()


def raw(data: bytes, stype: str = "numpy.ndarray") -> app.Array:
    return app.Array("float32", (2, 3), stype, data)


LAYOUT = arrays.layout(record())


def test_a_model_is_its_flat_vector_and_its_other_arrays() -> None:
    """There and back, every type keeps its bits; Flower's own reader agrees."""
    read = arrays.read(record(), LAYOUT)
    flat = arrays.flat(read, LAYOUT)
    assert flat.tolist() == [0, 1, 2, 3, 4, 5, 0.5, -2.0, 1e300]
    back = arrays.record(LAYOUT, flat, {spec.name: read[spec.name] for spec in LAYOUT.others})
    assert list(back) == list(MODEL)
    for name, array in MODEL.items():
        assert back[name].numpy().dtype == array.dtype
        assert np.array_equal(back[name].numpy(), array)


def test_an_array_in_columns_first_order_has_the_same_numbers() -> None:
    """A transposed torch weight is saved so."""
    transposed = app.Array(torch.arange(6.0).reshape(3, 2).T)
    assert b"'fortran_order': True" in transposed.data
    assert (
        arrays.read(record(w=transposed), LAYOUT)["w"].tolist() == transposed.numpy().tolist() == [[0, 2, 4], [1, 3, 5]]
    )


@pytest.mark.parametrize(
    ("array", "code"),
    [
        (raw(b"garbage" * 9), "tensors-garbage"),
        (raw(b""), "tensors-garbage"),
        (raw(file(MODEL["w"])[:-1]), "tensors-garbage"),
        (raw(file(MODEL["w"]) + b"\0"), "tensors-garbage"),
        (raw(file(MODEL["w"]), stype="pickle"), "tensors-garbage"),
        (raw(file(np.zeros((2, 3), dtype=[("a", "<f4")]))), "tensors-garbage"),
        (raw(file(MODEL["w"]).replace(b"(2, 3)", b"[2, 3]")), "tensors-garbage"),
        (raw(b"\x93NUMPY\x02\x00" + file(MODEL["w"])[8:]), "tensors-garbage"),
        (raw(file(MODEL["w"].astype(">f4"))), "tensors-dtype"),
        (raw(file(MODEL["w"].astype(np.float64))), "tensors-dtype"),
        (raw(file(MODEL["w"].astype(np.int32))), "tensors-dtype"),
        (raw(file(MODEL["w"]).replace(b"<f4", b"<f3")), "tensors-dtype"),
        (raw(file(MODEL["w"].reshape(3, 2))), "tensors-shape"),
        (raw(file(MODEL["w"].reshape(6))), "tensors-shape"),
        (raw(file(MODEL["w"]).replace(b"(2, 3), }" + 12 * b" ", b"(9999999, 9999999), }")), "tensors-shape"),
    ],
)
def test_an_array_that_is_not_the_models_is_refused(array: app.Array, code: str) -> None:
    """Whatever its file holds or claims: nothing of it is run, and nothing allocated for it (attacks.md)."""
    with pytest.raises(errors.TensorsError) as caught:
        arrays.read(record(w=array), LAYOUT)
    assert caught.value.code == code


def test_arrays_missing_or_more_are_refused() -> None:
    """The message names them."""
    less = record()
    del less["half"]
    for wrong in (less, record(extra=np.zeros(1))):
        with pytest.raises(errors.TensorNamesError, match=r"half|extra"):
            arrays.read(wrong, LAYOUT)


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
def test_a_number_that_is_not_finite_is_refused(value: float) -> None:
    """Named by its array and place."""
    bad = MODEL["w"].copy()
    bad[1, 2] = value
    with pytest.raises(aggregation_errors.LatticeError, match="at 5 of array 'w'"):
        arrays.flat(arrays.read(record(w=bad), LAYOUT), LAYOUT)


def test_what_is_no_plain_numbers_is_no_model() -> None:
    """Texts, and a model of no arrays."""
    for wrong in (app.ArrayRecord(), app.ArrayRecord({"w": app.Array(np.array(["text"]))})):
        with pytest.raises(errors.TensorsError):
            arrays.layout(wrong)


@given(position=st.integers(0, 151), value=st.integers(0, 255))
def test_a_changed_byte_is_another_number_or_refused(position: int, value: int) -> None:
    """No single byte of a file makes the reader do anything else; what it reads, numpy reads the same."""
    data = bytearray(file(MODEL["w"]))
    data[position] = value
    try:
        read = arrays.read(record(w=raw(bytes(data))), LAYOUT)["w"]
    except errors.TensorsError:
        return
    assert read.tobytes() == np.load(io.BytesIO(bytes(data))).tobytes()

"""What tensor files hold: views, and a digest that does not depend on what a file says of itself."""

import hashlib
import struct

import pytest

from exchange import content, tensors

SPECS = [tensors.TensorSpec(name="w", shape=(2, 3)), tensors.TensorSpec(name="b", shape=())]
DATA = struct.pack("<7h", 1, -2, 3, 4, 5, 6, -32768)


def test_the_digest_is_over_tensors_and_not_over_files() -> None:
    """20: the same tensors under another round's metadata are another file and CID, and the same content."""
    here, there = (
        tensors.encode(SPECS, dtype="I16", data=DATA, metadata={"context": name}) for name in ("here", "there")
    )
    assert here != there
    opened = [tensors.decode(file, SPECS, dtype="I16", metadata=None).data for file in (here, there)]
    digests = {content.digest(SPECS, dtype="I16", data=data) for data in opened}
    assert digests == {hashlib.sha256(tensors.encode(SPECS, dtype="I16", data=DATA, metadata={})).digest()}


def test_the_digest_tells_tensors_apart() -> None:
    """Another name, shape, type or bit is another content."""
    named, shaped = tensors.TensorSpec(name="v", shape=(2, 3)), tensors.TensorSpec(name="w", shape=(3, 2))
    digests = [
        content.digest(SPECS, dtype="I16", data=DATA),
        content.digest([named, SPECS[1]], dtype="I16", data=DATA),
        content.digest([shaped, SPECS[1]], dtype="I16", data=DATA),
        content.digest(SPECS[::-1], dtype="I16", data=DATA),
        content.digest(SPECS, dtype="F32", data=DATA * 2),
        content.digest(SPECS, dtype="I16", data=DATA[:-1] + b"\x00"),
    ]
    assert len(set(digests)) == len(digests)


@pytest.mark.parametrize(("dtype", "letter"), [("I16", "h"), ("I32", "i"), ("F32", "f"), ("F64", "d")])
def test_views_have_shape_and_type(dtype: tensors.Dtype, letter: str) -> None:
    """Each tensor is seen in its shape and type; a single number has no axes."""
    data = struct.pack(f"<7{letter}", 1, -2, 3, 4, 5, 6, -7)
    found = content.views(SPECS, dtype=dtype, data=data)
    assert list(found) == ["w", "b"]
    assert found["w"].tolist() == [[1, -2, 3], [4, 5, 6]]
    assert found["b"].tolist() == -7


def test_views_copy_nothing() -> None:
    """A view sees what is written to the file's memory, and can be written through."""
    file = bytearray(tensors.encode(SPECS, dtype="I16", data=DATA, metadata={}))
    found = content.views(SPECS, dtype="I16", data=tensors.decode(file, SPECS, dtype="I16", metadata={}).data)
    file[-2:] = struct.pack("<h", 77)
    assert found["b"].tolist() == 77
    found["w"][1, 2] = 99
    assert file[-4:-2] == struct.pack("<h", 99)


def test_numbers_of_a_big_endian_machine() -> None:
    """Elements are turned round where the machine wants them so, byte by byte within each."""
    assert content._swapped(memoryview(bytes(range(8))), 4) == bytes([3, 2, 1, 0, 7, 6, 5, 4])

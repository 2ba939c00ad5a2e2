"""What a tensor file holds, whatever it says of itself: a view of each tensor, and one digest of them all.

Metadata bind a file to its round and sender, so the same tensors never are the same file twice. Whoever asks whether two
updates are copies of one another compares these digests, and not CIDs.
"""

import hashlib
import sys
from collections.abc import Mapping, Sequence
from typing import Literal

from exchange import tensors

FORMATS: Mapping[tensors.Dtype, Literal["h", "i", "f", "d"]] = {"I16": "h", "I32": "i", "F32": "f", "F64": "d"}


def digest(specs: Sequence[tensors.TensorSpec], *, dtype: tensors.Dtype, data: bytes | bytearray | memoryview) -> bytes:
    """The sha256 of the file that holds these tensors and no metadata: 32 bytes, the same for the same names, shapes and bits.

    Args:
        specs: names and shapes, in the order of the data.
        dtype: the type of all elements.
        data: the elements, as `Tensors.data` has them.

    Raises:
        TensorNamesError, ValueError: as `tensors.encode` does.

    Reference: docs/protocol.md P10.
    """
    hashed = hashlib.sha256()
    for piece in tensors.pieces(specs, dtype=dtype, data=data, metadata={}):
        hashed.update(piece)
    return hashed.digest()


def views(
    specs: Sequence[tensors.TensorSpec], *, dtype: tensors.Dtype, data: bytes | bytearray | memoryview
) -> "dict[str, memoryview[int] | memoryview[float]]":
    """Each tensor by its name, in its shape: views of `data`, which is copied only where the machine is big-endian.

    Args:
        specs: names and shapes, in the order of the data.
        dtype: the type of all elements.
        data: the elements, little-endian, as `Tensors.data` has them; at least as many as the specs say.
    """
    width = tensors.WIDTHS[dtype]
    whole = memoryview(data).cast("B")
    if sys.byteorder == "big":
        whole = memoryview(_swapped(whole, width))
    found: "dict[str, memoryview[int] | memoryview[float]]" = {}
    start = 0
    for spec in specs:
        end = start + width * spec.size
        found[spec.name] = whole[start:end].cast(FORMATS[dtype], spec.shape)
        start = end
    return found


def _swapped(whole: memoryview, width: int) -> bytearray:
    turned = bytearray(whole)
    for place in range(width):
        turned[place::width] = whole[width - 1 - place :: width]
    return turned

"""An update: lattice integers in a safetensors file, bound to one round and one sender.

tensors    int16, by name, in the model's own order
metadata   {"context":"<hex sha256 of run, round, parent, sender>","format":"folkmoot-update/v1"}    docs/protocol.md P10
"""

from collections.abc import Sequence

import numpy as np
import torch

from aggregation import lattice
from exchange import tensors

FORMAT = "folkmoot-update/v1"


def limit(parameters: int) -> int:
    """Bytes that a sealed update may have: two for each parameter, chunk tags, and 128 KiB for its headers."""
    return 2 * parameters + parameters // 2048 + 2**17


def pieces(integers: torch.Tensor, specs: Sequence[tensors.TensorSpec], *, context: bytes) -> tuple[bytes, memoryview]:
    """The file of an update in two parts, its header and a view of its data, so that nothing is copied.

    Args:
        integers: int16 `(dim,)` lattice integers, which must not change while the parts are used.
        specs: names and shapes of the model's tensors.
        context: the 32-byte context digest.
    """
    data = integers.numpy().astype("<i2", copy=False).data.cast("B")
    return tensors.pieces(specs, dtype="I16", data=data, metadata=metadata(context))


def decode(
    file: bytes | bytearray | memoryview,
    specs: Sequence[tensors.TensorSpec],
    on: lattice.Lattice,
    *,
    context: bytes,
    row: torch.Tensor | None = None,
) -> torch.Tensor:
    """The int16 `(dim,)` integers of an update, every one of them on the lattice.

    Args:
        file: the update's file.
        specs: names and shapes of the model's tensors.
        on: the round's lattice.
        context: the 32-byte context digest.
        row: where they are put, int16 `(dim,)`; None for memory of their own.

    Raises:
        TensorsError: not a file of exactly these tensors under exactly this context; `code` says what differs.
        LatticeError: an integer outside the lattice.
    """
    parsed = tensors.decode(file, specs, dtype="I16", metadata=metadata(context))
    integers = torch.empty(on.dim, dtype=torch.int16) if row is None else row
    integers.numpy()[:] = np.frombuffer(parsed.data, dtype="<i2")
    lattice.validate(on, integers)
    return integers


def metadata(context: bytes) -> dict[str, str]:
    """What an update's file says of itself."""
    return {"context": context.hex(), "format": FORMAT}

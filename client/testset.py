"""The public examples that a model is judged by: those of the task's own code, or a file of the coordinator's.

The file is safetensors of float32, named by its CID in the plan and kept in the run's store:

    tensors    inputs (examples, ...), scaled; labels (examples,), places of the classes
    metadata   {"format":"folkmoot-testset/v1"}

What a round comes to does not depend on it: an audit never reads it.
"""

import numpy as np
import torch

from client import errors, task
from exchange import errors as exchange_errors
from exchange import store as stores
from exchange import tensors, unixfs

METADATA = {"format": "folkmoot-testset/v1"}
LIMIT = 2**28
"""Bytes of the file."""


def encode(examples: task.Examples) -> bytes:
    """The file that holds `examples`.

    Raises:
        TaskError: they are more than LIMIT bytes.
    """
    labels = examples.labels.to(torch.float32)
    data = b"".join(each.contiguous().numpy().astype("<f4", copy=False).tobytes() for each in (examples.inputs, labels))
    if len(data) > LIMIT - 2**20:
        raise errors.TaskError(
            f"test set of {len(data):,} bytes, expected at most {LIMIT - 2**20:,}: take fewer examples"
        )
    specs = _specs(tuple(examples.inputs.shape[1:]), len(examples))
    return bytes(tensors.encode(specs, dtype="F32", data=data, metadata=METADATA))


def decode(file: bytes, announced: str, made: task.Task, shape: tuple[int, ...]) -> task.Examples:
    """The examples in `file`.

    Args:
        file: from the run's store.
        announced: its CID, as the plan has it.
        made: the task that they are for.
        shape: of one example's inputs.

    Raises:
        TaskError: other bytes than announced, or no test set of this task.
    """
    found = str(unixfs.of(file))
    if found != announced:
        raise errors.TaskError(f"test set has CID {found}, expected {announced}")
    width = 4 * (int(np.prod(shape)) + 1)
    examples = (len(file) - 8 - int.from_bytes(file[:8], "little")) // width
    if examples < 1:
        raise errors.TaskError(f"test set {announced} has no examples of shape {shape}")
    try:
        parsed = tensors.decode(file, _specs(shape, examples), dtype="F32", metadata=METADATA)
    except exchange_errors.TensorsError as error:
        raise errors.TaskError(f"test set {announced}: {error}") from error
    numbers = torch.from_numpy(np.frombuffer(parsed.data, dtype="<f4").copy())
    inputs, labels = numbers[:-examples].reshape(examples, *shape), numbers[-examples:]
    lawful = (labels >= 0) & (labels < made.classes) & (labels == labels.floor())
    if not bool(lawful.all()) or not bool(inputs.isfinite().all()):
        raise errors.TaskError(f"test set {announced}: expected finite inputs, and labels from 0 to {made.classes - 1}")
    return task.Examples(inputs=inputs, labels=labels.to(torch.int64))


def load(made: task.Task, store: stores.Store) -> task.Examples:
    """The public test set of a run.

    Raises:
        TaskError: this machine's public data are others than the plan's, or the file is none of this task.
        StoreError: the file is not in `store`.
    """
    if not made.test_file:
        return made.test()
    return decode(store.get(made.test_file, limit=LIMIT), made.test_file, made, made.schema.shape)


def _specs(shape: tuple[int, ...], examples: int) -> tuple[tensors.TensorSpec, ...]:
    return (
        tensors.TensorSpec(name="inputs", shape=(examples, *shape)),
        tensors.TensorSpec(name="labels", shape=(examples,)),
    )

"""One way of an update out and back, in a process of its own: `python -m benchmarks.ways WAY MEGABYTES FOLDER`.

Prints seconds, and the peak of memory beyond what was held before in MiB, out and back; and the bytes that lie in the folder.
"""

import gc
import hashlib
import os
import sys
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import cast

import numpy as np
import pyrage
import torch

from aggregation import lattice
from exchange import blocks, recipients, sealing, tensors, unixfs

LAYERS = 24
CONTEXT = bytes(32)
METADATA = {"context": CONTEXT.hex()}
PIECE = 1 << 20
STATUS, REFERENCES = Path("/proc/self/status"), Path("/proc/self/clear_refs")

Work = Callable[[], object]
Way = Callable[[torch.Tensor, Path], tuple[Work, Work]]


def floor(integers: torch.Tensor, folder: Path) -> tuple[Work, Work]:
    """One file, written in pieces, synced and hashed; read and hashed."""
    path, data = folder / "plain", _bytes(integers)

    def out() -> object:
        digest = hashlib.sha256()
        with path.open("wb", buffering=0) as file:
            for start in range(0, len(data), PIECE):
                digest.update(data[start : start + PIECE])
                file.write(data[start : start + PIECE])
            os.fsync(file.fileno())
        return digest.digest()

    def back() -> object:
        read = path.read_bytes()
        return read, hashlib.sha256(read).digest()

    return out, back


def streamed(flat: torch.Tensor, folder: Path) -> tuple[Work, Work]:
    """Tensors sealed into a block store as they are read, and opened as the blocks come."""
    dtype: tensors.Dtype = "I16" if flat.dtype == torch.int16 else "F32"
    specs, data = _specs(len(flat)), _bytes(flat)
    identity, store = recipients.X25519Identity.generate(), blocks.BlockStore(folder)
    roots: list[unixfs.Root] = []

    def out() -> object:
        pieces = tensors.pieces(specs, dtype=dtype, data=data, metadata=METADATA)
        roots.append(sealing.deposit(store, pieces, recipients=[identity.recipient], context=CONTEXT))
        return roots

    def back() -> object:
        root = roots[-1]
        file = sealing.collect(store, root.cid, size=root.size, identities=[identity], context=CONTEXT)
        return tensors.decode(file, specs, dtype=dtype, metadata=METADATA).data

    return out, back


def whole(integers: torch.Tensor, folder: Path) -> tuple[Work, Work]:
    """The same with all of it in memory at each step: the file of tensors, the sealed file, what the store gives back."""
    specs, data = _specs(len(integers)), _bytes(integers)
    identity, store = recipients.X25519Identity.generate(), blocks.BlockStore(folder)
    roots: list[unixfs.Root] = []

    def out() -> object:
        file = tensors.encode(specs, dtype="I16", data=data, metadata=METADATA)
        sealed = sealing.seal(file, recipients=[identity.recipient], context=CONTEXT)
        roots.append(unixfs.Root(cid=store.put(sealed), size=len(sealed)))
        return roots

    def back() -> object:
        sealed = store.get(roots[-1].cid, limit=roots[-1].size)
        file = sealing.unseal(sealed, identities=[identity], context=CONTEXT)
        return tensors.decode(file, specs, dtype="I16", metadata=METADATA).data

    return out, back


def sealed_by_pyrage(integers: torch.Tensor, folder: Path) -> tuple[Work, Work]:
    """Sealed by pyrage in memory, hashed, written, synced; read, hashed, opened."""
    identity = pyrage.x25519.Identity.generate()
    path, data = folder / "sealed", bytes(_bytes(integers))

    def out() -> object:
        sealed = pyrage.encrypt(data, [identity.to_public()])
        with path.open("wb", buffering=0) as file:
            file.write(sealed)
            os.fsync(file.fileno())
        return hashlib.sha256(sealed).digest()

    def back() -> object:
        sealed = path.read_bytes()
        return hashlib.sha256(sealed).digest(), pyrage.decrypt(sealed, [identity])

    return out, back


def saved_by_torch(integers: torch.Tensor, folder: Path) -> tuple[Work, Work]:
    """Saved by torch and synced; loaded. Neither sealed nor hashed."""
    path, specs = folder / "model.pt", _specs(len(integers))
    # A view would save the storage of all tensors with each of them.
    parts = torch.split(integers, [spec.size for spec in specs])
    model = {spec.name: part.clone() for spec, part in zip(specs, parts, strict=True)}

    def out() -> object:
        with path.open("wb") as file:
            torch.save(model, file)
            file.flush()
            os.fsync(file.fileno())
        return path

    def back() -> object:
        return torch.load(path, weights_only=True)

    return out, back


def on_the_lattice(integers: torch.Tensor, folder: Path) -> tuple[Work, Work]:
    """Floats put on the lattice, then as `streamed`; and back to floats."""
    delta, sizes = integers.float(), [spec.size for spec in _specs(len(integers))]
    on = lattice.Lattice(sizes=tuple(sizes), exponents=(0,) * len(sizes))
    ways: list[Work] = []

    def out() -> object:
        seal, open_ = streamed(lattice.encode(on, delta).integers, folder)
        ways.append(open_)
        return seal()

    def back() -> object:
        found = np.frombuffer(cast("memoryview", ways[0]()), dtype="<i2")
        return lattice.decode(on, torch.from_numpy(found))

    return out, back


def as_floats(integers: torch.Tensor, folder: Path) -> tuple[Work, Work]:
    """The same floats as they are: twice the bytes, and nothing that can be added up in any order."""
    return streamed(integers.float(), folder)


WAYS: Mapping[str, Way] = {
    "floor": floor,
    "streamed": streamed,
    "whole": whole,
    "pyrage": sealed_by_pyrage,
    "torch": saved_by_torch,
    "int16": on_the_lattice,
    "float32": as_floats,
}


def _bytes(flat: torch.Tensor) -> memoryview:
    return flat.numpy().data.cast("B")


def _specs(elements: int) -> list[tensors.TensorSpec]:
    """Layers of one size, and a last one of what is left."""
    length = elements // LAYERS
    sizes = [length] * (LAYERS - 1) + [elements - length * (LAYERS - 1)]
    return [tensors.TensorSpec(name=f"layer.{index}.weight", shape=(size,)) for index, size in enumerate(sizes)]


def _measured(work: Work) -> tuple[float, float]:
    """Seconds, and MiB at the peak beyond what was held before; what the work gave is let go."""
    gc.collect()  # what the imports left behind is not of this work
    REFERENCES.write_text("5")  # the peak begins anew
    before, start = _status("VmRSS"), time.perf_counter()
    kept = work()
    seconds = time.perf_counter() - start
    peak = (_status("VmHWM") - before) / 1024
    del kept
    return seconds, peak


def _status(field: str) -> int:
    [line] = [line for line in STATUS.read_text().splitlines() if line.startswith(field + ":")]
    return int(line.split()[1])


def main(way: str, megabytes: str, where: str) -> None:
    """Run one way, small first so that nothing is met for the first time, then in earnest."""
    torch.set_num_threads(1)
    draws = np.random.default_rng(5)
    for size, folder in ((100_000, Path(where) / "warm"), (int(megabytes) * 1_000_000, Path(where) / "way")):
        folder.mkdir()
        integers = torch.from_numpy(draws.integers(-32767, 32768, size // 2, dtype=np.int16))
        out, back = WAYS[way](integers, folder)
        found = (*_measured(out), *_measured(back))
    stored = sum(path.stat().st_size for path in folder.rglob("*") if path.is_file())
    for name, value in zip(("out", "out_mib", "back", "back_mib", "bytes"), (*found, stored), strict=True):
        sys.stdout.write(f"{name} {value}\n")


if __name__ == "__main__":
    main(*sys.argv[1:])

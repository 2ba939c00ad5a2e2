"""The generators that an app draws from by habit (Python's, numpy's, torch's), set for as long as it runs."""

import contextlib
import random
from collections.abc import Iterator

import numpy as np
import torch


@contextlib.contextmanager
def seeded(drawn: int) -> Iterator[None]:
    """Every one of them begins at `drawn`, 0 .. 2**64 - 1; afterwards they go on as before."""
    with kept():
        begin(drawn)
        yield


def begin(drawn: int) -> None:
    """Have every one of them begin at `drawn`, 0 .. 2**64 - 1."""
    # Not torch.manual_seed: it looks for four kinds of device each time, which takes longer than a small client's training.
    torch.default_generator.manual_seed(drawn)
    for each in _devices():
        torch.cuda.default_generators[each].manual_seed(drawn)
    random.seed(drawn)
    np.random.seed(drawn % 2**32)


@contextlib.contextmanager
def kept() -> Iterator[None]:
    """Whatever draws from them within, afterwards they go on as before."""
    own, numpys = random.getstate(), np.random.get_state()
    devices = _devices()
    torches, cudas = torch.default_generator.get_state(), [torch.cuda.get_rng_state(each) for each in devices]
    try:
        yield
    finally:
        random.setstate(own)
        np.random.set_state(numpys)
        torch.default_generator.set_state(torches)
        for each, state in zip(devices, cudas, strict=True):
            torch.cuda.set_rng_state(state, each)


def _devices() -> range:
    return range(torch.cuda.device_count() if torch.cuda.is_initialized() else 0)  # type: ignore[no-untyped-call]

"""The benchmark of the exchange: what it times does what it says, and ratios are to the floor of the same turn."""

from pathlib import Path

import numpy as np
import pytest
import torch

from benchmarks import exchange, ways


@pytest.mark.parametrize("name", ways.WAYS)
def test_each_way_gives_the_update_back(tmp_path: Path, name: str) -> None:
    """Whatever a way takes, an update that goes out by it comes back with the same numbers."""
    integers = torch.from_numpy(np.random.default_rng(1).integers(-32767, 32768, 5_000, dtype=np.int16))
    out, back = ways.WAYS[name](integers, tmp_path)
    out()
    found = back()
    flat = {
        "floor": lambda: np.frombuffer(found[0], dtype="<i2"),
        "pyrage": lambda: np.frombuffer(found[1], dtype="<i2"),
        "torch": lambda: torch.cat(list(found.values())).numpy(),
        "int16": lambda: np.asarray(found),
        "float32": lambda: np.frombuffer(found, dtype="<f4"),
    }.get(name, lambda: np.frombuffer(found, dtype="<i2"))()
    assert np.array_equal(flat, integers.numpy())


def test_ratios_are_to_the_floor() -> None:
    """A way that takes twice as long as the floor has half its throughput, and the ratio 0.5."""
    taken = {
        name: {"out": 2.0, "back": 4.0, "out_mib": 1.0, "back_mib": 3.0, "bytes": 10.0}
        for name in (*exchange.WAYS, *exchange.PATHS)
    }
    taken["floor"] = {"out": 1.0, "back": 1.0, "out_mib": 0.0, "back_mib": 2.0, "bytes": 10.0}
    values: dict[str, list[float]] = {}
    exchange._note(values, 8, taken)
    assert values["8MB.int16.bytes"] == [10.0]
    exchange._note(values, 7, taken)
    exchange._note(values, 7, taken)
    assert values["ratio.7MB.whole.out"] == [0.5, 0.5]
    assert values["8MB.streamed.out.mb_per_second"] == [4.0]
    assert values["ratio.8MB.streamed.out"] == [0.5]
    assert values["ratio.8MB.torch.back"] == [0.25]
    assert values["8MB.streamed.back.extra_mib"] == [3.0]
    assert values["8MB.int16.seconds"] == [6.0]
    assert "ratio.8MB.floor.out" not in values

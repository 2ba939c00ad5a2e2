"""The work that a peer is given: arrays in a folder, as `benchmarks.training_peers` wrote them. Nothing of ours is imported.

inputs, labels     (holders, examples, features) and (holders, examples)
cohorts            (rounds, cohort), numbers of holders
orders             (rounds, cohort, examples), in which order each of them visits its examples
weights, biases    of the linear model that all start from
tests, classes     the test set
"""

import json
import os
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import nn

TICK = os.sysconf("SC_CLK_TCK")


class Work:
    """The arrays, which processes of one machine share as pages of their files.

    Args:
        folder: where they lie.
    """

    def __init__(self, folder: str) -> None:
        self.folder = Path(folder)
        self.settings: dict[str, Any] = json.loads((self.folder / "settings.json").read_text())
        # Copy on write: torch takes no array that it may not write to.
        self.inputs, self.labels = (torch.from_numpy(self._array(name, "c")) for name in ("inputs", "labels"))
        self.cohorts, self.orders = self._array("cohorts"), self._array("orders")

    def examples(self, number: int, place: int) -> tuple[torch.Tensor, torch.Tensor]:
        """Inputs and labels of the member at `place` of the cohort of round `number`, from 0, as it visits them."""
        holder, order = int(self.cohorts[number, place]), torch.from_numpy(self.orders[number, place])
        return self.inputs[holder][order], self.labels[holder][order]

    def start(self, module: nn.Linear) -> nn.Linear:
        """`module` with the weights that all start from."""
        with torch.no_grad():
            module.weight.copy_(torch.from_numpy(self._array("weights")))
            module.bias.copy_(torch.from_numpy(self._array("biases")))
        return module

    def linear(self) -> nn.Linear:
        """The model that all start from."""
        classes, features = self._array("weights").shape
        return self.start(nn.Linear(features, classes))

    def loss(self, module: nn.Module) -> float:
        """Mean cross-entropy on the test set."""
        inputs, classes = (torch.from_numpy(self._array(name)) for name in ("tests", "classes"))
        with torch.no_grad():
            return float(nn.functional.cross_entropy(module(inputs), classes))

    def _array(self, name: str, mode: Any = None) -> np.ndarray:
        return np.load(self.folder / f"{name}.npy", mmap_mode=mode)


def age() -> float:
    """Seconds since this process began."""
    began = int(Path("/proc/self/stat").read_text().rpartition(")")[2].split()[19]) / TICK
    return float(Path("/proc/uptime").read_text().split()[0]) - began


def found(marks: list[tuple[float, float]], warm: int, start: float, peak: float, loss: float) -> str:
    """The answer: figures of the rounds after those that are warm, as JSON.

    Args:
        marks: CPU and wall seconds at the beginning of the first round and at the end of each.
        warm: rounds before those that are measured.
        start: seconds from the beginning of the process to the end of the first round.
        peak: memory in MB.
        loss: on the test set, after the last round.
    """
    (cpu, wall), (last_cpu, last_wall), rounds = marks[warm], marks[-1], len(marks) - 1 - warm
    figures = {"cpu_seconds": (last_cpu - cpu) / rounds, "wall_seconds": (last_wall - wall) / rounds}
    return json.dumps(figures | {"start_seconds": start, "peak_mib": peak * 1e6 / 2**20, "loss": loss})

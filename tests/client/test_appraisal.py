"""The loss of a model in whole micro-nats: near the true one, and the same whatever adds it up."""

import subprocess
import sys

import numpy as np
import pytest
import torch
from torch.nn import functional

from client import appraisal, task, taskplan, textplan, training
from client.tasks import catalogue, text

SETTINGS = {
    "digits": taskplan.DigitsPlan(
        name="digits",
        holders=3,
        alpha=0.5,
        hidden=64,
        epochs=1,
        batch=32,
        learning_rate=0.1,
        momentum=0.9,
        batches=0,
        update_momentum=0.0,
    ),
    "text": textplan.TextPlan(
        name="text",
        holders=3,
        alpha=1.0,
        window=8,
        stride=8,
        embedding=16,
        hidden=32,
        corpus=text.corpus(),
        epochs=1,
        batch=32,
        learning_rate=0.1,
        momentum=0.9,
        batches=0,
        update_momentum=0.0,
    ),
    "images": taskplan.ImagesPlan(
        name="images",
        holders=3,
        alpha=0.5,
        channels=4,
        hidden=16,
        classes=taskplan.TEN,
        test="",
        epochs=1,
        batch=32,
        learning_rate=0.1,
        momentum=0.9,
        batches=0,
        update_momentum=0.0,
    ),
    "synthetic": taskplan.SyntheticPlan(
        name="synthetic",
        holders=3,
        alpha=0.5,
        examples=20,
        skew=0.0,
        tests=100,
        features=784,
        classes=5,
        signal=0.35,
        channels=2,
        hidden=0,
        epochs=1,
        batch=32,
        learning_rate=0.1,
        momentum=0.9,
        batches=0,
        update_momentum=0.0,
    ),
}


def made(name: str) -> task.Task:
    return catalogue.load(SETTINGS[name], seed=0)


@pytest.mark.parametrize("name", SETTINGS)
def test_it_is_the_loss(name: str) -> None:
    """Within a thousandth of the float32 loss on the same examples."""
    known, most = made(name), 100
    weights = training.initial(known, seed=1) * 2
    every = known.test()
    rows = torch.arange(most) * len(every) // most
    chosen = task.Examples(inputs=every.inputs[rows], labels=every.labels[rows])
    true = training.evaluate(training.FlatModel(known.model(), torch.device("cpu")), weights, chosen).loss
    assert appraisal.Appraiser(known, every, most=most).loss(weights) == pytest.approx(true * 1e6, rel=1e-3)


def test_cross_entropy_is_that_of_its_definition() -> None:
    """Against torch in float64, over scores from a tie to far apart; a label far behind counts in full."""
    draw = np.random.default_rng(0)
    scores = draw.integers(-(2**20), 2**20, (50, 7)) >> draw.integers(0, 20, (50, 1))
    labels = draw.integers(0, 7, 50)
    true = functional.cross_entropy(torch.from_numpy(scores / 4096.0), torch.from_numpy(labels)).item()
    assert appraisal.cross_entropy(scores, labels) == pytest.approx(true * 1e6, abs=3)


@pytest.mark.parametrize("name", ["digits", "images"])
def test_the_order_of_the_sums_changes_nothing(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Every layer added up backwards gives the same micro-nats: no rounding depends on the order."""
    known = made(name)
    weights = training.initial(known, seed=1) * 3 + 0.01
    straight = appraisal.Appraiser(known, known.test(), most=50).scores(weights)

    def backwards(self: torch.nn.Linear, inputs: torch.Tensor) -> torch.Tensor:
        total = torch.zeros(len(inputs), self.out_features, dtype=inputs.dtype) + self.bias
        for column in reversed(range(self.in_features)):
            total += inputs[:, column : column + 1] * self.weight[:, column]
        return total

    monkeypatch.setattr(torch.nn.Linear, "forward", backwards)
    assert torch.equal(appraisal.Appraiser(known, known.test(), most=50).scores(weights), straight)


PROGRAM = """
import torch
torch.set_num_threads({threads})
import numpy as np
from client import appraisal, training
from tests.client import test_appraisal as here
known = here.made("text")
dim = sum(p.numel() for p in known.model().parameters())
weights = torch.from_numpy(np.random.default_rng(0).standard_normal(dim, dtype=np.float32))
print(appraisal.Appraiser(known, known.test(), most=200).loss(weights))
"""


def test_other_processes_threads_and_instructions_agree() -> None:
    """Must-show 3: one thread or two, AVX-512 or none, MKL told to be another machine: the same micro-nats."""
    said = set()
    for threads, more in (
        (1, {}),
        (2, {}),
        (2, {"ATEN_CPU_CAPABILITY": "default", "MKL_ENABLE_INSTRUCTIONS": "SSE4_2"}),
    ):
        code = PROGRAM.format(threads=threads)
        env = {"PATH": "", "PYTHONPATH": ".", **more}
        done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, env=env)
        said.add(int(done.stdout))
    assert len(said) == 1
